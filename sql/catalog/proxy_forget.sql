-- Those that nobody has heard of for a day, and that are not connected: until then they may serve what
-- they knew.
DELETE FROM reeve.proxy
WHERE seen_at < now() - interval '1 day' AND NOT reeve.proxy_connected(id)
