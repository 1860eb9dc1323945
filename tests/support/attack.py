"""Two tenants, one of them hostile. Every function here raises AssertionError when it gets through.

That they do notice is proven by test_the_tests_notice.py, which takes the defences out.
"""
import dataclasses
import threading

import psycopg
from psycopg import sql as compose

from support.process import wait_until
from support.world import unique

SECRET_TABLES = ("pg_catalog.pg_stats", "pg_catalog.pg_stat_activity",
                 "pg_catalog.pg_prepared_statements", "pg_catalog.pg_cursors",
                 "pg_catalog.pg_seclabels")


@dataclasses.dataclass
class Stage:
    """The attacker, the victim, and what the administrator knows of both."""

    reeve: object
    attacker: object
    victim: object
    attacker_place: dict
    victim_place: dict
    victim_id: int
    secret: str
    admin: object  # admin(database) -> a superuser's connection to the cluster

    @property
    def mode(self):
        return self.victim.mode

    def words(self):
        """What attack texts may name."""
        return {"role": self.victim_place["role"], "schema": self.victim_place["schema"],
                "database": self.victim_place["database"], "id": self.victim_id,
                "own_role": self.attacker_place["role"], "owner": "own_things",
                "run": "run_things"}

    def connect(self, tenant=None, **options):
        return self.reeve.connect(tenant or self.attacker, **options)

    def attacker_settings(self):
        """What the attacker's role has been given for its sessions: {(database or None): [...]}."""
        with self.admin("postgres") as admin:
            return dict(admin.execute(
                "SELECT datname, setconfig FROM pg_db_role_setting"
                " LEFT JOIN pg_database d ON d.oid = setdatabase"
                " WHERE setrole = %s::regrole", [self.attacker_place["role"]]).fetchall())

    def end_attackers_backends(self):
        """Defaults of a role hold from its next login on."""
        role = self.attacker_place["login_role"]
        with self.admin("postgres") as admin:
            def gone():
                return admin.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE usename = %s", [role]).fetchone() == (0,)

            wait_until(gone, "the attacker's server connections are gone")
        with self.connect() as connection:
            quietly(connection, "SELECT 1")  # one may have been on its way to the end

    def restore_attacker(self, settings):
        """A role may change its own defaults and so harm itself, which must not harm later tests."""
        role = compose.Identifier(self.attacker_place["role"])
        with self.admin("postgres") as admin:
            for database in {*self.attacker_settings(), *settings}:
                where = compose.SQL("IN DATABASE {}").format(
                    compose.Identifier(database)) if database else compose.SQL("")
                admin.execute(compose.SQL("ALTER ROLE {} {} RESET ALL").format(role, where))
                for setting in settings.get(database, []):
                    name, _, value = setting.partition("=")
                    # The stored text is SQL already (a quoted list of schemas).
                    admin.execute(compose.SQL("ALTER ROLE {} {} SET {} TO {}").format(
                        role, where, compose.Identifier(name), compose.SQL(value)))


def set_stage(world, attacker, victim, admin=None):
    """Gives the victim a secret in every table."""
    secret = unique("secret")
    with world.reeve.connect(victim) as connection:
        thing = connection.execute(
            "INSERT INTO thing (name, body, data) VALUES (%s, %s, %s) RETURNING id",
            [secret, f"body {secret}", secret.encode()]).fetchone()[0]
        connection.execute("INSERT INTO part (thing_id, label) VALUES (%s, %s)", [thing, secret])
    places = [world.placement(tenant) for tenant in (attacker, victim)]
    victim_id = world.reeve.query("SELECT tenant_id FROM reeve.placement WHERE id = %s",
                                  places[1]["id"])[0][0]
    admin = admin or world.reeve.admin
    with admin(places[1]["database"]) as connection:
        connection.execute("ANALYZE")
    return Stage(world.reeve, attacker, victim, *places, victim_id, secret, admin)


def quietly(connection, text, prepare=False):
    """Runs it; errors are the attacker's lot. Returns the error or None."""
    try:
        cursor = connection.execute(text, prepare=prepare or None)
        while cursor.nextset():
            pass
    except psycopg.Error as error:
        return error
    return None


