"""PHP's PDO: php/checks.php does the work, once a mode."""
import pytest

CHECKS = ["insert_select", "transactions", "prepared_1000", "many_statements",
          "emulated_prepares", "errors", "failed_transaction", "copy_out", "copy_in", "large",
          "scrollable_cursor", "query_timeout", "metadata", "last_insert_id", "settings",
          "listen", "persistent_of_two_tenants"]


@pytest.mark.parametrize("name", CHECKS)
def test_php(foreign_outcome, mode, name):
    error = foreign_outcome("php", mode)[name]
    assert error is None, error


def test_php_ran_all(foreign_outcome, mode):
    assert sorted(foreign_outcome("php", mode)) == sorted(CHECKS)
