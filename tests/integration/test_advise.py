"""`reeve advise`: tags, what tenants have on the servers and what they use; each advice with a command
that `reeve move` takes."""
import contextlib
import shlex
import threading

import pytest

from support import postgres
from support.process import wait_until
from support.reeve import running_reeve, running_serve
from support.world import DATA, World, unique

SOON_SECONDS = 30
FILLER = "x" * 400
COUNTED = ("--for", "1s", "--quiet-for", "0s")  # nobody is busy within nothing, and all are quiet
MANY = 10 ** 9


@pytest.fixture(scope="module")
def world():
    with running_reeve({"workers": 1}) as server:
        yield World(server)


@pytest.fixture(scope="module")
def tight(world):
    """A cluster with one server connection for all."""
    with postgres.running_postgres(settings={"wal_level": "logical"}) as server:
        world.add_cluster("tight", server, 1)
        yield server


@pytest.fixture
def tenant(world, mode):
    return world.new_tenant(mode)


def advise(world, *options, **kinds):
    return world.reeve.cli("advise", *options, json=True, **kinds).json


def advice_for(world, tenant, *options, cause):
    """What is advised to the tenant for this cause; None."""
    found = advise(world, tenant.slug, *options)
    assert all(one["tenant"] == tenant.slug for one in found["advice"]), found
    meant = [one for one in found["advice"] if cause in one["causes"]]
    assert len(meant) <= 1, found
    return meant[0] if meant else None


def check_command(world, command):
    """`reeve move` would do it."""
    words = shlex.split(command)
    assert words[:2] == ["reeve", "move"], command
    plan = world.reeve.cli("move", "--dry-run", "--json", *words[2:]).json
    assert plan["problems"] == [], plan
    return plan


@contextlib.contextmanager
def busy(world, tenant, text):
    """A client that runs one transaction after the other."""
    def work():
        with world.reeve.connect(tenant) as connection:
            while True:
                connection.execute(text)
                yield

    with repeated(work()):
        yield


@contextlib.contextmanager
def repeated(work):
    """The generator's steps beside the test, one after the other."""
    ended, done, errors = threading.Event(), threading.Semaphore(0), []

    def run():
        try:
            with contextlib.closing(work):
                while not ended.is_set():
                    next(work)
                    done.release()
        except Exception as error:  # noqa: B902 - told below
            errors.append(error)
            done.release()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert done.acquire(timeout=SOON_SECONDS)
        yield
    finally:
        ended.set()
        thread.join(SOON_SECONDS)
    assert errors == []


def fill(world, tenant, rows):
    with world.reeve.connect(tenant) as connection:
        connection.execute("INSERT INTO thing (name, body) SELECT 'n' || i, %s FROM generate_series(1, %s) i",
                           [FILLER, rows])


# -- tags --

def test_tags(world):
    slug = unique("tagged")
    world.reeve.cli("tenant", "create", slug)
    done = world.reeve.cli("tenant", "tag", slug, "regulated", "plan=basic", json=True).json
    assert done["tags"] == ["plan=basic", "regulated"]
    done = world.reeve.cli("tenant", "tag", slug, "plan=enter=prise", json=True).json
    assert done["tags"] == ["plan=enter=prise", "regulated"]
    assert world.reeve.cli("tenant", "show", slug, json=True).json["tags"] == done["tags"]

    def listed(tag):
        return [one["slug"] for one in world.reeve.cli("tenant", "list", "--tag", tag, json=True).json]

    assert slug in listed("regulated") and slug in listed("plan") and slug in listed("plan=enter=prise")
    for other in ("plan=enter", "plan=basic", "pla", "regulated=yes", "nothing"):
        assert slug not in listed(other)
    assert world.reeve.cli("tenant", "untag", slug, "plan", json=True).json["tags"] == ["regulated"]
    events = world.reeve.cli("events", "--tenant", slug, json=True).json
    assert [one["action"] for one in events][:3] == ["tenant.untag", "tenant.tag", "tenant.tag"]
    assert events[1]["detail"]["tags"] == ["plan=enter=prise"]


@pytest.mark.parametrize("tags, code", [(["Big"], 65), (["fine", "has space"], 65), (["x="], 65), (["=x"], 65),
                                        (["x=new\nline"], 65), (["x=" + "y" * 201], 65), ([], 2)])
def test_wrong_tags(world, tags, code):
    """All of them or none."""
    before = world.reeve.cli("tenant", "show", "row-c", json=True).json["tags"]
    assert world.reeve.cli("tenant", "tag", "row-c", *tags, check=False).code == code
    assert world.reeve.cli("tenant", "show", "row-c", json=True).json["tags"] == before == []
    assert world.reeve.cli("tenant", "untag", "row-c", "none", check=False).code == 66


