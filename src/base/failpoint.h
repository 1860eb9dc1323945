/*
 * failpoint.h - places where a test build can be made to crash or to drop a defence.
 *
 * In a release build both macros are nothing. In a build with -Dfailpoints=true
 *   REEVE_CRASH_AT=name      ends the process with SIGKILL at failpoint(name)
 *   REEVE_STOP_AT=name       stops it there with SIGSTOP, until SIGCONT
 *   REEVE_FAIL_AT=name       makes failpoint_fails(name) true
 *   REEVE_MUTATE=name,name   makes mutation(name) true: the defence of that name is taken out
 *   REEVE_X=number           is failpoint_number("REEVE_X", otherwise): a constant that tests make
 * small Names are listed where they stand: grep for failpoint( and mutation(.
 */
#ifndef BASE_FAILPOINT_H
#define BASE_FAILPOINT_H

#include "base/compiler.h"

#ifdef REEVE_FAILPOINTS
void failpoint_hit(const char *name);
bool failpoint_chosen(const char *variable, const char *name);
long long failpoint_number(const char *variable, long long otherwise);
#define failpoint(name) failpoint_hit(name)
#define failpoint_fails(name) failpoint_chosen("REEVE_FAIL_AT", name)
#define mutation(name) failpoint_chosen("REEVE_MUTATE", name)
#else
#define failpoint(name) ((void)0)
#define failpoint_fails(name) false
#define mutation(name) false
#define failpoint_number(variable, otherwise) (otherwise)
#endif

#endif
