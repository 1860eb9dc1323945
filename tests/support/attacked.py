"""For tests of `reeve audit --attack`: runs of it, and what its reports say."""
from support.world import DATA, create_service

ATTACKED = 12  # the exit status when something was found
SECONDS = 420  # a run is a minute, and more on a busy machine


def attack(server, *arguments, check=True, json=False):
    return server.cli("audit", "--attack", *arguments, check=check, json=json, seconds=SECONDS)


def results(report):
    """(isolation, id) -> the attack's entry."""
    return {(target["isolation"], entry["id"]): entry
            for target in report["targets"] for entry in target["attacks"]}


def ids(report, verdict):
    return {name for (_, name), entry in results(report).items() if entry["verdict"] == verdict}


def throwaway(server):
    """Tenants of the suite that are not gone."""
    return server.query("SELECT slug, status FROM reeve.tenant WHERE slug LIKE 'reeve-attack-%'"
                        " AND status <> 'deleted'")


def create_things(server):
    """One service, no tenants."""
    create_service(server, "things", DATA / "things")
