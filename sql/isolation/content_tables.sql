-- Tables that have a tenant's data: (name, columns in order as a list, whether COPY's binary format
-- means the same in another database, bytes, rows as last analysed, the primary key's columns,
-- blocks that can be read in ranges, 0: it is read as a whole). Shared reference tables come from
-- migrations, and so are there already. Partitions are a split already.
-- $1 schema
SELECT c.relname,
       string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS columns,
       bool_and((coalesce(b.oid, t.oid)::bigint < 16384 OR coalesce(b.typtype, t.typtype) = 'e')
                AND coalesce(b.typname, t.typname) !~ '^_?reg') AS plain,
       pg_catalog.pg_table_size(c.oid),
       greatest(c.reltuples, 0)::bigint,
       (SELECT string_agg(quote_ident(k.attname), ', ' ORDER BY u.position)
        FROM pg_catalog.pg_index i
        CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS u(attnum, position)
        JOIN pg_catalog.pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = u.attnum
        WHERE i.indrelid = c.oid AND i.indisprimary AND u.position <= i.indnkeyatts),
       CASE WHEN m.amname = 'heap'
                 AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits h
                                 WHERE c.oid IN (h.inhrelid, h.inhparent))
            THEN pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::bigint
            ELSE 0 END
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_am m ON m.oid = c.relam
LEFT JOIN pg_catalog.pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
WHERE n.nspname = $1::text AND c.relkind = 'r'
  AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') !~ '^@reeve:shared'
GROUP BY c.oid, c.relname, c.reltuples, m.amname
ORDER BY pg_catalog.pg_table_size(c.oid) DESC, c.relname
