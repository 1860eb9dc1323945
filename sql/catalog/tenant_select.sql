SELECT id, slug, name, status, reeve.unix_us(created_at), reeve.unix_us(deleted_at)
FROM reeve.tenant
WHERE ($1::bigint IS NULL OR id = $1)
  AND ($2::text IS NULL OR slug = $2)
  AND ($3::text IS NULL OR status = $3)
  AND ($4::text IS NULL OR slug > $4)
  AND ($5::boolean OR status <> 'deleted')
ORDER BY slug, id
LIMIT $6
