INSERT INTO reeve.credential (tenant_id, kind, verifier)
VALUES ($1, 'password', $2)
ON CONFLICT (tenant_id) WHERE kind = 'password'
DO UPDATE SET verifier = excluded.verifier, created_at = now()
