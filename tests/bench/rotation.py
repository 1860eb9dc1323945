"""bench-rotate (rotate.c): many connections, of which some work at any moment."""
import json
import subprocess

from support import process

import command

PROGRAM = command.RELEASE / "tests" / "bench" / "bench-rotate"


class Rotation:
    """A running one. A context: within it all are logged in."""

    def __init__(self, name, conninfos, slots, folder, schemas=None):
        self.name = name
        path = folder / name.replace("/", "-")
        path.touch(mode=0o600)
        path.write_text("".join(line + "\n" for line in conninfos))
        more = []
        if schemas:
            more = [folder / "schemas"]
            more[0].write_text("".join(schema + "\n" for schema in schemas))
        self.load = process.spawn([PROGRAM, path, str(slots), *more], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        try:
            self.expect("ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_reason):
        self.load.kill()
        self.load.communicate()

    def hear(self):
        line = self.load.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{self.name}: bench-rotate ended with {self.load.wait()}")
        return line

    def expect(self, word):
        heard = self.hear()
        assert heard == word, heard

    def say(self, line):
        self.load.stdin.write(line + "\n")
        self.load.stdin.flush()

    def warm_up(self, script, mode, seconds, accounts):
        """Returns when every connection has had a transaction, or after 10 s."""
        self.say(f"{script} {mode} {seconds} {accounts}")
        self.expect("warm")

    def count(self):
        """What the transactions after the warm-up were, as rotate.c says it."""
        self.say("go")
        return json.loads(self.hear())
