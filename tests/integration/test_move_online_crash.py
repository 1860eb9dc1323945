"""kill -9 of whatever takes part in an online move, while an application works: of the mover at each step and
within it, of a proxy, of either server. Every acknowledged write is there exactly once, the move is done or
undone, and nothing is left of it."""
import contextlib
import signal

import psycopg
import pytest

from support import failpoints, process
from support.agreement import OPEN_STATES, wait_for_jobs
from support.bank import (SERVICE, SOON_SECONDS, config_over, goes_on, kill_server, let_go, only_lost_connections,
                          resume, bank_fixtures, running_line, started, stopped_move, wait_until_stopped)
from support.process import wait_until
from support.reeve import ENFORCEMENT, running_serve
from test_crash import crash

LOCAL = {mode: (mode, "local") for mode in ("row", "schema", "database")}
PAIRS = {"row-schema": (LOCAL["row"], LOCAL["schema"]),
         "schema-database": (LOCAL["schema"], LOCAL["database"]),
         "database-row": (LOCAL["database"], LOCAL["row"]),
         "schema-schema": (("schema", "one"), ("schema", "two"))}
# Within the steps, in their order; from the flip on the tenant is at the new place.
COPYING = ["move.slot", "move.copying", "move.copied"]
FOLLOWING = ["move.catching_up", "move.applying", "move.hold", "move.held", "move.fenced", "move.marked",
             "move.begun_back", "move.flipping"]
FLIPPED = ["move.flipped", "move.comparing", "move_online.follow.after", "move_online.verify.after", "move.settling",
           "move_online.settle.after"]


bank, alive = bank_fixtures()


def points(kind):
    """In front of the first step and behind each: behind one is in front of the next."""
    return [point for number, point in enumerate(failpoints.crash_points(kind))
            if number == 0 or point.endswith(".after")]


def test_points_are_found():
    assert len(points("move_online")) == 9 and set(FLIPPED) & set(points("move_online"))
    assert len(points("move_back")) == 4


POINTS = points("move_online")[:5] + COPYING + ["move_online.copy.after"] + FOLLOWING + FLIPPED


def share(pair, of, offset=0):
    """Of the points those that are tried with a pair."""
    return of[(list(PAIRS).index(pair) + offset) % len(PAIRS)::len(PAIRS)]


def killed_move(bank, pair, point, stack):
    """(tenant, application)"""
    before, after = PAIRS[pair]
    tenant = bank.tenant_at(*before)
    application = stack.enter_context(bank.working(tenant, pace=0.02))
    crash(bank.reeve, point, "move", tenant.slug, SERVICE, "--to", after[0], "--cluster", after[1])
    return tenant, application


def assert_whole(bank, made):
    """Behind everything: nobody has seen an error."""
    for point, (tenant, application) in made.items():
        assert application.errors == [], point
        bank.check(tenant, application)
    assert bank.leftovers() == [] and bank.audited() == []


@pytest.mark.parametrize("pair", PAIRS)
def test_a_killed_mover_is_gone_on_with(bank, pair):
    with contextlib.ExitStack() as stack:
        made = {point: killed_move(bank, pair, point, stack) for point in share(pair, POINTS)}
        resume(bank)
        for point, (tenant, application) in made.items():
            goes_on(application)
            assert (bank.phase(tenant), bank.place(tenant)) == ("moved", PAIRS[pair][1]), point
        for tenant, application in made.values():
            bank.behind("finish", tenant)
            goes_on(application)
    assert_whole(bank, made)


def aborted(bank, tenant):
    """False: `reeve serve` took it up before, and was faster."""
    done = bank.behind("abort", tenant, check=False)
    if done.code != 0:
        wait_for_jobs(bank.reeve)
        last = bank.reeve.query("SELECT max(id) FROM reeve.job")[0][0]
        assert f"job {last} was taken up and is done" in bank.reeve.log(), done.text
    return done.code == 0


@pytest.mark.parametrize("pair", PAIRS)
def test_a_killed_move_is_aborted(bank, pair):
    before, after = PAIRS[pair]
    made = {}
    with contextlib.ExitStack() as stack:
        for point in share(pair, [point for point in POINTS if point not in FLIPPED], 2):
            made[point] = tenant, application = killed_move(bank, pair, point, stack)
            phase, place = ("aborted", before) if aborted(bank, tenant) else ("moved", after)
            goes_on(application)
            assert (bank.phase(tenant), bank.place(tenant)) == (phase, place), point
            if phase == "moved":
                bank.behind("finish", tenant)
    assert_whole(bank, made)


