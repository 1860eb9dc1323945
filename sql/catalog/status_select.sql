SELECT 'schema_version', '', max(version) FROM reeve.schema_version
UNION ALL SELECT 'route_version', '', version FROM reeve.route_version
UNION ALL SELECT 'clusters', '', count(*) FROM reeve.cluster
UNION ALL SELECT 'services', '', count(*) FROM reeve.service
UNION ALL SELECT 'issuers', '', count(*) FROM reeve.issuer
UNION ALL SELECT 'tenant', status, count(*) FROM reeve.tenant GROUP BY status
UNION ALL SELECT 'placement', state, count(*) FROM reeve.placement GROUP BY state
UNION ALL SELECT 'job', state, count(*) FROM reeve.job GROUP BY state
UNION ALL
SELECT * FROM (SELECT 'isolation', isolation, count(*) FROM reeve.placement
               GROUP BY isolation ORDER BY isolation) AS i
