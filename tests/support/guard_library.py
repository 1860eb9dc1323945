"""Where the guard that belongs to the program under test is."""
import os

from support import process


def library():
    """That of $REEVE_BINARY's build, else of the sanitized one."""
    program = os.environ.get("REEVE_BINARY", "")
    folders = ["release", "asan"] if "release" in program else ["asan", "release"]
    for folder in folders:
        path = process.ROOT / "build" / folder / "guard" / "reeve_guard-15.so"
        if path.exists():
            return path
    raise RuntimeError("there is no build/asan/guard/reeve_guard-15.so: run make build-asan")
