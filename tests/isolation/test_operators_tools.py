"""THREATS 36 and 37: texts of tenants, and names that operators are talked into, as a way into the
operators' own tools. (38, migrations: integration/test_audit_migrations.py.)"""
import json
import re

import pytest

from support import wire
from support.reeve import running_serve
from support.world import unique

# Of what a terminal or a log's reader takes for more than a letter; a line's own end is none of it.
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f\x80-\x9f]")
# What moves the letters around it: in nobody's name, though an error repeats what the operator typed.
LAYOUT = re.compile("[\u2028-\u202e\u2066-\u2069]")

# ---- 37: names ----

BAD_NAMES = {
    "quote": "a'b", "double quote": 'a"b', "newline": "a\nb", "semicolon": "a;drop", "nothing": "",
    "escape": "a\x1b[31mb", "tab": "a\tb", "backslash": "a\\b", "slash": "a/b", "dots": "..",
    "traversal": "../../etc/passwd", "dollar": "$(id)", "backtick": "`id`", "percent": "a%sb",
    "look-alike": "аcme", "accent": "café", "override": "a\u202eb", "wide": "ａｃｍｅ",
    "very long": "a" * 10_000, "space": "a b", "capital": "Acme", "hyphen first": "-acme",
    "option": "--yes", "star": "*", "JSON": '{"a": 1}',
}


def refused(result):
    assert result.code not in (0, None) and result.code < 128, result.text
    assert result.err.strip() and not result.out.strip(), result.text
    assert not CONTROL.search(result.err), repr(result.err)
    assert len(result.err) < 1500, "the whole of a long name is told"


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_of_tenants(world, name):
    bad = BAD_NAMES[name]
    before = world.reeve.query("SELECT count(*) FROM reeve.tenant")
    refused(world.reeve.cli("tenant", "create", bad, check=False))
    assert world.reeve.query("SELECT count(*) FROM reeve.tenant") == before
    for command in (("tenant", "show", bad), ("tenant", "suspend", bad), ("url", bad, "things"),
                    ("placement", "show", bad, "things"), ("token", "issue", bad)):
        refused(world.reeve.cli(*command, check=False))


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_of_services(world, name):
    databases = "SELECT datname FROM pg_database ORDER BY 1"
    before = world.reeve.query(databases)
    refused(world.reeve.cli("service", "create", BAD_NAMES[name], "--migrations",
                            world.DATA / "things", "--cluster", "local", check=False))
    assert world.reeve.query(databases) == before
    refused(world.reeve.cli("tenant", "attach", world.tenant("row").slug, BAD_NAMES[name],
                            check=False))


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31mb\x1b]0;x\x07", "'; DROP TABLE reeve.tenant; --",
                                  "x" * 10_000, "<script>alert(1)</script>", "a\u202eb", "a\u2028b", "a\u2067b",
                                  "%n%s", "é☂"])
def test_what_a_tenant_is_called(world, text):
    """A display name is a text: refused, or shown without doing anything to whom it is shown."""
    slug = unique("called")
    made = world.reeve.cli("tenant", "create", slug, "--name", text, check=False)
    if made.code != 0:
        refused(made)
        return
    for command in (("tenant", "list"), ("tenant", "show", slug)):
        shown = world.reeve.cli(*command)
        assert not CONTROL.search(shown.out) and not LAYOUT.search(shown.out), repr(shown.out)
        rows = [line for line in shown.out.splitlines() if slug in line]
        assert len(rows) == 1, "a name is more than one line"
        found = world.reeve.cli(*command, json=True)
        assert not CONTROL.search(found.out)
        found = json.loads(found.out)
        assert text in [one.get("name") for one in (found if isinstance(found, list) else [found])]
    world.reeve.cli("tenant", "delete", slug, "--yes")


# ---- 36: texts of tenants ----

HOSTILE = "x\nlevel=error msg=\"forged\"\r\x1b[31m'\";--%s%n\t"


def leave_traces(server, tenant, place):
    """Whatever a client may choose that comes to a log or a list."""
    for user, database, more in ((HOSTILE, "things", {}), (tenant.slug, HOSTILE, {}),
                                 (tenant.slug, tenant.service, {"application_name": HOSTILE}),
                                 (tenant.slug, tenant.service, {"options": "-c " + HOSTILE}),
                                 (tenant.slug, tenant.service, {HOSTILE: HOSTILE}),
                                 (tenant.slug + HOSTILE, tenant.service, {})):
        with wire.Wire("127.0.0.1", server.port) as connection:
            try:
                connection.send(wire.startup(**{"user": user, "database": database, **more}))
                connection.authenticate(tenant.secret)
                connection.ask(wire.query(f"SELECT '{place}'"))
            except (wire.Refused, wire.Closed):
                pass
        with wire.Wire("127.0.0.1", server.port) as connection:
            try:
                connection.login(user, database, HOSTILE, **more)
            except (wire.Refused, wire.Closed):
                pass


def test_logs_and_lists(world, mode):
    """One line an event, whatever is in it; no secret in any."""
    tenant = world.tenant(mode)
    with running_serve(world.reeve, log_level="debug") as server:
        with server.connect(tenant, application_name=HOSTILE.replace("\n", " ")) as connection:
            connection.execute("SELECT 1")
            with connection.transaction():
                connection.execute("SELECT 1")
                for command in (("ps",), ("status",), ("ps", "--json"), ("tenant", "list")):
                    shown = world.reeve.cli(*command)
                    assert not CONTROL.search(shown.out), repr(shown.out)
                    assert "forged" not in shown.out
        leave_traces(server, tenant, "a text of the tenant's")
        log = server.log()
    lines = log.splitlines()
    assert [line for line in lines if line.startswith("level=error")] == []
    assert not CONTROL.search(log), repr(CONTROL.search(log))
    assert tenant.secret not in log and "a text of the tenant's" not in log
