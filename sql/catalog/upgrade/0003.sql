-- Limits: what a tenant, or each tenant of a service, may have.

CREATE TABLE reeve.resource_limit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint REFERENCES reeve.tenant,
    service_id bigint REFERENCES reeve.service ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL CHECK (name ~ '^[a-z][a-z_]{0,62}$'),
    value bigint NOT NULL CHECK (value >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT resource_limit_has_subject CHECK (num_nonnulls(tenant_id, service_id) > 0)
);
CREATE UNIQUE INDEX resource_limit_key
    ON reeve.resource_limit (coalesce(tenant_id, 0), coalesce(service_id, 0), name);
COMMENT ON TABLE reeve.resource_limit IS
    'of a tenant in a service, of a tenant everywhere (service_id null), or of each tenant of a service';
COMMENT ON COLUMN reeve.resource_limit.value IS '0: none; times in microseconds';

-- The share lock makes a concurrent deletion of the tenant wait, and the other way round.
CREATE FUNCTION reeve.limit_created() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    owner record;
BEGIN
    SELECT slug, status INTO owner FROM reeve.tenant WHERE id = NEW.tenant_id FOR SHARE;
    IF owner.status NOT IN ('active', 'suspended') THEN
        RAISE EXCEPTION 'tenant "%" is %: it gets no limits', owner.slug, owner.status
            USING ERRCODE = '55000';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER limit_created BEFORE INSERT ON reeve.resource_limit FOR EACH ROW
    WHEN (NEW.tenant_id IS NOT NULL) EXECUTE FUNCTION reeve.limit_created();

CREATE FUNCTION reeve.limits_end() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM reeve.resource_limit WHERE tenant_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER limits_end AFTER UPDATE ON reeve.tenant FOR EACH ROW
    WHEN (NEW.status = 'deleted' AND OLD.status <> 'deleted') EXECUTE FUNCTION reeve.limits_end();

-- route_changed(NULL): something that is not one tenant's.
CREATE CONSTRAINT TRIGGER route_made AFTER INSERT OR UPDATE OR DELETE ON reeve.resource_limit
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION reeve.route_owned_changed();
