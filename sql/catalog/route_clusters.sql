SELECT id, name, conninfo, max_backends FROM reeve.cluster ORDER BY id
