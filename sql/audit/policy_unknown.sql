-- Policies that are not Reeve's and do not concern tenants' roles (those are policy-widens), or that
-- take rows away.
-- $1 tables that row-level security keeps apart, $2 forms of the tenants' expression
SELECT format('policy %I on %I.%I', p.polname, n.nspname, c.relname) AS object,
       CASE WHEN p.polpermissive
            THEN format('is not Reeve''s: it gives rows of all tenants to %s', r.names)
            ELSE format('is not Reeve''s: it hides rows from %s', r.names) END AS message,
       format('DROP POLICY %I ON %I.%I', p.polname, n.nspname, c.relname) AS remedy,
       n.nspname AS subject, NULL AS severity
FROM pg_catalog.pg_policy p
JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT string_agg(CASE role WHEN 0 THEN 'PUBLIC'
                      ELSE pg_catalog.pg_get_userbyid(role)::text END, ', ' ORDER BY role) AS names,
           bool_or(role = 0 OR role <> c.relowner
                   AND pg_catalog.pg_get_userbyid(role)
                       ~ '^(t_[0-9]{6,}(_[0-9]+)?(_ro)?|(own|run|use)_.+|reeve_pool)$') AS tenants
    FROM unnest(p.polroles) AS role) r
WHERE p.polrelid = ANY ($1::oid[]) AND p.polname NOT IN ('reeve_tenant', 'reeve_owner')
  AND NOT (p.polpermissive AND r.tenants
           AND (pg_catalog.pg_get_expr(p.polqual, p.polrelid) <> ALL ($2::text[])
                OR pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) <> ALL ($2::text[])))
ORDER BY 1
