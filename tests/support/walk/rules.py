"""What the product refuses to whom, where PostgreSQL alone would not: by isolation and enforcement, as
docs/security.md and guard/README.md have it."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Rules:
    """Of one tenant."""

    is_tenant: bool = True  # DML alone; no temporary tables; reference data are shared
    listens: bool = False  # LISTEN works, and keeps the server connection
    guarded: bool = False  # its sessions are others' too, and the guard's
    copies_in: bool = True  # COPY FROM; row security refuses it
    locks_keys: bool = True  # advisory locks
    locks_tables: bool = True  # in modes that conflict with writing
    sees_prepared: bool = True  # pg_prepared_statements
    own_meanings: bool = True  # what a statement means does not depend on the tenant's other clients


POSTGRESQL = Rules(is_tenant=False)


def rules_of(mode, enforcement):
    """Of a tenant of Reeve's. Nothing of database isolation is shared, so login is always its
    enforcement."""
    shared = mode != "database"
    guarded = shared and enforcement == "guard"
    return Rules(guarded=guarded, copies_in=mode != "row", locks_keys=guarded or not shared,
                 listens=guarded or not shared,
                 locks_tables=not (guarded and mode == "row"), sees_prepared=not shared,
                 own_meanings=guarded and mode == "row")
