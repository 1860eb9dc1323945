"""The command line: wrong input gives one clear error and changes nothing; --json is JSON."""
import json
import re
import subprocess

import pytest

from support import reeve as reeve_support
from support.agreement import server_objects
from support.process import temporary_folder
from support.world import DATA, unique

USAGE, NO_SUCH, EXISTS, INVALID, STATE = 2, 66, 73, 65, 74
NOUNS = ("dev", "serve", "init", "status", "top", "cluster", "service", "tenant", "placement", "token",
         "password", "url", "issuer", "migrate", "audit", "job", "events", "completion", "version",
         "help")

# (arguments, exit status, what the message must name)
WRONG = [
    (["no-such-command"], USAGE, "no-such-command"),
    (["tennant", "list"], USAGE, "tenant"),
    (["tenant", "crate", "x"], USAGE, "create"),
    (["tenant", "create"], USAGE, "SLUG"),
    (["tenant", "create", "x", "y"], USAGE, "y"),
    (["tenant", "create", "x", "--nmae", "y"], USAGE, "--name"),
    (["tenant", "create", "x", "--name"], USAGE, "--name"),
    (["tenant", "create", ""], None, "SLUG|slug"),
    (["tenant", "create", "Has-Capitals"], None, "Has-Capitals"),
    (["tenant", "create", "has space"], None, "has space"),
    (["tenant", "create", "has/slash"], None, "has/slash"),
    (["tenant", "create", "../../etc/passwd"], None, "passwd"),
    (["tenant", "create", "quote'"], None, "quote"),
    (["tenant", "create", "quote\""], None, "quote"),
    (["tenant", "create", "new\nline"], None, "slug"),
    (["tenant", "create", "esc\x1b[31m"], None, "slug"),
    (["tenant", "create", "a" * 10_000], None, "slug|long"),
    (["tenant", "create", "аcme"], None, "slug"),  # a Cyrillic look-alike
    (["tenant", "create", "row-a"], EXISTS, "row-a"),
    (["tenant", "create", "fine", "--name", "new\nline"], None, "name"),
    (["tenant", "create", "fine", "--name", "x" * 10_000], None, "name"),
    (["tenant", "show", "nobody"], NO_SUCH, "nobody"),
    (["tenant", "suspend", "nobody"], NO_SUCH, "nobody"),
    (["tenant", "resume", "nobody"], NO_SUCH, "nobody"),
    (["tenant", "delete", "nobody", "--yes"], NO_SUCH, "nobody"),
    (["tenant", "delete", "row-a"], None, "--yes"),
    (["tenant", "attach", "nobody", "things"], NO_SUCH, "nobody"),
    (["tenant", "attach", "row-a", "nothing"], NO_SUCH, "nothing"),
    (["tenant", "attach", "row-a", "things"], EXISTS, "things"),
    (["tenant", "attach", "row-a", "things", "--isolation", "islands"], USAGE, "islands"),
    (["tenant", "attach", "row-a", "things", "--cluster", "moon"], NO_SUCH, "moon"),
    (["tenant", "detach", "row-a", "nothing", "--yes"], NO_SUCH, "nothing"),
    (["tenant", "detach", "row-a", "things"], None, "--yes"),
    (["service", "create", "x"], USAGE, "--migrations"),
    (["service", "create", "x", "--migrations", "/nowhere", "--isolation", "row"], NO_SUCH, "/nowhere"),
    (["service", "create", "x", "--migrations", "/etc/hostname", "--isolation", "row"], None,
     "/etc/hostname"),
    (["service", "create", "x", "--migrations", DATA / "things", "--isolation", "rows"], USAGE, "row"),
    (["service", "create", "x", "--migrations", DATA / "things", "--isolation", "row", "--allow",
      "row,nothing"], USAGE, "nothing"),
    (["service", "create", "things", "--migrations", DATA / "things", "--isolation", "row"], EXISTS,
     "things"),
    (["service", "create", "Bad Name", "--migrations", DATA / "things", "--isolation", "row"], None,
     "Bad Name"),
    (["service", "create", "x" * 200, "--migrations", DATA / "things", "--isolation", "row"], None,
     "service|name|long"),
    (["service", "create", "x", "--migrations", DATA / "things", "--isolation", "row", "--cluster",
      "moon"], NO_SUCH, "moon"),
    (["service", "show", "nothing"], NO_SUCH, "nothing"),
    (["cluster", "add", "x"], USAGE, "--conninfo"),
    (["cluster", "add", "x", "--conninfo", "nonsense"], None, "conninfo|nonsense"),
    (["cluster", "add", "x", "--conninfo", "host=127.0.0.1 port=1"], 69, "127.0.0.1"),
    (["cluster", "add", "x", "--conninfo", "host=h user=me password=p"], None,
     "user|password"),
    (["cluster", "add", "local", "--conninfo", "host=127.0.0.1"], None, "local"),
    (["cluster", "add", "x", "--conninfo", "host=h", "--max-backends", "0"], USAGE,
     "max-backends"),
    (["cluster", "add", "x", "--conninfo", "host=h", "--max-backends", "many"],
     USAGE, "max-backends"),
    (["cluster", "remove", "moon", "--yes"], NO_SUCH, "moon"),
    (["cluster", "remove", "local", "--yes"], STATE, "local"),
    (["token", "issue", "nobody"], NO_SUCH, "nobody"),
    (["token", "issue", "row-a", "--service", "nothing"], NO_SUCH, "nothing"),
    (["token", "issue", "row-a", "--access", "all"], USAGE, "all"),
    (["token", "issue", "row-a", "--ttl", "soon"], USAGE, "soon"),
    (["token", "issue", "row-a", "--ttl", "-5s"], USAGE, "ttl"),
    (["token", "issue", "row-a", "--ttl", "0s"], USAGE, "ttl"),
    (["token", "issue", "row-a", "--ttl", "99999999999999999999d"], USAGE, "ttl"),
    (["password", "set", "nobody"], NO_SUCH, "nobody"),
    (["url", "nobody", "things"], NO_SUCH, "nobody"),
    (["url", "row-a", "nothing"], NO_SUCH, "nothing"),
    (["placement", "show", "row-a", "nothing"], NO_SUCH, "nothing"),
    (["migrate", "nothing"], NO_SUCH, "nothing"),
    (["migrate", "things", "--jobs", "0"], USAGE, "jobs"),
    (["status", "extra"], USAGE, "extra"),
    (["tenant", "list", "--config", "/nowhere.conf"], 78, "/nowhere.conf"),
]


