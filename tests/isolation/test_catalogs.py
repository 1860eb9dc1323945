"""THREATS 22, 25 and 27: what system catalogs tell of neighbours, and languages that keep things in the
session."""
import re

import psycopg
import pytest

from support import attack
from support.attack import quietly
from support.notice import hole, made, must_notice

# ---- 27: names, bodies, comments ----


def readable(connection):
    """Every relation of PostgreSQL's own that the attacker may try to read."""
    return [name for (name,) in connection.execute(
        "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = relnamespace WHERE relkind IN ('r', 'v', 'm', 'f')"
        " AND nspname IN ('pg_catalog', 'information_schema', 'reeve') ORDER BY 1")]


# What catalogs keep in a form of their own, as text.
DEFINITIONS = [
    "SELECT pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace"
    " WHERE prokind = 'f' AND nspname NOT IN ('pg_catalog', 'information_schema')",
    "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef",
    "SELECT pg_get_constraintdef(oid) FROM pg_constraint",
    "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid >= 16384",
    "SELECT pg_get_viewdef(oid) FROM pg_class WHERE relkind = 'v' AND oid >= 16384",
    "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles",
    "SELECT col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid >= 16384",
]


def read_catalogs(stage):
    """Neither who the victim is, nor what it has, nor its credentials stand anywhere."""
    victim = stage.victim
    secrets = [re.escape(victim.slug) + r"(?![0-9A-Za-z_-])", re.escape(stage.secret)]
    secrets += [re.escape(each) for each in (victim.token, victim.password) if each]
    with stage.connect() as connection:
        read = 0
        for relation in readable(connection):
            text = f"SELECT t::text FROM {relation} t WHERE t::text ~ %s"
            if relation.endswith("pg_stat_activity"):
                text += " AND pid <> pg_backend_pid()"
            try:
                rows = connection.execute(text, ["|".join(secrets)]).fetchall()
            except psycopg.Error:
                continue
            assert not rows, f"{relation} tells of the victim: {rows[0]}"
            read += 1
        assert read > 100, "hardly a catalog could be read"
        for relation in ("pg_authid", "pg_shadow", "pg_user_mapping", "pg_subscription",
                         "pg_hba_file_rules", "pg_file_settings", "pg_largeobject"):
            error = quietly(connection, f"SELECT * FROM pg_catalog.{relation}")
            assert error is not None and error.sqlstate == "42501", f"{relation} can be read"
        for text in DEFINITIONS:
            found = re.search("|".join(secrets), str(connection.execute(text).fetchall()))
            assert not found, f"the victim is told of by {text}"


def test_catalogs(stage):
    read_catalogs(stage)


TOLD = {
    "comment on its schema": ("COMMENT ON SCHEMA {schema} IS '{slug}'",
                              "COMMENT ON SCHEMA {schema} IS NULL"),
    "comment on its role": ("COMMENT ON ROLE {role} IS 'of {slug}'", "COMMENT ON ROLE {role} IS NULL"),
    "comment on its database": ("COMMENT ON DATABASE {database} IS '{slug}'",
                                "COMMENT ON DATABASE {database} IS NULL"),
    "name of a role": ("CREATE ROLE \"{slug}\"", "DROP ROLE \"{slug}\""),
    "setting of its role": ("ALTER ROLE {role} SET application_name = '{slug}'",
                            "ALTER ROLE {role} RESET application_name"),
    "body of a function": ("CREATE FUNCTION {schema}.hole() RETURNS text LANGUAGE sql AS"
                           " $$ SELECT '{password}' $$", "DROP FUNCTION {schema}.hole()"),
    "default": ("ALTER TABLE {schema}.thing ALTER body SET DEFAULT 'of {slug}'",
                "ALTER TABLE {schema}.thing ALTER body DROP DEFAULT"),
    "constraint": ("ALTER TABLE {schema}.thing ADD CONSTRAINT hole CHECK (body <> '{slug}')",
                   "ALTER TABLE {schema}.thing DROP CONSTRAINT hole"),
}


@pytest.mark.parametrize("name", TOLD)
def test_catalogs_are_noticed(bare, name):
    stage = made(bare, "schema")
    words = {"slug": stage.victim.slug, "password": stage.victim.password, **stage.words()}
    opening, closing = (text.format(**words) for text in TOLD[name])
    with hole(stage, opening, closing):
        must_notice(read_catalogs, stage)
    read_catalogs(stage)


OPAQUE = re.compile(r"t_[0-9]{6,}(_[0-9]+)?(_ro)?|d_[0-9]{6,}(_[0-9]+)?|(own|run|use|svc|tpl)_things|run_things_ro|reeve(_pool|_claim)?|app|"
                    r"public|postgres|template[01]|pg_.*|information_schema")


def read_names(stage):
    """Roles, schemas and databases have numbers, or a service's name."""
    with stage.connect() as connection:
        for text in ("SELECT rolname FROM pg_roles", "SELECT nspname FROM pg_namespace",
                     "SELECT datname FROM pg_database", "SELECT usename FROM pg_user",
                     "SELECT schema_name FROM information_schema.schemata"):
            for (name,) in connection.execute(text).fetchall():
                assert OPAQUE.fullmatch(name), (text, name)


def test_names_are_opaque(stage):
    read_names(stage)


@pytest.mark.parametrize("text", ["ROLE", "SCHEMA"])
def test_names_are_noticed(bare, text):
    stage = made(bare, "schema")
    with hole(stage, f"CREATE {text} acme", f"DROP {text} acme"):
        must_notice(read_names, stage)


