-- Triggers that fire also where those of the service are switched off: (name, table). $1 schema
SELECT t.tgname, c.relname
FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND NOT t.tgisinternal AND t.tgenabled IN ('A', 'R')
ORDER BY c.relname, t.tgname
