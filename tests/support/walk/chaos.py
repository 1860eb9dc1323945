"""Steps that are no client's ordinary business: logins good and bad, ends of every kind, cancels."""
import dataclasses
import random

from support import wire
from support.walk import ops_rows
from support.walk.delivery import Step

STARTUPS = (
    (6, {}),
    (2, {"application_name": "app {mark}"}),
    (1, {"TimeZone": "Asia/Tokyo", "DateStyle": "SQL, DMY", "application_name": "other {mark}"}),
    (2, {"options": r"-c app.owner={mark}\ one --work-mem=6MB"}),
    (1, {"client_encoding": "LATIN1", "options": "--work-mem=6MB -c lock_timeout=1h"}),
)
# What `options` stands for, in SHOW's words.
OPTIONS = {r"-c app.owner={mark}\ one --work-mem=6MB": {"app.owner": "{mark} one",
                                                        "work_mem": "6MB"},
           "--work-mem=6MB -c lock_timeout=1h": {"work_mem": "6MB", "lock_timeout": "1h"}}

ENDS = (
    (3, "terminate"), (2, "close"), (2, "reset"), (8, "cut"), (5, "leave"), (3, "half"),
    (1, "violation"), (1, "bad length"),
)
CANCELS = ((6, "right"), (2, "wrong secret"), (2, "stale"), (1, "neighbour's secret"), (1, "made up"))


def roll(dice, table):
    return dice.choices([row[1] for row in table], [row[0] for row in table])[0]


# ---- logging in ----

@dataclasses.dataclass(eq=False)
class LoginStep(Step):
    startup: dict = dataclasses.field(default_factory=dict)  # settings, as the model has them
    refused: bool = False  # it must be
    password: str = ""


def login(client, dice):
    """A startup packet; the rest of the login follows from the server's questions."""
    tenant = client.tenant
    secret = tenant.password if tenant.password and dice.random() < 0.3 else tenant.secret
    wrong = dice.random() < 0.03
    parameters, startup = {}, {}
    for name, value in roll(dice, STARTUPS).items():
        words = {name: value} if name != "options" else OPTIONS[value]
        parameters[name] = value.replace("{mark}", tenant.mark)
        startup.update({key: text.replace("{mark}", tenant.mark) for key, text in words.items()})
    data = wire.startup(user=tenant.user, database=tenant.database, **parameters)
    return LoginStep(client, "login with a wrong password" if wrong else "login", [], data,
                     ends="login", startup=startup, refused=wrong,
                     password=secret[:-3] + "xyz" if wrong else secret)


# ---- going away ----

@dataclasses.dataclass(eq=False)
class EndStep(Step):
    cut: int = 0  # bytes of the step that are sent
    reset: bool = False
    half: bool = False


def is_open(step):
    """Whether it writes a row that only an error in front of it, which may come or not, makes room for."""
    operations = [one for segment in step.segments for one in segment.operations]
    doubtful = [number for number, one in enumerate(operations) if not one.sure]
    return any(isinstance(one, ops_rows.InsertAgain) for one in operations[min(doubtful, default=len(operations)):])


def end(client, dice, room):
    """The connection's last step, in one of many ways."""
    way = roll(dice, ENDS)
    plan = client.plan
    if way in ("cut", "leave", "half") and (plan.short_timeout or plan.shaky):
        way = "close"  # with errors that may come anywhere nobody knows what it may have done
    if way == "terminate":
        return EndStep(client, way, [], wire.terminate(), ends="eof", cut=5)
    if way == "violation":
        return EndStep(client, way, [], wire.frame("?", b"what"), ends="eof", cut=9)
    if way == "bad length":
        return EndStep(client, way, [], b"Q\0\0\0\3", ends="eof", cut=5)
    if way in ("close", "reset"):
        return EndStep(client, way, reset=way == "reset")
    ordinary = plan.step(room)
    if is_open(ordinary):  # nobody would know what it has done
        return EndStep(client, "close", [])
    cut = len(ordinary.data) if way != "cut" else dice.randrange(1, len(ordinary.data) + 1)
    return EndStep(client, f"{way} at {cut} of {len(ordinary.data)}", ordinary.segments,
                   ordinary.data, ends="eof" if way == "half" else "gone", cut=cut,
                   reset=dice.random() < 0.3, half=way == "half")


# ---- cancelling ----

def cancel(walk, target, dice):
    """(title, packet, whether it may hit) of a CancelRequest for a client. How many keys are stale
    is not known to the dice, so they have dice of their own."""
    way = roll(dice, CANCELS)
    other = dice.choice(walk.clients)
    own = random.Random(dice.random())
    if way == "stale" and target.stale_keys:
        return way, wire.cancel(*own.choice(target.stale_keys)), False
    if not target.plan.settled or way in ("made up", "stale"):
        return "made up", wire.cancel(own.randrange(1 << 31), own.randbytes(4)), False
    pid, secret = target.line.key
    if way == "wrong secret":
        return way, wire.cancel(pid, bytes([secret[0] ^ 1]) + secret[1:]), False
    if way == "neighbour's secret":
        known_key = other is not target and other.plan.settled and other.line
        return way, wire.cancel(pid, other.line.key[1] if known_key else own.randbytes(4)), False
    return way, wire.cancel(pid, secret), True
