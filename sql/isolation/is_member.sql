-- $1 role, $2 member
SELECT EXISTS (SELECT FROM pg_catalog.pg_auth_members m
               JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
               JOIN pg_catalog.pg_roles u ON u.oid = m.member
               WHERE r.rolname = $1::text::name AND u.rolname = $2::text::name)