def loot(stage, connection):
    """The names of all relations in which this connection finds the victim's secret."""
    found = []
    relations = connection.execute(
        "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = relnamespace WHERE relkind IN ('r', 'v', 'm', 'p', 'f')"
        " AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')").fetchall()
    for relation in [name for (name,) in relations] + list(SECRET_TABLES) + [
            "thing", "part", "thing_parts"]:
        query = (f"SELECT count(*) FROM {relation} t WHERE t::text LIKE %s"
                 f" AND t::text NOT LIKE '%%LIKE ''%%'")
        if relation.endswith("pg_stat_activity"):
            query += " AND pid <> pg_backend_pid()"
        try:
            with connection.transaction():
                # The pattern goes as a parameter: the query's own text must not match.
                count = connection.execute(query, [f"%{stage.secret}%"]).fetchone()[0]
        except psycopg.Error:
            continue
        if count:
            found.append(relation)
    return found


def check_nothing_gained(stage, connection):
    """No secret, and still nobody but oneself."""
    leaks = loot(stage, connection)
    assert not leaks, f"the attacker reads the victim's rows in {leaks}"
    who = connection.execute("SELECT session_user, current_user").fetchone()
    own = {stage.attacker_place["role"]}
    if stage.attacker_place["enforcement"] == "login":
        own.add("run_things")  # a group of its role; who it is goes by the login
    assert who[0] == stage.attacker_place["login_role"] and who[1] in own, who
    number = connection.execute("SELECT reeve.tenant_id()").fetchone()[0]
    assert number not in (None, stage.victim_id), f"the attacker is tenant {number}"


def check_victim_unharmed(stage):
    """The victim sees its row as it was, and nothing of anybody else's."""
    with stage.connect(stage.victim) as connection:
        rows = connection.execute("SELECT name, body, data FROM thing WHERE name = %s",
                                  [stage.secret]).fetchall()
        assert rows == [(stage.secret, f"body {stage.secret}", stage.secret.encode())]
        rows = connection.execute("SELECT label FROM part WHERE label = %s",
                                  [stage.secret]).fetchall()
        assert rows == [(stage.secret,)], "the victim's part is gone"
        foreign = connection.execute("SELECT count(*) FROM thing WHERE name LIKE 'forged%'")
        assert foreign.fetchone() == (0,), "the attacker wrote into the victim's table"
        who = connection.execute("SELECT session_user, current_user").fetchone()
        assert who == (stage.victim_place["login_role"], stage.victim_place["role"])


# ---- 1: the tenant setting ----

