"""Drivers in other languages: building their checks, and running them once a mode."""
import fcntl
import hashlib
import json
import shutil
import subprocess

from support.process import ROOT

BUILD = ROOT / "build" / "drivers"
SOURCES = ROOT / "tests" / "drivers"
JDBC = "/usr/share/java/postgresql.jar"
SECONDS = 150


def make_once(name, sources, make):
    """Calls make(folder) when the sources are not those of the last time. Workers take turns."""
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    with open(BUILD / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = folder / "made-of"
        if not made.exists() or made.read_text() != digest:
            for source in sources:
                shutil.copy(source, folder)
            make(folder)
            made.write_text(digest)
    return folder


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"


def node_folder():
    """build/drivers/node with node_modules as package-lock.json says."""
    return make_once("node", sorted((SOURCES / "node").glob("*.js*")), lambda folder: run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder))


def jdbc_folder():
    """build/drivers/jdbc with the compiled checks."""
    return make_once("jdbc", sorted((SOURCES / "jdbc").glob("*.java")), lambda folder: run(
        ["javac", "-cp", JDBC, "Checks.java"], folder))


def node_outcome(folder, world, mode):
    tenant = world.tenant(mode)
    url = (f"postgres://{tenant.slug}:{tenant.secret}"
           f"@127.0.0.1:{world.reeve.port}/{tenant.service}")
    copy_in = "no" if mode == "row" and not world.direct else "yes"
    done = subprocess.run(["node", "checks.js", url, copy_in], cwd=folder, capture_output=True,
                          text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["name"]: line["error"] for line in lines}


def jdbc_outcome(folder, world, mode):
    tenant = world.tenant(mode)
    url = f"jdbc:postgresql://127.0.0.1:{world.reeve.port}/{tenant.service}"
    copy_in = "no" if mode == "row" and not world.direct else "yes"
    done = subprocess.run(
        ["java", "-cp", f"{JDBC}:.", "Checks", url, tenant.slug, tenant.secret,
         copy_in], cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for line in done.stdout.splitlines():
        verdict, _, rest = line.partition(" ")
        name, _, error = rest.partition(": ")
        found[name] = None if verdict == "ok" else error
    return found