@pytest.mark.parametrize("arguments, code, word", WRONG,
                         ids=[" ".join(map(str, case[0]))[:50].encode("unicode_escape").decode()
                              for case in WRONG])
def test_wrong_input(world, arguments, code, word):
    before = server_objects(world.reeve)
    result = world.reeve.cli(*arguments, check=False, input="a-password-1\n")
    assert result.code == code if code else result.code not in (0, 70), result.text
    assert result.out == "", "an error is no result"
    errors = [line for line in result.err.splitlines() if line.startswith("reeve: ")]
    assert len(errors) == 1, result.text
    assert re.search(word, result.err), result.text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f]", result.err), "control characters in the message"
    assert server_objects(world.reeve) == before


@pytest.mark.parametrize("arguments", [
    ["--nul\x01"], ["tenant", "create", "x" * 100_000], ["", ""], ["tenant", "--", "--help"],
    ["tenant", "list", "--json=yes"], ["-j"], ["tenant", "list", "--json", "--json", "extra"]])
def test_odd_arguments(world, arguments):
    result = world.reeve.cli(*arguments, check=False)
    assert result.code in (0, 2, 65), result.text


def test_weak_passwords(world):
    for password in ("", "\n", "x" * 100_000, "with\0nul"):
        result = world.reeve.cli("password", "set", "row-a", check=False, input=password)
        assert result.code != 0, repr(password[:10])
        assert len(result.err) < 1000
        assert "x" * 50 not in result.err
    assert world.reeve.connect(world.tenant("row"), password=world.tenant("row").password)


