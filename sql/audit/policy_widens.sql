-- Permissive policies that give tenants more than their own rows: permissive ones add up.
-- $1 tables that row-level security keeps apart, $2 forms of the tenants' expression
WITH policy AS (
    SELECT p.polname, c.relname, n.nspname,
           pg_catalog.pg_get_expr(p.polqual, p.polrelid) AS qual,
           pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) AS with_check,
           (SELECT string_agg(CASE role WHEN 0 THEN 'PUBLIC'
                              ELSE pg_catalog.pg_get_userbyid(role)::text END, ', ' ORDER BY role)
            FROM unnest(p.polroles) AS role
            WHERE role = 0
               OR role <> c.relowner
                  AND pg_catalog.pg_get_userbyid(role)
                      ~ '^(t_[0-9]{6,}(_[0-9]+)?(_ro)?|(own|run|use)_.+|reeve_pool)$') AS tenants
    FROM pg_catalog.pg_policy p
    JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE p.polrelid = ANY ($1::oid[]) AND p.polpermissive
)
SELECT format('policy %I on %I.%I', polname, nspname, relname) AS object,
       format('gives %s rows by %s: more than each tenant''s own', tenants,
              concat_ws(' and by ', CASE WHEN qual <> ALL ($2::text[]) THEN 'USING ' || qual END,
                        CASE WHEN with_check <> ALL ($2::text[]) THEN 'WITH CHECK ' || with_check
                        END)) AS message,
       format('DROP POLICY %I ON %I.%I', polname, nspname, relname) AS remedy,
       nspname AS subject, NULL AS severity
FROM policy
WHERE tenants IS NOT NULL
  AND (qual <> ALL ($2::text[]) OR with_check <> ALL ($2::text[]))
ORDER BY 1
