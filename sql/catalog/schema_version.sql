SELECT version FROM reeve.schema_version
