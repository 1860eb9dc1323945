SELECT k.id, k.tenant_id, k.jti, coalesce(k.service_id, 0), s.name, k.access = 'ro',
       reeve.unix_us(k.created_at), reeve.unix_us(k.expires_at), reeve.unix_us(k.revoked_at)
FROM reeve.credential k
LEFT JOIN reeve.service s ON s.id = k.service_id
WHERE k.tenant_id = $1 AND k.kind = 'token'
  AND ($2::boolean OR (k.revoked_at IS NULL AND k.expires_at > now()))
ORDER BY k.id DESC
