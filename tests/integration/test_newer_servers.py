"""PostgreSQL 16, 17 and 18 as a tenants' cluster, in all three isolations. There is no guard for them,
so tenants have logins of their own; Reeve's administrator is a superuser, or may only make databases
and roles, as on managed servers."""
import concurrent.futures
import contextlib
import shutil
import time

import psycopg
import pytest
from psycopg import errors, sql

from support import newer, wire
from support.cancel import send_cancel, sleeping
from support.postgres import running_postgres
from support.process import temporary_folder, wait_until
from support.reeve import MODES, running_reeve
from support.world import DATA, create_service, error_of, unique

CLUSTER = "newer"
BACKENDS = 3  # so that clients share them and tenants' are evicted
ADMINS = {"postgres": None, "limited": "CREATE ROLE limited LOGIN CREATEDB CREATEROLE PASSWORD 'secret'"}


class Site:
    """A Reeve whose cluster is a newer server, and two tenants of each isolation there."""

    def __init__(self, reeve, server, admin, folder):
        self.reeve, self.server, self.admin = reeve, server, admin
        self.version = server.version
        self.migrations = folder / "things"
        shutil.copytree(DATA / "things", self.migrations)
        if ADMINS[admin]:
            self.query(ADMINS[admin])
        self.empty = self.objects()
        reeve.cli("cluster", "add", CLUSTER, "--conninfo", f"host=127.0.0.1 port={server.port}",
                  "--admin-user", admin, "--password-file", "-", "--max-backends", BACKENDS,
                  input=server.password + "\n")
        create_service(reeve, "things", self.migrations, cluster=CLUSTER)
        self.without_tenants = self.objects()
        self.tenants = {(mode, letter): reeve.add_tenant(f"{mode}-{letter}", "things", mode)
                        for mode in MODES for letter in "ab"}

    def query(self, text, values=None, database="postgres"):
        with self.server.connect(database) as connection:
            cursor = connection.execute(text, values)
            return cursor.fetchall() if cursor.description else []

    def objects(self):
        """Roles, databases and schemas: {(kind, name)}."""
        found = {("role", name) for (name,) in self.query("SELECT rolname FROM pg_roles")}
        names = [name for (name,) in self.query("SELECT datname FROM pg_database")]
        found |= {("database", name) for name in names}
        for name in names:
            with contextlib.suppress(psycopg.OperationalError):  # a template takes no connection
                found |= {("schema", f"{name}.{schema}") for (schema,) in self.query(
                    "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'",
                    database=name)}
        return found

    def placement(self, tenant):
        return self.reeve.cli("placement", "show", tenant.slug, tenant.service, json=True).json

    def audit(self):
        """{(severity, code, object)} of what matters. What newer minor releases have mended is told as
        well, and is no business of these tests."""
        found = self.reeve.cli("audit", "--all", json=True, check=False).json["findings"]
        return {(one["severity"], one["code"], one["object"]) for one in found
                if one["severity"] != "info" and one["code"] != "server-hole"}


@pytest.fixture(scope="module", params=newer.VERSIONS)
def version(request):
    return request.param


@pytest.fixture(scope="module", params=ADMINS)
def site(version, request):
    with running_postgres(version=version) as server, running_reeve() as reeve, \
            temporary_folder() as folder:
        yield Site(reeve, server, request.param, folder)


@pytest.fixture(autouse=True)
def log_is_clean(site):
    yield
    site.reeve.check_log()
    assert site.reeve.process.poll() is None, site.reeve.log()


@pytest.fixture
def tenant(site, mode):
    return site.tenants[mode, "a"]


@pytest.fixture
def neighbour(site, mode):
    return site.tenants[mode, "b"]


@pytest.fixture
def connection(site, tenant):
    with site.reeve.connect(tenant) as opened:
        yield opened


def test_it_is_that_server(site, connection):
    assert connection.info.server_version // 10000 == site.version
    shown = site.reeve.cli("cluster", "show", CLUSTER, json=True).json
    assert shown["enforcement"] == "login"
    assert shown["enforcement_reason"]


def test_rows_are_the_tenants_own(site, connection, neighbour):
    """The same natural key twice, and each sees its own."""
    name = unique()
    with site.reeve.connect(neighbour) as other:
        for each, body in ((connection, "mine"), (other, "theirs")):
            each.execute("INSERT INTO thing (name, body) VALUES (%s, %s)", [name, body])
            each.execute("INSERT INTO part (thing_id, label)"
                         " SELECT id, body FROM thing WHERE name = %s", [name])
        for each, body in ((connection, "mine"), (other, "theirs")):
            assert each.execute("SELECT body FROM thing WHERE name = %s",
                                [name]).fetchall() == [(body,)]
            assert (body,) in each.execute("SELECT label FROM part").fetchall()
    assert connection.execute("SELECT count(*) FROM kind").fetchone() == (2,)


