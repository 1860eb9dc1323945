-- What sessions of a role begin with: (database or NULL, setting, value). $1 role
SELECT d.datname, pg_catalog.split_part(entry, '=', 1),
       pg_catalog.substr(entry, pg_catalog.strpos(entry, '=') + 1)
FROM pg_catalog.pg_db_role_setting s
JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
CROSS JOIN LATERAL unnest(s.setconfig) AS u(entry)
WHERE r.rolname = $1::text
ORDER BY d.datname, entry
