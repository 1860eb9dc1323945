"""Running pgbench: rates, latencies, and the pooler's CPU meanwhile."""
import contextlib
import dataclasses
import os
import re
import signal
import subprocess

from support import postgres, process

MODES = ("prepared", "simple")
SAMPLING = 0.1  # of transactions, whose latency is logged
SETTLING_US = 500_000  # whose latencies do not count: the poolers still open their backends
LOGIN_SECONDS = 60
FOREVER = 3600  # of who is stopped


@dataclasses.dataclass
class Run:
    """What came of one."""

    tps: float  # with the connects, where each transaction has its own
    transactions: int
    load_cpu_us: float  # of pgbench itself, a transaction
    cpu_us: float = None  # of the pooler, a transaction; None: there is none
    samples: list = ()

    def latency_us(self, share):
        """A percentile, without the first half second; None: nothing was logged."""
        begin = min((begun for begun, _taken in self.samples), default=0) + SETTLING_US
        return percentile([taken for begun, taken in self.samples if begun >= begin], share)


def percentile(values, share):
    """None of nothing."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else None


def samples(text):
    """From pgbench's log, in microseconds: [(when it was begun or due, how long from then)]"""
    found = []
    for line in text.splitlines():
        _client, _number, taken, _script, seconds, us, *_lag = line.split()
        if not taken.isdigit():
            raise RuntimeError(f"pgbench logged a transaction that {taken}")
        found.append((int(seconds) * 1_000_000 + int(us) - int(taken), int(taken)))
    return found


class Load:
    """A pgbench that runs `script`, by default its select-only, for `seconds` once all are logged in:
    its own clock begins before, so it gets more time, and the signal that its clock would send.
    Of a list of scripts it takes each as often. A context: it does not outlive it."""

    def __init__(self, subject, clients, seconds, *more, mode="simple", threads=1, script=None,
                 sampling=SAMPLING):
        self.subject, self.clients, self.seconds = subject, clients, seconds
        self.stack = contextlib.ExitStack()
        self.folder = self.stack.enter_context(process.temporary_folder("reeve-bench-"))
        work = ["-S"]
        if script:
            work = []
            for number, text in enumerate([script] if isinstance(script, str) else script):
                (self.folder / f"script{number}").write_text(text)
                work += ["-f", self.folder / f"script{number}"]
        logged = ["-l", "--log-prefix", self.folder / "log", "--sampling-rate", str(sampling)]
        command = [postgres.BIN / "pgbench", "-n", *work, "-M", subject.protocols[mode], "-c",
                   str(clients), "-j", str(threads), "-T", str(seconds + LOGIN_SECONDS),
                   *(logged if sampling else []), *more, "-h", "127.0.0.1", "-p",
                   str(subject.port), "-U", subject.user, subject.database]
        self.cpu_before = subject.cpu_seconds()
        self.process = process.spawn(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PGPASSWORD": subject.password, "PGSSLMODE": subject.sslmode})

    def __enter__(self):
        return self

    def __exit__(self, *_reason):
        self.process.kill()
        self.process.wait()
        self.stack.close()

    def sockets(self):
        found = 0
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{self.process.pid}/fd"):
                with contextlib.suppress(OSError):
                    found += os.readlink(entry.path).startswith("socket:")
        return found

    def wait_logged_in(self):
        """Until the last client is about to be; CPU counts from here. One thread logs them in one
        after another, and begins when all are."""
        with contextlib.suppress(process.Deadline):  # a run that ended early says why in finish()
            process.wait_until(
                lambda: self.sockets() >= self.clients or self.process.poll() is not None,
                f"{self.clients} clients are logged in", LOGIN_SECONDS)
        self.cpu_before = self.subject.cpu_seconds()

    def finish(self):
        """When its time is over."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=self.seconds)
        return self.stop()

    def stop(self):
        return self.result(*self.ended())

    def ended(self):
        """(output, CPU seconds of pgbench, CPU seconds of the pooler)"""
        before = os.times()
        self.process.send_signal(signal.SIGALRM)
        out, errors = self.process.communicate(timeout=LOGIN_SECONDS)
        after = os.times()
        if self.process.returncode != 0:
            raise RuntimeError(f"pgbench through {self.subject.name} failed:\n{out}{errors}")
        own = (after.children_user + after.children_system
               - before.children_user - before.children_system)
        return out, own, self.subject.cpu_seconds() - self.cpu_before

    def result(self, out, own_seconds, pooler_seconds):
        count = int(re.search(r"actually processed: (\d+)", out).group(1))
        found = re.search(r"tps = ([\d.]+) \((?:without initial|including)", out)
        if not found or count == 0:
            raise RuntimeError(f"pgbench through {self.subject.name} measured nothing:\n{out}")
        logs = "".join(path.read_text() for path in self.folder.glob("log.*"))
        return Run(float(found.group(1)), count, own_seconds * 1e6 / count,
                   pooler_seconds * 1e6 / count if self.subject.pid else None,
                   samples(logs))


def run(subject, clients, seconds, *more, **options):
    with Load(subject, clients, seconds, *more, **options) as load:
        load.wait_logged_in()
        return load.finish()
