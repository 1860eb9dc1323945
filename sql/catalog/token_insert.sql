INSERT INTO reeve.credential (tenant_id, kind, jti, service_id, access, expires_at)
VALUES ($1, 'token', $2, $3, $4, 'epoch'::timestamptz + $5::bigint * interval '1 microsecond')
RETURNING id
