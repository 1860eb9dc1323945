"""Drivers in other languages: one program each, run once a mode, that prints a line a check: "ok NAME"
or "failed NAME: REASON". In its environment:

    PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGSSLMODE   the tenant
    NEIGHBOUR_USER NEIGHBOUR_PASSWORD NEIGHBOUR_DATABASE   another tenant of the same mode
    COPY_IN=yes|no    whether COPY FROM works: not under row-level security
    LISTENS=yes|no    whether LISTEN is allowed: where no other tenant is in the database
    DIRECT=yes|no     whether this is PostgreSQL itself, and no Reeve
"""
import os
import subprocess

from support import made
from support.process import ROOT
from support.reeve import ENFORCEMENT

SOURCES = ROOT / "tests" / "drivers"
JDBC = "/usr/share/java/postgresql.jar"
GO = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "-p=2"}
SECONDS = 150


def node_modules():
    """As tests/drivers/node/package-lock.json says."""
    return made.make_once("drivers/node", sorted((SOURCES / "node").glob("package*.json")),
                          made.npm_ci) / "node_modules"


def node(program, *arguments):
    def command():
        return (["node", SOURCES / "node" / program, *arguments], {"NODE_PATH": node_modules()})

    return command


def script(interpreter, path):
    def command():
        return [interpreter, SOURCES / path], {}

    return command


def jdbc():
    folder = made.make_once("drivers/jdbc", sorted((SOURCES / "jdbc").glob("*.java")),
                            lambda path: made.run(["javac", "-cp", JDBC, "Checks.java"], path))
    return ["java", "-cp", f"{JDBC}:{folder}", "Checks"], {}


def go(name):
    """A program of two files: its own and what all of them share."""
    def command():
        sources = [SOURCES / "go" / "checks.go", SOURCES / "go" / f"{name}.go"]
        folder = made.make_once(
            f"drivers/go-{name}", sources,
            lambda path: made.run(["go", "build", "-o", "checks",
                                   *(source.name for source in sources)], path,
                                  env={**GO, "GOCACHE": str(path.parent / "go-cache")}))
        return [folder / "checks"], {}

    return command


# name -> the function that builds it, unless it is built, and gives (command, environment)
PROGRAMS = {
    "jdbc": jdbc,
    "node-postgres": node("node_postgres.js"),
    "postgres-js": node("postgres_js.js"),
    "drizzle over node-postgres": node("drizzle.js", "node-postgres"),
    "drizzle over postgres-js": node("drizzle.js", "postgres-js"),
    "ruby": script("ruby", "ruby/checks.rb"),
    "perl": script("perl", "perl/checks.pl"),
    "php": script("php", "php/checks.php"),
    "lib/pq": go("libpq"),
    "pgx": go("pgx"),
}


def environment(world, mode):
    tenant, neighbour = world.tenant(mode), world.tenant(mode, "b")
    return {
        "PGHOST": "127.0.0.1", "PGPORT": str(world.reeve.port), "PGUSER": tenant.slug,
        "PGPASSWORD": tenant.secret, "PGDATABASE": tenant.service, "PGSSLMODE": "disable",
        "NEIGHBOUR_USER": neighbour.slug, "NEIGHBOUR_PASSWORD": neighbour.secret,
        "NEIGHBOUR_DATABASE": neighbour.service,
        "COPY_IN": "no" if mode == "row" and not world.direct else "yes",
        "LISTENS": "yes" if mode == "database" or world.direct or ENFORCEMENT == "guard" else "no",
        "DIRECT": "yes" if world.direct else "no",
    }


def outcome(name, world, mode):
    """{check: error or None}"""
    command, extra = PROGRAMS[name]()
    values = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    values.update(environment(world, mode))
    values.update({key: str(value) for key, value in extra.items()})
    done = subprocess.run(list(map(str, command)), env=values, capture_output=True, text=True,
                          timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for line in done.stdout.splitlines():
        verdict, _, rest = line.partition(" ")
        assert verdict in ("ok", "failed"), done.stdout
        check, _, error = rest.partition(": ")
        found[check] = None if verdict == "ok" else error
    return found
