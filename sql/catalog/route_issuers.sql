SELECT name, issuer, audience, tenant_claim, jwks, leeway_s FROM reeve.issuer ORDER BY id
