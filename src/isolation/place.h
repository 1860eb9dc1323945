/*
 * place.h - what making and closing a place share. Private to this room.
 */
#ifndef ISOLATION_PLACE_H
#define ISOLATION_PLACE_H

#include "isolation/mode.h"

/* Opens the maintenance connection and waits for whoever still works on the placement. */
int place_work_begin(struct isolation_work *work, struct error *err);
void place_work_end(struct isolation_work *work);
#define _cleanup_work_ _cleanup_(place_work_end)

/* Its roles may log in, or be entered; or may not, and their sessions are ended. */
int place_set_login(const struct isolation_work *work, bool allowed, struct error *err);
int place_end_sessions(struct pg_connection *maintenance,
                       const struct isolation_placement *placement, struct error *err);

#endif
