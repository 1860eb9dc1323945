"""The guard without a proxy: what a proxy does on a server connection, step by step."""
import contextlib
import os
import re
import struct

from support import postgres, process, wire

READ_ONLY = 1
SHARED_TABLES = 2
TENANTS = (1, 2)


def functions(path):
    """The extension's script for a library at an absolute path."""
    script = (process.ROOT / "guard" / "reeve_guard--1.0.sql").read_text()
    return script.replace("MODULE_PATHNAME", str(path))


@contextlib.contextmanager
def running_guarded(preload=False, mutate=None, **settings):
    """A server with the guard, two schema tenants (t_1, t_2) and two row tenants (role run_s) in
    database `shared`. `mutate` takes defences out."""
    def load(server):
        if preload:
            server.settings["shared_preload_libraries"] = str(server.guard)

    before = os.environ.get("REEVE_MUTATE")
    if mutate:
        os.environ["REEVE_MUTATE"] = mutate
    try:
        with postgres.running_postgres(prepare=load, settings=settings) as server:
            set_up(server)
            yield server
    finally:
        if mutate:
            del os.environ["REEVE_MUTATE"]
            if before is not None:
                os.environ["REEVE_MUTATE"] = before


def set_up(server):
    with server.connect() as admin:
        admin.execute("CREATE ROLE reeve_pool LOGIN PASSWORD 'pool'")
        admin.execute("CREATE ROLE run_s; CREATE ROLE t_1; CREATE ROLE t_2;"
                      " CREATE ROLE mighty CREATEROLE")
        admin.execute("CREATE DATABASE shared")
        admin.execute("REVOKE ALL ON DATABASE shared FROM PUBLIC")
        admin.execute("GRANT CONNECT ON DATABASE shared TO reeve_pool")
    with server.connect("shared") as admin:
        admin.execute("CREATE SCHEMA reeve; GRANT USAGE ON SCHEMA reeve TO PUBLIC;"
                      " REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        admin.execute(functions(server.guard))
        admin.execute("GRANT EXECUTE ON FUNCTION reeve.arm(bytea), reeve.enter(bytea, bigint,"
                      " integer, bytea), reeve.leave(bytea) TO reeve_pool")
        admin.execute("CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO run_s;"
                      " CREATE TABLE app.thing (tenant_id bigint DEFAULT reeve.tenant_id(),"
                      " name text); CREATE INDEX ON app.thing (tenant_id);"
                      " GRANT SELECT, INSERT, UPDATE, DELETE ON app.thing TO run_s;"
                      " ALTER TABLE app.thing ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
                      " CREATE POLICY p ON app.thing USING (tenant_id = reeve.tenant_id())"
                      " WITH CHECK (tenant_id = reeve.tenant_id());"
                      " CREATE SEQUENCE app.number; GRANT USAGE ON app.number TO run_s")
        for tenant in TENANTS:
            admin.execute(f"CREATE SCHEMA t_{tenant}; GRANT USAGE ON SCHEMA t_{tenant} TO"
                          f" t_{tenant}; CREATE TABLE t_{tenant}.thing (name text);"
                          f" GRANT ALL ON t_{tenant}.thing TO t_{tenant};"
                          f" INSERT INTO t_{tenant}.thing VALUES ('secret of {tenant}');"
                          f" INSERT INTO app.thing VALUES ({tenant}, 'secret of {tenant}')")
        advisory = admin.execute(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE proname ~ 'advisory' AND pronargs > 0 AND"
            " pronamespace = 'pg_catalog'::regnamespace").fetchall()
        for (function,) in advisory:
            admin.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
        admin.execute("REVOKE ALL ON pg_prepared_statements FROM PUBLIC;"
                      " REVOKE EXECUTE ON FUNCTION pg_prepared_statement() FROM PUBLIC")


class Session(wire.Wire):
    """A proxy's server connection. Answers to tenants are lists of rows, or an SQLSTATE."""

    def __init__(self, server, key=bytes(range(32))):
        super().__init__("127.0.0.1", server.port)
        self.login("reeve_pool", "shared", "pool")
        self.guard_key = key
        self.functions = {row[0]: int(row[1]) for row in self.run(
            "SELECT proname, oid FROM pg_proc WHERE pronamespace = 'reeve'::regnamespace")}
        self.backend_pid = self.key[0]

    def call(self, function, *values):
        return wire.function_call(self.functions[function], values)

    def arm(self):
        return self.ask(self.call("arm", self.guard_key))

    def entering(self, tenant, role="run_s", path="app, public", flags=SHARED_TABLES, key=None,
                 settings=()):
        """The bytes that go in front of a tenant's first message."""
        names = [f"tenant-{tenant}", role, path, *settings]
        packed = b"".join(name.encode() + b"\0" for name in names)
        return wire.flush() + wire.close("S") + self.call(
            "enter", key or self.guard_key, struct.pack("!q", tenant), struct.pack("!i", flags),
            packed)

    def enter(self, tenant, **options):
        found = self.ask(self.entering(tenant, **options))
        assert "E" not in [message.type for message in found], found
        return found

    def enter_schema(self, tenant, **options):
        return self.enter(tenant, role=f"t_{tenant}", path=f"t_{tenant}, public", flags=0, **options)

    def run(self, sql):
        """Rows of the last statement as tuples of text; an error's SQLSTATE."""
        return outcome(self.ask(wire.query(sql)))

    def one(self, sql):
        rows = self.run(sql)
        assert isinstance(rows, list), rows
        return rows[0][0]


def outcome(messages):
    rows = []
    for message in messages:
        if message.type == "T":
            rows = []
        elif message.type == "D":
            rows.append(tuple(value if value is None else value.decode()
                              for value in message.columns))
        elif message.type == "E":
            return message.sqlstate
    return rows


def mutations():
    """The defences that the guard's test build can take out."""
    names = set()
    for path in (process.ROOT / "guard").glob("*.[ch]"):
        names |= set(re.findall(r'guard_mutation\("([^"]+)"\)', path.read_text()))
    return sorted(names)
