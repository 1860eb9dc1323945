"""What processes cost: CPU and memory, from /proc."""
import contextlib
import os
import pathlib
import re

from support import process


def server_cpu_seconds(postmaster):
    """Of all its processes, those that have ended too. Of the living to the nanosecond: times in
    /proc/PID/stat are cut to ticks, and a thousand backends lose as many ticks."""
    fields = pathlib.Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()
    found = sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")  # of the ended
    for pid in [postmaster, *process.children(postmaster)]:
        with contextlib.suppress(OSError, IndexError):
            found += int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    return found


def thread_seconds(pid):
    """Of a process's threads that live, to the nanosecond: what an idle one does is less than a
    tick."""
    found = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError, IndexError):
            found += int((task / "schedstat").read_text().split()[0]) / 1e9
    return found


def field_bytes(path, *names):
    """The sum of these fields."""
    found = re.findall(rf"^(?:{'|'.join(names)}):\s+(\d+) kB", path.read_text(), re.MULTILINE)
    if len(found) != len(names):
        raise ProcessLookupError(f"{path} has {found} for {names}")  # it is ending
    return sum(map(int, found)) * 1024


def own_bytes(pid):
    """What a backend adds to the server's memory: its proportional set without shared buffers, whose
    share depends on how many others there are, and its page tables. None when it has ended."""
    folder = pathlib.Path(f"/proc/{pid}")
    with contextlib.suppress(OSError):
        return (field_bytes(folder / "smaps_rollup", "Pss_Anon", "Pss_File")
                + field_bytes(folder / "status", "VmPTE"))
    return None


def resident_bytes(pid):
    return field_bytes(pathlib.Path(f"/proc/{pid}/status"), "VmRSS")
