"""A random walk of many tenants' clients over few server connections, and a model that says what
each of them must see.

    marks.py        whose is it: the mark that everything a tenant writes carries
    line.py         a connection that never blocks
    replies.py      a server's messages, sorted to the statements that they answer
    journal.py      a tenant's rows: what is committed, and what may be
    locks.py        advisory locks: who may hold which
    session.py      one connection as PostgreSQL would have it: transaction, settings, names
    settings.py     the settings that the walk changes
    rules.py        what is refused to whom, by isolation and enforcement
    operation.py    what a statement is: text, parameters, what it must bring and does
    ops_*.py        the statements, a class each
    delivery.py     statements made into messages: simple, extended, pipelines; their judgement
    plan.py         what one client does next, by the dice and what it did before
    chaos.py        steps that are no client's ordinary business: vanishing, cancelling
    walk.py         who does the next step; waiting for answers, the end
    world.py        servers to walk on: Reeve, PostgreSQL alone

The dice (one seeded generator) decide without looking at answers: the same seed gives the same steps
in the same order, whatever the servers' timing. (But for one thing: where a transaction stays open
against the plans, because its end was cancelled, its client is asked to end it after some seconds.)
Answers are judged by the model alone, which knows of each connection what the server must have made
of the steps so far. That the model is right is tested on PostgreSQL alone, and that it notices by
taking defences out (test_random_notices.py).
"""


class Violation(AssertionError):
    """Something came back that must not, or not what must."""
