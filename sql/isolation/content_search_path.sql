-- As migrations and the tenant's own sessions have it. $1 schema
SELECT pg_catalog.set_config('search_path', quote_ident($1::text) || ', public', false)
