SELECT pg_catalog.to_regclass('reeve.schema_version') IS NOT NULL