CONTEXT = {
    "set": "SET reeve.tenant_id = '{id}'",
    "set other names": "SET reeve.tenant = '{id}'; SET app.tenant_id = '{id}';"
                       " SET app.current_tenant = '{id}'",
    "set_config": "SELECT set_config('reeve.tenant_id', '{id}', false)",
    "set_config local": "BEGIN; SELECT set_config('reeve.tenant_id', '{id}', true)",
    "reset": "RESET reeve.tenant_id; RESET ALL",
    "in DO": "DO $$ BEGIN PERFORM set_config('reeve.tenant_id', '{id}', false); END $$",
    "in DO with SET": "DO $$ BEGIN SET reeve.tenant_id = '{id}'; END $$",
    "in a function": "CREATE FUNCTION pg_temp.f() RETURNS void LANGUAGE sql AS"
                     " $$ SELECT set_config('reeve.tenant_id', '{id}', false) $$;"
                     " SELECT pg_temp.f()",
    "a function in the schema": "CREATE FUNCTION f() RETURNS SETOF thing LANGUAGE sql"
                                " SECURITY DEFINER AS 'SELECT * FROM thing'; SELECT f()",
    "a function's SET clause": "CREATE FUNCTION pg_temp.g() RETURNS bigint LANGUAGE sql"
                               " SET reeve.tenant_id = '{id}' AS 'SELECT count(*) FROM thing';"
                               " SELECT pg_temp.g()",
    "a view's expression": "CREATE TEMP VIEW v AS SELECT set_config('reeve.tenant_id', '{id}',"
                           " false), t.* FROM thing t; SELECT * FROM v",
    "alter role": "ALTER ROLE {own_role} SET reeve.tenant_id = '{id}'",
    "alter role search_path": "ALTER ROLE {own_role} SET search_path = {schema}",
    "alter role in database": "ALTER ROLE {own_role} IN DATABASE {database}"
                              " SET reeve.tenant_id = '{id}'",
    "alter role all": "ALTER ROLE ALL SET reeve.tenant_id = '{id}'",
    "alter database": "ALTER DATABASE {database} SET reeve.tenant_id = '{id}'",
    "alter system": "ALTER SYSTEM SET reeve.tenant_id = '{id}'",
    "row_security off": "SET row_security = off",
    "alter role row_security off": "ALTER ROLE {own_role} SET row_security = off",
    "replication role": "SET session_replication_role = replica",
    "search_path": "SET search_path = {schema}, app, public",
    "search_path local": "BEGIN; SET LOCAL search_path = {schema}",
    "shadow the function": "CREATE FUNCTION pg_temp.tenant_id() RETURNS bigint LANGUAGE sql AS"
                           " 'SELECT {id}::bigint'; SET search_path = pg_temp, reeve, {schema}",
    "replace the function": "CREATE OR REPLACE FUNCTION reeve.tenant_id() RETURNS bigint"
                            " LANGUAGE sql AS 'SELECT {id}::bigint'",
    "write the mapping": "UPDATE reeve.role_tenant SET tenant_id = {id};"
                         " INSERT INTO reeve.role_tenant VALUES ('{own_role}', {id})",
    "drop the policy": "ALTER TABLE thing DISABLE ROW LEVEL SECURITY",
    "drop a policy": "ALTER TABLE thing NO FORCE ROW LEVEL SECURITY; DROP POLICY tenant ON thing",
    "add a policy": "CREATE POLICY mine ON thing USING (true)",
    "own the table": "ALTER TABLE thing OWNER TO {own_role}",
    "lock out": "ALTER TABLE thing RENAME TO stolen; DROP TABLE thing CASCADE; TRUNCATE thing",
    "trigger": "CREATE TRIGGER t BEFORE INSERT ON thing FOR EACH ROW EXECUTE FUNCTION"
               " suppress_redundant_updates_trigger()",
    "rule": "CREATE RULE r AS ON SELECT TO thing DO INSTEAD SELECT * FROM {schema}.thing",
    "operator": "CREATE FUNCTION pg_temp.leak(text, text) RETURNS boolean LANGUAGE plpgsql COST 0.1"
                " AS $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$;"
                " SELECT * FROM thing WHERE pg_temp.leak(name, '')",
    "grant": "GRANT SELECT ON {schema}.thing TO PUBLIC; GRANT {role} TO {own_role}",
    "schema by name": "SELECT * FROM {schema}.thing; SELECT * FROM {schema}.part",
}

# ---- 2: the role ----

ROLE = {
    "reset role": "RESET ROLE",
    "set role none": "SET ROLE NONE",
    "set role": "SET ROLE {role}",
    "set role of the owner": "SET ROLE {owner}",
    "set role of the group": "SET ROLE {run}",
    "set role postgres": "SET ROLE postgres",
    "set local role": "BEGIN; SET LOCAL ROLE {role}",
    "set_config role": "SELECT set_config('role', '{role}', false)",
    "in DO": "DO $$ BEGIN SET ROLE {role}; END $$",
    "session authorization": "SET SESSION AUTHORIZATION {role}",
    "session authorization default": "SET SESSION AUTHORIZATION DEFAULT",
    "local session authorization": "BEGIN; SET LOCAL SESSION AUTHORIZATION {role}",
    "set_config session_authorization": "SELECT set_config('session_authorization', '{role}', false)",
    "reset session authorization": "RESET SESSION AUTHORIZATION",
    "discard all": "DISCARD ALL",
    "discard and set": "DISCARD ALL; SET ROLE {role}",
    "savepoint": "BEGIN; SAVEPOINT s; SET ROLE {role}",
    "rolled back": "BEGIN; SAVEPOINT s; RESET ROLE; ROLLBACK TO s",
    "rolled back to another": "BEGIN; SAVEPOINT s; SET ROLE {role}; ROLLBACK TO s; RESET ROLE",
    "prepared transaction": "BEGIN; SET ROLE {role}; PREPARE TRANSACTION 'x'",
    "alter role set role": "ALTER ROLE {own_role} SET role = '{role}'",
    "alter own rights": "ALTER ROLE {own_role} SUPERUSER",
    "alter own rights to bypass": "ALTER ROLE {own_role} BYPASSRLS CREATEROLE",
    "alter the victim": "ALTER ROLE {role} PASSWORD 'known'",
    "create role": "CREATE ROLE mine SUPERUSER",
    "drop owned": "DROP OWNED BY {role}; REASSIGN OWNED BY {role} TO {own_role}",
    "statement kept": "PREPARE p AS SELECT * FROM thing; SET ROLE {role}; EXECUTE p",
}


