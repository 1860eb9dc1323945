"""kill -9 of Reeve at each step of provisioning: after a restart, catalog and server agree.

Each placement is then ready and works, or is not there at all; nothing half-made is left.
"""
import signal
import subprocess

import psycopg
import pytest

from support import failpoints
from support.agreement import assert_agreement, wait_for_jobs
from support.process import children, temporary_folder
from support.reeve import MODES, Tenant, running_reeve
from support.world import DATA, create_service, unique

KILLED = -signal.SIGKILL


def crash(reeve, point, *command, **env):
    """Runs a command that kills itself at the point."""
    result = reeve.cli(*command, check=False, env={"REEVE_CRASH_AT": point, **env})
    assert result.code == KILLED, f"{point} was never reached:\n{result.text}"


def restart(reeve):
    reeve.kill()
    reeve.start()
    wait_for_jobs(reeve)


def placed(reeve, slug):
    return [place for place in reeve.cli("placement", "list", json=True).json
            if place["tenant"] == slug]


def must_work(reeve, slug, service):
    """A placement that is there takes rows and gives them back."""
    tenant = Tenant(slug, None, service, reeve.token(slug), None)
    with reeve.connect(tenant) as connection:
        connection.execute("INSERT INTO thing (name) VALUES ('after the crash')")
        assert connection.execute("SELECT name FROM thing").fetchall() == [("after the crash",)]


@pytest.fixture(scope="module")
def crashed():
    """A Reeve of this module's own, with one service."""
    with running_reeve() as reeve:
        create_service(reeve, "things", DATA / "things")
        reeve.witnesses = {mode: reeve.add_tenant(f"witness-{mode}", "things", mode)
                           for mode in MODES}
        for tenant in reeve.witnesses.values():
            with reeve.connect(tenant) as connection:
                connection.execute("INSERT INTO thing (name) VALUES ('witness')")
        yield reeve


@pytest.fixture(autouse=True)
def witnesses(crashed):
    """Tenants that had nothing to do with it keep their rows."""
    yield
    for tenant in crashed.witnesses.values():
        with crashed.connect(tenant) as connection:
            assert connection.execute("SELECT name FROM thing").fetchall() == [("witness",)]


def test_points_are_found():
    assert len(failpoints.crash_points("provision")) >= 6
    assert len(failpoints.job_steps()) >= 2


def test_attach_killed_at_each_step(crashed, mode):
    slugs = {}
    for number, point in enumerate(failpoints.crash_points("provision")):
        slug = slugs[point] = f"{mode}-{number}-{unique('c')}"
        crashed.cli("tenant", "create", slug)
        crash(crashed, point, "tenant", "attach", slug, "things", "--isolation", mode)
    restart(crashed)
    assert_agreement(crashed)
    for point, slug in slugs.items():
        if not placed(crashed, slug):
            # Taken back: the same command must work now.
            crashed.cli("tenant", "attach", slug, "things", "--isolation", mode)
        must_work(crashed, slug, "things")
        assert placed(crashed, slug)[0]["isolation"] == mode, point
    assert_agreement(crashed)


def test_the_same_command_again_instead_of_a_restart(crashed, mode):
    """An operator who sees his command die runs it again."""
    for point in failpoints.crash_points("provision")[::3]:
        slug = f"{mode}-again-{unique('c')}"
        crashed.cli("tenant", "create", slug)
        crash(crashed, point, "tenant", "attach", slug, "things", "--isolation", mode)
        again = crashed.cli("tenant", "attach", slug, "things", "--isolation", mode, check=False)
        assert again.code in (0, 73, 74, 75), again.text  # done, there already, or under way
        wait_for_jobs(crashed)
        must_work(crashed, slug, "things")
    assert_agreement(crashed)


