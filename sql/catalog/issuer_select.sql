SELECT id, name, issuer, audience, tenant_claim, jwks, leeway_s, reeve.unix_us(created_at)
FROM reeve.issuer
WHERE $1::text IS NULL OR name = $1
ORDER BY name
