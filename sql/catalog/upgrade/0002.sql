-- Enforcement: how tenants are locked in where they share a database.

ALTER TABLE reeve.cluster
    ADD enforcement text NOT NULL DEFAULT 'login'
        CONSTRAINT cluster_enforcement_known CHECK (enforcement IN ('guard', 'login')),
    ADD enforcement_reason text NOT NULL DEFAULT 'it was added before there was a guard',
    ADD guard_library text CHECK (octet_length(guard_library) BETWEEN 1 AND 1023),
    ADD pool_role reeve.identifier,
    ADD pool_password bytea CHECK (octet_length(pool_password) <= 128),
    ADD CONSTRAINT cluster_guard_has_pool CHECK (
        enforcement <> 'guard'
        OR (guard_library IS NOT NULL AND pool_role IS NOT NULL AND pool_password IS NOT NULL));
COMMENT ON COLUMN reeve.cluster.enforcement IS 'of new placements that share a database';
COMMENT ON COLUMN reeve.cluster.guard_library IS 'as CREATE FUNCTION names it on that server';
COMMENT ON COLUMN reeve.cluster.pool_role IS 'logs in for shared sessions; has no right';
COMMENT ON COLUMN reeve.cluster.pool_password IS 'sealed';

ALTER TABLE reeve.placement
    ADD enforcement text NOT NULL DEFAULT 'login'
        CONSTRAINT placement_enforcement_known CHECK (enforcement IN ('guard', 'login')),
    ADD enter_role reeve.identifier,
    ADD enter_ro_role reeve.identifier,
    ADD CONSTRAINT placement_guard_has_role
        CHECK (enforcement <> 'guard' OR enter_role IS NOT NULL);
COMMENT ON COLUMN reeve.placement.enter_role IS 'under the guard: the role that a session gets';

-- Enforcement is part of the place: who knows the old one by its epoch finds out.
CREATE OR REPLACE FUNCTION reeve.placement_rules() RETURNS trigger
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
    IF OLD.role IS NOT NULL
        AND (OLD.cluster_id, OLD.isolation, OLD.database, OLD.schema, OLD.role, OLD.ro_role,
             OLD.enforcement, OLD.enter_role, OLD.enter_ro_role)
        IS DISTINCT FROM
        (NEW.cluster_id, NEW.isolation, NEW.database, NEW.schema, NEW.role, NEW.ro_role,
         NEW.enforcement, NEW.enter_role, NEW.enter_ro_role) THEN
        NEW.epoch = OLD.epoch + 1;
    ELSE
        NEW.epoch = OLD.epoch;
    END IF;
    RETURN NEW;
END $$;
