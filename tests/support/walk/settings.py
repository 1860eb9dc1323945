"""The settings that the walk changes, and what a connection's are at a moment.

A value is a set of the texts that SHOW may give: mostly one. What was never set is None or "" for a
name with a dot, since PostgreSQL itself tells them apart only by what a server connection was used
for before.
"""
import dataclasses

UNSET = frozenset({None, ""})
TIMEOUT = "statement_timeout"
SHORT_TIMEOUT = "1ms"
READ_ONLY = "default_transaction_read_only"
DATE_STYLE = "DateStyle"
ISOLATION = "default_transaction_isolation"
NO_NOTICES = "client_min_messages"
# Set with names that no proxy can read in the text. What becomes of it is not said, but that no
# other tenant sees it: every value has the mark.
HIDDEN = "walk.hidden"


@dataclasses.dataclass(frozen=True)
class Setting:
    name: str
    values: tuple  # with {mark} and {default} to be filled in
    reported: bool = False  # by ParameterStatus
    weight: int = 2


SETTINGS = (
    Setting("application_name", ("app {mark}", "other {mark}"), reported=True),
    Setting("app.owner", ("{mark} one", "{mark} two", "it's {mark}"), weight=5),
    Setting("walk.note", ("note {mark}", "longer note {mark} of the walk"), weight=3),
    Setting("search_path", ('{default}, "{mark}"',), weight=3),
    Setting("TimeZone", ("Asia/Tokyo", "America/New_York", "Europe/Oslo"), reported=True),
    Setting(DATE_STYLE, ("SQL, DMY", "German, DMY", "ISO, YMD"), reported=True),
    Setting("IntervalStyle", ("iso_8601", "sql_standard", "postgres_verbose"), reported=True),
    Setting("client_encoding", ("LATIN1", "WIN1252"), reported=True, weight=1),
    Setting("work_mem", ("5MB", "6MB", "7MB")),
    Setting("lock_timeout", ("61234ms", "1h")),
    Setting("extra_float_digits", ("0", "2"), weight=1),
    Setting("jit", ("off",), weight=1),
    Setting(NO_NOTICES, ("error",), weight=1),
    Setting(ISOLATION, ("repeatable read", "serializable"), weight=2),
    Setting(READ_ONLY, ("on",), weight=1),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}
NAMES = [*BY_NAME, TIMEOUT]  # the timeout has statements of its own
ALL_SQL = "SELECT " + ", ".join(f"current_setting('{name}', true)" for name in NAMES)


def is_custom(name):
    return "." in name


@dataclasses.dataclass
class Value:
    """As SET left it, and what SET LOCAL put over it until the transaction ends."""

    session: frozenset
    local: frozenset = None

    @property
    def now(self):
        return self.session if self.local is None else self.local


class Settings:
    """Of one connection."""

    def __init__(self, defaults, startup):
        """defaults: {name: text} of a fresh connection; startup: {name: text} of this login."""
        self.resets = {}
        for name in NAMES:
            default = UNSET if is_custom(name) else frozenset({defaults[name]})
            # RESET may go back to what the login asked for, or to the role's default.
            self.resets[name] = default | {startup[name]} if name in startup else default
        self.values = {name: Value(frozenset({startup[name]}) if name in startup
                                   else self.resets[name]) for name in NAMES}

        # Of DateStyle: for longer than a transaction (committed or not), or when something was parsed.
        self.dates = set(self.resets[DATE_STYLE])

    def copy(self):
        return {name: dataclasses.replace(value) for name, value in self.values.items()}

    def restore(self, copied):
        self.values = {name: dataclasses.replace(value) for name, value in copied.items()}

    def now(self, name):
        return self.values[name].now

    def is_now(self, name, text):
        return text in self.now(name)

    def set(self, name, text, local=False):
        value = frozenset({text})
        if name == DATE_STYLE and not local:
            self.dates.add(text)
        if local:
            self.values[name].local = value
        else:
            self.values[name] = Value(value)

    def reset(self, name):
        self.values[name] = Value(self.resets[name])

    def reset_all(self):
        for name in NAMES:
            self.reset(name)

    def end_local(self):
        """The transaction was committed."""
        for value in self.values.values():
            value.local = None
