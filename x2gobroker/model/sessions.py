"""Sessions on X2Go Servers, and the one grammar for what servers say of them.

A server says what a session is in two ways: by a line of `x2golistsessions`, 16 fields between bars, and by the lines
that `x2gostartagent` prints. Both make a `SessionRecord`, which checks each field by its own form and cannot be made of
anything else: these words go into option lists of NX, into answers to clients and into commands. Source of the forms:
x2goserver 4.1.0.3 (docs/reference/protocol.md); older servers leave the last fields out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from x2gobroker.model.accounts import may_be_called
from x2gobroker.model.hosts import Endpoint

RUNNING = "R"
SUSPENDED = "S"
ENDING = "T"  # somebody wishes that it ends; the server's cleaner will see to it
STATES = (RUNNING, SUSPENDED, ENDING)
LEAST_FIELDS = 14
MOST_FIELDS = 24
LONGEST_LINE = 2000
START_LINES = 7
UNKNOWN_PORT = -1
SERVER = 3
STATE = 4

SESSION_NAME = re.compile(
    r"[A-Za-z0-9._@][A-Za-z0-9._@-]{0,99}-[0-9]{2,5}-[0-9]{9,12}(_st[DRSPKC][A-Za-z0-9._@-]{0,400})?(_dp[0-9]{0,3})?"
)
SERVER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}")
USER = r"[\w.][\w.@+\\-]{0,98}\$?"  # `\` and `+` stand between domain and user where winbind looks them up
USER_NAME = re.compile(USER)
COOKIE = re.compile(r"[0-9a-fA-F]{8,64}")
NUMBER = re.compile(r"-?[0-9]{1,10}")
MOMENT = re.compile(r"[0-9]{2,4}[-.][0-9]{2}[-.][0-9]{2,4}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}")
CLIENT = re.compile(r"[A-Za-z0-9_.:%-]{0,253}")  # the address that a client came from, or its name
FURTHER = re.compile(r"[A-Za-z0-9_.:@-]{0,200}")  # what later servers may add
SHARED_DESKTOP = re.compile(rf"({USER})@:?([0-9]{{1,5}})")  # as x2golistdesktops names them


@dataclass(frozen=True)
class SessionRecord:
    """All that a server says of one session, each field in its form. Raises ValueError with what is wrong.

    Texts of errors never repeat what the server sent: the cookie lets anybody draw on the session. Dates are the
    server's local time, `age` is seconds since the start. Ports are 0 or -1 where there are none; server, owner and
    dates of a session that was just started are empty.
    """

    agent_pid: int
    name: str
    display: int
    server: str
    state: str
    started: str
    cookie: str = field(repr=False)
    client: str
    graphics_port: int
    sound_port: int
    changed: str
    user: str
    age: int
    folders_port: int = 0
    control_port: int = UNKNOWN_PORT
    data_port: int = UNKNOWN_PORT

    def __post_init__(self) -> None:
        """Check each field by its own form."""
        if not SESSION_NAME.fullmatch(self.name):
            raise ValueError("what a server says of a session has no session name")
        if self.server and not SERVER_NAME.fullmatch(self.server):
            raise ValueError(f"session {self.name} is on no server that could have a name")
        if self.state not in STATES:
            raise ValueError(f"session {self.name} is neither running nor suspended")
        for text, form, what in (
            (self.cookie, COOKIE, "no cookie"),
            (self.client, CLIENT, "a client that can be no address"),
            (self.started, MOMENT, "no date of its start"),
            (self.changed, MOMENT, "no date of its last change"),
            (self.user, USER_NAME, "an owner who can be no user"),
        ):
            if not form.fullmatch(text) and (text or form is COOKIE):
                raise ValueError(f"session {self.name} has {what}")
        ports = (self.graphics_port, self.sound_port, self.folders_port, self.control_port, self.data_port)
        if not all(UNKNOWN_PORT <= port <= 65535 for port in ports) or not 0 <= self.display <= 65535:
            raise ValueError(f"session {self.name} has numbers that can be no ports, or no display")

    @classmethod
    def listed(cls, line: str) -> SessionRecord:
        """The session in one line of `x2golistsessions`. Raises ValueError."""
        if len(line) > LONGEST_LINE or not line.isprintable():
            raise ValueError("a line of a session list is too long or holds control characters")
        fields = line.split("|")
        if not LEAST_FIELDS <= len(fields) <= MOST_FIELDS:
            raise ValueError(f"a line of a session list has {len(fields)} fields instead of 16")
        if not SESSION_NAME.fullmatch(fields[1]):
            raise ValueError("a line of a session list has no session name")
        if not all(fields[place] for place in (SERVER, 5, 10, 11)):
            raise ValueError(f"session {fields[1]} has no server, no owner, or no date")
        numbers = [*(fields[place] for place in (0, 2, 8, 9, 12)), *(text or "0" for text in fields[13:14])]
        teki = [text or str(UNKNOWN_PORT) for text in fields[14:16]]
        if not all(NUMBER.fullmatch(text) for text in (*numbers, *teki)):
            raise ValueError(f"session {fields[1]} has text in place of numbers")
        if not all(FURTHER.fullmatch(text) for text in fields[16:]):
            raise ValueError(f"session {fields[1]} has further fields that are no words")
        pid, display, graphics, sound, age, folders = map(int, numbers)
        control, data = map(int, teki) if len(teki) == 2 else (UNKNOWN_PORT, UNKNOWN_PORT)
        words = {"cookie": fields[6], "client": fields[7], "started": fields[5], "changed": fields[10]}
        return cls(
            agent_pid=pid,
            name=fields[1],
            display=display,
            server=fields[SERVER],
            state=fields[STATE],
            graphics_port=graphics,
            sound_port=sound,
            user=fields[11],
            age=max(0, age),  # a clock may have been set back
            folders_port=folders,
            control_port=control,
            data_port=data,
            **words,
        )

    @classmethod
    def just_started(cls, output: str, user: str = "", server: str = "") -> SessionRecord:
        """The session that `x2gostartagent` says it has started: seven lines or more. Raises ValueError."""
        if len(output) > LONGEST_LINE:
            raise ValueError("x2gostartagent printed more than a started session has to say")
        lines = [line.strip() for line in output.split("\n")]
        numbers = [*lines[0:1], *lines[2:3], *lines[4:START_LINES]]
        if len(lines) < START_LINES or not all(re.fullmatch(r"[0-9]{1,10}", number) for number in numbers):
            raise ValueError("x2gostartagent did not print the seven lines that a started session has")
        if not SESSION_NAME.fullmatch(lines[3]) or not COOKIE.fullmatch(lines[1]):
            raise ValueError("x2gostartagent printed no session name, or no cookie")
        display, pid, graphics, sound, folders = map(int, numbers)
        teki = [int(line) for line in lines[START_LINES : START_LINES + 2] if NUMBER.fullmatch(line)]
        control, data = teki if len(teki) == 2 else (UNKNOWN_PORT, UNKNOWN_PORT)
        return cls(
            agent_pid=pid,
            name=lines[3],
            display=display,
            server=server if SERVER_NAME.fullmatch(server) else "",
            state=RUNNING,
            started="",
            cookie=lines[1],
            client="",
            graphics_port=graphics,
            sound_port=sound,
            changed="",
            user=user if USER_NAME.fullmatch(user) else "",
            age=0,
            folders_port=folders,
            control_port=control,
            data_port=data,
        )


@dataclass(frozen=True)
class ServerSession:
    """One session as the broker tells it: its name, whose it is, which server it is on, and its state.

    `server` is how that server calls itself, `age` is seconds since its start. `fields` is the whole line; the cookie
    in it is a secret of its user.
    """

    name: str
    user: str
    server: str
    state: str
    age: int
    fields: tuple[str, ...] = field(repr=False)

    @property
    def is_suspended(self) -> bool:
        """Whether nobody is connected to it."""
        return self.state == SUSPENDED

    @property
    def is_shadow(self) -> bool:
        """Whether this is somebody's view of another session, which cannot be resumed."""
        return is_shadow(self.name)

    def line(self, server: str = "") -> str:
        """The line as a client wants it; with `server` in place of the server's own name, where that is given."""
        fields = list(self.fields)
        if server:
            fields[SERVER] = server
        return list_line(fields)

    def in_state(self, state: str) -> ServerSession:
        """The same session in another state."""
        fields = list(self.fields)
        fields[STATE] = state
        return replace(self, state=state, fields=tuple(fields))