def run_sql_attack(stage, text, prepare=False):
    """Statement by statement, with a look round after each; then over a new connection."""
    settings = stage.attacker_settings()
    try:
        _run_sql_attack(stage, text, prepare)
    finally:
        if stage.attacker_settings() != settings:
            stage.restore_attacker(settings)


def _run_sql_attack(stage, text, prepare):
    with stage.connect() as connection:
        statements = split(text.format(**stage.words()))
        for statement in statements:
            quietly(connection, statement, prepare)
            if connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
                quietly(connection, "ROLLBACK")
            check_nothing_gained(stage, connection)
        quietly(connection, "ROLLBACK")
        check_nothing_gained(stage, connection)
    stage.end_attackers_backends()
    with stage.connect() as connection:
        check_nothing_gained(stage, connection)
    check_victim_unharmed(stage)


def run_in_one_message(stage, text):
    """All statements in one simple query, with the theft at its end."""
    settings = stage.attacker_settings()
    try:
        with stage.connect() as connection:
            text = text.format(**stage.words()).rstrip("; ")
            rows = rows_of(connection, text + "; SELECT * FROM thing; SELECT * FROM part")
            assert stage.secret not in str(rows), "the attacker reads the victim's rows"
            quietly(connection, "ROLLBACK")
            check_nothing_gained(stage, connection)
    finally:
        if stage.attacker_settings() != settings:
            stage.restore_attacker(settings)
    check_victim_unharmed(stage)


def rows_of(connection, text):
    """All rows that a message of several statements brings, up to its error."""
    rows = []
    try:
        cursor = connection.execute(text)
        while True:
            if cursor.description:
                rows += cursor.fetchall()
            if not cursor.nextset():
                return rows
    except psycopg.Error:
        return rows


def split(text):
    """Statements of an attack's text; dollar-quoted bodies stay whole."""
    parts, current, quoted = [], "", False
    for piece in text.split(";"):
        current += piece
        quoted ^= piece.count("$$") % 2 == 1
        if quoted:
            current += ";"
        else:
            parts.append(current)
            current = ""
    return [part for part in map(str.strip, parts) if part]


# ---- 2: other sessions ----

def attack_neighbours_queries(stage):
    """Reading, cancelling and terminating what the victim is running."""
    running = stage.connect(stage.victim)
    errors = []

    def work():
        try:
            running.execute(f"SELECT pg_sleep(3) /* {stage.secret} */")
        except psycopg.Error as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        with stage.connect() as connection, stage.admin(stage.victim_place["database"]) as admin:
            pid = None
            while thread.is_alive() and pid is None:
                row = admin.execute("SELECT pid FROM pg_stat_activity WHERE usename = %s"
                                    " AND query LIKE %s AND state = 'active'",
                                    [stage.victim_place["login_role"],
                                     f"%{stage.secret} */%"]).fetchone()
                pid = row and row[0]
            assert pid, "the victim's query was never seen running"
            for text in ("", "RESET ROLE", "SET SESSION AUTHORIZATION DEFAULT", "DISCARD ALL"):
                if text:
                    quietly(connection, text)
                seen = connection.execute("SELECT query FROM pg_stat_activity WHERE pid = %s",
                                          [pid]).fetchall()
                assert stage.secret not in str(seen), "the victim's query is visible"
                for function in ("pg_cancel_backend", "pg_terminate_backend"):
                    quietly(connection, f"SELECT {function}({pid})")
                    quietly(connection, f"SELECT {function}(pid) FROM pg_stat_activity"
                                        f" WHERE pid <> pg_backend_pid()")
    finally:
        thread.join()
        running.close()
    assert errors == [], f"the victim was disturbed: {errors}"


# ---- leftovers: 14, 17 to 22 ----

