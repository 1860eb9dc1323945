INSERT INTO reeve.placement (tenant_id, service_id, cluster_id, isolation)
VALUES ($1, $2, $3, $4)
RETURNING id
