-- What tenants' roles, and the proxy's role reeve_pool, may do in a database outside the services'
-- schemas: nothing but what Reeve's own functions are for.
-- $1 schemas of the targets, $2 roles that sessions of tenants and of the proxy may have
SELECT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) AS object,
       format('role "%s" has rights on it', r.rolname) AS message,
       format('REVOKE ALL on it FROM %I', r.rolname) AS remedy,
       r.rolname AS subject, NULL AS severity
FROM pg_catalog.pg_shdepend d
JOIN pg_catalog.pg_roles r ON r.oid = d.refobjid
LEFT JOIN pg_catalog.pg_class c
  ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.objid
LEFT JOIN pg_catalog.pg_proc p
  ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.objid
LEFT JOIN pg_catalog.pg_namespace n
  ON n.oid = CASE d.classid WHEN 'pg_catalog.pg_namespace'::pg_catalog.regclass THEN d.objid
             ELSE coalesce(c.relnamespace, p.pronamespace) END
WHERE d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.deptype = 'a'
  AND r.rolname = ANY ($2::text[]::name[])
  AND d.classid <> 'pg_catalog.pg_default_acl'::pg_catalog.regclass
  AND NOT coalesce(n.nspname = ANY ($1::text[]::name[]), false)
  AND NOT (n.nspname = 'reeve' AND c.oid IS NULL
           AND (p.oid IS NULL OR p.proname IN ('tenant_id', 'tenant_slug', 'arm', 'enter', 'leave')))
ORDER BY 1, 2
