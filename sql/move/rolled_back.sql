-- Of subtransactions of one that has committed those that were rolled back, and whether that is known.
-- $1 their numbers, of 32 bits: what is meant is the nearest to the one that comes next
WITH next AS (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint AS xid),
     told AS (SELECT told.xid, next.xid + ((told.xid - next.xid + 2147483648) & 4294967295) - 2147483648 AS whole
              FROM next, unnest($1::text::bigint[]) AS told (xid)),
     asked AS (SELECT xid, pg_catalog.pg_xact_status(whole::text::pg_catalog.xid8) AS status FROM told)
SELECT xid, coalesce(status, '') = 'aborted' FROM asked
WHERE status IS NULL OR status NOT IN ('committed', 'in progress')
