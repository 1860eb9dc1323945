-- Policies do not hold for owners, and owners may drop them.
-- $1 roles that sessions of tenants and of the proxy may have
SELECT format('role %I', r.rolname) AS object,
       format('owns %s %s%s', count(*),
              CASE WHEN d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass THEN 'database'
                   ELSE 'object' END || CASE count(*) WHEN 1 THEN '' ELSE 's' END,
              CASE WHEN b.datname IS NULL THEN '' ELSE format(' in database "%s"', b.datname) END)
         AS message,
       format('REASSIGN OWNED BY %I TO the service''s owner role, in that database', r.rolname)
         AS remedy,
       r.rolname AS subject, NULL AS severity
FROM pg_catalog.pg_shdepend d
JOIN pg_catalog.pg_roles r ON r.oid = d.refobjid
LEFT JOIN pg_catalog.pg_database b ON b.oid = d.dbid
WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.deptype = 'o'
  AND r.rolname = ANY ($1::text[]::name[])
GROUP BY r.rolname, b.datname, d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass
ORDER BY 1, 2
