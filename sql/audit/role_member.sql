-- Memberships of roles: what a role inherits, or may become.
-- $1 roles that sessions of tenants and of the proxy may have, $2 owner roles; $3 members and
-- $4 roles: the memberships that there are to be; $5 roles that are
-- complete
WITH wanted AS (
    SELECT * FROM unnest($3::text[], $4::text[]) AS w(member, role)
)
SELECT format('role %I', m.rolname) AS object,
       format('is a member of "%s"%s', g.rolname,
              CASE WHEN a.admin_option THEN ', and may make others one' ELSE '' END) AS message,
       CASE WHEN w.member IS NULL THEN format('REVOKE %I FROM %I', g.rolname, m.rolname)
            ELSE format('REVOKE ADMIN OPTION FOR %I FROM %I', g.rolname, m.rolname) END AS remedy,
       m.rolname AS subject, NULL AS severity
FROM pg_catalog.pg_auth_members a
JOIN pg_catalog.pg_roles m ON m.oid = a.member
JOIN pg_catalog.pg_roles g ON g.oid = a.roleid
LEFT JOIN wanted w ON w.member = m.rolname AND w.role = g.rolname
WHERE m.rolname = ANY ($1::text[]::name[] || $2::text[]::name[])
  AND (w.member IS NULL OR a.admin_option)
UNION ALL
SELECT format('role %I', w.member), format('is not a member of "%s": it finds nothing', w.role),
       format('GRANT %I TO %I', w.role, w.member), w.member, 'warning'
FROM wanted w
JOIN pg_catalog.pg_roles m ON m.rolname = w.member::name
JOIN pg_catalog.pg_roles g ON g.rolname = w.role::name
WHERE w.member = ANY ($5::text[])
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members a
                  WHERE a.member = m.oid AND a.roleid = g.oid)
ORDER BY 1, 2
