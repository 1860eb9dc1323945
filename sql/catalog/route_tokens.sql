SELECT tenant_id, jti, reeve.unix_us(expires_at) / 1000000
FROM reeve.credential
WHERE kind = 'token' AND revoked_at IS NULL AND expires_at > now()
  AND ($1::bigint[] IS NULL OR tenant_id = ANY ($1))
ORDER BY tenant_id, id