BAD_CONFIGURATIONS = {
    "unknown key": ("lissten = 127.0.0.1:5\n", 3, "listen"),
    "no equals": ("just words\n", 3, "just words|="),
    "bad number": ("max_clients = many\n", 3, "max_clients"),
    "out of range": ("max_clients = 0\n", 3, "max_clients"),
    "bad duration": ("login_timeout = soon\n", 3, "login_timeout"),
    "bad choice": ("auth = magic\n", 3, "auto"),
    "bad boolean": ("tls_required = perhaps\n", 3, "tls_required"),
    "twice": ("workers = 1\nworkers = 2\n", 4, "workers"),
    "bad address": ("listen = nowhere:notaport\n", 3, "listen"),
    "key without certificate": ("tls_key = /etc/hostname\n", None, "tls_cert"),
    "no such certificate": ("tls_cert = /nowhere.crt\ntls_key = /nowhere.key\n", None, "nowhere"),
    "not a certificate": ("tls_cert = /etc/hostname\ntls_key = /etc/hostname\n", None,
                          "/etc/hostname"),
    "no such key file": ("key_file = /nowhere\n", None, "/nowhere"),
    "control characters": ("wor\x1b[31mkers = 1\n", 3, ""),
    "binary": ("\xff\xfe\n", 3, ""),
}


@pytest.mark.parametrize("name", BAD_CONFIGURATIONS)
def test_bad_configuration(world, name):
    """`reeve serve` names file, line and remedy, and does not start."""
    text, line, word = BAD_CONFIGURATIONS[name]
    with temporary_folder() as folder:
        path = folder / "reeve.conf"
        path.write_bytes(f"# a comment\ncontrol = {world.reeve.setting('control')}\n".encode()
                         + text.encode("latin-1"))
        path.chmod(0o600)
        result = reeve_support.run("serve", "--config", path, seconds=20)
    assert result.code not in (0, 70), result.text
    if line:
        assert f"{path}:{line}:" in result.err, result.text
    assert re.search(word, result.err), result.text
    assert "\x1b" not in result.err


def test_missing_required_setting():
    with temporary_folder() as folder:
        path = folder / "reeve.conf"
        path.write_text("workers = 1\n")
        result = reeve_support.run("serve", "--config", path, seconds=20)
    assert result.code == 78
    assert "control" in result.err


def test_control_database_that_is_not_there():
    with temporary_folder() as folder:
        (folder / "key").write_bytes(b"k" * 32)
        path = folder / "reeve.conf"
        path.write_text("control = host=127.0.0.1 port=1 dbname=x user=y\n")
        path.chmod(0o600)
        for command in (["tenant", "list"], ["serve"]):
            result = reeve_support.run(*command, "--config", path, seconds=60)
            assert result.code not in (0, 70), result.text
            assert len([one for one in result.err.splitlines() if one.startswith("reeve: ")]) == 1


JSON_LISTS = ["tenant list", "service list", "cluster list", "placement list", "issuer list",
              "job list", "events"]
JSON_RECORDS = ["tenant show row-a", "service show things", "placement show row-a things",
                "url row-a things", "status", "token issue row-a", "version"]


@pytest.mark.parametrize("command", JSON_LISTS)
def test_json_lists(world, command):
    found = world.reeve.cli(*command.split(), json=True).json
    assert isinstance(found, list)
    assert all(isinstance(one, dict) for one in found)
    if found:
        assert len({tuple(one) for one in found}) == 1, "the same keys in every object"


@pytest.mark.parametrize("command", JSON_RECORDS)
def test_json_records(world, command):
    assert isinstance(world.reeve.cli(*command.split(), json=True).json, dict)


