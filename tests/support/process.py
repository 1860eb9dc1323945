"""Processes that end with the test run, and waiting with a deadline."""
import contextlib
import ctypes
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.02
_libc = ctypes.CDLL(None, use_errno=True)


class Deadline(AssertionError):
    """Something that had to happen did not in time."""


def wait_until(condition, what, seconds=30.0):
    """The first true value of condition(); fails after `seconds`, naming what was waited for."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Deadline(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)


def free_port():
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kept_port():
    """One that no client's own end is given meanwhile, for a server that is killed and started again: who tries
    to reach it could meet itself there."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as given:
        first = int(given.read().split()[0])
    while True:
        port = random.randrange(max(1024, first - 20000), first)
        if is_free(port):
            return port


def is_free(port):
    """Of a process that was killed, what io_uring held is given back a little later than the process is gone."""
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        probe.listen()
        return True
    return False


def end_with_parent(number):
    """For Popen's preexec_fn: the child gets signal `number` when this process ends."""
    parent = os.getpid()

    def before_exec():
        _libc.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec


def spawn(command, stop_signal=signal.SIGTERM, **options):
    """subprocess.Popen of a process that does not outlive this one."""
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(command, preexec_fn=end_with_parent(stop_signal), **options)


def stop(process, seconds=30.0):
    """SIGTERM, then SIGKILL after the deadline. Returns the exit status; -9 when it had to be
    killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def unprivileged():
    """Options for Popen that run a server which refuses root; none for an ordinary user."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("no user postgres or nobody to run PostgreSQL as")


def give_away(path):
    """Makes the unprivileged server user the owner of a path."""
    owner = unprivileged()
    if owner:
        os.chown(path, owner["user"], owner["group"])


@contextlib.contextmanager
def temporary_folder(prefix="reeve-test-"):
    """A new folder with a short path (Unix sockets), that other users may pass through."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def children(pid):
    """The process ids of all descendants."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        for child in parents.get(queue.pop(), []):
            found.append(child)
            queue.append(child)
    return found


def is_running(pid):
    """False for a process that is gone or a zombie."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def cpu_seconds(pid):
    """User and system CPU time of a process so far, all threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
