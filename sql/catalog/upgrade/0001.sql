-- The first catalog. Runs in one transaction; catalog_upgrade records the version.

CREATE SCHEMA reeve;
COMMENT ON SCHEMA reeve IS 'Reeve: tenants, services and where everything is';

CREATE TABLE reeve.schema_version (
    version integer PRIMARY KEY CHECK (version > 0),
    program text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION reeve.unix_us(at timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce((extract(epoch FROM at) * 1000000)::bigint, 0);

-- As str_check_slug. The C collation makes pages by name the same everywhere.
CREATE DOMAIN reeve.slug AS text COLLATE "C"
    CONSTRAINT slug_form CHECK (VALUE ~ '^[a-z0-9][a-z0-9_-]{0,62}$');
-- A mode's name. Which there are is the isolation room's business.
CREATE DOMAIN reeve.isolation AS text COLLATE "C"
    CONSTRAINT isolation_form CHECK (VALUE ~ '^[a-z]{1,15}$');
-- A PostgreSQL identifier.
CREATE DOMAIN reeve.identifier AS text COLLATE "C"
    CONSTRAINT identifier_form CHECK (octet_length(VALUE) BETWEEN 1 AND 63);

---------------------------------------------------------------- clusters, services

CREATE TABLE reeve.cluster (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name reeve.slug NOT NULL CONSTRAINT cluster_name_key UNIQUE,
    conninfo text NOT NULL CHECK (octet_length(conninfo) BETWEEN 1 AND 1023),
    admin_user reeve.identifier NOT NULL,
    admin_password bytea,
    maintenance_db reeve.identifier NOT NULL DEFAULT 'postgres',
    max_backends integer NOT NULL DEFAULT 100 CHECK (max_backends BETWEEN 1 AND 100000),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN reeve.cluster.conninfo IS 'host, port, sslmode, ...: no user, password or dbname';
COMMENT ON COLUMN reeve.cluster.admin_password IS 'sealed';

CREATE TABLE reeve.service (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name reeve.slug NOT NULL CONSTRAINT service_name_key UNIQUE,
    isolation reeve.isolation NOT NULL,
    allowed text[] NOT NULL,
    migrations_dir text NOT NULL CHECK (migrations_dir LIKE '/%'),
    cluster_id bigint NOT NULL CONSTRAINT service_cluster_fkey REFERENCES reeve.cluster,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT service_allows_default
        CHECK (isolation = ANY (allowed) AND array_position(allowed, NULL) IS NULL)
);
COMMENT ON COLUMN reeve.service.isolation IS 'of a placement that asks for none';

CREATE TABLE reeve.service_owner (
    service_id bigint NOT NULL REFERENCES reeve.service ON DELETE CASCADE,
    cluster_id bigint NOT NULL CONSTRAINT service_owner_cluster_fkey REFERENCES reeve.cluster,
    role reeve.identifier NOT NULL,
    password bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service_id, cluster_id),
    CONSTRAINT service_owner_role_key UNIQUE (cluster_id, role)
);
COMMENT ON TABLE reeve.service_owner IS 'the role that owns a service''s objects on a cluster';
COMMENT ON COLUMN reeve.service_owner.password IS 'sealed';

CREATE TABLE reeve.service_database (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service_id bigint NOT NULL REFERENCES reeve.service ON DELETE CASCADE,
    cluster_id bigint NOT NULL CONSTRAINT service_database_cluster_fkey REFERENCES reeve.cluster,
    kind text NOT NULL CHECK (kind IN ('shared', 'template')),
    database reeve.identifier NOT NULL,
    schema_version text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT service_database_kind_key UNIQUE (service_id, cluster_id, kind),
    CONSTRAINT service_database_name_key UNIQUE (cluster_id, database)
);

---------------------------------------------------------------- tenants

CREATE TABLE reeve.tenant (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug reeve.slug NOT NULL,
    name text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 200),
    status text NOT NULL DEFAULT 'active'
        CHECK (status IN ('active', 'suspended', 'deleting', 'deleted')),
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    CONSTRAINT tenant_deleted_has_time CHECK ((status = 'deleted') = (deleted_at IS NOT NULL))
);
-- A deleted tenant's row stays; its slug is free again.
CREATE UNIQUE INDEX tenant_slug_key ON reeve.tenant (slug) WHERE status <> 'deleted';

CREATE TABLE reeve.placement (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES reeve.tenant,
    service_id bigint NOT NULL CONSTRAINT placement_service_fkey REFERENCES reeve.service,
    cluster_id bigint NOT NULL CONSTRAINT placement_cluster_fkey REFERENCES reeve.cluster,
    isolation reeve.isolation NOT NULL,
    database reeve.identifier,
    schema reeve.identifier,
    role reeve.identifier,
    role_password bytea CHECK (octet_length(role_password) <= 128),
    ro_role reeve.identifier,
    ro_password bytea CHECK (octet_length(ro_password) <= 128),
    schema_version text NOT NULL DEFAULT '',
    epoch bigint NOT NULL DEFAULT 1 CHECK (epoch > 0),
    state text NOT NULL DEFAULT 'provisioning'
        CHECK (state IN ('provisioning', 'ready', 'migrating', 'deleting', 'failed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT placement_tenant_service_key UNIQUE (tenant_id, service_id),
    CONSTRAINT placement_role_key UNIQUE (cluster_id, role),
    CONSTRAINT placement_ro_role_key UNIQUE (cluster_id, ro_role),
    CONSTRAINT placement_served_has_place
        CHECK (state NOT IN ('ready', 'migrating')
               OR (database IS NOT NULL AND schema IS NOT NULL AND role IS NOT NULL
                   AND role_password IS NOT NULL)),
    CONSTRAINT placement_ro_has_password CHECK ((ro_role IS NULL) = (ro_password IS NULL))
);
CREATE INDEX placement_service ON reeve.placement (service_id, id);
COMMENT ON TABLE reeve.placement IS 'the only thing that says where a tenant''s data is';

CREATE TABLE reeve.credential (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES reeve.tenant,
    kind text NOT NULL CHECK (kind IN ('password', 'token')),
    verifier text,
    jti text COLLATE "C" CONSTRAINT credential_jti_key UNIQUE,
    service_id bigint REFERENCES reeve.service ON DELETE CASCADE,
    access text NOT NULL DEFAULT 'rw' CHECK (access IN ('rw', 'ro')),
    expires_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT credential_form CHECK (
        CASE kind
        WHEN 'password' THEN verifier LIKE 'SCRAM-SHA-256$%' AND jti IS NULL
            AND service_id IS NULL AND expires_at IS NULL
        ELSE verifier IS NULL AND jti ~ '^[0-9a-f]{32}$' AND expires_at IS NOT NULL
        END)
);
CREATE UNIQUE INDEX credential_password_key ON reeve.credential (tenant_id)
    WHERE kind = 'password';
CREATE INDEX credential_tenant ON reeve.credential (tenant_id);

CREATE TABLE reeve.issuer (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name reeve.slug NOT NULL CONSTRAINT issuer_name_key UNIQUE,
    issuer text NOT NULL CHECK (octet_length(issuer) BETWEEN 1 AND 1024),
    audience text CHECK (octet_length(audience) BETWEEN 1 AND 1024),
    tenant_claim text CHECK (octet_length(tenant_claim) BETWEEN 1 AND 255),
    jwks jsonb NOT NULL CHECK (jsonb_typeof(jwks) = 'object'),
    leeway_s integer NOT NULL DEFAULT 30 CHECK (leeway_s BETWEEN 0 AND 300),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX issuer_issuer_key ON reeve.issuer (issuer, coalesce(audience, ''));

---------------------------------------------------------------- jobs, audit

-- Jobs and audit events outlive what they are about: their ids are no foreign keys.
CREATE TABLE reeve.job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind <> ''),
    placement_id bigint,
    tenant_id bigint,
    service_id bigint,
    arguments jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(arguments) = 'object'),
    state text NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'compensating', 'done', 'failed')),
    step text NOT NULL DEFAULT '',
    progress jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(progress) = 'object'),
    error jsonb CHECK (jsonb_typeof(error) = 'object'),
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT job_over_has_time
        CHECK ((state IN ('done', 'failed')) = (finished_at IS NOT NULL))
);
CREATE INDEX job_open ON reeve.job (id) WHERE state IN ('queued', 'running', 'compensating');
CREATE INDEX job_placement ON reeve.job (placement_id) WHERE placement_id IS NOT NULL;
CREATE INDEX job_tenant ON reeve.job (tenant_id) WHERE tenant_id IS NOT NULL;

