-- Extensions that are not known to be harmless in a database that tenants reach. The list is what
-- keeps the audit quiet, so it is short and says why. Harmless (severity null): types, operators,
-- index support and functions of their arguments alone, with no way to files, the network, other
-- sessions or other tables; all but reeve_guard are in PostgreSQL's own distribution, or (vector)
-- widespread and trusted. What is on no list is a warning: look at it, not all are bad.
-- $1 only those that this transaction made
WITH known(name, severity, why) AS (
    VALUES ('plpgsql', NULL, NULL), ('reeve_guard', NULL, NULL), ('bloom', NULL, NULL),
           ('btree_gin', NULL, NULL), ('btree_gist', NULL, NULL), ('citext', NULL, NULL),
           ('cube', NULL, NULL), ('dict_int', NULL, NULL), ('dict_xsyn', NULL, NULL),
           ('earthdistance', NULL, NULL), ('fuzzystrmatch', NULL, NULL), ('hstore', NULL, NULL),
           ('intagg', NULL, NULL), ('intarray', NULL, NULL), ('isn', NULL, NULL),
           ('ltree', NULL, NULL), ('moddatetime', NULL, NULL), ('pg_trgm', NULL, NULL),
           ('pgcrypto', NULL, NULL), ('seg', NULL, NULL),
           -- They run the caller's own text, with the caller's own rights.
           ('tablefunc', NULL, NULL), ('tsm_system_rows', NULL, NULL),
           ('tsm_system_time', NULL, NULL), ('unaccent', NULL, NULL), ('uuid-ossp', NULL, NULL),
           ('vector', NULL, NULL),
           ('dblink', 'critical', 'opens connections from the server itself, past the proxy'),
           ('postgres_fdw', 'critical', 'opens connections from the server itself, past the proxy'),
           ('mysql_fdw', 'critical', 'opens connections from the server itself'),
           ('oracle_fdw', 'critical', 'opens connections from the server itself'),
           ('tds_fdw', 'critical', 'opens connections from the server itself'),
           ('http', 'critical', 'opens connections from the server itself'),
           ('pg_net', 'critical', 'opens connections from the server itself'),
           ('file_fdw', 'critical', 'reads the server''s files and runs programs'),
           ('adminpack', 'critical', 'writes the server''s files'),
           ('pg_cron', 'critical', 'runs statements in other sessions, as other roles'),
           ('plperlu', 'critical', 'runs code outside PostgreSQL''s rights'),
           ('pltclu', 'critical', 'runs code outside PostgreSQL''s rights'),
           ('plpython3u', 'critical', 'runs code outside PostgreSQL''s rights'),
           ('plsh', 'critical', 'runs code outside PostgreSQL''s rights'),
           ('pg_surgery', 'critical', 'changes what rows are visible'),
           ('plperl', 'warning', 'keeps variables in the session'),
           ('pltcl', 'warning', 'keeps variables in the session'),
           ('lo', 'warning', 'is about large objects, which know no tenants'),
           ('pg_stat_statements', 'warning', 'shows statements of all tenants to every member of '
                                             'pg_read_all_stats'),
           ('pageinspect', 'warning', 'shows pages as they are stored, of all tenants'),
           ('pg_walinspect', 'warning', 'shows changes of all tenants'),
           ('pg_buffercache', 'warning', 'shows what others have used lately'),
           ('pgrowlocks', 'warning', 'shows locks on rows of all tenants'),
           ('pgstattuple', 'warning', 'shows sizes of all tenants'' rows'),
           ('pg_visibility', 'warning', 'shows pages of all tenants'),
           ('pg_freespacemap', 'warning', 'shows pages of all tenants'),
           ('pg_prewarm', 'warning', 'lets a tenant fill the cache that all share'),
           ('tcn', 'warning', 'notifies all sessions of a database of what was written'),
           ('refint', 'warning', 'keeps plans with other tenants'' values'),
           ('xml2', 'warning', 'is deprecated, and parses what it is given with its own code')
)
SELECT format('extension %I', e.extname) AS object,
       CASE WHEN k.name IS NULL THEN 'is not on the list of those known to be harmless'
            ELSE k.why END AS message,
       format('DROP EXTENSION %I, unless it is needed and no tenant can use it against others',
              e.extname) AS remedy,
       NULL AS subject, coalesce(k.severity, 'warning') AS severity
FROM pg_catalog.pg_extension e
LEFT JOIN known k ON k.name = e.extname
WHERE (k.name IS NULL OR k.severity IS NOT NULL)
  AND (NOT $1::boolean OR pg_catalog.age(e.xmin) BETWEEN -1000000 AND 0)
ORDER BY 1