def test_what_a_tenant_may_not(site, connection):
    """Large objects are a superuser's to close."""
    large = ["SELECT lo_create(0)"] if site.admin == "postgres" else []
    for statement in (*large, "CREATE TABLE mine (x int)", "CREATE TEMPORARY TABLE mine (x int)",
                      "TRUNCATE thing", "INSERT INTO kind VALUES ('x', 'y')", "CREATE ROLE other",
                      "CREATE DATABASE other", "ALTER TABLE thing ADD x int",
                      "CREATE SCHEMA mine", "SELECT pg_read_file('PG_VERSION')", "SET ROLE own_things",
                      "ALTER ROLE CURRENT_USER CREATEROLE", "GRANT own_things TO CURRENT_USER"):
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)


def test_transactions(connection):
    kept, lost = unique("kept"), unique("lost")
    with connection.transaction():
        connection.execute("INSERT INTO thing (name) VALUES (%s)", [kept])
        with pytest.raises(errors.UniqueViolation), connection.transaction():
            connection.execute("INSERT INTO thing (name) VALUES (%s)", [lost])
            connection.execute("INSERT INTO thing (name) VALUES (%s)", [kept])
    with pytest.raises(errors.NotNullViolation) as failed:
        connection.execute("INSERT INTO thing (name) VALUES (NULL)")
    assert failed.value.diag.column_name == "name"
    rows = connection.execute("SELECT name FROM thing WHERE name = ANY (%s)", [[kept, lost]])
    assert rows.fetchall() == [(kept,)]


def test_prepared_statements_of_clients_that_share(site, tenant):
    clients = [site.reeve.connect(tenant) for _ in range(BACKENDS + 2)]
    with contextlib.ExitStack() as stack:
        for client in clients:
            stack.enter_context(client)
        for number in range(200):
            client = clients[number % len(clients)]
            for text in ("SELECT %s::int + 1", "SELECT %s::int + 1 FROM kind WHERE code = 'a'"):
                assert client.execute(text, [number], prepare=True).fetchone() == (number + 1,)


def test_pipeline(connection):
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int", [number]) for number in range(100)]
    assert [cursor.fetchone()[0] for cursor in cursors] == list(range(100))


def test_copy(mode, connection):
    prefix = unique("copy")

    def load():
        with connection.cursor().copy("COPY thing (name, amount) FROM STDIN") as copy:
            for number in range(500):
                copy.write_row((f"{prefix}-{number}", number))

    if mode == "row":
        assert error_of(load).sqlstate == "0A000"
        connection.execute("INSERT INTO thing (name, amount)"
                           " SELECT %s || i, i FROM generate_series(0, 499) i", [prefix + "-"])
    else:
        load()
    with connection.cursor().copy(sql.SQL(
            "COPY (SELECT amount FROM thing WHERE name LIKE {} ORDER BY 1) TO STDOUT").format(
                prefix + "%")) as copy:
        assert list(copy.rows()) == [(f"{number}.00",) for number in range(500)]


def test_cancel(connection):
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        begun = time.monotonic()
        waiting = thread.submit(connection.execute, "SELECT pg_sleep(60)")

        def cancelled():
            connection.cancel()
            return waiting.done()

        wait_until(cancelled, "the query is cancelled")
        with pytest.raises(errors.QueryCanceled):
            waiting.result()
        assert time.monotonic() - begun < 40
    for number in range(20):
        assert connection.execute("SELECT %s::int", [number]).fetchone() == (number,)


# The version from which on the server tells its clients of it.
SETTINGS = [("TimeZone", "Asia/Tokyo", 15), ("DateStyle", "German, DMY", 15),
            ("work_mem", "7MB", None), ("application_name", "mine", 15),
            ("search_path", "pg_catalog", 18), ("default_transaction_read_only", "on", 15)]


@pytest.mark.parametrize("name, value, since", SETTINGS)
def test_settings_follow_their_client(site, tenant, name, value, since):
    """More clients than backends: each finds its own, and is told so."""
    def check(client, expected):
        assert client.execute("SELECT current_setting(%s)", [name]).fetchone() == (expected,)
        told = expected if since and site.version >= since else None
        assert (client.info.parameter_status(name) or None) == (told or None)

    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(site.reeve.connect(tenant)) for _ in range(BACKENDS + 1)]
        before = clients[-1].execute("SELECT current_setting(%s)", [name]).fetchone()[0]
        clients[0].execute("SELECT set_config(%s, %s, false)", [name, value])
        for _ in range(3):
            for client in clients:
                check(client, value if client is clients[0] else before)
        clients[0].execute(f"RESET {name}")
        check(clients[0], before)


def test_scram_iterations_is_told(connection):
    """A parameter that PostgreSQL reports from 16 on."""
    assert connection.info.parameter_status("scram_iterations") == "4096"