CREATE TABLE reeve.audit_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL CHECK (actor <> ''),
    action text NOT NULL CHECK (action <> ''),
    tenant_id bigint,
    service_id bigint,
    placement_id bigint,
    detail jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(detail) = 'object')
);
CREATE INDEX audit_event_tenant ON reeve.audit_event (tenant_id, id) WHERE tenant_id IS NOT NULL;

---------------------------------------------------------------- rules that need more than a row
-- SQLSTATE 55000: not in this state; 22023: a value that is not acceptable. The messages are shown.

CREATE FUNCTION reeve.tenant_rules() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (OLD.status, NEW.status) NOT IN (
        ('active', 'suspended'), ('suspended', 'active'),
        ('active', 'deleting'), ('suspended', 'deleting'), ('deleting', 'deleted')) THEN
        RAISE EXCEPTION 'tenant "%" is %: it cannot become %', OLD.slug, OLD.status, NEW.status
            USING ERRCODE = '55000';
    END IF;
    IF NEW.status = 'deleted' THEN
        IF EXISTS (SELECT FROM reeve.placement WHERE tenant_id = NEW.id) THEN
            RAISE EXCEPTION 'tenant "%" still has placements', OLD.slug USING ERRCODE = '55000';
        END IF;
        NEW.deleted_at = now();
        DELETE FROM reeve.credential WHERE tenant_id = NEW.id AND kind = 'password';
        UPDATE reeve.credential SET revoked_at = now()
        WHERE tenant_id = NEW.id AND revoked_at IS NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tenant_rules BEFORE UPDATE ON reeve.tenant FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION reeve.tenant_rules();

