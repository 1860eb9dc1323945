SELECT coalesce(max(version), 0) FROM reeve.schema_version
