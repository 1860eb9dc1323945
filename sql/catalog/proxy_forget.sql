-- Those that nobody has heard of for a while, and that are not connected.
DELETE FROM reeve.proxy
WHERE seen_at < now() - interval '1 hour' AND NOT reeve.proxy_connected(id)
