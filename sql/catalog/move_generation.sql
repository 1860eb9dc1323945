-- The first generation that no place of the placement has had. $1 placement
SELECT 1 + greatest(p.generation, (SELECT coalesce(max(m.generation), 0) FROM reeve.move m
                                   WHERE m.placement_id = p.id))
FROM reeve.placement p
WHERE p.id = $1::bigint
