"""`reeve serve` whose control database is on a server that a test may kill; beside it, `reeve dev` has a server of
its own and ends with it."""
import contextlib

import psycopg.conninfo

from support import postgres, process
from support.reeve import ENGINE, Reeve, binary, environment

CONTROL = "reeve"


class ReeveApart(Reeve):
    """Its control server is its cluster "local", too."""

    def __init__(self, folder, server):
        super().__init__(folder)
        self.server = server

    def set_up(self):
        """The catalog, and a configuration file."""
        self.configure(listen=f"127.0.0.1:{self.port}", key_file="key", status_socket=self.folder / "status.sock",
                       engine=ENGINE,
                       control=psycopg.conninfo.make_conninfo(host=str(self.server.folder), port=self.server.port,
                                                              user="postgres", dbname=CONTROL))
        self.cli("init")

    def start(self, wait=True, **env):
        with open(self.log_path, "ab") as log:
            self.process = process.spawn([str(binary()), "serve", "--config", str(self.config_path)], stdout=log,
                                         stderr=log, env=environment(**env), cwd=self.folder)
        if wait:
            process.wait_until(self._answers, f"reeve serve answers on port {self.port}", 60)


@contextlib.contextmanager
def running_apart(settings=None):
    with postgres.running_postgres(settings=settings, port=process.kept_port()) as server, \
            process.temporary_folder() as folder:
        reeve = ReeveApart(folder / "serve", server)
        reeve.set_up()
        try:
            reeve.start()
            reeve.add_cluster("local", server, 20)
            yield reeve
            reeve.stop()
        finally:
            if reeve.process:
                reeve.process.kill()
                reeve.process.wait()
