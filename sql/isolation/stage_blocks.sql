-- Blocks of the table that rows for shared tables come in by: (bigint, bytes of one)
SELECT pg_catalog.pg_relation_size('pg_temp.reeve_stage') / current_setting('block_size')::bigint,
       current_setting('block_size')::bigint
