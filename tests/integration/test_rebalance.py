"""`reeve rebalance`: what is proposed, from sizes, tenants and load; what stays; carrying it out."""
import re

import pytest

from support import postgres
from support.process import wait_until
from support.reeve import MODES, running_reeve
from support.world import DATA, World, unique
from test_move import audited, orphans, placement

SERVICE = "things"
SOON_SECONDS = 60
USAGE, NOT_FOUND = 2, 66
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def world():
    with running_reeve() as server:
        yield World(server)


@pytest.fixture(scope="module")
def other(world):
    with postgres.running_postgres(settings={"wal_level": "logical"}) as server:
        world.add_cluster("other", server, 20)
        yield server


def add_tenants(world, mode, megabytes, **options):
    """One of each size, of one name but for a number."""
    name = unique("even")
    tenants = [world.reeve.add_tenant(f"{name}-{number}", SERVICE, mode, **options)
               for number in range(len(megabytes))]
    for tenant, size in zip(tenants, megabytes):
        with world.reeve.connect(tenant) as connection:
            connection.execute("INSERT INTO thing (name, body) SELECT g, string_agg(md5(g || '.' || h), '') FROM"
                               " generate_series(1, %s) g, generate_series(1, 32) h GROUP BY g", [size * 1024])
    return name, tenants


def rebalance(world, *arguments, **options):
    return world.reeve.cli("rebalance", *arguments, **options)


def propose(world, name, *options, **kinds):
    """Of the test's own tenants; the others count where they are."""
    return rebalance(world, SERVICE, "--match", f"slug={name}-*", "--within", 0, "--dry-run", *options,
                     json=True, **kinds).json


def cluster_of(record, name):
    return next(one for one in record["clusters"] if one["cluster"] == name)


def moving(record):
    return [one["tenant"] for one in record["moves"]]


def drop(world, tenants):
    for tenant in tenants:
        world.reeve.cli("tenant", "delete", tenant.slug, "--yes")


# ---- the proposal ----

@pytest.mark.parametrize("mode", MODES)
def test_by_size(world, other, mode):
    """The largest that fits: of 9, 6 and 2 MB that are more than there is at the other, 9."""
    name, tenants = add_tenants(world, mode, [2, 6, 9])
    found = propose(world, name)
    assert found["by"] == "size" and found["dry_run"] and found["remarks"] == []
    assert moving(found)[0] == tenants[2].slug
    first = found["moves"][0]
    assert (first["from"], first["to"], first["status"]) == (f"{mode} on local", f"{mode} on other", "planned")
    assert 9 * MEGABYTE < first["bytes"] < 12 * MEGABYTE, first
    assert re.match(r"local has [12][0-9]\.\d MB more than other$", first["reason"]), first
    local, there = cluster_of(found, "local"), cluster_of(found, "other")
    assert 17 * MEGABYTE < local["before"] == local["bytes"] < 25 * MEGABYTE
    assert local["before"] - local["after"] == there["after"] - there["before"] > 9 * MEGABYTE
    assert found["spread_after"] < 0.5 < 1.5 < found["spread_before"]
    assert placement(world, tenants[2])["cluster"] == "local"
    drop(world, tenants)


def test_what_rows_that_have_gone_leave_is_nobodys(world, other):
    """The files of shared tables keep their size."""
    name, tenants = add_tenants(world, "row", [1, 12])
    [database] = {placement(world, tenant)["database"] for tenant in tenants}
    with world.reeve.admin(database) as admin:
        admin.execute("ALTER TABLE app.thing SET (autovacuum_enabled = off)")
        try:
            assert cluster_of(propose(world, name), "local")["bytes"] > 13 * MEGABYTE
            drop(world, tenants[1:])
            assert admin.execute("SELECT pg_total_relation_size('app.thing')").fetchone()[0] > 13 * MEGABYTE
            assert cluster_of(propose(world, name), "local")["bytes"] < 6 * MEGABYTE
        finally:
            admin.execute("ALTER TABLE app.thing RESET (autovacuum_enabled)")
    drop(world, tenants[:1])


def test_by_tenants(world, other):
    name, tenants = add_tenants(world, "row", [0] * 6)
    found = propose(world, name, "--by", "tenants", "--max-moves", 2)
    local = cluster_of(found, "local")
    assert local["before"] == local["tenants"] == len(world.tenants) + 6
    assert len(found["moves"]) == 2 and local["after"] == local["before"] - 2
    assert all(tenant.startswith(name) for tenant in moving(found))
    assert len(propose(world, name, "--by", "tenants")["moves"]) == 6
    assert len(propose(world, name, "--by", "tenants", "--to-clusters", "local")["moves"]) == 0
    text = rebalance(world, SERVICE, "--by", "tenants", "--dry-run").out
    assert re.search(r"^TENANT +SERVICE +FROM +TO +BYTES +WHY$", text, re.M), text
    assert re.search(rf"^local +{local['tenants']} .* {local['tenants']} tenants +\d+ tenants$", text, re.M), text
    assert re.search(r"^Between the clusters with most and least: 200 % of the mean, and \d+ % when", text, re.M), text
    drop(world, tenants)


