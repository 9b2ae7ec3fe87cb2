"""Sessions on X2Go Servers, as `x2golistsessions` writes them: one line each, 16 fields between bars.

Source of the format: the answers of x2goserver 4.1.0.3 (docs/reference/protocol.md); older servers leave the last
fields out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

RUNNING = "R"
SUSPENDED = "S"
STATES = (RUNNING, SUSPENDED)
LEAST_FIELDS = 14
MOST_FIELDS = 24
LONGEST_LINE = 2000
SERVER = 3
STATE = 4

SESSION_NAME = re.compile(
    r"[A-Za-z0-9._@-]{1,100}-[0-9]{2,5}-[0-9]{9,12}(_st[DRSPKC][A-Za-z0-9._@-]*)?(_dp[0-9]{0,3})?"
)
SERVER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}")
NUMBER = re.compile(r"-?[0-9]{1,10}")


@dataclass(frozen=True)
class ServerSession:
    """One session: its name, whose it is, which server it is on (as that server calls itself), and its state.

    `age` is seconds since its start. `fields` is the whole line; the cookie in it is a secret of its user.
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
        return "_stS" in self.name

    def line(self, server: str = "") -> str:
        """The line as a client wants it; with `server` in place of the server's own name, where that is given."""
        fields = list(self.fields)
        if server:
            fields[SERVER] = server
        return "|".join(fields)

    def in_state(self, state: str) -> ServerSession:
        """The same session in another state."""
        fields = list(self.fields)
        fields[STATE] = state
        return replace(self, state=state, fields=tuple(fields))


def parse_session(line: str, user: str = "") -> ServerSession:
    """One line of `x2golistsessions`.

    With `user`, a session of anybody else is an error: whoever sent it lies or errs. Raises ValueError with what is
    wrong; the text never repeats the line, which holds a cookie.
    """
    if len(line) > LONGEST_LINE or not line.isprintable():
        raise ValueError("a line of a session list is too long or holds control characters")
    fields = tuple(line.split("|"))
    if not LEAST_FIELDS <= len(fields) <= MOST_FIELDS:
        raise ValueError(f"a line of a session list has {len(fields)} fields instead of 16")
    name, server, state, owner, age = fields[1], fields[SERVER], fields[STATE], fields[11], fields[12]
    if not SESSION_NAME.fullmatch(name):
        raise ValueError("a line of a session list has no session name")
    if not SERVER_NAME.fullmatch(server):
        raise ValueError(f"session {name} is on no server that could have a name")
    if state not in STATES:
        raise ValueError(f"session {name} is neither running nor suspended")
    if not all(NUMBER.fullmatch(fields[place]) for place in (0, 2, 8, 9, 12)):
        raise ValueError(f"session {name} has text in place of numbers")
    if user and owner != user:
        raise ValueError(f"session {name} belongs to somebody else than was asked for")
    return ServerSession(name, owner, server, state, max(0, int(age)), fields)


def moved_line(line: str, old: str, new: str) -> str:
    """A line of a session with the server's name `new` where it was `old`; any other line as it is."""
    fields = line.split("|")
    if len(fields) > SERVER and fields[SERVER] == old:
        fields[SERVER] = new
    return "|".join(fields)


def resume_order(sessions: list[ServerSession]) -> list[ServerSession]:
    """What to offer first: suspended before running, of these the youngest first; views of others' sessions never."""
    return sorted(
        (session for session in sessions if not session.is_shadow),
        key=lambda session: (not session.is_suspended, session.age, session.name),
    )
