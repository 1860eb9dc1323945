-- What a database remembers of a placement: $1 role, $2 read-only role, $3 ledger target or ''
WITH ledger AS (
    DELETE FROM reeve.migration WHERE target = $3::text::name AND $3 <> ''
)
DELETE FROM reeve.role_tenant WHERE role_name = ANY (ARRAY[$1, $2]::text[]::name[])
