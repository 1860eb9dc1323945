-- Tenants' objects that keep a service from being dropped: (name).
-- $1 owner role, $2 shared databases, $3 template database or '', $4 group roles
SELECT 'database ' || d.datname AS name
FROM pg_catalog.pg_database d
JOIN pg_catalog.pg_roles r ON r.oid = d.datdba
WHERE r.rolname = $1::text::name AND d.datname <> $3::text::name AND d.datname <> ALL ($2::text[]::name[])
UNION ALL
SELECT DISTINCT 'role ' || u.rolname
FROM pg_catalog.pg_auth_members m
JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
JOIN pg_catalog.pg_roles u ON u.oid = m.member
WHERE r.rolname = ANY ($4::text[]::name[]) AND NOT u.rolname = ANY ($4::text[]::name[])
  AND u.rolname ~ '^t_[0-9]+'
ORDER BY 1
