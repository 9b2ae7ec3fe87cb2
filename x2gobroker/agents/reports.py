"""Reports of whole servers by their agents, and the stream of one that is watched, read strictly.

A report is lines `word:value`: `server:` and `time:` (the server's clock), the figures of `checkload`, a `session:` for
each session, and `leftOut:` at the end. Source of the form: docs/reference/protocol.md.

A server that errs, or lies, costs a bounded amount of memory and time, and speaks for its own sessions only. What its
users can write, their agent passes on: a session that cannot be is left out and counted. All else that cannot be is
the server's fault, and ends the report, or the stream.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from x2gobroker.model.load import MOST_LINES as MOST_FIGURES
from x2gobroker.model.load import LoadReport, parse_load
from x2gobroker.model.server_report import MOST_SESSIONS, SeenSession, ServerReport
from x2gobroker.model.sessions import LONGEST_LINE, SERVER_NAME

MOST_REPORT_BYTES = 1 << 21
MOST_REPORT_LINES = MOST_SESSIONS + MOST_FIGURES + 10
MOST_NOISE = 1 << 14  # bytes before the OK
LONGEST_TROUBLE = 200
SERVER, TIME, SESSION, LEFT_OUT = "server:", "time:", "session:", "leftOut:"
GONE, ALIVE, TROUBLE = "gone:", "alive:", "trouble:"
EPOCH = re.compile(r"[0-9]{1,11}")
COUNT = re.compile(r"[0-9]{1,7}")
PORT = re.compile(r"-1|[0-9]{1,5}")
FIELDS = 9


@dataclass(frozen=True)
class Reported:
    """All there is to know of the server; it takes the place of everything that was known before."""

    report: ServerReport


@dataclass(frozen=True)
class Changed:
    """A session that is new, or that is no longer as it was."""

    session: SeenSession


@dataclass(frozen=True)
class Gone:
    """The session with this name is no longer there."""

    name: str


@dataclass(frozen=True)
class Alive:
    """Nothing but a sign of life, with the load as it is now."""

    load: LoadReport


@dataclass(frozen=True)
class Trouble:
    """The server cannot read its session database. What was known of its sessions may be wrong until it reports."""

    text: str


WatchEvent = Reported | Changed | Gone | Alive | Trouble


@dataclass(frozen=True)
class _Clock:
    """What time it is for a server, and what time that is here; epoch seconds."""

    there: int
    here: float

    def at_home(self, moment: int, now: float) -> int:
        """A moment that the server tells, by this host's clock; never one that is still to come."""
        return max(0, min(int(now), moment + int(self.here) - self.there))


def parse_report(lines: Sequence[str], now: float) -> ServerReport:
    """The lines of a whole report, as they came at `now`, in epoch seconds. Raises ValueError."""
    return _parsed(lines, now)[0]


def _parsed(lines: Sequence[str], now: float) -> tuple[ServerReport, _Clock]:
    if not 3 <= len(lines) <= MOST_REPORT_LINES:
        raise ValueError(f"a report of {len(lines)} lines")
    server, moment, left_out = lines[0].removeprefix(SERVER), lines[1].removeprefix(TIME), lines[-1]
    if lines[0] == server or not SERVER_NAME.fullmatch(server):
        raise ValueError("a report that does not say which server it is of")
    if lines[1] == moment or not EPOCH.fullmatch(moment):
        raise ValueError("a report that does not say when it was made")
    if not left_out.startswith(LEFT_OUT) or not COUNT.fullmatch(left_out.removeprefix(LEFT_OUT)):
        raise ValueError("a report without its last line")
    clock = _Clock(int(moment), now)
    first = next((place for place, line in enumerate(lines) if line.startswith(SESSION)), len(lines) - 1)
    load = parse_load(lines[2:first])
    told = lines[first:-1]
    if len(told) > MOST_SESSIONS:
        raise ValueError(f"a report of more than {MOST_SESSIONS} sessions")
    sessions: dict[str, SeenSession] = {}
    for line in told:
        if not line.startswith(SESSION):
            raise ValueError("a report with lines in between that are no sessions")
        session = _session(line.removeprefix(SESSION), server, clock, now)
        if session is not None:
            sessions.setdefault(session.name, session)
    missing = int(left_out.removeprefix(LEFT_OUT)) + len(told) - len(sessions)
    return ServerReport(load, tuple(sessions.values()), missing, server), clock