def test_json_of_actions(world):
    slug = unique("json")
    made = world.reeve.cli("tenant", "create", slug, "--name", 'A "quoted" ☂ name', json=True).json
    assert made["slug"] == slug
    shown = world.reeve.cli("tenant", "show", slug, json=True).json
    assert shown["name"] == 'A "quoted" ☂ name'
    for command in (["tenant", "attach", slug, "things"], ["tenant", "suspend", slug],
                    ["tenant", "resume", slug], ["tenant", "detach", slug, "things", "--yes"],
                    ["tenant", "delete", slug, "--yes"]):
        assert isinstance(world.reeve.cli(*command, json=True).json, dict)


def test_what_people_read(world):
    for command in (*JSON_LISTS, "tenant show row-a", "placement show row-a things", "status"):
        result = world.reeve.cli(*command.split())
        assert result.out.strip()
        with pytest.raises(json.JSONDecodeError):
            json.loads(result.out)


def test_create_and_attach_say_how_to_connect(world):
    slug = unique("told")
    assert slug in world.reeve.cli("tenant", "create", slug).out
    told = world.reeve.cli("tenant", "attach", slug, "things").out
    assert f"{slug}" in told and "things" in told and "postgres" in told


def test_every_change_is_an_audit_event(world):
    slug = unique("audited")
    world.reeve.cli("tenant", "create", slug)
    world.reeve.cli("tenant", "suspend", slug)
    events = world.reeve.cli("events", json=True).json
    mine = [event for event in events if slug in json.dumps(event)]
    assert len(mine) >= 2
    assert all(event["actor"] for event in mine)


def test_no_secret_in_the_catalog_or_output(world):
    """Passwords are kept as verifiers or sealed; nothing prints them."""
    tenant = world.tenant("row")
    secrets = (tenant.password, tenant.token, tenant.token.rpartition(".")[2])
    with world.reeve.admin() as admin:
        tables = [name for (name,) in admin.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'reeve'::regnamespace")]
        assert tables
        for table in tables:
            for secret in secrets:
                count = admin.execute(f"SELECT count(*) FROM {table} t WHERE t::text LIKE %s",
                                      [f"%{secret}%"]).fetchone()
                assert count == (0,), f"a secret is in {table}"
        sealed = admin.execute("SELECT role_password FROM reeve.placement").fetchall()
        assert all(value for (value,) in sealed)
    for command in (*JSON_LISTS, "tenant show row-a", "placement show row-a things", "status"):
        for options in ([], ["--json"]):
            out = world.reeve.cli(*command.split(), *options).out
            assert not any(secret in out for secret in secrets)


@pytest.mark.parametrize("noun", NOUNS)
def test_help(noun):
    result = reeve_support.run(noun, "--help")
    assert result.code == 0, result.text
    assert noun in result.out and result.err == ""


def test_help_of_all():
    for arguments in (["--help"], ["help"]):
        result = reeve_support.run(*arguments)
        assert result.code == 0
        for noun in NOUNS:
            assert noun in result.out
    assert reeve_support.run().code == 2


def test_bash_completion():
    script = reeve_support.run("completion", "bash")
    assert script.code == 0
    done = subprocess.run(
        ["bash", "-c", script.out + """
COMP_WORDS=(reeve tenant cr) COMP_CWORD=2 COMP_LINE="reeve tenant cr" COMP_POINT=15
$(complete -p reeve | sed 's/.*-F \\([^ ]*\\).*/\\1/') reeve cr tenant
printf '%s\\n' "${COMPREPLY[@]}"
"""], capture_output=True, text=True, timeout=20)
    assert done.stdout.split() == ["create"], done.stdout + done.stderr


def test_progress_is_plain_lines_in_a_pipe(world):
    slug = unique("progress")
    world.reeve.cli("tenant", "create", slug)
    result = world.reeve.cli("tenant", "attach", slug, "things", "--isolation", "database")
    assert "\r" not in result.err and "\x1b" not in result.err
