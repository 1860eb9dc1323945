"""A random walk of many tenants' clients over few server connections, and a model that says what
each of them must see.

    marks.py        whose is it: the mark that everything a tenant writes carries
    line.py         a connection that never blocks, one step of its client under way at most
    replies.py      a server's messages, sorted to the statements that they answer
    journal.py      a tenant's rows: what is committed, and what may be
    session.py      one connection as PostgreSQL would have it: transaction, settings, names
    settings.py     the settings that the walk changes
    operation.py    what a statement is: text, parameters, what it must bring
    ops_*.py        the statements, by kind
    delivery.py     statements made into messages: simple, extended, pipelines
    plan.py         what one client does next, by the dice and what it did before
    chaos.py        steps that are no client's ordinary business: vanishing, cancelling
    walk.py         who does the next step; waiting, judging, the end

The dice (one seeded generator) decide without looking at answers: the same seed gives the same steps
in the same order, whatever the servers' timing. Answers are judged by the model alone, which knows
of each connection what the server must have made of the steps so far.
"""


class Violation(AssertionError):
    """Something came back that must not, or not what must."""
