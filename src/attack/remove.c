/* remove.c - taking the throwaway tenants away again, this run's and those of runs that died. */
#include "attack/internal.h"
#include "provision/provision.h"
#include "sql/statements.h"

static int find(struct catalog *catalog, struct pg_result **ret, struct error *err)
{
    const char *const parameters[] = {"^" ATTACK_SLUG_PREFIX "[0-9a-f]{12}-[ab]$",
                                      ATTACK_TENANT_NAME};
    return pg_query(catalog_connection(catalog), sql_attack_leftovers, 2, parameters, ret, err);
}

/* All of them are tried, whatever becomes of one; the first failure is reported. */
int remove_tenants(const struct attack_options *options, struct catalog *catalog, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *rows = NULL;
    struct job_context job = *options->job;
    job.cancelled = NULL; /* who interrupts a run wants them gone all the more */
    job.progress = NULL;
    int first = find(catalog, &rows, err);
    for (size_t i = 0; rows && i < pg_rows(rows); i++) {
        struct error own = {0};
        int result = provision_tenant_delete(&job, pg_text(rows, i, 0), &own);
        if (result < 0 && first == 0) {
            first = result;
            if (err)
                *err = own;
        }
    }
    crypto_wipe(job.master_key, sizeof(job.master_key));
    return first;
}
