-- Holding: a placement's new transactions wait for a while.

ALTER TABLE reeve.placement ADD held_until timestamptz;
COMMENT ON COLUMN reeve.placement.held_until IS 'new transactions wait until then; null or past: not held';

DROP TRIGGER route_changed ON reeve.placement;
CREATE CONSTRAINT TRIGGER route_changed AFTER UPDATE ON reeve.placement
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.cluster_id, OLD.database, OLD.role, OLD.role_password, OLD.ro_role, OLD.ro_password,
           OLD.epoch, OLD.state, OLD.held_until)
          IS DISTINCT FROM
          (NEW.cluster_id, NEW.database, NEW.role, NEW.role_password, NEW.ro_role, NEW.ro_password,
           NEW.epoch, NEW.state, NEW.held_until))
    EXECUTE FUNCTION reeve.route_owned_changed();
