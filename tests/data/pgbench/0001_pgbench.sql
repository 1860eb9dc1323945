-- pgbench's own tables, as `pgbench -i --foreign-keys` makes them; each tenant fills its own.
CREATE TABLE pgbench_branches (bid int NOT NULL PRIMARY KEY, bbalance int, filler char(88));
CREATE TABLE pgbench_tellers (
    tid int NOT NULL PRIMARY KEY,
    bid int REFERENCES pgbench_branches,
    tbalance int,
    filler char(84)
);
CREATE TABLE pgbench_accounts (
    aid int NOT NULL PRIMARY KEY,
    bid int REFERENCES pgbench_branches,
    abalance int,
    filler char(84)
);
CREATE TABLE pgbench_history (
    tid int REFERENCES pgbench_tellers,
    bid int REFERENCES pgbench_branches,
    aid int REFERENCES pgbench_accounts,
    delta int,
    mtime timestamp,
    filler char(22)
);
