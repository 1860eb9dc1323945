-- Placements whose place is the target that has just been migrated.
UPDATE reeve.placement
SET schema_version = $5
WHERE service_id = $1 AND cluster_id = $2 AND database = $3 AND schema = $4
  AND schema_version IS DISTINCT FROM $5
