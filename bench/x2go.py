"""The X2Go library beside Python X2Go: connect, list, start, suspend, resume; and what watching sessions costs."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import WrongAnswerError
from bench.plan import Plan, progress
from bench.x2go_clients import DEBIAN_LIBRARY, PATIENCE, REFERENCE, Answer, Client, Screen, client
from bench.x2go_driver import OURS, server_seconds
from tests.support.desktop import Desktop, desktop
from tests.support.processes import wait_until
from tests.support.x2go_server import X2GoServer, x2go_server

ROUNDS = 9
MOST_FAILED = 3
WARM_LISTS = 25
CALM_SECONDS = 5.0  # until an unchanged server is known as such
WATCHED = 20
WATCH_SECONDS = 60.0
START_SECONDS = 20.0  # for one of many
CONNECT, CONNECT_LIST = "connect", "connect and list"
WARM = "list, nothing has changed"
CHANGED = "list, after a change"
START, START_RETURNS = "start, until the window stands", "start, until it returns"
SUSPEND = "suspend, until it returns"
RESUME, RESUME_RETURNS = "resume, until the window stands", "resume, until it returns"
TERMINATE = "terminate, until it returns"
SHOWN = "sessions that the client shows, one connection"
ONE_CONNECTION = "sessions that others show, one connection"
CONNECTIONS = "sessions that others show, a connection each"


@dataclass(frozen=True)
class Watch:
    """What watching sessions has cost: processor seconds of the client and of the server, in so many seconds."""

    what: str
    name: str
    sessions: int
    seconds: float
    own: float
    server: float


@dataclass
class X2GoFigures:
    """Seconds of each call: by what is done, then by library."""

    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    untrue: dict[str, int] = field(default_factory=dict)  # sessions not suspended when `suspend` returned
    failed: dict[str, int] = field(default_factory=dict)  # sessions that did not work, and were tried anew
    server: dict[str, list[float]] = field(default_factory=dict)  # processor seconds of the server for a warm list
    watches: list[Watch] = field(default_factory=list)

    def note(self, what: str, name: str, seconds: float) -> None:
        """One more."""
        self.times.setdefault(what, {}).setdefault(name, []).append(seconds)

    def add(self, others: X2GoFigures) -> None:
        """The times of others, too."""
        for what, times in others.times.items():
            for name, all_seconds in times.items():
                for seconds in all_seconds:
                    self.note(what, name, seconds)
        for name, count in others.untrue.items():
            self.untrue[name] = self.untrue.get(name, 0) + count


def measure(plan: Plan) -> X2GoFigures:
    """Both libraries in turn, each with a user of its own; then the sessions of a third one are watched."""
    result = X2GoFigures()
    names = [OURS]
    if "reference" in plan.parts and DEBIAN_LIBRARY.exists():
        names.append(REFERENCE)
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="bench-x2go-"))
        stack.callback(shutil.rmtree, folder)
        (folder / "server").mkdir()
        server = stack.enter_context(x2go_server(folder / "server", users=3))
        shown = stack.enter_context(desktop(folder))
        with _clients(names, server, shown, folder) as clients:
            screen = Screen(shown)
            stack.callback(screen.close)
            _measure_actions(plan, server, screen, clients, result)
            _measure_lists(plan, server, screen, clients, result)
        _measure_watches(plan, server, shown, folder, names, result)
    return result


@contextlib.contextmanager
def _clients(names: Sequence[str], server: X2GoServer, shown: Desktop, folder: Path) -> Iterator[list[Client]]:
    with contextlib.ExitStack() as stack:
        users = zip(names, server.users, strict=False)
        yield [stack.enter_context(client(name, server, user, shown, folder)) for name, user in users]


def _measure_actions(
    plan: Plan, server: X2GoServer, screen: Screen, clients: Sequence[Client], result: X2GoFigures
) -> None:
    """A session from its start to its end, by one library and then by the other, and so on."""
    for turn in range(-1, 2 if plan.quick else ROUNDS):
        progress(f"x2go: sessions, round {turn + 1}")
        for one in clients:
            _one_life_again(server, screen, one, result, warms_up=turn < 0)


def _one_life_again(server: X2GoServer, screen: Screen, one: Client, result: X2GoFigures, warms_up: bool) -> None:
    """A session that works; how many did not is noted. Raises WrongAnswerError when that happens too often."""
    while True:
        noted = X2GoFigures()
        try:
            _one_life(server, screen, one, noted)
        except WrongAnswerError as error:
            progress(str(error).replace("\n", "\n    "))
            result.failed[one.name] = result.failed.get(one.name, 0) + 1
            if result.failed[one.name] > MOST_FAILED:
                raise
            _clean_up(server, screen, one)
            continue
        if not warms_up:
            result.add(noted)
        return


def _clean_up(server: X2GoServer, screen: Screen, one: Client) -> None:
    """Leave nothing of a session that did not work."""
    for name in server.states(one.user):
        server.run(one.user, f"x2goterminate-session {name}")
    wait_until(lambda: not server.states(one.user), "the end of the sessions")
    one.call("act", action="disconnect")
    screen.wait(False)


def _one_life(server: X2GoServer, screen: Screen, one: Client, result: X2GoFigures) -> None:
    """Connect, start, suspend, resume, end; after each change a list."""
    connected = _must(one, one.call("connect"))
    listed = one.call("count")
    result.note(CONNECT, one.name, connected.seconds)
    result.note(CONNECT_LIST, one.name, connected.seconds + listed.seconds)
    screen.wait(False)
    _note_window(screen, one, "start", (START, START_RETURNS), result)
    _note_list(one, result, 1)
    name = str(one.call("name").value)
    suspended = one.act("suspend")
    if server.agent_state(one.user, name) != "SUSPENDED":
        result.untrue[one.name] = result.untrue.get(one.name, 0) + 1
    result.note(SUSPEND, one.name, suspended.seconds)
    _note_list(one, result, 1)
    server.wait_for_state(one.user, name, "S")
    screen.wait(False)
    _note_window(screen, one, "resume", (RESUME, RESUME_RETURNS), result)
    _note_list(one, result, 1)
    result.note(TERMINATE, one.name, one.act("terminate").seconds)
    one.call("act", action="disconnect")
    screen.wait(False)
    wait_until(lambda: not server.states(one.user), "the end of the session")


def _must(one: Client, answer: Answer) -> Answer:
    if not answer.value:
        raise WrongAnswerError(f"{one.name}: it does not connect")
    return answer


def _note_window(screen: Screen, one: Client, action: str, rows: tuple[str, str], result: X2GoFigures) -> None:
    """Start or resume: until its window stands, and until the call returns."""
    one.send("act", action=action)
    answers: list[Answer] = []

    def check() -> None:
        if not answers and one.has_answered():
            answers.append(one.receive())
            if not answers[0].value:
                raise WrongAnswerError(f"{one.name}: {action} does not work")

    stood = screen.wait(True, check)
    answer = answers[0] if answers else one.receive()
    result.note(rows[0], one.name, stood - answer.begin)
    result.note(rows[1], one.name, answer.seconds)


def _note_list(one: Client, result: X2GoFigures, sessions: int) -> None:
    answer = one.call("count")
    if answer.value != sessions:
        raise WrongAnswerError(f"{one.name} lists {answer.value} sessions, not {sessions}")
    result.note(CHANGED, one.name, answer.seconds)


def _start_again(one: Client, result: X2GoFigures) -> None:
    """A session that runs, whatever it takes."""
    for _ in range(MOST_FAILED):
        _must(one, one.call("connect"))
        if one.call("act", action="start").value:
            return
        result.failed[one.name] = result.failed.get(one.name, 0) + 1
        one.call("act", action="disconnect")
    raise WrongAnswerError(f"{one.name}: no session starts")


def _measure_lists(
    plan: Plan, server: X2GoServer, screen: Screen, clients: Sequence[Client], result: X2GoFigures
) -> None:
    """Each user has one running session, and nothing happens to it: a list by each in turn."""
    progress("x2go: lists")
    for one in clients:
        _start_again(one, result)
    screen.wait(True)
    time.sleep(CALM_SECONDS)
    for turn in range(-1, 5 if plan.quick else WARM_LISTS):
        for one in clients:
            before = server_seconds(server.sshd.pid)
            answer = one.call("count")
            if answer.value != 1:
                raise WrongAnswerError(f"{one.name} lists {answer.value} sessions, not 1")
            if turn >= 0:  # the first one has to find out that nothing changes
                result.note(WARM, one.name, answer.seconds)
                result.server.setdefault(one.name, []).append(server_seconds(server.sshd.pid) - before)
    for one in clients:
        one.act("terminate")
        one.call("act", action="disconnect")
    screen.wait(False)


def _measure_watches(
    plan: Plan, server: X2GoServer, shown: Desktop, folder: Path, names: Sequence[str], result: X2GoFigures
) -> None:
    """Sessions of one user, which a client of ours shows: watched by that one, then by others."""
    user = server.users[-1]
    count, seconds = (4, 8.0) if plan.quick else (WATCHED, WATCH_SECONDS)
    patience = PATIENCE + 2 * seconds
    with client(OURS, server, user, shown, folder) as owner:
        progress(f"x2go: {count} sessions start")
        started = owner.call("start_many", PATIENCE + count * START_SECONDS, count=count).value
        progress("x2go: they are watched")
        watched = owner.call("watch_shown", patience, length=seconds).value
        result.watches.append(_watch(SHOWN, OURS, count, watched))
        for name in names:
            with client(name, server, user, shown, folder) as other:
                watched = other.call("watch_one_connection", patience, count=count, length=seconds).value
                result.watches.append(_watch(ONE_CONNECTION, name, count, watched))
        with client(OURS, server, user, shown, folder) as other:
            watched = other.call("watch_connections", patience, names=started, length=seconds).value
            result.watches.append(_watch(CONNECTIONS, OURS, count, watched))
        owner.call("end_many", PATIENCE + count * START_SECONDS)


def _watch(what: str, name: str, count: int, found: dict[str, float]) -> Watch:
    """Raises WrongAnswerError when the client did not know its sessions."""
    if found["running"] != count:
        raise WrongAnswerError(f"{name}: {what}: {found['running']} of {count} are known to run")
    return Watch(what, name, count, found["seconds"], found["own"], found["server"])
