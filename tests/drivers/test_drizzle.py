"""Drizzle, over each of two drivers: node/drizzle.js does the work, once a mode."""
import pytest

OVER = ["node-postgres", "postgres-js"]
CHECKS = ["insert_select", "transactions", "prepared_500", "errors", "batch", "upsert",
          "relational", "pools_of_two_tenants"]


@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("name", CHECKS)
def test_drizzle(foreign_outcome, mode, over, name):
    error = foreign_outcome(f"drizzle over {over}", mode)[name]
    assert error is None, error


@pytest.mark.parametrize("over", OVER)
def test_drizzle_ran_all(foreign_outcome, mode, over):
    assert sorted(foreign_outcome(f"drizzle over {over}", mode)) == sorted(CHECKS)