# ---- 25: sessions ----

def read_sessions(stage):
    """Of neighbours' sessions no text, no address; the name that the client gave itself is residual
    (docs/security.md)."""
    texts = {
        "pg_stat_activity": "SELECT query, client_addr, client_hostname, client_port, wait_event,"
                            " state FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                            " AND usename IS DISTINCT FROM session_user",
        "pg_stat_get_activity": "SELECT query, client_addr, NULL, client_port, wait_event, state"
                                " FROM pg_stat_get_activity(NULL) a JOIN pg_roles r ON"
                                " r.oid = a.usesysid WHERE pid <> pg_backend_pid()"
                                " AND rolname <> session_user",
        "its functions": "SELECT pg_stat_get_backend_activity(b), pg_stat_get_backend_client_addr(b),"
                         " NULL, pg_stat_get_backend_client_port(b),"
                         " pg_stat_get_backend_wait_event(b), NULL"
                         " FROM pg_stat_get_backend_idset() b"
                         " WHERE pg_stat_get_backend_pid(b) <> pg_backend_pid()",
    }
    with (stage.connect(stage.victim) as victim, stage.connect() as connection):
        victim.execute("SELECT /* " + stage.secret + " */ 1")
        for name, text in texts.items():
            for row in connection.execute(text).fetchall():
                query, *others = row
                assert query is None or query.startswith("<insufficient privilege"), (name, row)
                if name != "its functions":
                    assert others == [None] * 5, (name, row)
        error = quietly(connection, "SELECT * FROM pg_stat_statements")
        assert error is not None, "other tenants' statements are collected and shown"


def test_sessions(roomy_stage):
    read_sessions(roomy_stage)


def test_sessions_are_noticed(bare):
    stage = made(bare, "schema")
    roles = f"{stage.attacker_place['role']}, {stage.attacker_place['login_role']}"
    with hole(stage, f"GRANT pg_read_all_stats TO {roles}", f"REVOKE pg_read_all_stats FROM {roles}"):
        must_notice(read_sessions, stage)


def test_collected_statements_are_noticed(bare):
    stage = made(bare, "schema")
    with hole(stage, "CREATE VIEW public.pg_stat_statements AS SELECT 1; GRANT USAGE ON SCHEMA public"
                     " TO PUBLIC; GRANT SELECT ON public.pg_stat_statements TO PUBLIC",
              "DROP VIEW public.pg_stat_statements"):
        must_notice(read_sessions, stage)


# ---- 22: languages ----

LANGUAGES = ("plperl", "plperlu", "pltcl", "pltclu", "plpython3u", "plv8", "pllua", "plr", "plsh")


def use_languages(stage):
    """None but those that keep nothing in a session: SQL and PL/pgSQL."""
    with stage.connect() as connection:
        there = {name for (name,) in connection.execute("SELECT lanname FROM pg_language")}
        for language in {*LANGUAGES, *there} - {"internal", "c", "sql", "plpgsql"}:
            for text in (f"DO LANGUAGE {language} $$ BEGIN NULL; END $$",
                         f"CREATE LANGUAGE {language}", f"CREATE EXTENSION {language}",
                         f"CREATE FUNCTION f() RETURNS void LANGUAGE {language} AS ''",
                         f"CREATE FUNCTION pg_temp.f() RETURNS void LANGUAGE {language} AS ''"):
                assert quietly(connection, text) is not None, f"allowed: {text}"
        assert there <= {"internal", "c", "sql", "plpgsql"}, f"languages with a memory: {there}"


def test_languages(stage):
    use_languages(stage)


@pytest.mark.parametrize("handler", ["HANDLER plpgsql_call_handler INLINE plpgsql_inline_handler",
                                     "HANDLER plpgsql_call_handler"])
def test_languages_are_noticed(bare, handler):
    stage = made(bare, "row")
    with hole(stage, f"CREATE TRUSTED LANGUAGE plperl {handler}", "DROP LANGUAGE plperl CASCADE"):
        must_notice(use_languages, stage)


def remember(stage):
    """PL/pgSQL's own places to keep something for the next one: settings, cursors, a block's
    temporary objects, diagnostics of the last error."""
    keep = """DO $do$
    DECLARE
        c refcursor := 'kept';
    BEGIN
        PERFORM set_config('attacker.kept', 'of the attacker', false);
        PERFORM set_config('plpgsql.check_asserts', 'off', false);
        PERFORM set_config('plpgsql.extra_errors', 'all', false);
        OPEN c FOR SELECT 'of the attacker';
        BEGIN
            RAISE EXCEPTION 'of the attacker' USING DETAIL = 'of the attacker';
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END $do$"""
    with stage.connect() as attacker, stage.connect(stage.victim) as victim:
        shown = ("plpgsql.check_asserts", "plpgsql.extra_errors")
        victim.execute("DO $$ BEGIN NULL; END $$")
        before = [victim.execute(f"SHOW {name}").fetchone() for name in shown]
        attacker.execute(keep)
        victim.execute("DO $$ BEGIN NULL; END $$")
        assert [victim.execute(f"SHOW {name}").fetchone() for name in shown] == before
        found = victim.execute("SELECT current_setting('attacker.kept', true)").fetchone()[0]
        assert found in (None, "")
        assert victim.execute("SELECT count(*) FROM pg_cursors").fetchone() == (0,)
        error = quietly(victim, "FETCH kept")
        assert error is not None and error.sqlstate == "34000"


def test_plpgsql_keeps_nothing(stage):
    remember(stage)
    attack.check_victim_unharmed(stage)
