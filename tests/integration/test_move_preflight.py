"""What a plan finds out about the two servers before anything is done: slots, senders, connections, WAL,
and what making a slot would wait for."""
import psycopg
import pytest

from support.postgres import running_postgres
from support.process import wait_until
from support.reeve import running_reeve
from support.world import World, unique
from test_move import orphans, placement

SERVICE = "things"
SOON_SECONDS = 60
SLOTS = 4


@pytest.fixture(scope="module")
def world():
    """A second cluster with so few slots."""
    with running_postgres(settings={"wal_level": "logical", "max_replication_slots": SLOTS,
                                    "max_prepared_transactions": 5}) as server, \
            running_reeve() as reeve:
        made = World(reeve)
        made.add_cluster("few", server, 20)
        made.few = server
        yield made


@pytest.fixture
def tenant(world):
    made = world.reeve.add_tenant(unique("few"), SERVICE, "schema", cluster="few")
    yield made
    world.reeve.cli("tenant", "delete", made.slug, "--yes")


def plan(world, tenant, *options):
    return world.reeve.cli("move", tenant.slug, SERVICE, *options, "--dry-run", json=True).json


def problems(found):
    return [one["what"] for one in found["problems"]]


def test_nothing(world, tenant):
    found = plan(world, tenant, "--to", "database")
    assert problems(found) == [] and found["remarks"] == [] and found["pause_ms"] == 200 and found["copy_s"] >= 1
    assert plan(world, tenant, "--to", "database", "--offline")["pause_ms"] >= 1000
    assert world.reeve.cli("move", tenant.slug, SERVICE, "--to", "database", json=True).json["copy_s"] is None


def test_slots(world, tenant):
    """Within a cluster it needs two of them."""
    with world.few.connect() as admin:
        for number in range(SLOTS - 1):
            admin.execute("SELECT pg_create_physical_replication_slot(%s)", [f"taken_{number}"])
        try:
            found = plan(world, tenant, "--to", "database")
            assert problems(found) == ['cluster "few" has 1 replication slots left, and the move needs 2']
            assert found["problems"][0]["remedy"] == "raise max_replication_slots"
            refused = world.reeve.cli("move", tenant.slug, SERVICE, "--to", "database", check=False)
            assert refused.code != 0 and "1 replication slots left" in refused.err, refused.text
            assert problems(plan(world, tenant, "--to", "database", "--cluster", "local")) == []
            assert problems(plan(world, tenant, "--to", "database", "--offline")) == []
        finally:
            for number in range(SLOTS - 1):
                admin.execute("SELECT pg_drop_replication_slot(%s)", [f"taken_{number}"])
    assert placement(world, tenant)["isolation"] == "schema" and orphans(world) == []


@pytest.mark.parametrize("options, planned", [
    (["--parallel", 1], 3),              # one that moves, with two slots, and two that have moved
    (["--parallel", 2], 2),              # two that move
    (["--parallel", 2, "--finish"], 5),  # none is kept
    (["--parallel", 1, "--offline"], 5)])
def test_slots_of_many(world, options, planned):
    name = unique("batch")
    tenants = [world.reeve.add_tenant(f"{name}-{number}", SERVICE, "schema", cluster="few") for number in range(5)]
    found = world.reeve.cli("move", "--match", f"slug={name}-*", SERVICE, "--to", "database", *options, "--dry-run",
                            json=True).json
    assert (found["planned"], found["refused"]) == (planned, 5 - planned)
    whys = {one["error"]["message"] for one in found["moves"] if one["status"] == "refused"}
    assert all("4 replication slots left" in why for why in whys) and len(whys) == (planned < 5)
    for tenant in tenants:
        world.reeve.cli("tenant", "delete", tenant.slug, "--yes")


def test_connections(world, tenant):
    found = plan(world, tenant, "--to", "database", "--cluster", "local", "--jobs", 32)
    assert problems(found) == []
    opened = []
    try:
        with pytest.raises(psycopg.OperationalError):
            while True:
                opened.append(world.few.connect())
                if len(opened) % 10 == 0 and len(problems(plan(world, tenant, "--to", "database"))) == 1:
                    raise psycopg.OperationalError  # all but gone
        [what] = problems(plan(world, tenant, "--to", "database"))
        assert what.startswith('cluster "few" has ') and what.endswith("connections left, and the move needs 18")
    finally:
        for connection in opened:
            connection.close()


def test_wal(world, tenant):
    """Within a cluster the slot keeps what copying writes."""
    with world.reeve.connect(tenant) as connection:
        connection.execute("INSERT INTO thing (name, body) SELECT g, string_agg(md5(g || '.' || h), '') FROM"
                           " generate_series(1, 16000) g, generate_series(1, 32) h GROUP BY g")
    found = plan(world, tenant, "--to", "database", "--keep-wal", "16MB")
    [what] = problems(found)
    assert what.endswith("and may keep 16 MB") and found["problems"][0]["remedy"] == "--keep-wal 1GB"
    assert problems(plan(world, tenant, "--to", "database")) == []
    assert problems(plan(world, tenant, "--cluster", "local", "--keep-wal", "16MB")) == []
    with world.few.connect() as admin:
        admin.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '8MB'")
        admin.execute("SELECT pg_reload_conf()")
        try:
            wait_until(lambda: any("max_slot_wal_keep_size is 8 MB" in what
                                   for what in problems(plan(world, tenant, "--to", "database"))), "it is told", SOON_SECONDS)
        finally:
            admin.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
            admin.execute("SELECT pg_reload_conf()")