# -- regulated --

def test_regulated(world, tenant, mode):
    def advised(*options):
        return advice_for(world, tenant, *options, cause="regulated")

    assert advised() is None
    world.reeve.cli("tenant", "tag", tenant.slug, "regulated", "law=hipaa")
    found = advised()
    if mode == "database":
        assert found is None
        return
    assert (found["isolation"], found["cluster"]) == (mode, "local")
    assert (found["to_isolation"], found["to_cluster"]) == ("database", None)
    assert found["command"] == f"reeve move {tenant.slug} things --to database"
    assert found["obstacle"] is None and '"regulated"' in found["reasons"][0]
    assert check_command(world, found["command"])["to"].startswith("database")
    assert advised("--regulated", "law=hipaa")["causes"] == ["regulated"]
    assert advised("--regulated", "law=gdpr") is None
    assert advised("--except", "law") is None


def test_regulated_alone(world, tight, mode):
    """The other cluster is given to one tenant, and then it is none's any more."""
    tenant = world.new_tenant(mode)
    world.reeve.cli("tenant", "tag", tenant.slug, "alone")
    rule = ("--regulated", "alone", "--alone")
    found = advice_for(world, tenant, *rule, cause="regulated")
    to = "" if mode == "database" else " --to database"
    assert found["command"] == f"reeve move {tenant.slug} things{to} --cluster tight"
    check_command(world, found["command"])
    other = world.new_tenant("row", cluster="tight")
    found = advice_for(world, tenant, *rule, cause="regulated")
    assert found["to_cluster"] is None and "no cluster" in found["obstacle"]
    world.reeve.cli("tenant", "untag", tenant.slug, "alone")
    world.reeve.cli("tenant", "delete", other.slug, "--yes")


def test_a_service_that_does_not_allow_it(world):
    name = unique("rows")
    world.reeve.cli("service", "create", name, "--migrations", DATA / "things", "--isolation", "row",
                    "--cluster", "local")
    tenant = world.new_tenant("row", name, credentials=False)
    world.reeve.cli("tenant", "tag", tenant.slug, "regulated")
    found = advice_for(world, tenant, cause="regulated")
    assert found["command"] is None and f"service {name} allows no database" in found["obstacle"]


def test_a_name_that_is_a_verb(world):
    world.reeve.add_tenant("status", "things", "schema", credentials=False)
    world.reeve.cli("tenant", "tag", "status", "regulated")
    command = advise(world, "status")["advice"][0]["command"]
    assert command == "reeve move --to database -- status things"
    check_command(world, command)


# -- busy --

@pytest.mark.parametrize("mode", ["row", "schema"])
def test_busy(world, tight, mode):
    """One has the only connection nearly always, and the other waits for it."""
    heavy, light = (world.new_tenant(mode, cluster="tight") for _ in range(2))
    rules = ("--for", "2s", "--busy", 60, "--wait", "5ms")
    with busy(world, heavy, "SELECT pg_sleep(0.03)"), busy(world, light, "SELECT 1"):
        found = advise(world, *rules)
    meant = [one for one in found["advice"] if "busy" in one["causes"]]
    assert [one["tenant"] for one in meant] == [heavy.slug], found
    assert meant[0]["backend_share"] > 0.6 and meant[0]["cluster"] == "tight"
    assert meant[0]["command"] == f"reeve move {heavy.slug} things --cluster local"
    assert 1.9 < found["counted_s"] < 20
    check_command(world, meant[0]["command"])
    with busy(world, heavy, "SELECT pg_sleep(0.03)"):
        assert advice_for(world, heavy, *rules, cause="busy") is None  # nobody waits
    for tenant in (heavy, light):
        world.reeve.cli("tenant", "delete", tenant.slug, "--yes")


