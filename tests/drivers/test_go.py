"""Go's lib/pq and pgx, each also through database/sql and its pool: the programs in go/ do the work,
once a mode."""
import pytest

SHARED = ["insert_select", "transactions", "prepared_1000", "many_statements", "errors",
          "failed_transaction", "large", "cancel", "query_timeout", "metadata", "settings",
          "listen", "pools_of_two_tenants"]
OWN = {
    "lib/pq": ["copy_in", "arrays", "binary_parameters", "listener"],
    "pgx": ["batch", "batch_with_error", "copy_in", "cache_modes", "simple_protocol", "notification",
            "pgxpool"],
}
CASES = [(driver, name) for driver, own in OWN.items() for name in SHARED + own]


@pytest.mark.parametrize("driver, name", CASES)
def test_go(foreign_outcome, mode, driver, name):
    error = foreign_outcome(driver, mode)[name]
    assert error is None, error


@pytest.mark.parametrize("driver", OWN)
def test_go_ran_all(foreign_outcome, mode, driver):
    assert sorted(foreign_outcome(driver, mode)) == sorted(SHARED + OWN[driver])