@pytest.mark.parametrize("command, kind", [("detach", "deprovision"), ("delete", "tenant-delete")])
def test_removal_killed_at_each_step(crashed, mode, command, kind):
    slugs = []
    for number, point in enumerate(failpoints.crash_points(kind)):
        slug = f"{mode}-{command}-{number}-{unique('c')}"
        crashed.add_tenant(slug, "things", mode, credentials=False)
        arguments = [slug, "things"] if command == "detach" else [slug]
        crash(crashed, point, "tenant", command, *arguments, "--yes")
        slugs.append(slug)
    restart(crashed)
    if command == "delete":
        for slug in slugs:
            # What was begun may need its second half.
            crashed.cli("tenant", "delete", slug, "--yes", check=False)
        wait_for_jobs(crashed)
    for slug in slugs:
        assert placed(crashed, slug) == [], slug
    assert_agreement(crashed)


def test_service_creation_killed_at_each_step(crashed):
    """The service is there and works, or its name is free."""
    names = {}
    for point in failpoints.crash_points("service-create"):
        name = names[point] = unique("svc").replace("-", "_")
        crash(crashed, point, "service", "create", name, "--migrations", DATA / "things",
              "--isolation", "row", "--allow", "schema,database")
    restart(crashed)
    assert_agreement(crashed)
    there = {service["name"] for service in crashed.cli("service", "list", json=True).json}
    for name in names.values():
        if name not in there:
            create_service(crashed, name, DATA / "things")
        for mode in MODES:
            slug = unique(mode)
            crashed.add_tenant(slug, name, mode, credentials=False)
            must_work(crashed, slug, name)
    assert_agreement(crashed)


def test_the_resumed_job_is_killed_too(crashed, mode):
    """`reeve dev` itself dies at the same step, while it takes up the job."""
    points = failpoints.crash_points("provision")
    point = points[len(points) // 2]
    slug = f"{mode}-twice-{unique('c')}"
    crashed.cli("tenant", "create", slug)
    crashed.kill()
    crashed.start(REEVE_CRASH_AT=point)
    crash(crashed, point, "tenant", "attach", slug, "things", "--isolation", mode)
    # Its runner takes the job up now or at its next start, and dies of it once.
    helpers = children(crashed.process.pid)
    try:
        crashed.process.wait(timeout=3)
    except subprocess.TimeoutExpired:  # not yet: then at the next start
        crashed.kill()
        crashed.start(wait=False, REEVE_CRASH_AT=point)
        helpers = children(crashed.process.pid)
        status = crashed.process.wait(timeout=60)
        assert status == KILLED, "the resumed job never came to the step"
    crashed.process = None
    crashed.wait_gone(helpers)
    crashed.start()
    wait_for_jobs(crashed)
    if not placed(crashed, slug):
        crashed.cli("tenant", "attach", slug, "things", "--isolation", mode)
    must_work(crashed, slug, "things")
    assert_agreement(crashed)


def test_a_failing_migration_killed_while_it_is_undone(crashed, mode):
    """The compensation is resumed as well."""
    with temporary_folder("reeve-mig-") as folder:
        folder = folder / "m"
        folder.mkdir()
        (folder / "1_a.sql").write_text("CREATE TABLE a (id int PRIMARY KEY);\n")
        service = unique("svc").replace("-", "_")
        create_service(crashed, service, folder, mode)
        (folder / "2_b.sql").write_text("ALTER TABLE nothing_here ADD b int;\n")
        for when in ("before", "after"):
            slug = f"{mode}-undo-{unique('c')}"
            crashed.cli("tenant", "create", slug)
            crash(crashed, f"provision.compensate.{when}", "tenant", "attach", slug, service)
            restart(crashed)
            assert placed(crashed, slug) == []
            assert_agreement(crashed)


def test_kill_under_load(crashed):
    """kill -9 while clients write: what was answered is there, what was not is whole or absent."""
    tenant = crashed.add_tenant(unique("load"), "things", "schema")
    committed = 0
    with crashed.connect(tenant) as connection:
        for number in range(50):
            with connection.transaction():
                connection.execute("INSERT INTO thing (name) VALUES (%s), (%s)",
                                   [f"{number}-a", f"{number}-b"])
            committed += 2
        connection.execute("BEGIN")
        connection.execute("INSERT INTO thing (name) VALUES ('half')")
        crashed.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("COMMIT")
    crashed.start()
    with crashed.connect(tenant) as connection:
        assert connection.execute("SELECT count(*) FROM thing").fetchone() == (committed,)