def attack_in_turn(stage):
    """Transaction by transaction in turn with the victim, on as few backends as there are."""
    with stage.connect() as attacker, stage.connect(stage.victim) as victim:
        for _ in range(5):
            assert victim.execute("SELECT count(*) FROM thing WHERE name = %s",
                                  [stage.secret], prepare=True).fetchone() == (1,)
            rows = attacker.execute("SELECT count(*) FROM thing WHERE name = %s",
                                    [stage.secret], prepare=True).fetchone()
            assert rows == (0,), "the attacker sees the victim's rows"
            check_nothing_gained(stage, attacker)


# ---- 9 and 10: writing, and guessing by keys ----

FORGERIES = {
    "insert": "INSERT INTO thing (tenant_id, name) VALUES ({id}, 'forged')",
    "insert select": "INSERT INTO thing (tenant_id, name) SELECT {id}, 'forged2'",
    "insert into part": "INSERT INTO part (tenant_id, thing_id, label) VALUES ({id}, 1, 'forged')",
    "update": "INSERT INTO thing (name) VALUES ('forged3'); UPDATE thing SET tenant_id = {id}",
    "upsert": "INSERT INTO thing (tenant_id, name, body) VALUES ({id}, '{secret}', 'forged')"
              " ON CONFLICT (tenant_id, name) DO UPDATE SET body = 'forged'",
    "upsert by constraint": "INSERT INTO thing (tenant_id, name) VALUES ({id}, '{secret}')"
                            " ON CONFLICT ON CONSTRAINT thing_name_key DO UPDATE SET body = 'forged'",
    "upsert nothing": "INSERT INTO thing (tenant_id, name) VALUES ({id}, 'forged4')"
                      " ON CONFLICT DO NOTHING",
    "upsert moves": "INSERT INTO thing (name) VALUES ('forged5') ON CONFLICT (tenant_id, name)"
                    " DO UPDATE SET tenant_id = {id}",
    "merge": "MERGE INTO thing t USING (VALUES ({id}::bigint, 'forged6')) v(i, n)"
             " ON t.tenant_id = v.i AND t.name = v.n WHEN NOT MATCHED THEN"
             " INSERT (tenant_id, name) VALUES (v.i, v.n)",
    "merge update": "MERGE INTO thing t USING (VALUES ({id}::bigint)) v(i) ON t.tenant_id = v.i"
                    " WHEN MATCHED THEN UPDATE SET body = 'forged'",
    "update all": "UPDATE thing SET body = 'forged' WHERE tenant_id = {id}",
    "delete all": "DELETE FROM thing WHERE tenant_id = {id}; DELETE FROM thing",
    "delete parts": "DELETE FROM part WHERE tenant_id = {id}; DELETE FROM part",
    "truncate": "TRUNCATE thing CASCADE; TRUNCATE part",
    "copy": "COPY thing (tenant_id, name) FROM '/etc/hostname'",
    "shared table": "UPDATE kind SET title = 'forged'; DELETE FROM kind;"
                    " INSERT INTO kind VALUES ('f', 'forged')",
}


def forge(stage, text):
    with stage.connect() as connection:
        for statement in split(text.format(**stage.words(), secret=stage.secret)):
            quietly(connection, statement)
        titles = connection.execute("SELECT code, title FROM kind ORDER BY 1").fetchall()
        assert titles == [("a", "first kind"), ("b", "second kind")]
        check_nothing_gained(stage, connection)
        connection.execute("DELETE FROM thing")
    check_victim_unharmed(stage)
    with stage.admin(stage.victim_place["database"]) as admin:
        table = compose.Identifier(stage.victim_place["schema"], "thing")
        forged = admin.execute(compose.SQL(
            "SELECT count(*) FROM {} WHERE tenant_id = %s AND (name LIKE 'forged%%'"
            " OR body LIKE 'forged%%')").format(table), [stage.victim_id]).fetchone()
    assert forged == (0,), "a forged row is in the victim's place"


