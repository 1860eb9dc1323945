"""Django 3.2 over psycopg2: its ORM with connections that stay (CONN_MAX_AGE), as it is by default
otherwise. A tenant is an alias in DATABASES."""
import concurrent.futures
import pathlib
import sys

import django
import pytest
from django.apps import AppConfig
from django.conf import settings
from django.core.paginator import Paginator


class Things(AppConfig):
    """This module is the application."""

    path = str(pathlib.Path(__file__).parent)


settings.configure(INSTALLED_APPS=[Things("things", sys.modules[__name__])],
                   USE_TZ=True, TIME_ZONE="Asia/Tokyo",
                   DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
                   DATABASES={"default": {"ENGINE": "django.db.backends.dummy"}})
django.setup()

# What needs the settings.
from django import db  # noqa: E402
from django.db import connections, models, transaction, utils  # noqa: E402

from support.world import unique  # noqa: E402

WORKERS, ROUNDS = 8, 15


class Thing(models.Model):
    name = models.TextField(unique=True)
    amount = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    body = models.TextField(null=True)
    data = models.BinaryField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "things"
        db_table = "thing"
        managed = False


class Part(models.Model):
    thing = models.ForeignKey(Thing, models.CASCADE, related_name="parts")
    label = models.TextField()

    class Meta:
        app_label = "things"
        db_table = "part"
        managed = False


def alias_of(world, tenant):
    """As settings.DATABASES has it."""
    connections.databases[tenant.slug] = {
        "ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": world.reeve.port,
        "NAME": tenant.service, "USER": tenant.slug, "PASSWORD": tenant.secret, "CONN_MAX_AGE": 600}
    return tenant.slug


@pytest.fixture
def alias(world, tenant):
    yield alias_of(world, tenant)
    connections[tenant.slug].close()


@pytest.fixture
def things(alias):
    return Thing.objects.using(alias)


def sqlstate(failed):
    return failed.value.__cause__.pgcode


def value(alias, sql, values=None):
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()[0]


def test_orm(alias, things):
    name = unique()
    made = things.create(name=name, amount=5, body="grüße ☂", data=b"\0\xff")
    Part.objects.using(alias).create(thing=made, label="one")
    found = things.prefetch_related("parts").get(name=name)
    assert (str(found.amount), found.body, bytes(found.data)) == ("5.00", "grüße ☂", b"\0\xff")
    assert [part.label for part in found.parts.all()] == ["one"]
    found.body = "new"
    found.save()
    assert things.filter(parts__label="one", name=name).values_list("body", flat=True).get() == "new"
    assert found.delete() == (2, {"things.Part": 1, "things.Thing": 1})


def test_transactions(alias, things):
    kept, lost = unique("kept"), unique("lost")
    with transaction.atomic(using=alias):
        things.create(name=kept)
        with pytest.raises(utils.IntegrityError) as failed, transaction.atomic(using=alias):
            things.create(name=kept)
        assert sqlstate(failed) == "23505"
        things.select_for_update().get(name=kept)
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=alias):
        things.create(name=lost)
        raise ZeroDivisionError
    assert list(things.filter(name__in=[kept, lost]).values_list("name", flat=True)) == [kept]


def test_on_commit_and_durable(alias, things):
    heard = []
    with transaction.atomic(using=alias, durable=True):
        things.create(name=unique())
        transaction.on_commit(lambda: heard.append(1), using=alias)
        assert heard == []
    assert heard == [1]


def test_errors(alias):
    for sql, code in [("SELEKT", "42601"), ("SELECT 1/0", "22012"), ("TABLE nowhere", "42P01")]:
        with pytest.raises(utils.Error) as failed:
            value(alias, sql)
        assert sqlstate(failed) == code
        assert value(alias, "SELECT 1") == 1


