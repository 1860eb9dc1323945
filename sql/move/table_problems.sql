-- What of a schema cannot be copied as it is: (what, remedy). $1 schema
SELECT format('trigger %I of table %I fires also where rows are copied (ENABLE ALWAYS or REPLICA)',
              t.tgname, c.relname) AS what,
       format('ALTER TABLE %I ENABLE TRIGGER %I', c.relname, t.tgname) AS remedy
FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND NOT t.tgisinternal AND t.tgenabled IN ('A', 'R')
UNION ALL
SELECT format('constraint %I of table %I is NOT VALID: old rows may not pass it', k.conname, c.relname),
       format('ALTER TABLE %I VALIDATE CONSTRAINT %I', c.relname, k.conname)
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND k.contype = 'c' AND NOT k.convalidated
ORDER BY 1
