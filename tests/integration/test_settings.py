"""What one client sets holds for that client, on whichever backend comes next, and for nobody else.

The tenants here live on a cluster whose budget is one backend: everybody shares it.
"""
import psycopg
import pytest
from psycopg import errors

from support.world import error_of, unique

MODES = ("row", "schema", "database")


@pytest.fixture(scope="module")
def tight(world, plain):
    """mode -> two tenants on a cluster with max_backends = 1."""
    return world.tight(plain)


@pytest.fixture
def pair(world, tight, mode):
    """Two clients of one tenant, which share one backend."""
    with world.reeve.connect(tight[mode, "a"]) as one, world.reeve.connect(tight[mode, "a"]) as two:
        assert pid(one) == pid(two)
        yield one, two


def pid(connection):
    return connection.execute("SELECT pg_backend_pid()").fetchone()[0]


def show(connection, name):
    return connection.execute(f"SHOW {name}").fetchone()[0]


SETTINGS = [("work_mem", "7MB"), ("statement_timeout", "12345ms"), ("TimeZone", "Asia/Tokyo"),
            ("DateStyle", "German, DMY"), ("application_name", "mine"), ("IntervalStyle", "iso_8601"),
            ("extra_float_digits", "2"), ("default_transaction_isolation", "serializable"),
            ("default_transaction_read_only", "on"), ("app.account", "o'neil \\ ☂"),
            ("standard_conforming_strings", "on"), ("client_min_messages", "error"),
            ("jit", "off"), ("lock_timeout", "1234ms")]


@pytest.mark.parametrize("name, value", SETTINGS)
def test_set_holds_for_its_client_alone(pair, name, value):
    one, two = pair
    # "app.account" does not exist until somebody sets it.
    before = two.execute("SELECT current_setting(%s, true)", [name]).fetchone()[0]
    one.execute("SELECT set_config(%s, %s, false)", [name, value])
    for _ in range(3):
        assert show(one, name) == value
        assert (two.execute("SELECT current_setting(%s, true)", [name]).fetchone()[0]
                or None) == (before or None)


def test_both_set_the_same(pair):
    one, two = pair
    one.execute("SET work_mem = '5MB'")
    two.execute("SET work_mem = '6MB'")
    for _ in range(5):
        assert (show(one, "work_mem"), show(two, "work_mem")) == ("5MB", "6MB")
    one.execute("RESET work_mem")
    assert (show(one, "work_mem"), show(two, "work_mem")) == ("4MB", "6MB")
    two.execute("RESET ALL")
    assert show(two, "work_mem") == "4MB"


def test_parameter_status_follows(pair):
    """What the driver believes of its session is what the server does."""
    one, two = pair
    one.execute("SET TimeZone = 'America/New_York'")
    two.execute("SET TimeZone = 'Asia/Tokyo'")
    for _ in range(3):
        for connection, zone in ((one, "America/New_York"), (two, "Asia/Tokyo")):
            assert show(connection, "TimeZone") == zone
            assert connection.info.parameter_status("TimeZone") == zone


def test_client_encoding(pair):
    one, two = pair
    one.execute("SET client_encoding = 'LATIN1'")
    for _ in range(3):
        assert one.execute("SELECT 'ü'::text").fetchone() == ("ü",)
        assert two.execute("SELECT 'ü ☂'::text").fetchone() == ("ü ☂",)
        assert one.info.encoding != two.info.encoding


def test_set_local_and_rollback(pair):
    one, two = pair
    with one.transaction():
        one.execute("SET LOCAL work_mem = '9MB'")
        assert show(one, "work_mem") == "9MB"
    assert (show(one, "work_mem"), show(two, "work_mem")) == ("4MB", "4MB")
    with pytest.raises(ZeroDivisionError), one.transaction():
        one.execute("SET work_mem = '8MB'")
        raise ZeroDivisionError
    assert (show(two, "work_mem"), show(one, "work_mem")) == ("4MB", "4MB")
    with one.transaction():
        one.execute("SET work_mem = '5MB'")
        with pytest.raises(ZeroDivisionError), one.transaction():
            one.execute("SET work_mem = '8MB'")
            raise ZeroDivisionError
    assert (show(two, "work_mem"), show(one, "work_mem")) == ("4MB", "5MB")


def test_set_in_do_block(pair):
    one, two = pair
    one.execute("DO $$ BEGIN PERFORM set_config('work_mem', '11MB', false); END $$")
    assert (show(two, "work_mem"), show(one, "work_mem")) == ("4MB", "11MB")


