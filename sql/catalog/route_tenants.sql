SELECT t.id, t.slug, t.status, k.verifier
FROM reeve.tenant t
LEFT JOIN reeve.credential k ON k.tenant_id = t.id AND k.kind = 'password'
WHERE t.status IN ('active', 'suspended')
  AND ($1::bigint[] IS NULL OR t.id = ANY ($1))
ORDER BY t.id