def test_disk(world, tenant):
    """As somebody has said how large it is."""
    found = plan(world, tenant, "--to", "row")
    [need] = found["needs"]
    assert need["cluster"] == "few" and need["slots"] == 2 and need["slots_left"] == SLOTS
    assert 2 * found["bytes"] < need["bytes"] < 4 * found["bytes"]
    assert [one["cluster"] for one in plan(world, tenant, "--cluster", "local")["needs"]] == ["few", "local"]
    assert world.reeve.cli("cluster", "set", "few", "--disk", "1100MB", json=True).json["disk_bytes"] == 1100 << 20
    assert len(problems(plan(world, tenant, "--to", "row"))) == 0
    world.reeve.cli("cluster", "set", "few", "--disk", "1GB")  # as much as max_wal_size
    [what] = problems(plan(world, tenant, "--to", "row", "--offline"))
    assert what.startswith('cluster "few" has about 0 MB of its disk left')
    assert problems(plan(world, tenant, "--cluster", "local")) == []
    assert world.reeve.cli("cluster", "set", "few", "--disk", 0, json=True).json["disk_bytes"] is None
    assert problems(plan(world, tenant, "--to", "row")) == []


def test_what_a_slot_waits_for(world, tenant):
    """It is told, and is no problem: it may be over soon."""
    with world.few.connect(autocommit=False) as late:
        late.execute("SELECT pg_current_xact_id()")
        wait_until(lambda: plan(world, tenant, "--to", "database")["remarks"] != [], "it is told", SOON_SECONDS)
        found = plan(world, tenant, "--to", "database")
        assert problems(found) == [] and len(found["remarks"]) == 1
        pid = late.info.backend_pid
        assert f"(process {pid}): making a slot waits" in found["remarks"][0]["what"]
        assert found["remarks"][0]["remedy"] == f"SELECT pg_terminate_backend({pid})"
        text = world.reeve.cli("move", tenant.slug, SERVICE, "--to", "database", "--dry-run").err
        assert f"process {pid}" in text
    assert plan(world, tenant, "--to", "database")["remarks"] == []


# ---- what is there and cannot be taken along ----

def far(world, tenant, *options):
    """To the other server."""
    return problems(plan(world, tenant, "--cluster", "local", *options))


def test_an_extension(world, tenant):
    database = placement(world, tenant)["database"]
    renamed = "UPDATE pg_extension SET extname = %s WHERE extname = %s"
    with world.few.connect(database) as admin:
        admin.execute("SET allow_system_table_mods = on; CREATE EXTENSION pg_trgm")
        try:
            assert far(world, tenant) == []  # its package is there
            admin.execute(renamed, ["not_packaged", "pg_trgm"])
            assert far(world, tenant) == ['extension "not_packaged" cannot be had on cluster "local"']
        finally:
            admin.execute(renamed, ["pg_trgm", "not_packaged"])
            admin.execute("DROP EXTENSION pg_trgm")
    assert far(world, tenant) == []


def test_an_extension_of_another_version(world, tenant):
    with world.few.connect(placement(world, tenant)["database"]) as admin:
        admin.execute("SET allow_system_table_mods = on; CREATE EXTENSION pg_trgm")
        admin.execute("UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'pg_trgm'")
        try:
            found = plan(world, tenant, "--cluster", "local")
            assert problems(found) == []
            assert ['extension "pg_trgm" is version 0.1 here' in one["what"] for one in found["remarks"]] == [True]
        finally:
            admin.execute("DROP EXTENSION pg_trgm")
    assert plan(world, tenant, "--cluster", "local")["remarks"] == []


def test_two_entries_of_one_server(world, tenant):
    """Its schema would have the name that it has."""
    world.add_cluster("again", world.few, 20)
    try:
        [what] = problems(plan(world, tenant, "--cluster", "again"))
        assert what == 'clusters "few" and "again" are one server, and the new place would be the old one'
        refused = world.reeve.cli("move", tenant.slug, SERVICE, "--cluster", "again", check=False)
        assert refused.code != 0 and "are one server" in refused.err, refused.text
    finally:
        world.reeve.cli("cluster", "remove", "again", "--yes")


NOT_TO_REPLICATE = 'cluster "bare": role "bare" may not replicate'
NOT_TO_SKIP = 'administrator "bare" cannot let rows be copied without their triggers'


