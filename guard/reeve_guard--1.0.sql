-- The functions of the guard, in schema reeve. Run by CREATE EXTENSION, and by Reeve itself where
-- the library is loaded from an absolute path (it puts that in the place of MODULE_PATHNAME). Says
-- the same when it is run again.

CREATE OR REPLACE FUNCTION reeve.arm(key bytea) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'reeve_guard_arm';
CREATE OR REPLACE FUNCTION reeve.enter(key bytea, tenant_id bigint, flags integer, names bytea)
    RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'reeve_guard_enter';
CREATE OR REPLACE FUNCTION reeve.leave(key bytea) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'reeve_guard_leave';
REVOKE ALL ON FUNCTION reeve.arm(bytea), reeve.enter(bytea, bigint, integer, bytea),
    reeve.leave(bytea) FROM PUBLIC;

-- Also for sessions that are not armed: these are known by their login (reeve.login_tenant).
CREATE OR REPLACE FUNCTION reeve.tenant_id() RETURNS bigint
    LANGUAGE c STABLE PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME', 'reeve_guard_tenant_id';
CREATE OR REPLACE FUNCTION reeve.tenant_slug() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME', 'reeve_guard_tenant_slug';

-- What marks of tenants' channels are made of: nobody but a superuser may see it.
CREATE TABLE IF NOT EXISTS reeve.channel_secret (secret bytea NOT NULL);
REVOKE ALL ON reeve.channel_secret FROM PUBLIC;
INSERT INTO reeve.channel_secret
    SELECT pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
           || pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
    WHERE NOT EXISTS (SELECT FROM reeve.channel_secret);

-- In the place of pg_notify and pg_listening_channels, where a tenant calls them.
CREATE OR REPLACE FUNCTION reeve.notify(channel text, payload text) RETURNS void
    LANGUAGE c PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_notify';
CREATE OR REPLACE FUNCTION reeve.listening_channels() RETURNS SETOF text
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 10
    AS 'MODULE_PATHNAME', 'reeve_guard_listening_channels';

-- In the place of pg_advisory_lock and the like, where a tenant calls them.
CREATE OR REPLACE FUNCTION reeve.advisory_lock(bigint) RETURNS void
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_lock';
CREATE OR REPLACE FUNCTION reeve.advisory_lock(integer, integer) RETURNS void
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_lock';
CREATE OR REPLACE FUNCTION reeve.advisory_lock_shared(bigint) RETURNS void
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_lock_shared';
CREATE OR REPLACE FUNCTION reeve.advisory_lock_shared(integer, integer) RETURNS void
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_lock_shared';
CREATE OR REPLACE FUNCTION reeve.advisory_xact_lock(bigint) RETURNS void
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_xact_lock';
CREATE OR REPLACE FUNCTION reeve.advisory_xact_lock(integer, integer) RETURNS void
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_xact_lock';
CREATE OR REPLACE FUNCTION reeve.advisory_xact_lock_shared(bigint) RETURNS void
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_xact_lock_shared';
CREATE OR REPLACE FUNCTION reeve.advisory_xact_lock_shared(integer, integer) RETURNS void
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_xact_lock_shared';
CREATE OR REPLACE FUNCTION reeve.try_advisory_lock(bigint) RETURNS boolean
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_try_lock';
CREATE OR REPLACE FUNCTION reeve.try_advisory_lock(integer, integer) RETURNS boolean
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_try_lock';
CREATE OR REPLACE FUNCTION reeve.try_advisory_lock_shared(bigint) RETURNS boolean
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_try_lock_shared';
CREATE OR REPLACE FUNCTION reeve.try_advisory_lock_shared(integer, integer) RETURNS boolean
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_try_lock_shared';
CREATE OR REPLACE FUNCTION reeve.try_advisory_xact_lock(bigint) RETURNS boolean
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_try_xact_lock';
CREATE OR REPLACE FUNCTION reeve.try_advisory_xact_lock(integer, integer) RETURNS boolean
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_try_xact_lock';
CREATE OR REPLACE FUNCTION reeve.try_advisory_xact_lock_shared(bigint) RETURNS boolean
    LANGUAGE c STRICT PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'reeve_guard_try_xact_lock_shared';
CREATE OR REPLACE FUNCTION reeve.try_advisory_xact_lock_shared(integer, integer) RETURNS boolean
    LANGUAGE c STRICT PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'reeve_guard_try_xact_lock_shared';
CREATE OR REPLACE FUNCTION reeve.advisory_unlock(bigint) RETURNS boolean
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_unlock';
CREATE OR REPLACE FUNCTION reeve.advisory_unlock(integer, integer) RETURNS boolean
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_unlock';
CREATE OR REPLACE FUNCTION reeve.advisory_unlock_shared(bigint) RETURNS boolean
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_unlock_shared';
CREATE OR REPLACE FUNCTION reeve.advisory_unlock_shared(integer, integer) RETURNS boolean
    LANGUAGE c STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'reeve_guard_unlock_shared';
