-- Throwaway tenants that a run which was killed has left: (slug). $1 pattern of slugs, $2 the name
-- that they carry
SELECT slug FROM reeve.tenant
WHERE status <> 'deleted' AND slug ~ $1::text AND name LIKE $2::text || '%'
ORDER BY id
