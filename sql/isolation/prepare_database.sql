-- Reeve's own objects in a database that holds tenants' data. Run as the administrator, in a
-- transaction. Tenants may ask who they are, and nothing else.
CREATE SCHEMA IF NOT EXISTS reeve;
CREATE TABLE IF NOT EXISTS reeve.role_tenant (
    role_name name PRIMARY KEY,
    tenant_id bigint NOT NULL
);
ALTER TABLE reeve.role_tenant ADD COLUMN IF NOT EXISTS tenant_slug text;
CREATE TABLE IF NOT EXISTS reeve.migration (
    target name NOT NULL,
    version text NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (target, version)
);
-- By session_user, which no statement of a tenant can change; plpgsql keeps its plan in the session.
CREATE OR REPLACE FUNCTION reeve.login_tenant() RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT r.tenant_id FROM reeve.role_tenant r WHERE r.role_name = session_user);
END
$$;
CREATE OR REPLACE FUNCTION reeve.login_tenant_slug() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT r.tenant_slug FROM reeve.role_tenant r WHERE r.role_name = session_user);
END
$$;
-- What policies and applications ask. The guard puts functions of its own in their place.
CREATE OR REPLACE FUNCTION reeve.tenant_id() RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT r.tenant_id FROM reeve.role_tenant r WHERE r.role_name = session_user);
END
$$;
CREATE OR REPLACE FUNCTION reeve.tenant_slug() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT r.tenant_slug FROM reeve.role_tenant r WHERE r.role_name = session_user);
END
$$;
REVOKE ALL ON ALL TABLES IN SCHEMA reeve FROM PUBLIC;
REVOKE ALL ON SCHEMA reeve FROM PUBLIC;
GRANT USAGE ON SCHEMA reeve TO PUBLIC;
GRANT EXECUTE ON FUNCTION reeve.tenant_id(), reeve.tenant_slug(), reeve.login_tenant(),
    reeve.login_tenant_slug() TO PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