def killed_abort(bank, pair, when, stack):
    """(tenant, application); where `reeve serve` was faster than the abort, of another tenant's."""
    while True:
        tenant, application = killed_move(bank, pair, "move.catching_up", stack)
        killed = bank.behind("abort", tenant, env={"REEVE_CRASH_AT": f"move_online.compensate.{when}"}, check=False)
        if killed.code == -signal.SIGKILL:
            return tenant, application
        wait_for_jobs(bank.reeve)
        last = bank.reeve.query("SELECT max(id) FROM reeve.job")[0][0]
        assert f"job {last} was taken up" in bank.reeve.log(), killed.text


@pytest.mark.parametrize("pair", PAIRS)
def test_an_abort_that_is_killed(bank, pair):
    """Whoever undoes the move, in front of it and behind it."""
    before, after = PAIRS[pair]
    made = {}
    with contextlib.ExitStack() as stack:
        for when in ("before", "after"):
            made[when] = killed_abort(bank, pair, when, stack)
        resume(bank)
        for when, (tenant, application) in made.items():
            goes_on(application)
            assert (bank.phase(tenant), bank.place(tenant)) == ("aborted", before), when
    assert_whole(bank, made)


def is_over(bank, job):
    """Behind its last step: "moved" is a step earlier."""
    return bank.reeve.query("SELECT state FROM reeve.job WHERE id = %s", job)[0][0] not in OPEN_STATES


@pytest.mark.parametrize("pair, first, second", [
    ("row-schema", "move.fenced", "move.marked"), ("schema-database", "move.copying", "move.copied"),
    ("database-row", "move.flipping", "move.flipping"), ("schema-schema", "move.applying", "move.applying"),
    ("schema-schema", "move.flipped", "move.settling")])
def test_who_goes_on_is_killed_too(bank, pair, first, second):
    with contextlib.ExitStack() as stack:
        tenant, application = killed_move(bank, pair, first, stack)
        job = bank.reeve.query("SELECT max(id) FROM reeve.job")[0][0]
        with running_serve(bank.reeve) as other:
            other.stop()
            with contextlib.suppress(AssertionError):  # it may be dead before it answers
                other.start(REEVE_CRASH_AT=second)
            wait_until(lambda: other.process.poll() is not None or is_over(bank, job), f"it comes to {second}",
                       SOON_SECONDS)
            # Another server's runner may have been faster.
            done = f"job {job} was taken up and is done"
            assert other.process.poll() == -signal.SIGKILL or done in bank.reeve.log() + other.log()
        resume(bank)
        goes_on(application)
        assert (bank.phase(tenant), bank.place(tenant)) == ("moved", PAIRS[pair][1])
        bank.behind("finish", tenant)
        goes_on(application)
    assert_whole(bank, {second: (tenant, application)})


# ---- going back ----

BACK = points("move_back")[:2] + ["move.catching_up", "move.applying", "move.hold", "move.held", "move.fenced",
                                  "move.marked", "move.flipping", "move.flipped", "move.comparing",
                                  *points("move_back")[2:]]


def killed_behind(bank, pair, verb, point, stack):
    """(tenant, application): moved, and what was to follow was killed there."""
    before, after = PAIRS[pair]
    tenant = bank.tenant_at(*before)
    application = stack.enter_context(bank.working(tenant, pace=0.02))
    bank.move(tenant, *after)
    goes_on(application)
    crash(bank.reeve, point, "move", verb, tenant.slug, SERVICE)
    return tenant, application


@pytest.mark.parametrize("pair", PAIRS)
def test_a_killed_way_back_is_gone_on_with(bank, pair):
    with contextlib.ExitStack() as stack:
        made = {point: killed_behind(bank, pair, "revert", point, stack) for point in share(pair, BACK)}
        resume(bank)
        for point, (tenant, application) in made.items():
            goes_on(application)
            assert (bank.phase(tenant), bank.place(tenant)) == ("reverted", PAIRS[pair][0]), point
    assert_whole(bank, made)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_killed_way_back_is_aborted(bank, pair):
    """The tenant stays at its new place, and can go back later."""
    before, after = PAIRS[pair]
    early = BACK[BACK.index("move.catching_up"):BACK.index("move.flipped")]
    made = {}
    with contextlib.ExitStack() as stack:
        for point in share(pair, early, 2):
            made[point] = tenant, application = killed_behind(bank, pair, "revert", point, stack)
            if aborted(bank, tenant):
                goes_on(application)
                assert (bank.phase(tenant), bank.place(tenant)) == ("moved", after), point
                bank.behind("revert", tenant)
            goes_on(application)
            assert (bank.phase(tenant), bank.place(tenant)) == ("reverted", before), point
    assert_whole(bank, made)


