-- $1 roles of all placements in this database
SELECT format('role_tenant of %I', role_name) AS object,
       format('says tenant %s, but no placement in this database has that role', tenant_id)
         AS message,
       format('DELETE FROM reeve.role_tenant WHERE role_name = %L', role_name) AS remedy,
       role_name AS subject, NULL AS severity
FROM reeve.role_tenant
WHERE role_name <> ALL ($1::text[]::name[])
ORDER BY 1
