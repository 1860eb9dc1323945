UPDATE reeve.credential SET revoked_at = now()
WHERE tenant_id = $1 AND kind = 'token' AND revoked_at IS NULL
