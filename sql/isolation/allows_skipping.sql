-- Whether there is such a role, and its right to set session_replication_role is that one.
-- $1 role, $2 whether it has it
SELECT EXISTS (SELECT FROM pg_catalog.pg_roles
               WHERE rolname = $1::text::name
                 AND pg_catalog.has_parameter_privilege(oid, 'session_replication_role', 'SET') = $2::boolean)