def test_a_setting_whose_name_the_proxy_cannot_know(pair):
    """Made up inside the server: it may be lost, but nobody else sees it."""
    one, two = pair
    one.execute("DO $$ BEGIN PERFORM set_config('made.' || 'up', 'secret', false); END $$")
    assert two.execute("SELECT current_setting('made.up', true)").fetchone()[0] in (None, "")
    assert two.execute("SELECT current_setting('made.up', true)", prepare=True).fetchone()[0] in (
        None, "")


def test_set_within_a_batch(pair):
    one, two = pair
    psycopg.ClientCursor(one).execute("SELECT 1; SET work_mem = '13MB'; SELECT 2")
    assert (show(two, "work_mem"), show(one, "work_mem")) == ("4MB", "13MB")


def test_discard_all_is_ones_own(pair):
    one, two = pair
    one.execute("SET work_mem = '5MB'")
    assert two.execute("SELECT 4", prepare=True).fetchone() == (4,)
    one.execute("DISCARD ALL")
    assert show(one, "work_mem") == "4MB"
    two.execute("SET work_mem = '6MB'")
    one.execute("DISCARD ALL")
    assert show(two, "work_mem") == "6MB"
    assert two.execute("SELECT 4", prepare=True).fetchone() == (4,)


def test_startup_options(world, tight, mode):
    tenant = tight[mode, "a"]
    options = r"-c work_mem=5MB --lock-timeout=77ms -c app.note=a\ b\\c"
    with (world.reeve.connect(tenant, options=options, application_name="opted") as one,
          world.reeve.connect(tenant) as two):
        for _ in range(3):
            assert show(one, "work_mem") == "5MB"
            assert show(one, "lock_timeout") == "77ms"
            assert show(one, "app.note") == r"a b\c"
            assert show(one, "application_name") == "opted"
            assert (show(two, "work_mem"), show(two, "lock_timeout")) == ("4MB", "0")
        # RESET goes back to what was asked for at the start.
        one.execute("SET work_mem = '8MB'")
        one.execute("RESET work_mem")
        assert show(one, "work_mem") in ("5MB", "4MB")


def test_settings_that_the_tenant_may_not_make(pair):
    one, two = pair
    for sql in ("SET log_statement = 'all'", "SET session_preload_libraries = 'x'",
                "SET max_connections = 5", "SET no_such_setting = 1"):
        with pytest.raises(psycopg.Error):
            one.execute(sql)
    assert show(one, "log_statement") == show(two, "log_statement") == "none"


def test_prepared_names_do_not_meet(pair):
    """Both clients' drivers call their first statement the same."""
    one, two = pair
    for number in range(10):
        assert one.execute("SELECT 'one', %s::int", [number], prepare=True).fetchone() == (
            "one", number)
        assert two.execute("SELECT 'two', %s::int", [number], prepare=True).fetchone() == (
            "two", number)


def test_settings_do_not_cross_tenants(world, tight, mode):
    """Eviction and a new backend lie between them, and nothing else may."""
    with (world.reeve.connect(tight[mode, "a"]) as one,
          world.reeve.connect(tight[mode, "b"]) as two):
        one.execute("SET work_mem = '5MB'")
        one.execute("SET app.secret = 'a'")
        for _ in range(3):
            assert show(two, "work_mem") == "4MB"
            assert two.execute("SELECT current_setting('app.secret', true)").fetchone()[0] in (
                None, "")
            assert (show(one, "work_mem"), show(one, "app.secret")) == ("5MB", "a")


def test_temporary_table_stays_with_its_client(world, mode):
    """Kept for the one who made it, or refused with a reason: never lost, never another's."""
    tenant = world.tenant(mode)
    with world.reeve.connect(tenant) as one, world.reeve.connect(tenant) as two:
        try:
            one.execute("CREATE TEMPORARY TABLE scratch AS SELECT 1 AS n")
        except errors.InsufficientPrivilege as error:
            assert "temporary" in str(error)
            return
        for _ in range(3):
            assert one.execute("SELECT n FROM scratch").fetchone() == (1,)
            with pytest.raises(errors.UndefinedTable):
                two.execute("SELECT n FROM scratch")


def test_session_advisory_lock_is_kept_or_refused(world, mode):
    tenant = world.tenant(mode)
    key = abs(hash(unique())) % 1_000_000_000
    with world.reeve.connect(tenant) as one, world.reeve.connect(tenant) as two:
        try:
            one.execute("SELECT pg_advisory_lock(%s)", [key])
        except psycopg.Error as error:
            assert error.diag.message_primary
            return
        for _ in range(3):
            one.execute("SELECT 1")
            assert two.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone() == (False,)
        assert one.execute("SELECT pg_advisory_unlock(%s)", [key]).fetchone() == (True,)
