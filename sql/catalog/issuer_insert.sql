INSERT INTO reeve.issuer (name, issuer, audience, tenant_claim, jwks, leeway_s)
VALUES ($1, $2, $3, $4, $5::jsonb, $6)
RETURNING id
