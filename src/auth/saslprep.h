/*
 * saslprep.h - passwords as PostgreSQL prepares them before it hashes them (RFC 4013).
 */
#ifndef AUTH_SASLPREP_H
#define AUTH_SASLPREP_H

#include "base/compiler.h"

/*
 * The prepared password; wipe it and free it with password_wipe_free. A password that cannot be
 * prepared (not UTF-8, a prohibited or unassigned character, nothing left) is copied as it is,
 * which is what PostgreSQL does on both sides of the wire.
 */
char *saslprep_password(const char *password);

void password_wipe_free(char *password); /* accepts NULL */

#endif
