"""What tests need beyond Debian's packages or compile themselves, made once below build/."""
import fcntl
import hashlib
import shutil
import subprocess

from support.process import ROOT

SECONDS = 240


def make_once(folder, sources, make):
    """Calls make(folder) when the sources, which are copied there, are not those of the last time.
    Workers take turns. Returns the folder, build/FOLDER."""
    path = ROOT / "build" / folder
    path.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    with open(path.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = path / "made-of"
        if not made.exists() or made.read_text() != digest:
            for source in sources:
                shutil.copy(source, path)
            make(path)
            made.write_text(digest)
    return path


def run(command, folder, env=None):
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True,
                          timeout=SECONDS)
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}"


def npm_ci(folder):
    """node_modules as package-lock.json says; no package's own script runs."""
    run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)
