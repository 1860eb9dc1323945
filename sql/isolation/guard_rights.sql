-- In a database whose sessions are shared, what a session has prepared may be another tenant's.
REVOKE ALL ON pg_catalog.pg_prepared_statements FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_prepared_statement() FROM PUBLIC;