def _session(text: str, server: str, clock: _Clock, now: float) -> SeenSession | None:
    """The session of a line; None where its user wrote something there that cannot be. Raises ValueError."""
    fields = text.split("|")
    if len(fields) != FIELDS or len(text) > LONGEST_LINE:
        raise ValueError(f"a session with {len(fields)} fields instead of {FIELDS}, or a very long one")
    name, user, display, state, since, client, *ports = fields
    if not PORT.fullmatch(display) or not EPOCH.fullmatch(since) or not all(PORT.fullmatch(port) for port in ports):
        raise ValueError("a session with text in place of numbers")
    graphics, sound, folders = map(int, ports)
    moment = clock.at_home(int(since), now)
    try:
        return SeenSession(name, user, int(display), state, moment, client, server, (graphics, sound, folders))
    except ValueError:
        return None


class WatchStream:
    """What the task `watch` says, byte by byte as it comes. No input or output; not safe for threads.

    `feed` gives the events that are whole by now. It raises ValueError where the stream cannot be, and with everything
    that is fed to it from then on. It holds on to one line, or one report, and to the names of 10,000 sessions,
    whatever the server sends.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._noise = 0  # bytes before the OK; -1 behind it
        self._report: list[str] = []
        self._size = 0  # bytes of it
        self._names: set[str] = set()
        self._server = ""
        self._clock = _Clock(0, 0.0)
        self._fault = ""

    def feed(self, data: bytes, now: float) -> list[WatchEvent]:
        """The events that these bytes complete; `now` is when they came, in epoch seconds. Raises ValueError."""
        if self._fault:
            raise ValueError(self._fault)
        events: list[WatchEvent] = []
        try:
            *lines, self._rest = (self._rest + data).split(b"\n")
            if max(map(len, [*lines, self._rest])) > (LONGEST_LINE if self._noise < 0 else MOST_NOISE):
                raise ValueError("what is watched says lines that are too long")
            for line in lines:
                if self._noise >= 0:
                    self._await_ok(line)
                else:
                    events.extend(self._line(line, now))
        except ValueError as error:
            self._fault, self._rest, self._report, self._names = str(error), b"", [], set()
            raise
        return events

    def _await_ok(self, line: bytes) -> None:
        """Start-up files of the agent's account may print something first."""
        self._noise = -1 if line.rstrip(b"\r") == b"OK" else self._noise + len(line) + 1
        if self._noise > MOST_NOISE:
            raise ValueError("what is watched does not say OK")

    def _line(self, data: bytes, now: float) -> list[WatchEvent]:
        try:
            line = data.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("what is watched says something that is no UTF-8 text") from None
        if not line.isprintable():
            raise ValueError("what is watched says control characters")
        if self._report or line.startswith(SERVER):
            return self._report_line(line, now)
        if not self._server and not line.startswith((TROUBLE, ALIVE)):
            raise ValueError("what is watched says something before its first report")
        if line.startswith(SESSION):
            return self._changed(line.removeprefix(SESSION), now)
        if line.startswith(GONE):
            return self._gone(line.removeprefix(GONE))
        if line.startswith(ALIVE):
            return [self._alive(line.removeprefix(ALIVE), now)]
        if line.startswith(TROUBLE):
            self._server, self._names = "", set()
            return [Trouble(line.removeprefix(TROUBLE)[:LONGEST_TROUBLE])]
        raise ValueError("what is watched says something that has no meaning")

    def _report_line(self, line: str, now: float) -> list[WatchEvent]:
        """One line more of a report; an event with its last one."""
        self._report.append(line)
        self._size += len(line) + 1
        if len(self._report) > MOST_REPORT_LINES or self._size > MOST_REPORT_BYTES:
            raise ValueError("what is watched does not end its report")
        if not line.startswith(LEFT_OUT):
            return []
        report, self._clock = _parsed(self._report, now)
        self._report, self._size = [], 0
        self._server, self._names = report.server, {session.name for session in report.sessions}
        return [Reported(report)]

    def _changed(self, text: str, now: float) -> list[WatchEvent]:
        session = _session(text, self._server, self._clock, now)
        if session is None:
            return []
        self._names.add(session.name)
        if len(self._names) > MOST_SESSIONS:
            raise ValueError(f"what is watched has more than {MOST_SESSIONS} sessions")
        return [Changed(session)]

    def _gone(self, name: str) -> list[WatchEvent]:
        if name not in self._names:
            return []  # one that was left out
        self._names.discard(name)
        return [Gone(name)]

    def _alive(self, text: str, now: float) -> Alive:
        moment, *figures = text.split("|")
        if not EPOCH.fullmatch(moment):
            raise ValueError("what is watched gives a sign of life without the time")
        self._clock = _Clock(int(moment), now)
        return Alive(parse_load(figures))
