DELETE FROM reeve.credential WHERE tenant_id = $1 AND kind = 'password'
