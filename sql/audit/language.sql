-- Procedural languages other than PostgreSQL's own. What is not trusted runs code with the server's
-- rights on its machine; trusted ones keep state in the session.
-- $1 only those that this transaction made
SELECT format('language %I', lanname) AS object,
       CASE WHEN lanpltrusted THEN 'is not on the list of those that keep nothing in the session'
            ELSE 'is not trusted: its functions do what the server''s account may do' END AS message,
       format('DROP EXTENSION %I', lanname) AS remedy,
       NULL AS subject, CASE WHEN lanpltrusted THEN 'warning' END AS severity
FROM pg_catalog.pg_language
WHERE lanname NOT IN ('internal', 'c', 'sql', 'plpgsql')
  AND (NOT $1::boolean OR pg_catalog.age(xmin) BETWEEN -1000000 AND 0)
ORDER BY 1