@dataclass(frozen=True)
class Listing:
    """What agents said when they were asked for the sessions of one account.

    `sessions` are those that they told, each with its server; of the servers in `answered`, these are all. `asked` is
    when the question was put, in seconds since the epoch.
    """

    answered: tuple[Endpoint, ...]
    sessions: tuple[tuple[Endpoint, ServerSession], ...]
    asked: float


def parse_session(line: str, user: str = "") -> ServerSession:
    """One line of `x2golistsessions`.

    With `user`, a session of anybody else is an error: whoever sent it lies or errs. Raises ValueError with what is
    wrong; the text never repeats the line, which holds a cookie.
    """
    record = SessionRecord.listed(line)
    if record.state == ENDING:
        raise ValueError(f"session {record.name} is neither running nor suspended")
    if user and not may_be_called(user, record.user):
        raise ValueError(f"session {record.name} belongs to somebody else than was asked for")
    return ServerSession(record.name, record.user, record.server, record.state, record.age, tuple(line.split("|")))


def is_shadow(name: str) -> bool:
    """Whether a session of this name is somebody's view of another one, which cannot be resumed."""
    return "_stS" in name


def list_line(fields: Sequence[str]) -> str:
    """A line of a session list: the one place that writes one. Raises ValueError for what cannot be a field."""
    if any("|" in text or not text.isprintable() for text in fields):
        raise ValueError("a field of a session list cannot hold bars or control characters")
    return "|".join(fields)


def moved_line(line: str, old: str, new: str) -> str:
    """A line of a session with the server's name `new` where it was `old`; any other line as it is."""
    fields = line.split("|")
    if len(fields) > SERVER and fields[SERVER] == old:
        fields[SERVER] = new
        return list_line(fields)
    return line


def resume_order(sessions: list[ServerSession]) -> list[ServerSession]:
    """What to offer first: suspended before running, of these the youngest first; views of others' sessions never."""
    return sorted(
        (session for session in sessions if not session.is_shadow),
        key=lambda session: (not session.is_suspended, session.age, session.name),
    )
