-- Whether who asks sees and writes every row, triggers and foreign keys left out.
SELECT (rolsuper OR rolbypassrls)
       AND pg_catalog.has_parameter_privilege('session_replication_role', 'SET')
FROM pg_catalog.pg_roles WHERE rolname = current_user
