-- Until the transaction ends nobody else gives that name away. $1 cluster, $2 database
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(format('reeve:database:%s:%s', $1::text, $2::text), 0))
