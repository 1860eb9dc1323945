"""libpq 18, from npm's server package (support/newer.py): it knows OAUTHBEARER, but no flow of its own
to get a token with, so this program is the application that has one. Run by log_in() in a process of
its own, as Debian's libpq is in this one."""
import ctypes
import json
import os
import subprocess
import sys

from support import newer
from support.reeve import environment

BEARER_TOKEN = 1  # PGauthData PQAUTHDATA_OAUTH_BEARER_TOKEN
CONNECTION_OK = 0


def install(folder):
    """Its lib folder."""
    return newer.install(18, folder).parent / "lib"


def log_in(libraries, conninfo, token):
    """{"error": ... or None, "version": of libpq, "asked": [[configuration, scope], ...] for a token}"""
    values = {**environment(), "LD_LIBRARY_PATH": str(libraries),
              "PYTHONPATH": str(newer.ROOT / "tests"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, __file__, str(libraries / "libpq.so.5"), conninfo],
                          input=token, env=values, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Request(ctypes.Structure):
    """PGoauthBearerRequest."""

    _fields_ = [("openid_configuration", ctypes.c_char_p), ("scope", ctypes.c_char_p),
                ("async_", ctypes.c_void_p), ("cleanup", ctypes.c_void_p),
                ("token", ctypes.c_char_p), ("user", ctypes.c_void_p)]


def main(library, conninfo):
    libpq = ctypes.CDLL(library)
    for name in ("PQconnectdb", "PQexec"):
        getattr(libpq, name).restype = ctypes.c_void_p
    for name in ("PQerrorMessage", "PQgetvalue"):
        getattr(libpq, name).restype = ctypes.c_char_p
    token, asked = sys.stdin.read().encode(), []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    def hook(kind, _connection, data):
        if kind != BEARER_TOKEN:
            return 0
        request = ctypes.cast(data, ctypes.POINTER(Request)).contents
        asked.append([value and value.decode()
                      for value in (request.openid_configuration, request.scope)])
        request.token = token
        return 1

    libpq.PQsetAuthDataHook(hook)
    connection = ctypes.c_void_p(libpq.PQconnectdb(conninfo.encode()))
    error = None
    if libpq.PQstatus(connection) == CONNECTION_OK:
        result = ctypes.c_void_p(libpq.PQexec(connection, b"SELECT 'served'"))
        assert libpq.PQgetvalue(result, 0, 0) == b"served"
        libpq.PQclear(result)
    else:
        error = libpq.PQerrorMessage(connection).decode()
    libpq.PQfinish(connection)
    print(json.dumps({"error": error, "version": libpq.PQlibVersion(), "asked": asked}))


if __name__ == "__main__":
    sys.stdout.flush()
    main(*sys.argv[1:])
    os._exit(sys.stdout.flush() or 0)  # libssl 1.1 and Python's own need not be unloaded in turn