def test_what_stays(world, other):
    """It counts, but where it is."""
    name, tenants = add_tenants(world, "schema", [0] * 4)
    world.reeve.cli("hold", tenants[0].slug, "--for", "10m")
    world.reeve.cli("tenant", "suspend", tenants[1].slug)
    world.reeve.cli("move", tenants[2].slug, SERVICE, "--to", "database", "--offline")
    found = propose(world, name, "--by", "tenants")
    assert moving(found) == [tenants[3].slug]
    world.reeve.cli("release", tenants[0].slug)
    assert moving(propose(world, name, "--by", "tenants")) == [tenants[0].slug, tenants[3].slug]
    assert cluster_of(found, "local")["tenants"] == len(world.tenants) + 4
    drop(world, tenants)


def test_those_of_other_services_stay(world, other, tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (id bigint PRIMARY KEY)")
    service = unique("service")
    world.add_service(service, tmp_path)
    tenant = world.reeve.add_tenant(unique("even"), service, "row")
    assert moving(rebalance(world, service, "--by", "tenants", "--dry-run", json=True).json) == [tenant.slug]
    found = rebalance(world, "--by", "tenants", "--within", 0, "--max-moves", 100, "--dry-run", json=True).json
    assert {one["service"] for one in found["moves"]} == {SERVICE, service} or len(found["moves"]) > 1
    drop(world, [tenant])


# ---- load ----

def work(world, tenant, rows):
    with world.reeve.connect(tenant) as connection:
        connection.execute("SELECT count(md5(g::text)) FROM generate_series(1, %s) g", [rows])


def counted(world, tenant):
    found = world.reeve.cli("top", "--once", "--interval", "100ms", json=True).json
    return any(one["tenant"] == tenant.slug for one in found["tenants"])


def test_by_load(world, other):
    """Not the large one, but the busier of two; the third, busiest, is held."""
    name, tenants = add_tenants(world, "row", [3, 0, 0, 0])
    for tenant, rows in zip(tenants, [1, 300_000, 1_500_000, 2_500_000]):
        work(world, tenant, rows)
    world.reeve.cli("hold", tenants[3].slug, "--for", "10m")
    wait_until(lambda: all(counted(world, tenant) for tenant in tenants[1:]), "they are counted", SOON_SECONDS)
    found = propose(world, name, "--by", "load", "--max-moves", 1)
    assert found["by"] == "load" and found["remarks"] == []
    assert moving(found) == [tenants[2].slug]
    assert found["moves"][0]["reason"].endswith("s of backends more than other")
    local = cluster_of(found, "local")
    assert local["backend_us"] == local["before"] > local["after"] > 0
    assert moving(propose(world, name, "--max-moves", 1)) == [tenants[0].slug]
    drop(world, tenants)


def test_without_a_server_sizes_stand_in(world, other, tmp_path):
    name, tenants = add_tenants(world, "row", [1, 4])
    text = world.reeve.config_path.read_text()
    lines = [line for line in text.splitlines() if not line.startswith("status_socket")]
    key = world.reeve.folder / world.reeve.setting("key_file")
    lines = [f"key_file = {key}" if line.startswith("key_file") else line for line in lines]
    config = tmp_path / "elsewhere.conf"
    config.write_text("\n".join([*lines, f"status_socket = {tmp_path}/nobody.sock"]) + "\n")
    config.chmod(0o600)
    found = propose(world, name, "--by", "load", "--config", config)
    assert found["by"] == "size" and moving(found)[0] == tenants[1].slug
    assert len(found["remarks"]) == 1 and "sizes stand in" in found["remarks"][0]
    result = rebalance(world, "--by", "load", "--dry-run", "--config", config)
    assert "sizes stand in" in result.err
    drop(world, tenants)


# ---- clusters that are gone ----

def test_a_cluster_that_cannot_be_reached(world, other):
    name, tenants = add_tenants(world, "row", [0, 0])
    with postgres.running_postgres(settings={"wal_level": "logical"}) as gone:
        world.add_cluster("gone", gone, 20)
        [there] = add_tenants(world, "schema", [1], cluster="gone")[1]
        gone.stop()
        found = propose(world, name, "--by", "tenants")
        assert {one["to"] for one in found["moves"]} == {"row on other"}
        assert found["remarks"] == ['Cluster "gone" cannot be reached: nothing moves there, or from there.']
        assert cluster_of(found, "gone")["bytes"] is None and not cluster_of(found, "gone")["reached"]
        assert cluster_of(found, "gone")["before"] == cluster_of(found, "gone")["after"] == 1
        gone.start()
        world.reeve.cli("tenant", "delete", there.slug, "--yes")
        world.reeve.cli("cluster", "remove", "gone", "--yes")
    drop(world, tenants)


@pytest.mark.parametrize("arguments, code, words", [
    (["nothing"], NOT_FOUND, "nothing"),
    (["--to-clusters", "other,nowhere"], NOT_FOUND, "nowhere"),
    (["--by", "colour"], USAGE, "--by cannot be"),
    (["--match", "slug"], USAGE, 'there is no "="'),
])
def test_what_is_refused(world, other, arguments, code, words):
    result = rebalance(world, *arguments, "--dry-run", check=False)
    assert result.code == code and words in result.err, result.text


# ---- databases ----

@pytest.mark.parametrize("mode", ["row", "schema"])
def test_databases_of_a_cluster(world, other, mode):
    """Among a service's shared ones; who is in a database of its own, or elsewhere, is no part of it."""
    service = unique("pools")
    world.add_service(service, DATA / "things")
    tenants = [world.reeve.add_tenant(unique("pool"), service, mode) for _ in range(5)]
    world.reeve.add_tenant(unique("pool"), service, "database")
    world.reeve.add_tenant(unique("pool"), service, mode, cluster="other")
    pool = service.replace("-", "_") + "_two"
    world.reeve.cli("move", tenants[0].slug, service, "--database", pool, "--offline")
    world.reeve.cli("move", "finish", tenants[0].slug, service)
    options = [service, "--databases-of", "local", "--by", "tenants", "--within", 0]
    found = rebalance(world, *options, "--dry-run", json=True).json
    svc = next(one["database"] for one in found["clusters"] if one["database"] != pool)
    assert [(one["cluster"], one["database"], one["before"]) for one in found["clusters"]] == [
        ("local", svc, 4), ("local", pool, 1)]
    [one] = found["moves"]
    assert (one["from"], one["to"]) == (f"{mode} in {svc}", f"{mode} in {pool}")
    assert one["command"] == f"reeve move --cluster local --database {pool} {one['tenant']} {service}"
    text = rebalance(world, *options, "--dry-run").out
    assert "Between the databases with most and least" in text
    done = rebalance(world, *options, "--finish", "--yes", json=True).json
    assert (done["moved"], done["failed"]) == (1, 0)
    assert rebalance(world, *options, "--match", f"database={svc}", "--dry-run", json=True).json["moves"] == []
    assert orphans(world) == []
    refused = rebalance(world, "--databases-of", "local", "--dry-run", check=False)
    assert refused.code == USAGE and "wants SERVICE" in refused.err


# ---- carrying it out ----

@pytest.mark.parametrize("mode", MODES)
def test_carried_out(world, other, mode):
    name, tenants = add_tenants(world, mode, [1, 2, 3, 4])
    contents = {}
    for tenant in tenants:
        with world.reeve.connect(tenant) as connection:
            contents[tenant.slug] = connection.execute("SELECT * FROM thing ORDER BY id").fetchall()
    options = [SERVICE, "--match", f"slug={name}-*", "--within", 0, "--pause", "20s", "--finish"]
    refused = rebalance(world, *options, check=False)
    assert refused.code == USAGE and "--yes" in refused.err and "This moves" in refused.err, refused.text
    assert {placement(world, tenant)["cluster"] for tenant in tenants} == {"local"}
    proposed = propose(world, name)
    done = rebalance(world, *options, "--yes", json=True).json
    assert moving(done)[0] == moving(proposed)[0] and done["moved"] == done["count"] > 0
    assert all(one["status"] == "moved" and one["finished"] for one in done["moves"])
    for tenant in tenants:
        place = placement(world, tenant)
        assert place["cluster"] == ("other" if tenant.slug in moving(done) else "local")
        assert place["isolation"] == mode
        with world.reeve.connect(tenant) as connection:
            assert connection.execute("SELECT * FROM thing ORDER BY id").fetchall() == contents[tenant.slug]
    again = propose(world, name)
    assert again["spread_before"] < proposed["spread_before"] / 2
    assert orphans(world) == [] and audited(world, tenants[0]) == []
    drop(world, tenants)