def test_bulk(things):
    prefix = unique("bulk")
    made = things.bulk_create([Thing(name=f"{prefix}{number}", amount=number)
                               for number in range(500)])
    assert all(each.pk for each in made)
    again = [Thing(name=f"{prefix}{number}") for number in range(505)]
    things.bulk_create(again, ignore_conflicts=True)
    found = things.filter(name__startswith=prefix)
    assert found.count() == 505
    for each in made:
        each.body = "new"
    things.bulk_update(made, ["body"], batch_size=200)
    assert found.filter(body="new").count() == 500
    assert things.update_or_create(name=prefix + "1", defaults={"body": "newer"})[1] is False
    assert things.get_or_create(name=prefix + "x")[1] is True


def test_server_side_cursors(things):
    """iterator() declares a cursor, WITH HOLD outside a transaction, so that the server connection is
    this client's until the cursor is closed and the transaction over, and then for as long as it is
    connected."""
    prefix = unique("many")
    things.bulk_create([Thing(name=f"{prefix}{number:04}") for number in range(500)])
    found = things.filter(name__startswith=prefix).order_by("name")
    names = [f"{prefix}{number:04}" for number in range(500)]
    assert [each.name for each in found.iterator(chunk_size=90)] == names
    with transaction.atomic(using=things.db):
        assert [each.name for each in found.iterator(chunk_size=90)] == names


def test_without_server_side_cursors(world, things):
    """DISABLE_SERVER_SIDE_CURSORS, which Django's manual asks for behind a pooler."""
    connections.databases[things.db]["DISABLE_SERVER_SIDE_CURSORS"] = True
    connections[things.db].close()
    del connections[things.db]
    name = unique()
    things.create(name=name)
    assert [each.name for each in things.filter(name=name).iterator()] == [name]
    pages = Paginator(things.filter(name=name), 10)
    assert [each.name for each in pages.page(1)] == [name]


def test_time_zone_is_set_at_connect(alias):
    """Django sets UTC; the clients of a shared server connection differ in it."""
    assert value(alias, "SHOW TimeZone") == "UTC"
    connections[alias].connection.cursor().execute("SET TIME ZONE 'Europe/Berlin'")
    assert value(alias, "SHOW TimeZone") == "Europe/Berlin"


def test_introspection(world, alias):
    connection = connections[alias]
    with connection.cursor() as cursor:
        looks = connection.introspection
        assert {"thing", "part", "kind"} <= set(looks.table_names(cursor))
        names = [column.name for column in looks.get_table_description(cursor, "part")]
        assert names[:3] == ["id", "thing_id", "label"]
        # It knows a foreign key by its first column alone, which is tenant_id in a shaped service.
        assert set(looks.get_relations(cursor, "part")) == {
            "thing_id" if world.direct else "tenant_id"}
        assert looks.get_constraints(cursor, "thing")


def test_a_connection_that_stays_and_one_that_is_lost(world, alias):
    """CONN_MAX_AGE: kept from request to request; a broken one is found and made anew."""
    connection = connections[alias]
    assert value(alias, "SELECT 1") == 1
    kept = connection.connection
    db.close_old_connections()
    assert value(alias, "SELECT 1") == 1 and connection.connection is kept
    kept.close()
    with pytest.raises(utils.InterfaceError):
        value(alias, "SELECT 1")
    db.close_old_connections()
    assert value(alias, "SELECT 1") == 1 and connection.connection is not kept


def test_threads_of_two_tenants(world, tenant, neighbour):
    """A connection a thread and tenant, as a server of requests has them."""
    name = unique("shared")
    aliases = [alias_of(world, each) for each in (tenant, neighbour)]
    for number, each in enumerate(aliases):
        Thing.objects.using(each).create(name=name, body=str(number))

    def work(worker):
        found = set()
        for turn in range(ROUNDS):
            number = (worker + turn) % 2
            bodies = Thing.objects.using(aliases[number]).filter(name=name).values_list("body")
            found |= {(number, body) for (body,) in bodies}
            db.close_old_connections()
        for each in aliases:
            connections[each].close()
        return found

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as threads:
        for found in threads.map(work, range(WORKERS)):
            assert found == {(0, "0"), (1, "1")}
    for each in aliases:
        connections[each].close()
