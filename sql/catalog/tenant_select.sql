SELECT t.id, t.slug, t.name, t.status, reeve.unix_us(t.created_at), reeve.unix_us(t.deleted_at),
       coalesce((SELECT array_agg(g.name || CASE g.value WHEN '' THEN '' ELSE '=' || g.value END ORDER BY g.name)
                 FROM reeve.tenant_tag g WHERE g.tenant_id = t.id), '{}')
FROM reeve.tenant t
WHERE ($1::bigint IS NULL OR t.id = $1)
  AND ($2::text IS NULL OR t.slug = $2)
  AND ($3::text IS NULL OR t.status = $3)
  AND ($4::text IS NULL OR t.slug > $4)
  AND ($5::boolean OR t.status <> 'deleted')
ORDER BY t.slug, t.id
LIMIT $6
