"""Whether the catalog and the servers say the same."""
import psycopg

from support.process import wait_until

OPEN_STATES = ("queued", "running", "compensating")


def server_objects(reeve):
    """Everything that provisioning makes on the embedded server: {(kind, name)}."""
    with reeve.admin() as admin:
        found = {("role", name) for (name,) in admin.execute(
            "SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'")}
        databases = [name for (name,) in admin.execute(
            "SELECT datname FROM pg_database WHERE NOT datname LIKE 'template_'")]
        found |= {("placement", str(number)) for (number,) in admin.execute(
            "SELECT id FROM reeve.placement")}
        found |= {("service", name) for (name,) in admin.execute("SELECT name FROM reeve.service")}
    for database in databases:
        found.add(("database", database))
        found |= {("schema", f"{database}.{name}") for name in schemas(reeve, database)}
    return found


def schemas(reeve, database):
    """Schemas of tenants and services in a database; a template may refuse connections."""
    try:
        with reeve.admin(database) as admin:
            return [name for (name,) in admin.execute(
                "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'"
                " AND nspname NOT IN ('information_schema', 'public')")]
    except psycopg.OperationalError:
        return []


def wait_for_jobs(reeve, seconds=90):
    """Until no job is under way: `reeve serve` has taken up what was abandoned."""
    wait_until(lambda: reeve.query("SELECT count(*) FROM reeve.job WHERE state = ANY(%s)",
                                   list(OPEN_STATES)) == [(0,)],
               "all jobs are over", seconds)


def assert_agreement(reeve):
    """Every placement has what it needs, and every tenant's object has its placement."""
    placements = reeve.query(
        "SELECT p.id, isolation, database, schema, role, ro_role, state, p.enforcement FROM reeve.placement p"
        " JOIN reeve.cluster c ON c.id = cluster_id WHERE c.name = 'local'")
    unfinished = [row for row in placements if row[6] != "ready"]
    assert not unfinished, f"placements that are not ready: {unfinished}"
    expected = set()
    for _id, isolation, database, schema, role, ro_role, _state, enforcement in placements:
        if (isolation, enforcement) != ("row", "guard"):
            expected |= {("role", role), ("role", ro_role)} - {("role", None)}
        expected.add(("database", database))
        expected.add(("schema", f"{database}.{schema}"))
        if isolation == "row" and enforcement == "login":
            mapped = reeve.query("SELECT count(*) FROM reeve.role_tenant WHERE role_name = %s",
                                 role, database=database)
            assert mapped == [(1,)], f"role {role} has no tenant in {database}"
    found = server_objects(reeve)
    missing = expected - found
    assert not missing, f"missing on the server: {missing}"
    # Names by placement: roles and schemas t_000001, databases d_000001.
    tenants = {(kind, name) for kind, name in found
               if kind == "role" and name.startswith("t_")
               or kind == "database" and name.startswith("d_")
               or kind == "schema" and name.partition(".")[2].startswith("t_")}
    orphans = tenants - expected
    assert not orphans, f"orphans on the server: {orphans}"
    services = {name for (name,) in reeve.query("SELECT name FROM reeve.service")}
    owned = {name[4:] for kind, name in found
             if kind == "database" and name.startswith(("svc_", "tpl_"))}
    assert {name.replace("-", "_") for name in owned} <= {
        name.replace("-", "_") for name in services}, f"databases without a service: {owned}"
