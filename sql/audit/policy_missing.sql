-- Commands that no policy of Reeve's allows to tenants, and tables where the owner's policy is not as
-- Reeve makes it. Without a policy nothing is visible, so this shuts tenants out; it lets nobody in.
-- $1 tables that row-level security keeps apart, $2 forms of the tenants' expression, $3 the owner's
WITH policy AS (
    SELECT p.polrelid, p.polcmd, p.polroles,
           pg_catalog.pg_get_expr(p.polqual, p.polrelid) AS qual,
           pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) AS with_check
    FROM pg_catalog.pg_policy p
    WHERE p.polrelid = ANY ($1::oid[]) AND p.polpermissive
), missing AS (
    SELECT c.oid, string_agg(w.command, ', ' ORDER BY w.position) AS commands
    FROM unnest($1::oid[]) AS c(oid)
    CROSS JOIN (VALUES (1, 'SELECT', 'r'), (2, 'INSERT', 'a'), (3, 'UPDATE', 'w'),
                       (4, 'DELETE', 'd')) AS w(position, command, letter)
    WHERE NOT EXISTS (
        SELECT FROM policy p
        WHERE p.polrelid = c.oid AND p.polcmd::text IN ('*', w.letter) AND 0::oid = ANY (p.polroles)
          AND (w.letter = 'a' OR p.qual = ANY ($2::text[]))
          AND (w.letter IN ('r', 'd') OR coalesce(p.with_check, p.qual) = ANY ($2::text[])))
    GROUP BY c.oid
), finding AS (
    SELECT oid, format('no policy lets tenants %s their own rows', commands) AS message
    FROM missing
    UNION ALL
    SELECT c.oid, 'policy "reeve_owner" is missing or changed: migrations and Reeve''s own work on '
                  'one tenant''s rows do not find them, or are not kept to them'
    FROM unnest($1::oid[]) AS c(oid)
    WHERE NOT EXISTS (
        SELECT FROM policy p
        JOIN pg_catalog.pg_class r ON r.oid = p.polrelid
        WHERE p.polrelid = c.oid AND p.polcmd = '*' AND p.polroles = ARRAY[r.relowner]
          AND p.qual = $3::text AND coalesce(p.with_check, p.qual) = $3::text)
)
SELECT format('%I.%I', n.nspname, c.relname) AS object, f.message,
       'restore the policies "reeve_tenant" (PUBLIC) and "reeve_owner" (the owner''s role), both FOR '
       'ALL; the next migration of the service does it' AS remedy,
       n.nspname AS subject, NULL AS severity
FROM finding f
JOIN pg_catalog.pg_class c ON c.oid = f.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY 1, 2
