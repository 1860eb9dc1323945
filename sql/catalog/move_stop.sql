-- But for a move that goes back because it failed: nobody stops that. $1 move
UPDATE reeve.move m SET stop_wanted = m.stop_wanted OR NOT (
    m.phase = 'reverting'
    AND EXISTS (SELECT FROM reeve.job j
                WHERE j.placement_id = m.placement_id AND j.kind = 'move_online'
                  AND j.state IN ('queued', 'running', 'compensating')))
WHERE m.id = $1