-- The share lock makes a concurrent change of the tenant's status wait, and the other way round.
CREATE FUNCTION reeve.placement_created() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    owner record;
BEGIN
    SELECT slug, status INTO owner FROM reeve.tenant WHERE id = NEW.tenant_id FOR SHARE;
    IF owner.status <> 'active' THEN
        RAISE EXCEPTION 'tenant "%" is %: only an active tenant can be attached',
            owner.slug, owner.status USING ERRCODE = '55000';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER placement_created BEFORE INSERT ON reeve.placement FOR EACH ROW
    EXECUTE FUNCTION reeve.placement_created();

CREATE FUNCTION reeve.placement_isolation() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    product record;
BEGIN
    SELECT name, allowed INTO product FROM reeve.service WHERE id = NEW.service_id FOR SHARE;
    IF NEW.isolation <> ALL (product.allowed) THEN
        RAISE EXCEPTION 'service "%" does not allow isolation "%"', product.name, NEW.isolation
            USING ERRCODE = '22023',
                  HINT = format('it allows %s', array_to_string(product.allowed, ', '));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER placement_isolation BEFORE INSERT OR UPDATE OF isolation ON reeve.placement
    FOR EACH ROW EXECUTE FUNCTION reeve.placement_isolation();

CREATE FUNCTION reeve.placement_rules() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (NEW.tenant_id, NEW.service_id) <> (OLD.tenant_id, OLD.service_id) THEN
        RAISE EXCEPTION 'placement % belongs to another tenant or service', OLD.id
            USING ERRCODE = '55000';
    END IF;
    IF OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
        ('provisioning', 'ready'), ('provisioning', 'failed'), ('provisioning', 'deleting'),
        ('ready', 'migrating'), ('ready', 'failed'), ('ready', 'deleting'),
        ('migrating', 'ready'), ('migrating', 'failed'), ('migrating', 'deleting'),
        ('failed', 'provisioning'), ('failed', 'deleting'), ('deleting', 'failed')) THEN
        RAISE EXCEPTION 'placement % is %: it cannot become %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = '55000';
    END IF;
    -- Who knows the old place by its epoch finds out that it moved.
    IF OLD.role IS NOT NULL
        AND (OLD.cluster_id, OLD.isolation, OLD.database, OLD.schema, OLD.role, OLD.ro_role)
        IS DISTINCT FROM
        (NEW.cluster_id, NEW.isolation, NEW.database, NEW.schema, NEW.role, NEW.ro_role) THEN
        NEW.epoch = OLD.epoch + 1;
    ELSE
        NEW.epoch = OLD.epoch;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER placement_rules BEFORE UPDATE ON reeve.placement FOR EACH ROW
    EXECUTE FUNCTION reeve.placement_rules();

CREATE FUNCTION reeve.placement_deleted() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.state IN ('ready', 'migrating') THEN
        RAISE EXCEPTION 'placement % is %: it cannot be removed', OLD.id, OLD.state
            USING ERRCODE = '55000';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER placement_deleted BEFORE DELETE ON reeve.placement FOR EACH ROW
    EXECUTE FUNCTION reeve.placement_deleted();

CREATE FUNCTION reeve.credential_created() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    owner record;
BEGIN
    SELECT slug, status INTO owner FROM reeve.tenant WHERE id = NEW.tenant_id FOR SHARE;
    IF owner.status NOT IN ('active', 'suspended') THEN
        RAISE EXCEPTION 'tenant "%" is %: it gets no credentials', owner.slug, owner.status
            USING ERRCODE = '55000';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER credential_created BEFORE INSERT ON reeve.credential FOR EACH ROW
    EXECUTE FUNCTION reeve.credential_created();

