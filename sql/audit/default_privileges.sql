-- Rights that objects will have once they are made.
-- $1 only those that this transaction gave
WITH entry AS (
    SELECT d.defaclrole, d.defaclnamespace, a.grantee, a.privilege_type,
           CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
           WHEN 'f' THEN 'ROUTINES' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' END AS kind
    FROM pg_catalog.pg_default_acl d
    CROSS JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) a
    WHERE (a.grantee = 0 AND d.defaclobjtype <> 'T'
           OR a.grantee <> d.defaclrole
              AND pg_catalog.pg_get_userbyid(a.grantee)
                  ~ '^(t_[0-9]{6,}(_[0-9]+)?(_ro)?|(own|run|use)_.+|reeve_pool)$')
      AND (NOT $1::boolean OR pg_catalog.age(d.xmin) BETWEEN -1000000 AND 0)
)
SELECT format('default privileges of %I%s', pg_catalog.pg_get_userbyid(defaclrole),
              CASE defaclnamespace WHEN 0 THEN ''
              ELSE format(' in schema %s', defaclnamespace::pg_catalog.regnamespace) END) AS object,
       format('%s will have %s on new %s', CASE grantee WHEN 0 THEN 'PUBLIC'
              ELSE format('role "%s"', pg_catalog.pg_get_userbyid(grantee)) END,
              string_agg(privilege_type, ', ' ORDER BY privilege_type), lower(kind)) AS message,
       format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE ALL ON %s FROM %s',
              pg_catalog.pg_get_userbyid(defaclrole),
              CASE defaclnamespace WHEN 0 THEN ''
              ELSE format(' IN SCHEMA %s', defaclnamespace::pg_catalog.regnamespace) END, kind,
              CASE grantee WHEN 0 THEN 'PUBLIC'
              ELSE quote_ident(pg_catalog.pg_get_userbyid(grantee)) END) AS remedy,
       NULL AS subject, NULL AS severity
FROM entry
GROUP BY defaclrole, defaclnamespace, grantee, kind
UNION ALL
SELECT format('default privileges of %I', r.rolname),
       'PUBLIC will have EXECUTE on new routines, until Reeve''s grants take it away',
       format('ALTER DEFAULT PRIVILEGES FOR ROLE %I REVOKE ALL ON ROUTINES FROM PUBLIC', r.rolname),
       NULL, 'warning'
FROM pg_catalog.pg_database b
JOIN pg_catalog.pg_roles r ON r.oid = b.datdba AND r.rolname ~ '^own_'
WHERE b.datname = current_database()
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_default_acl d
                  WHERE d.defaclrole = r.oid AND d.defaclobjtype = 'f' AND d.defaclnamespace = 0)
ORDER BY 1, 2