def attack_keys_as_oracle(stage):
    """A neighbour's keys make no difference to what the attacker is told."""
    with stage.connect(stage.victim) as connection:
        victim_thing = connection.execute("SELECT id FROM thing WHERE name = %s",
                                          [stage.secret]).fetchone()[0]
    with stage.connect() as connection:
        # The victim's natural key and its id are free for the attacker.
        error = quietly(connection, f"INSERT INTO thing (id, name) VALUES ({victim_thing},"
                                    f" '{stage.secret}')")
        assert error is None, f"a neighbour's key is seen: {error}"
        # A foreign key to the attacker's own row of that id works, and only to that.
        connection.execute("DELETE FROM thing")
        errors = [quietly(connection, f"INSERT INTO part (thing_id, label) VALUES ({number}, 'x')")
                  for number in (victim_thing, 987654321)]
        assert [error and error.sqlstate for error in errors] == ["23503"] * 2, errors
        shape = [str(error).replace(f", {number})", ", N)")
                 for error, number in zip(errors, (victim_thing, 987654321))]
        assert shape[0] == shape[1]


def attack_cascade(stage):
    """Deleting and changing one's own row of the same id does not reach the victim's."""
    with stage.connect(stage.victim) as connection:
        victim_thing = connection.execute("SELECT id FROM thing WHERE name = %s",
                                          [stage.secret]).fetchone()[0]
    with stage.connect() as connection:
        connection.execute("INSERT INTO thing (id, name) VALUES (%s, 'mine')", [victim_thing])
        connection.execute("INSERT INTO part (thing_id, label) VALUES (%s, 'mine')", [victim_thing])
        connection.execute("UPDATE thing SET id = id + 1000000 WHERE id = %s AND name <> 'mine'",
                           [victim_thing])
        connection.execute("DELETE FROM thing WHERE id = %s", [victim_thing])
        assert connection.execute("SELECT count(*) FROM part").fetchone() == (0,)
    check_victim_unharmed(stage)


# ---- 8 and 29: rights ----

def check_role_attributes(stage):
    """Neither owner nor anything else that policies do not hold for."""
    with stage.admin(stage.victim_place["database"]) as admin:
        for role in (stage.victim_place["role"], stage.attacker_place["role"]):
            flags = admin.execute(
                "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication"
                " FROM pg_roles WHERE rolname = %s", [role]).fetchone()
            assert flags == (False,) * 5, f"{role}: {flags}"
            owned = admin.execute(
                "SELECT count(*) FROM pg_shdepend d JOIN pg_roles r ON r.oid = refobjid"
                " WHERE deptype = 'o' AND rolname = %s", [role]).fetchone()
            assert owned == (0,), f"{role} owns something"
            powerful = admin.execute(
                "SELECT g.rolname FROM pg_roles g WHERE g.rolname <> %s AND"
                " pg_has_role(%s, g.oid, 'MEMBER') AND (g.rolsuper OR g.rolbypassrls OR"
                " g.rolcreaterole OR g.rolcanlogin OR g.rolname ~ '^t_[0-9]+' OR g.rolname LIKE 'pg\\_%%' OR"
                " EXISTS (SELECT FROM pg_class WHERE relowner = g.oid))", [role, role]).fetchall()
            assert powerful == [], f"{role} is a member of {powerful}"


def check_row_security_is_forced(stage):
    """Every table with a tenant column in a shared schema."""
    with stage.admin(stage.victim_place["database"]) as admin:
        tables = admin.execute(
            "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class c"
            " JOIN pg_attribute a ON attrelid = c.oid WHERE attname = 'tenant_id'"
            " AND relkind IN ('r', 'p') AND relnamespace = %s::regnamespace",
            [stage.victim_place["schema"]]).fetchall()
    assert len(tables) >= 2
    assert [row for row in tables if row[1:] != (True, True)] == []


