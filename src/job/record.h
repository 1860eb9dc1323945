/*
 * record.h - what a job's row keeps as JSON: its progress and its error. For the engine alone.
 */
#ifndef JOB_RECORD_H
#define JOB_RECORD_H

#include "base/arena.h"
#include "base/error.h"
#include "job/job.h"

/* {"text":..., "number":..., "count":...} */
const char *record_progress(struct arena *arena, const struct job_run *run);
/* {"code":..., "sqlstate":..., "message":..., "detail":..., "hint":...} */
const char *record_error(struct arena *arena, const struct error *error);
/* What record_error wrote, as far as it can be read; json may be NULL. */
void record_read_error(const char *json, struct error *ret);

#endif
