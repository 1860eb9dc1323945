-- Databases that every role of the server may connect to.
-- $1 databases of all placements and services on this cluster
SELECT format('database %I', d.datname) AS object,
       format('PUBLIC, so every tenant, has %s',
              string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type)) AS message,
       format('REVOKE ALL ON DATABASE %I FROM PUBLIC', d.datname) AS remedy,
       d.datname AS subject,
       CASE WHEN d.datname <> ALL ($1::text[]::name[]) THEN 'warning' END AS severity
FROM pg_catalog.pg_database d
CROSS JOIN LATERAL pg_catalog.aclexplode(
    coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a
WHERE a.grantee = 0 AND d.datallowconn
GROUP BY d.datname
ORDER BY 1