def check_public_has_nothing(stage):
    """CONNECT on one's own database alone; TEMP and CREATE nowhere."""
    role, own = stage.attacker_place["role"], stage.attacker_place["database"]
    with stage.admin("postgres") as admin:
        rights = dict(admin.execute(
            "SELECT datname, has_database_privilege(%s, oid, 'CONNECT') FROM pg_database"
            " WHERE datallowconn", [stage.attacker_place["login_role"]]).fetchall())
        temporary = admin.execute(
            "SELECT datname FROM pg_database WHERE has_database_privilege(%s, oid, 'TEMPORARY')"
            " OR has_database_privilege(%s, oid, 'CREATE')", [role, role]).fetchall()
        databases = [name for name, _ in rights.items()]
    shared = {name for name, allowed in rights.items() if allowed}
    assert own in shared
    # The pool role is in every service's shared database, where it has no right.
    assert shared == {own} or (stage.attacker_place["enforcement"] == "guard"
                               and all(name.startswith("svc_") for name in shared)), shared
    assert temporary == []
    for database in databases:
        with stage.admin(database) as admin:
            schemas = admin.execute(
                "SELECT nspname FROM pg_namespace WHERE has_schema_privilege(%s, oid, 'CREATE')"
                " AND nspname NOT LIKE 'pg\\_temp%%' AND nspname NOT LIKE 'pg\\_toast\\_temp%%'",
                [role]).fetchall()
            assert schemas == [], f"{role} may create in {schemas} of {database}"
    with stage.admin(own) as admin:
        definers = admin.execute(
            "SELECT pronamespace::regnamespace || '.' || proname FROM pg_proc WHERE prosecdef"
            " AND has_function_privilege(%s, oid, 'EXECUTE')"
            " AND has_schema_privilege(%s, pronamespace, 'USAGE')", [role, role]).fetchall()
        assert {name for (name,) in definers} <= {
            "reeve.tenant_id", "reeve.tenant_slug", "reeve.login_tenant",
            "reeve.login_tenant_slug"}, definers


def check_rights_on_tables(stage):
    """Rows, and nothing that passes policies by, makes objects or holds on to rows (13)."""
    role, schema = stage.attacker_place["role"], stage.attacker_place["schema"]
    with stage.admin(stage.attacker_place["database"]) as admin:
        tables = [name for (name,) in admin.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'v', 'p')"
            " AND relnamespace = %s::regnamespace", [schema])]
        assert len(tables) >= 4
        for table in tables:
            rights = [right for right in ("TRUNCATE", "REFERENCES", "TRIGGER") if admin.execute(
                "SELECT has_any_column_privilege(%s, %s, 'REFERENCES') AND %s = 'REFERENCES' OR"
                " has_table_privilege(%s, %s, %s)", [role, table, right, role, table, right]
            ).fetchone()[0]]
            assert rights == [], f"{role} has {rights} on {table}"
    with stage.connect() as connection:
        for text in ("TRUNCATE thing", "TRUNCATE thing, part", "TRUNCATE ONLY part",
                     "DO $$ BEGIN EXECUTE 'TRUNCATE part'; END $$",
                     "CREATE TRIGGER t AFTER INSERT ON part FOR EACH ROW EXECUTE FUNCTION"
                     " suppress_redundant_updates_trigger()",
                     "ALTER TABLE part ADD FOREIGN KEY (thing_id) REFERENCES thing (id)",
                     f"CREATE TABLE held (id bigint REFERENCES {stage.victim_place['schema']}.thing)"):
            error = quietly(connection, text)
            assert error is not None and error.sqlstate == "42501", f"{text}: {error}"


def attack_creating(stage):
    """No object of any kind can be made."""
    texts = ["CREATE TABLE public.t (i int)", "CREATE TABLE t (i int)", "CREATE TEMP TABLE t (i int)",
             "CREATE SCHEMA mine", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
             "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
             "CREATE VIEW v AS SELECT 1", "CREATE TYPE y AS (i int)", "CREATE SEQUENCE s",
             "CREATE EXTENSION dblink", "CREATE LANGUAGE plpython3u", "CREATE DATABASE mine",
             "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw", "CREATE PUBLICATION p",
             "CREATE OPERATOR = (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text)",
             "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION pg_catalog.lo_export()",
             "SELECT lo_create(0)", "SELECT lo_import('/etc/passwd')",
             "SELECT pg_read_file('/etc/passwd')", "COPY (SELECT 1) TO PROGRAM 'id'",
             "COPY (SELECT 1) TO '/tmp/reeve-attack'", "LOAD 'plpgsql'",
             "SELECT pg_reload_conf()", "CHECKPOINT", "VACUUM FULL thing",
             "SELECT pg_create_logical_replication_slot('s', 'pgoutput')"]
    with stage.connect() as connection:
        for text in texts:
            error = quietly(connection, text)
            if text.startswith("VACUUM"):
                continue  # only warns
            assert error is not None, f"allowed: {text}"
