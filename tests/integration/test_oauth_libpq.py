"""OAUTHBEARER with libpq 18 itself (support/oauth_client.py), and what it makes of the mechanisms."""
import psycopg
import pytest

from support import oauth_client

from test_oauth import (  # noqa: F401 (fixtures)
    ASKED_FOR, DISCOVERY, ISSUER, SCOPE, alone, auto, beside, folder, issuer, pki, settings, tenant)


@pytest.fixture(scope="module")
def libpq_18(folder):
    return oauth_client.install(folder / "postgresql-18")


def by_libpq_18(libraries, proxy, tenant, token, **options):
    conninfo = proxy.conninfo(tenant, sslmode="require", oauth_issuer=ISSUER,
                              oauth_client_id="things", require_auth="oauth", **options)
    found = oauth_client.log_in(libraries, conninfo, token)
    assert found["version"] >= 180000
    assert found["asked"] in ([], [[DISCOVERY["openid-configuration"], SCOPE]])
    return found


@pytest.fixture
def conninfo_of_18(monkeypatch):
    """Debian's libpq does not know all keywords: put together without it."""
    monkeypatch.setattr(psycopg.conninfo, "make_conninfo", lambda **values: " ".join(
        "{}='{}'".format(name, str(value).replace("\\", "\\\\").replace("'", "\\'"))
        for name, value in values.items()))


def test_libpq_18(libpq_18, alone, auto, tenant, issuer, conninfo_of_18):
    """It asks where tokens are had, connects again, and logs in."""
    for token in (tenant.token, issuer.token(tenant.slug)):
        found = by_libpq_18(libpq_18, alone, tenant, token)
        assert found["error"] is None and len(found["asked"]) == 1
    assert by_libpq_18(libpq_18, auto, tenant, tenant.token, **ASKED_FOR)["error"] is None


def test_libpq_18_with_a_token_that_is_not_good(libpq_18, alone, world, tenant, conninfo_of_18):
    error = by_libpq_18(libpq_18, alone, tenant, world.tenant("row", "b").token)["error"]
    assert f'OAuth bearer authentication failed for user "{tenant.slug}"' in error


def test_libpq_18_with_a_password(libpq_18, beside, tenant, conninfo_of_18):
    """It takes SCRAM where that is offered."""
    conninfo = beside.conninfo(tenant, password=tenant.password, sslmode="require",
                               channel_binding="require")
    assert oauth_client.log_in(libpq_18, conninfo, "") == {
        "error": None, "version": pytest.approx(180004, abs=100), "asked": []}


def test_libpq_18_and_another_issuer(libpq_18, alone, tenant, conninfo_of_18):
    """It sends no token where its own issuer is not the server's."""
    conninfo = alone.conninfo(tenant, sslmode="require", oauth_issuer="https://evil.example",
                              oauth_client_id="things")
    found = oauth_client.log_in(libpq_18, conninfo, tenant.token)
    assert found["asked"] == [] and "incompatible with oauth_issuer" in found["error"]
