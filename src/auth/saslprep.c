#include "auth/saslprep.h"

#include <stringprep.h>

#include "base/crypto.h"
#include "base/str.h"

static bool is_ascii(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text >= 0x80)
            return false;
    }
    return true;
}

char *saslprep_password(const char *password)
{
    /* PostgreSQL passes ASCII through untouched, control characters included. */
    if (is_ascii(password) || !str_is_utf8(password, strlen(password)))
        return xstrdup(password);

    char *prepared = NULL;
    int result = stringprep_profile(password, &prepared, "SASLprep", STRINGPREP_NO_UNASSIGNED);
    if (result != STRINGPREP_OK || !prepared || !*prepared) {
        password_wipe_free(prepared);
        return xstrdup(password);
    }
    return prepared;
}

void password_wipe_free(char *password)
{
    if (!password)
        return;
    crypto_wipe(password, strlen(password));
    free(password);
}
