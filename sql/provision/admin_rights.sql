SELECT rolsuper, rolcreaterole AND rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = current_user
