"""What a process holds: that it comes back to where it was."""
import os
import pathlib

from support.process import wait_until

MEGABYTE = 1 << 20


def resident(server):
    """Bytes of memory that the server process has in use."""
    for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def descriptors(server):
    """How many files and sockets it has open."""
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


class Vitals:
    """Taken when the server has nothing to do; `check` when it has nothing to do again."""

    def __init__(self, server):
        self.server = server
        self.descriptors, self.memory = descriptors(server), resident(server)

    def check(self, memory=24 * MEGABYTE):
        wait_until(lambda: descriptors(self.server) <= self.descriptors,
                   f"no more than {self.descriptors} descriptors are open", 20)
        grown = resident(self.server) - self.memory
        assert grown < memory, f"{grown / MEGABYTE:.0f} MB are not given back"
