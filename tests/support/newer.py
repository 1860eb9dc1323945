"""PostgreSQL 16, 17 and 18, which Debian 12 has not: from npm (tests/servers), without psql and
headers."""
import json
import shutil

from support import made
from support.process import ROOT

VERSIONS = (16, 17, 18)
SOURCES = ROOT / "tests" / "servers"


def install(version, folder):
    """Copies that server to a folder, where another user may run it; its bin folder."""
    packages = made.make_once("servers", sorted(SOURCES.glob("package*.json")), made.npm_ci)
    package = packages / "node_modules" / f"postgresql-{version}"
    shutil.copytree(package / "native", folder)
    # What the package's own script would do after the installation.
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        target = folder.parent / link["target"].replace("native", folder.name, 1)
        source = folder.parent / link["source"].replace("native", folder.name, 1)
        target.symlink_to(source.name)
    return folder / "bin"
