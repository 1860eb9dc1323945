DELETE FROM reeve.resource_limit
WHERE tenant_id IS NOT DISTINCT FROM $1::bigint AND service_id IS NOT DISTINCT FROM $2::bigint
  AND name = $3