def test_protocol_3_2(site, tenant):
    with wire.connect_to_tenant(site.reeve, tenant, wire.PROTOCOL_3_2) as client:
        assert len(client.key[1]) == 32
        assert client.ask(wire.query("SELECT 1"))[-1].body == b"I"
    victim, thread, outcome = sleeping(site.reeve, tenant, "60", wire.PROTOCOL_3_2)
    send_cancel(site.reeve, *victim.key)
    thread.join(timeout=20)
    assert outcome and outcome[0].sqlstate == "57014"
    victim.close()


def test_read_only_token(site, tenant):
    token = site.reeve.token(tenant.slug, "--access", "ro")
    with site.reeve.connect(tenant, password=token) as reader:
        assert reader.execute("SELECT count(*) FROM kind").fetchone() == (2,)
        for again in ("", "SET default_transaction_read_only = off; "):
            with pytest.raises((errors.ReadOnlySqlTransaction, errors.InsufficientPrivilege)):
                reader.execute(again + "INSERT INTO thing (name) VALUES ('x')")


SECOND = """
ALTER TABLE thing ADD COLUMN note text NOT NULL DEFAULT 'none', ADD CONSTRAINT noted CHECK (note <> '');
ALTER TABLE part ALTER COLUMN label DROP NOT NULL;
CREATE TABLE extra (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thing_id bigint NOT NULL REFERENCES thing,
    code text NOT NULL UNIQUE NULLS NOT DISTINCT,
    twice numeric GENERATED ALWAYS AS (thing_id * 2) STORED
);
"""


def test_a_migration_reaches_every_placement(site):
    """From 18 on, NOT NULL is a constraint with a name."""
    (site.migrations / "0002_more.sql").write_text(SECOND)
    site.reeve.cli("migrate", "things")
    for tenant in site.tenants.values():
        assert site.placement(tenant)["schema_version"] == "2"
        with site.reeve.connect(tenant) as connection:
            name = unique()
            connection.execute("INSERT INTO thing (name) VALUES (%s)", [name])
            connection.execute("INSERT INTO part (thing_id) SELECT id FROM thing WHERE name = %s",
                               [name])
            doubled = connection.execute(
                "INSERT INTO extra (thing_id, code) SELECT id, name FROM thing WHERE name = %s"
                " RETURNING twice = thing_id * 2", [name]).fetchone()
            assert doubled == (True,)
            with pytest.raises(errors.UniqueViolation):
                connection.execute("INSERT INTO extra (thing_id, code)"
                                   " SELECT id, name FROM thing WHERE name = %s", [name])
            with pytest.raises(errors.CheckViolation):
                connection.execute("UPDATE thing SET note = '' WHERE name = %s", [name])


def left_open(site):
    """What only a superuser can close, and the audit tells."""
    return {code for _severity, code, _object in site.audit()} - (
        set() if site.admin == "postgres" else {"large-objects", "database-open"})


def test_audit_finds_nothing(site):
    assert left_open(site) == set()


@pytest.mark.parametrize("privilege", ["TRUNCATE", "MAINTAIN"])
def test_audit_finds_a_privilege(site, privilege):
    """MAINTAIN came with 17: LOCK TABLE, VACUUM and more."""
    if privilege == "MAINTAIN" and site.version < 17:
        assert error_of(site.query, "GRANT MAINTAIN ON pg_class TO postgres").sqlstate == "42601"
        return
    run = f"{privilege} ON app.thing {{}} run_things"
    site.query("GRANT " + run.format("TO"), database="svc_things")
    assert ("critical", "privilege-excess", "table app.thing") in site.audit()
    site.query("REVOKE " + run.format("FROM"), database="svc_things")
    assert left_open(site) == set()


def test_detaching_removes_what_is_the_tenants(site, mode):
    before = site.objects()
    tenant = site.reeve.add_tenant(f"gone-{mode}", "things", mode)
    name = unique("gone")
    with site.reeve.connect(tenant) as connection:
        connection.execute("INSERT INTO thing (name) VALUES (%s)", [name])
        assert site.objects() > before
    site.reeve.cli("tenant", "detach", tenant.slug, "things", "--yes")
    assert site.objects() == before
    rows = site.query("SELECT count(*) FROM app.thing WHERE name = %s", [name], "svc_things")
    assert rows == [(0,)]


def test_removing_everything_leaves_the_server_as_it_was(site):
    """The last test: it takes the site down."""
    for tenant in site.tenants.values():
        site.reeve.cli("tenant", "delete", tenant.slug, "--yes")
    assert site.objects() == site.without_tenants
    site.reeve.cli("service", "delete", "things", "--yes")
    site.reeve.cli("cluster", "remove", CLUSTER, "--yes")
    assert site.objects() == site.empty