@pytest.mark.parametrize("calm_s", [0.002, 0.012], ids=["slower", "alike"])
def test_slower_neighbours(world, calm_s):
    """Nobody waits for a server connection. The one works by fits and starts; the other's transactions take longer
    then, as over a disk that both share, or as long as ever."""
    heavy, light = (world.new_tenant("row", cluster="local") for _ in range(2))

    def work():
        with world.reeve.connect(heavy) as one, world.reeve.connect(light) as other:
            while True:
                for _ in range(40):
                    one.execute("SELECT pg_sleep(0.015)")
                    other.execute("SELECT pg_sleep(0.012)")
                for _ in range(int(0.6 / calm_s)):
                    other.execute("SELECT pg_sleep(%s)", [calm_s])
                yield

    world.reeve.cli("tenant", "tag", heavy.slug, "regulated")  # it is told of, whatever is found
    with repeated(work()):
        found = advise(world, "--for", "12s", "--busy", 5, "--wait", "1h", "--slower", 50)
    meant, = [one for one in found["advice"] if one["tenant"] == heavy.slug]
    ratio = meant["neighbours_ms"] / meant["neighbours_calm_ms"]
    if calm_s == 0.012:
        assert meant["causes"] == ["regulated"] and 0.67 < ratio < 1.5, found
    else:
        assert meant["causes"] == ["regulated", "busy"] and ratio > 1.5, found
        assert " takes " in meant["reasons"][1] and " waited " not in meant["reasons"][1]
    for tenant in (heavy, light):
        world.reeve.cli("tenant", "delete", tenant.slug, "--yes")


# -- large --

def bytes_of(world, schema, database):
    return world.reeve.query(
        "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relkind IN ('r', 'm')"
        " AND relnamespace = %s::regnamespace", schema, database=database)[0][0]


def test_large_with_tables_of_its_own(world):
    """The shared database has another tenant's rows as well."""
    world.add_service("sizes", DATA / "things")
    fill(world, world.new_tenant("row", "sizes"), 10)
    tenant = world.new_tenant("schema", "sizes")
    fill(world, tenant, 5000)
    place = world.placement(tenant)
    found = advice_for(world, tenant, "--large", "1MB", "--large-share", 1, cause="large")
    assert found["command"] == f"reeve move {tenant.slug} {tenant.service} --to database"
    assert found["bytes"] == bytes_of(world, place["schema"], place["database"]) > 2_000_000
    assert not found["bytes_estimated"]
    assert advice_for(world, tenant, "--large", found["bytes"] + 1, "--large-share", 1, cause="large") is None
    check_command(world, found["command"])