@pytest.mark.parametrize("pair", ["row-schema", "schema-schema"])
def test_a_killed_finish_is_gone_on_with(bank, pair):
    with contextlib.ExitStack() as stack:
        made = {point: killed_behind(bank, pair, "finish", point, stack) for point in points("move_finish")}
        resume(bank)
        for point, (tenant, application) in made.items():
            goes_on(application)
            assert (bank.phase(tenant), bank.place(tenant)) == ("finished", PAIRS[pair][1]), point
    assert_whole(bank, made)


# ---- servers ----

def between(number):
    """Between two servers, of each isolation to each of the others in turn."""
    modes = ["schema", "database", "row"]
    return (modes[number % 3], "one"), (modes[(number + number // 3 + 1) % 3], "two")


KILLS = [(which, at) for which in ("source", "target")
         for at in ("move.slot", "move.copying", "move.catching_up", "move.fenced", "move.marked", "move.flipping",
                    "move.comparing", "move_online.create.after", "move_online.finish.after", "move.held",
                    "move.begun_back", "move.flipped", "move.settling")]


@pytest.mark.parametrize("which, at", KILLS)
def test_a_killed_server(bank, which, at):
    """In the midst of it; and the mover sees it before it is there again."""
    before, after = between(KILLS.index((which, at)))
    server = bank.servers["one" if which == "source" else "two"]
    tenant = bank.tenant_at(*before)
    with bank.working(tenant) as application:
        with stopped_move(bank, tenant, *after, at) as running:
            kill_server(server)
            try:
                let_go(running)
            finally:
                server.start()
        resume(bank)
        goes_on(application)
        phase = bank.phase(tenant)
        assert (phase, bank.place(tenant)) in (("moved", after), ("aborted", before)), running.err
        if phase == "moved":
            bank.behind("finish", tenant)
            goes_on(application)
    assert only_lost_connections(application), application.errors
    bank.check(tenant, application)
    assert bank.leftovers() == [] and bank.audited() == []


@pytest.mark.parametrize("number, which, at", [(number, which, at) for number, (which, at) in enumerate(
    (which, at) for which in ("source", "target") for at in ("move.catching_up", "move.fenced", "move.flipping"))])
def test_a_server_that_is_killed_on_the_way_back(bank, number, which, at):
    before, after = between(number)
    server = bank.servers["two" if which == "source" else "one"]
    tenant = bank.tenant_at(*before)
    with bank.working(tenant) as application:
        bank.move(tenant, *after)
        goes_on(application)
        with started(bank, "revert", tenant.slug, SERVICE, REEVE_STOP_AT=at) as running:
            wait_until_stopped(running, at)
            kill_server(server)
            try:
                let_go(running)
            finally:
                server.start()
        resume(bank)
        goes_on(application)
        found = bank.phase(tenant), bank.place(tenant)
        assert found in (("moved", after), ("reverted", before)), running.err
        if found[0] == "moved":
            bank.behind("revert", tenant)
            goes_on(application)
    assert only_lost_connections(application), application.errors
    bank.check(tenant, application)
    assert bank.leftovers() == [] and bank.audited() == []


# ---- proxies, and lines to the catalog ----

@pytest.mark.parametrize("number, at", enumerate([
    "move.catching_up", "move.held", "move.fenced", "move.copying", "move.flipping", "move.flipped", "move.comparing"]))
def test_a_killed_proxy(bank, number, at):
    """It is there again before the mover goes on, and its clients too."""
    before, after = between(number)
    tenant = bank.tenant_at(*before)
    listen = [f"127.0.0.1:{process.kept_port()}"]
    with running_serve(bank.reeve, listen=listen) as proxy, bank.working(tenant, proxy) as application, \
            bank.working(tenant) as elsewhere:
        with stopped_move(bank, tenant, *after, at) as running:
            proxy.process.kill()
            proxy.process.wait()
            wait_until(lambda: process.is_free(proxy.port), "its port is free", SOON_SECONDS)
            proxy.start()
            assert let_go(running) == 0, running.err
        goes_on(application)
        goes_on(elsewhere)
        assert (bank.phase(tenant), bank.place(tenant)) == ("moved", after)
        bank.behind("finish", tenant)
        goes_on(application)
    assert elsewhere.errors == [] and only_lost_connections(application), (elsewhere.errors, application.errors)
    elsewhere.acknowledged += application.acknowledged
    elsewhere.in_doubt += application.in_doubt
    bank.check(tenant, elsewhere)
    assert bank.leftovers() == [] and bank.audited() == []


def test_a_flip_whose_answer_is_lost(bank):
    """It is committed, and whoever did it does not know: the tenant works at its new place."""
    tenant = bank.tenant_at("schema", "one")
    with running_line(bank) as line, bank.working(tenant) as application:
        with stopped_move(bank, tenant, "schema", "two", "move.flipping", config=config_over(line, bank)) as running:
            line.deaf = True
            running.send_signal(signal.SIGCONT)
            wait_until(lambda: bank.place(tenant)[1] == "two", "it has flipped", SOON_SECONDS)
            line.is_cut = True
            assert let_go(running) != 0
        resume(bank)
        goes_on(application, seconds=10)
        assert (bank.phase(tenant), bank.place(tenant)) == ("moved", ("schema", "two"))
        bank.behind("finish", tenant)
        goes_on(application)
    assert_whole(bank, {"flip": (tenant, application)})


CLOSES = pytest.mark.skipif(ENFORCEMENT == "login", reason="a client may wait until the place is open again")


@pytest.mark.parametrize("number, at", [
    (0, "move.catching_up"), (2, "move.applying"), (3, "move.held"),
    pytest.param(5, "move.marked", marks=CLOSES), (6, "move.flipping")])
def test_a_mover_that_comes_back(bank, number, at):
    """It was away for so long that it has lost the catalog, and somebody else goes on with its move."""
    before, after = between(number)
    tenant = bank.tenant_at(*before)
    with running_line(bank) as line, bank.working(tenant) as application:
        with stopped_move(bank, tenant, *after, at, "--pause", "60s", config=config_over(line, bank)) as running:
            line.is_cut = True
            with running_serve(bank.reeve):
                wait_until(lambda: bank.reeve.query("SELECT attempts > 1 FROM reeve.job ORDER BY id DESC LIMIT 1")
                           == [(True,)], "somebody goes on with it", SOON_SECONDS)
                goes_on(application)
                assert let_go(running) != 0
                wait_for_jobs(bank.reeve)
        goes_on(application, seconds=20)
        phase = bank.phase(tenant)
        assert (phase, bank.place(tenant)) in (("moved", after), ("aborted", before)), running.err
        if phase == "moved":
            bank.behind("finish", tenant)
            goes_on(application)
    assert_whole(bank, {at: (tenant, application)})


@pytest.mark.parametrize("before, after", [("row", "row"), ("row", "database"), ("schema", "schema"), ("schema", "row"),
                                           ("database", "schema")])
def test_who_is_cut_off_cannot_write_to_the_old_place(bank, before, after):
    tenant = bank.tenant_at(before, "one")
    insert = "INSERT INTO visit (path) VALUES ('{}')"
    with running_line(bank) as line, running_serve(bank.reeve, control=line.conninfo, queue_timeout="2s") as away, \
            bank.working(tenant) as application, away.connect(tenant) as connection, \
            away.connect(tenant) as idle:
        for one in (connection, idle):
            one.execute(insert.format("before"))
        line.is_cut = True
        wait_until(lambda: bank.reeve.query("SELECT count(*) FROM reeve.proxy WHERE NOT reeve.proxy_connected(id)")
                   == [(1,)], "it is cut off", SOON_SECONDS)
        connection.execute(insert.format("before"))
        bank.move(tenant, after, "two", "--ignore-unreachable")
        goes_on(application)
        late = 0
        for one in (connection, idle):
            with contextlib.suppress(psycopg.OperationalError):
                one.execute(insert.format("late"))
                late += 1
        with contextlib.suppress(psycopg.OperationalError), away.connect(tenant) as another:
            another.execute(insert.format("late"))
            late += 1
        with bank.reeve.connect(tenant) as seen:
            assert seen.execute("SELECT path, count(*) FROM visit WHERE path IN ('before', 'late') GROUP BY path"
                                " ORDER BY path").fetchall() == [("before", 3), *([("late", late)] if late else [])]
        line.is_cut = False
        wait_until(lambda: works(away, tenant), "it has heard of it", SOON_SECONDS)
        bank.behind("finish", tenant)
        assert works(away, tenant)
    assert_whole(bank, {"cut off": (tenant, application)})


def works(proxy, tenant):
    try:
        with proxy.connect(tenant) as connection:
            connection.execute("INSERT INTO visit (path) VALUES ('again')")
            return True
    except psycopg.OperationalError:
        return False


def test_who_is_cut_off_is_waited_for(bank):
    """Unless somebody said that it need not be: the tenant does not wait meanwhile."""
    tenant = bank.tenant_at("schema", "one")
    with running_line(bank) as line, running_serve(bank.reeve, control=line.conninfo), \
            bank.working(tenant) as application:
        line.is_cut = True
        with started(bank, tenant.slug, SERVICE, "--cluster", "two") as running:
            wait_until(lambda: bank.is_in(tenant, "catching up"), "it has copied", SOON_SECONDS)
            goes_on(application, 100)
            assert bank.pauses(tenant) == {} and bank.phase(tenant) == "catching up"
            line.is_cut = False
            assert let_go(running) == 0, running.err
        goes_on(application)
        bank.behind("finish", tenant)
    assert_whole(bank, {"waited for": (tenant, application)})
