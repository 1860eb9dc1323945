UPDATE reeve.credential SET revoked_at = coalesce(revoked_at, now())
WHERE tenant_id = $1 AND jti = $2