@pytest.mark.parametrize("rows", [3000, 30000], ids=["counted", "sampled"])
def test_large_in_shared_tables(world, rows):
    """Of small tables all is looked at, of larger ones a sample."""
    service = unique("rows")
    world.add_service(service, DATA / "things")
    large, small = (world.new_tenant("row", service) for _ in range(2))
    fill(world, large, rows)
    fill(world, small, rows // 10)
    place = world.placement(large)
    database = place["database"]
    all_bytes = world.reeve.query("SELECT pg_total_relation_size('app.thing')", database=database)[0][0]
    pages = world.reeve.query("SELECT pg_relation_size('app.thing') / 8192", database=database)[0][0]
    found = advice_for(world, large, "--large", "1MB", cause="large")
    assert found["bytes"] == pytest.approx(all_bytes * 10 / 11, rel=0.15)
    assert found["bytes_estimated"] == (pages > 1000) == (rows > 10000)
    assert found["to_isolation"] == "database"
    assert advice_for(world, small, "--large", "100kB", cause="large") is None  # a tenth is not 25 %
    small_one = advice_for(world, small, "--large", "100kB", "--large-share", 1, cause="large")
    assert small_one["bytes"] == pytest.approx(all_bytes / 11, rel=0.5)
    assert advice_for(world, large, "--large", "1GB", cause="large") is None


# -- quiet --

def test_quiet(world):
    tenant = world.new_tenant("database")
    found = advice_for(world, tenant, *COUNTED, cause="quiet")
    assert found["command"] == f"reeve move {tenant.slug} things --to row"
    check_command(world, found["command"])
    assert advice_for(world, tenant, *COUNTED, "--small", "1kB", cause="quiet") is None
    with busy(world, tenant, "SELECT 1"):
        assert advice_for(world, tenant, *COUNTED, cause="quiet") is None
        assert advice_for(world, tenant, *COUNTED, "--quiet", MANY, cause="quiet")
    world.reeve.cli("tenant", "tag", tenant.slug, "regulated")
    assert advise(world, tenant.slug, *COUNTED)["advice"] == []


def test_since_the_start(world):
    """Without --for, what was done before counts."""
    tenant = world.new_tenant("database")
    rules = ("--quiet-for", "0s", "--quiet", 0)
    assert advice_for(world, tenant, *rules, cause="quiet")
    with world.reeve.connect(tenant) as connection:
        connection.execute("SELECT 1")
    wait_until(lambda: not advice_for(world, tenant, *rules, cause="quiet"), "it counts", SOON_SECONDS)


# -- who is not judged, and what is lacking --

def test_who_cannot_move(world):
    tenant = world.new_tenant("row")
    world.reeve.cli("tenant", "tag", tenant.slug, "regulated")
    world.reeve.cli("tenant", "suspend", tenant.slug)
    found = advise(world, tenant.slug)
    assert found["advice"] == [] and found["placements"] == 1
    assert any("is not judged: it is suspended" in text for text in found["lacking"]), found
    world.reeve.cli("tenant", "resume", tenant.slug)
    assert advice_for(world, tenant, cause="regulated")
    world.reeve.cli("move", tenant.slug, "things", "--to", "schema", "--offline")
    found = advise(world, tenant.slug)
    assert found["advice"] == []
    assert any("it has an open move: moved" in text for text in found["lacking"]), found
    assert any("not judged" in text for text in advise(world)["lacking"])
    world.reeve.cli("move", "finish", tenant.slug, "things")
    assert advice_for(world, tenant, cause="regulated")["isolation"] == "schema"


def test_too_short(world):
    found = advise(world, "row-a", "--busy-for", "300d", "--quiet-for", "301d")
    assert sum("--busy-for" in text and "300 days" in text for text in found["lacking"]) == 1, found
    assert sum("--quiet-for" in text and "301 days" in text for text in found["lacking"]) == 1, found
    assert found["counted_s"] >= 1
    found = advise(world, "row-a", "--busy-for", "0s", "--quiet-for", "0s")
    assert found["lacking"] == []
    for seconds in (1, 3):
        found = advise(world, "row-a", "--for", f"{seconds}s", "--quiet-for", "0s")
        assert [text for text in found["lacking"] if "--for 3s" not in text] == []
        assert len(found["lacking"]) == (seconds == 1), found


def test_no_server(world):
    """The rest is judged."""
    tenant = world.new_tenant("schema")
    world.reeve.cli("tenant", "tag", tenant.slug, "regulated")
    with running_serve(world.reeve) as serve:
        where = ("--config", serve.config_path)
        both = advise(world, tenant.slug, *where)
        assert any("2 servers serve" in text for text in both["lacking"]), both
        serve.stop()
        found = advise(world, tenant.slug, *where)
        quiet = advise(world, *where, "--quiet-for", "0s", "--quiet", MANY)
    assert found["counted_s"] is None and len(found["advice"]) == 1
    assert found["advice"][0]["backend_share"] is None and found["advice"][0]["bytes"] > 0
    assert any("no server answers" in text for text in found["lacking"]), found
    assert not any("quiet" in one["causes"] for one in quiet["advice"])


def test_a_cluster_that_is_down(world):
    with postgres.running_postgres() as server:
        world.add_cluster("down", server, 5)
        tenant = world.new_tenant("row", cluster="down")
        fill(world, tenant, 10)
        world.reeve.cli("tenant", "tag", tenant.slug, "regulated")
        assert advise(world, tenant.slug)["advice"][0]["bytes"] > 0
        server.stop()
        found = advise(world, tenant.slug)
        assert found["advice"][0]["causes"] == ["regulated"] and found["advice"][0]["bytes"] is None
        assert any("on cluster down are not known" in text for text in found["lacking"]), found
        server.start()
        world.reeve.cli("tenant", "delete", tenant.slug, "--yes")


# -- what people read --

def test_text(world):
    tenant = world.new_tenant("row")
    world.reeve.cli("tenant", "tag", tenant.slug, "regulated")
    lines = [line.strip() for line in world.reeve.cli("advise").out.splitlines()]
    at = lines.index(f"{tenant.slug} in things, row on local")
    assert lines[at + 1].startswith("regulated: it is tagged")
    assert lines[at + 2] == f"reeve move {tenant.slug} things --to database"
    assert "Not known, or not judged:" in lines
    done = world.reeve.cli("advise", "row-b", "--busy-for", "0s", "--quiet-for", "0s")
    assert done.out == "Nothing that is known calls for another place.\n" and done.err == ""


@pytest.mark.parametrize("arguments, code, word", [
    (["nobody"], 66, "nobody"), (["--large", "huge"], 2, "--large"), (["--small", "-1MB"], 2, "--small"),
    (["--regulated", "No Tag"], 65, "tag"), (["--except", "="], 65, "tag"), (["--busy", "0"], 2, "busy"),
    (["row-a", "row-b"], 2, "row-b"), (["--for", "0s"], 2, "for")])
def test_wrong_input(world, arguments, code, word):
    result = world.reeve.cli("advise", *arguments, check=False)
    assert result.code == code and result.out == "" and word in result.err, result.text
