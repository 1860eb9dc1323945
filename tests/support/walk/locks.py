"""Advisory locks: who may hold which key, over all clients of a database."""
import dataclasses
import math

from support.walk import Violation


@dataclasses.dataclass(eq=False)
class Holding:
    """A lock that somebody asked for, from the moment of asking."""

    session: object
    key: int
    asked: float
    held: float = math.inf  # known to be held from here on
    given_up: float = math.inf  # asked to be released
    released: float = math.inf  # known to be released


class LockBook:
    """Of one tenant: its keys are no neighbour's."""

    def __init__(self):
        self.holdings = []

    def asked(self, session, key, now):
        holding = Holding(session, key, now)
        self.holdings.append(holding)
        return holding

    def others(self, holding):
        return [other for other in self.holdings
                if other.session is not holding.session and other.key == holding.key]

    def got(self, holding, now):
        for other in self.others(holding):
            if other.held <= holding.asked and other.given_up > now:
                raise Violation(f"advisory lock {holding.key} was given twice")
        holding.held = now

    def refused(self, holding, now):
        self.forget(holding)
        if any(other.session is holding.session and other.key == holding.key
               and other.held <= holding.asked and other.given_up > now for other in self.holdings):
            raise Violation(f"advisory lock {holding.key} was refused to its holder")
        if not any(other.asked <= now and other.released >= holding.asked
                   for other in self.others(holding)):
            raise Violation(f"advisory lock {holding.key} was refused, and nobody holds it")

    def give_up(self, session, when, but=(), released=True):
        """Everything that a session holds, but these."""
        for holding in self.holdings:
            if holding.session is session and holding not in but:
                holding.given_up = min(holding.given_up, when.sent)
                if released:
                    holding.released = min(holding.released, when.done)

    def forget(self, holding):
        if holding in self.holdings:
            self.holdings.remove(holding)

    def prune(self, oldest):
        self.holdings = [holding for holding in self.holdings if holding.released >= oldest]