def test_rights(world, tenant):
    """Of an administrator who is no superuser, at either end."""
    def told(moved, cluster, *options):
        found = plan(world, moved, "--cluster", cluster, *options)
        return set(problems(found)), [one["remedy"] for one in found["problems"]]

    with running_postgres(settings={"wal_level": "logical"}) as server:
        with server.connect() as admin:
            admin.execute("CREATE ROLE bare LOGIN CREATEDB CREATEROLE PASSWORD 'bare'")
            world.reeve.cli("cluster", "add", "bare", "--conninfo", f"host=127.0.0.1 port={server.port}",
                            "--admin-user", "bare", "--password-file", "-", input="bare\n")
            there = world.reeve.add_tenant(unique("bare"), SERVICE, "schema", cluster="bare")
            for moved, cluster in ((tenant, "bare"), (there, "few")):
                assert told(moved, cluster, "--offline")[0] == {NOT_TO_SKIP}
                whats, remedies = told(moved, cluster)
                assert whats == {NOT_TO_REPLICATE, NOT_TO_SKIP}
            for remedy in remedies:
                admin.execute(remedy)
            for moved, cluster in ((tenant, "bare"), (there, "few")):
                assert told(moved, cluster) == (set(), [])
        world.reeve.cli("move", there.slug, SERVICE, "--cluster", "few")
        world.reeve.cli("move", "finish", there.slug, SERVICE)
        world.reeve.cli("tenant", "delete", there.slug, "--yes")
        world.reeve.cli("cluster", "remove", "bare", "--yes")


@pytest.mark.parametrize("column, other, what", [
    ("encoding", "pg_char_to_encoding('LATIN1')", "the encoding is LATIN1 here and UTF8 there"),
    ("daticulocale", "'de'", "the provider's locale is de here and none there"),
    ("datcollate", "'C'", "the collation is C here"), ("datctype", "'C'", "the character classification is C here")])
def test_databases_that_differ(world, tenant, column, other, what):
    database = placement(world, tenant)["database"]
    with world.few.connect() as admin:
        admin.execute("SET allow_system_table_mods = on")
        old, = admin.execute(f"SELECT {column} FROM pg_database WHERE datname = %s", [database]).fetchone()
        admin.execute(f"UPDATE pg_database SET {column} = {other} WHERE datname = %s", [database])
        try:
            told = far(world, tenant)
            assert [one for one in told if one.startswith(what)] == told != []
        finally:
            admin.execute(f"UPDATE pg_database SET {column} = %s WHERE datname = %s", [old, database])
    assert far(world, tenant) == []


def test_a_collation_of_another_version(world, tenant):
    database = placement(world, tenant)["database"]
    with world.few.connect() as admin:
        admin.execute("SET allow_system_table_mods = on")
        update = "UPDATE pg_database SET datcollversion = %s WHERE datname = %s"
        old, = admin.execute("SELECT datcollversion FROM pg_database WHERE datname = %s", [database]).fetchone()
        admin.execute(update, ["1.2.3", database])
        try:
            found = plan(world, tenant, "--cluster", "local")
            assert problems(found) == []
            assert ["1.2.3 here" in one["what"] for one in found["remarks"]] == [True], found
        finally:
            admin.execute(update, [old, database])
    assert plan(world, tenant, "--cluster", "local")["remarks"] == []


def test_a_large_object(world, tenant):
    place = placement(world, tenant)
    with world.few.connect(place["database"]) as admin:
        number, = admin.execute("SELECT lo_create(0)").fetchone()
        assert far(world, tenant) == []  # somebody else's
        admin.execute(f"ALTER LARGE OBJECT {number} OWNER TO {place['role']}")
        try:
            assert far(world, tenant) == ["it has 1 large objects, which are not moved"]
        finally:
            admin.execute("SELECT lo_unlink(%s)", [number])
    assert far(world, tenant) == []


def test_a_prepared_transaction(world, tenant):
    place = placement(world, tenant)
    with world.few.connect(place["database"]) as admin:
        admin.execute(f"BEGIN; SET LOCAL ROLE {place['role']}; INSERT INTO {place['schema']}.thing (name)"
                      " VALUES ('prepared'); PREPARE TRANSACTION 'left'")
        try:
            assert far(world, tenant, "--offline") == ["it has prepared transactions"]
        finally:
            admin.execute("ROLLBACK PREPARED 'left'")
    assert far(world, tenant, "--offline") == []


def test_an_older_version(world, tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "0001_note.sql").write_text("CREATE TABLE note (id integer PRIMARY KEY);")
    service = unique("old")
    world.add_service(service, tmp_path)
    tenant = world.reeve.add_tenant(unique("few"), service, "schema")
    (tmp_path / "0002_more.sql").write_text("ALTER TABLE note ADD COLUMN text text;")
    found = world.reeve.cli("move", tenant.slug, service, "--to", "database", "--dry-run", json=True).json
    assert problems(found) == ["it is at version 1, and the newest is 2"]
    assert "reeve migrate" in found["problems"][0]["remedy"]
