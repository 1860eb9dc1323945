/* objects.c - items 29 and 36: a tenant makes no object, so none of its code runs when an operator
 * dumps, moves or migrates. */
#include "attack/internal.h"

#define CREATES(id_, title_, sql_) CREATES_OR(id_, title_, sql_, NULL)
#define CREATES_OR(id_, title_, sql_, sqlstates_)                                                  \
    ATTACK_REFUSED("create." id_, 36, title_, IN_TRANSACTION, sql_, sqlstates_)

const struct attack attacks_objects[] = {
    CREATES_OR("tables", "tables",
               "CREATE TABLE public.reeve_attack (i int); CREATE TABLE reeve_attack (i int);"
               " CREATE TABLE \"reeve\nattack\" (i int); CREATE TABLE reeve.reeve_attack (i int)",
               "42501 3F000"),
    CREATES("temporary", "temporary tables, views and functions",
            "CREATE TEMP TABLE reeve_attack (i int); CREATE TEMP VIEW reeve_attack AS SELECT 1;"
            " CREATE TEMP SEQUENCE reeve_attack; SELECT 1 AS i INTO TEMP reeve_attack;"
            " CREATE FUNCTION pg_temp.reeve_attack() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    CREATES("schemas", "schemas",
            "CREATE SCHEMA reeve_attack; DROP SCHEMA reeve;"
            " ALTER SCHEMA {schema} OWNER TO {own_role}"),
    CREATES_OR("functions", "functions and procedures",
               "CREATE FUNCTION reeve_attack() RETURNS int LANGUAGE sql SECURITY DEFINER AS"
               " 'SELECT 1'; CREATE PROCEDURE reeve_attack() LANGUAGE sql AS 'SELECT 1'",
               "42501 3F000"),
    CREATES_OR("views", "views",
               "CREATE VIEW reeve_attack AS SELECT 1;"
               " CREATE MATERIALIZED VIEW reeve_attack AS SELECT 1",
               "42501 3F000"),
    CREATES_OR("types", "types, domains and sequences",
               "CREATE TYPE reeve_attack AS (i int); CREATE DOMAIN reeve_attack AS int;"
               " CREATE SEQUENCE reeve_attack",
               "42501 3F000"),
    CREATES_OR("operators", "operators, aggregates, casts",
               "CREATE OPERATOR === (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text);"
               " CREATE AGGREGATE reeve_attack (int) (SFUNC = int4pl, STYPE = int);"
               " CREATE CAST (text AS int) WITH INOUT AS ASSIGNMENT",
               "42501 3F000"),
    CREATES("event_triggers", "event triggers",
            "CREATE EVENT TRIGGER reeve_attack ON ddl_command_start EXECUTE FUNCTION"
            " pg_catalog.lo_export()"),
    CREATES_OR("extensions", "extensions and languages",
               "CREATE EXTENSION dblink; CREATE EXTENSION postgres_fdw;"
               " CREATE LANGUAGE plpython3u; CREATE EXTENSION plpython3u",
               "42501 0A000"),
    CREATES_OR("servers", "foreign servers and user mappings",
               "CREATE SERVER reeve_attack FOREIGN DATA WRAPPER postgres_fdw;"
               " CREATE FOREIGN DATA WRAPPER reeve_attack",
               "42501 42704"),
    CREATES("publications", "publications and subscriptions",
            "CREATE PUBLICATION reeve_attack; CREATE SUBSCRIPTION reeve_attack CONNECTION"
            " 'dbname=x' PUBLICATION x WITH (connect = false)"),
    CREATES("comments", "comments, labels and statistics on the tables",
            "COMMENT ON TABLE {own_table} IS 'x'; CREATE STATISTICS reeve_attack ON tenant_id,"
            " {column} FROM {own_table}; ALTER TABLE {own_table} ALTER {column} SET DEFAULT 'x';"
            " ALTER TABLE {own_table} ADD CHECK (false) NOT VALID"),
    CREATES("defaults", "privileges on what others will make",
            "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT ALL ON TABLES TO {own_role};"
            " ALTER DEFAULT PRIVILEGES FOR ROLE {role} GRANT ALL ON TABLES TO {own_role}"),
    {0},
};