CREATE FUNCTION reeve.audit_event_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'audit events are never changed' USING ERRCODE = '55000';
END $$;
CREATE TRIGGER audit_event_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON reeve.audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION reeve.audit_event_kept();

---------------------------------------------------------------- what proxies follow

-- One row. Its lock, taken at the very end of a transaction, puts versions in the order of commits:
-- who has seen version 7 has seen everything of versions 1 to 7.
CREATE TABLE reeve.route_version (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    version bigint NOT NULL,
    transaction xid8 NOT NULL,
    pruned bigint NOT NULL DEFAULT 0,
    history uuid NOT NULL DEFAULT gen_random_uuid()
);
COMMENT ON COLUMN reeve.route_version.transaction IS 'the one that made this version';
COMMENT ON COLUMN reeve.route_version.pruned IS 'changes up to this version are not kept';
COMMENT ON COLUMN reeve.route_version.history IS 'tells one catalog from another';
INSERT INTO reeve.route_version (version, transaction) VALUES (1, '0'::xid8);

CREATE TABLE reeve.route_change (
    version bigint NOT NULL,
    tenant_id bigint
);
CREATE UNIQUE INDEX route_change_key ON reeve.route_change (version, coalesce(tenant_id, 0));
COMMENT ON COLUMN reeve.route_change.tenant_id IS 'null: something that is not a tenant''s';

-- Once a transaction a new version; reading first, as to update the one row again and again would
-- make a transaction with many changes slow.
CREATE FUNCTION reeve.route_changed(tenant bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kept CONSTANT bigint = 50000;
    at record;
BEGIN
    SELECT version, transaction INTO at FROM reeve.route_version;
    IF at.transaction <> pg_current_xact_id() THEN
        UPDATE reeve.route_version SET version = version + 1, transaction = pg_current_xact_id()
        RETURNING version, transaction INTO at;
        PERFORM pg_notify('reeve_route', at.version::text);
        IF at.version % 1000 = 0 AND at.version > kept THEN
            DELETE FROM reeve.route_change WHERE version <= at.version - kept;
            UPDATE reeve.route_version SET pruned = at.version - kept;
        END IF;
    END IF;
    INSERT INTO reeve.route_change (version, tenant_id) VALUES (at.version, tenant)
    ON CONFLICT DO NOTHING;
END $$;

CREATE FUNCTION reeve.route_tenant_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM reeve.route_changed(CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END);
    RETURN NULL;
END $$;

CREATE FUNCTION reeve.route_owned_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM reeve.route_changed(CASE TG_OP WHEN 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END);
    RETURN NULL;
END $$;

CREATE FUNCTION reeve.route_global_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM reeve.route_changed(NULL);
    RETURN NULL;
END $$;

-- Deferred to the commit, when all other row locks are taken: no deadlocks, and the lock is short.
CREATE CONSTRAINT TRIGGER route_made AFTER INSERT OR DELETE ON reeve.tenant
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION reeve.route_tenant_changed();
CREATE CONSTRAINT TRIGGER route_changed AFTER UPDATE ON reeve.tenant
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.slug, OLD.status) IS DISTINCT FROM (NEW.slug, NEW.status))
    EXECUTE FUNCTION reeve.route_tenant_changed();

CREATE CONSTRAINT TRIGGER route_made AFTER INSERT OR DELETE ON reeve.placement
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION reeve.route_owned_changed();
CREATE CONSTRAINT TRIGGER route_changed AFTER UPDATE ON reeve.placement
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.cluster_id, OLD.database, OLD.role, OLD.role_password, OLD.ro_role, OLD.ro_password,
           OLD.epoch, OLD.state)
          IS DISTINCT FROM
          (NEW.cluster_id, NEW.database, NEW.role, NEW.role_password, NEW.ro_role, NEW.ro_password,
           NEW.epoch, NEW.state))
    EXECUTE FUNCTION reeve.route_owned_changed();

CREATE CONSTRAINT TRIGGER route_made AFTER INSERT OR UPDATE OR DELETE ON reeve.credential
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION reeve.route_owned_changed();

CREATE CONSTRAINT TRIGGER route_made AFTER INSERT OR DELETE ON reeve.service
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION reeve.route_global_changed();
CREATE CONSTRAINT TRIGGER route_changed AFTER UPDATE ON reeve.service
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name)
    EXECUTE FUNCTION reeve.route_global_changed();

CREATE CONSTRAINT TRIGGER route_made AFTER INSERT OR UPDATE OR DELETE ON reeve.cluster
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION reeve.route_global_changed();
CREATE CONSTRAINT TRIGGER route_made AFTER INSERT OR UPDATE OR DELETE ON reeve.issuer
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION reeve.route_global_changed();
