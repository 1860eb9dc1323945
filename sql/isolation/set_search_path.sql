-- Names without a schema find the target's tables, for the rest of the transaction. $1 schema
SELECT pg_catalog.set_config('search_path', quote_ident($1::text) || ', public', true)
