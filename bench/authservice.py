"""The authentication service: a right password behind wrong ones, what the service costs, and who else waits."""

from __future__ import annotations

import contextlib
import functools
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bench.data import config_text, profiles_text
from bench.load import Figures, WrongAnswerError, ask, figures_of, form
from bench.pam import DEBIAN_SERVICE, SERVICE, DebianBroker, DebianService, OurBroker, OurService, PamUser, pam_user
from bench.pam import ask_in_lines as old_form
from bench.plan import Plan, progress
from bench.world import PLAIN, THREADS, WORKERS, Server, Setup, memory
from x2gobroker.authservice import pamcall
from x2gobroker.authservice.client import AuthServiceClient
from x2gobroker.authservice.protocol import OK

WRONG = 20
CROWD = 200
GAP = (0.05, 0.1)  # seconds between the wrong passwords and the right one
PACE = 0.01  # seconds between two requests of somebody else
FAST = "/plain/zeroconf/"  # needs no password check
MANY_THREADS = 32  # of each worker process of the daemon
DIRECT = "direct call of PAM"
Login = Callable[[str], bool]


@dataclass
class Behind:
    """Right passwords that came when wrong ones were under way, round by round."""

    wrong: int
    times: list[float] = field(default_factory=list)  # seconds that the right one took
    ahead: list[int] = field(default_factory=list)  # wrong ones not answered yet when it was sent
    all_done: list[float] = field(default_factory=list)  # seconds until all were answered


@dataclass(frozen=True)
class Crowd:
    """Many logins at once, half of them right: all answered, none wrongly, or the run fails."""

    logins: int
    seconds: float
    idle: float  # megabytes of all processes of the service, proportional share
    most: float
    processes: int


@dataclass
class AuthFigures:
    """Everything of this module."""

    behind: dict[str, Behind] = field(default_factory=dict)
    cost: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # PAM service: way: seconds, pair by pair
    crowd: Crowd | None = None
    others: list[tuple[str, Figures, float]] = field(default_factory=list)  # beside what; wrong ones a second
    reference_others: tuple[float, float, int] | None = None  # seconds of one request alone and beside; wrong ones


def measure(plan: Plan) -> AuthFigures:
    """Ours first, the reference last."""
    result = AuthFigures()
    reference = "reference" in plan.parts and DEBIAN_SERVICE.exists()
    with pam_user() as user:
        with OurService(user) as service:
            client = AuthServiceClient(service.socket)
            _measure_cost(plan, user, service, reference, result)
            progress(f"authservice: {CROWD} at once")
            result.crowd = _crowd(user, service, functools.partial(_ask, client, user))
            rounds = 6 if plan.quick else 40
            result.behind["ours"] = _behind(user, functools.partial(_ask, client, user), WRONG, rounds)
            if not plan.quick:
                in_lines = functools.partial(old_form, service.socket, user.name)
                result.behind["ours, asked as the reference is"] = _behind(user, in_lines, WRONG, 3)
            _measure_broker(plan, user, service, result)
        if reference:
            _measure_reference(plan, user, result)
    return result


def _ask(client: AuthServiceClient, user: PamUser, password: str, service: str = SERVICE) -> bool:
    return client.authenticate(service, user.name, password).granted


def _must_be(expected: bool, found: bool) -> None:
    if found != expected:
        raise WrongAnswerError(f"a {'right' if expected else 'wrong'} password was {'taken' if found else 'refused'}")


def _measure_cost(plan: Plan, user: PamUser, ours: OurService, reference: bool, result: AuthFigures) -> None:
    """A right password by each way in turn, so that a busy moment of the machine hits all."""
    client = AuthServiceClient(ours.socket)
    with contextlib.ExitStack() as stack:
        theirs = stack.enter_context(DebianService(user)) if reference else None
        for pam_service, pairs in ((SERVICE, 8 if plan.quick else 40), (user.permit, 40 if plan.quick else 200)):
            progress(f"authservice: {pairs} right passwords one after the other, PAM service {pam_service}")
            ways: dict[str, Callable[[], bool]] = {
                DIRECT: functools.partial(_in_this_process, user, pam_service),
                "ours": functools.partial(_ask, client, user, user.password, pam_service),
                "ours, asked as the reference is": functools.partial(
                    old_form, ours.socket, user.name, user.password, pam_service
                ),
            }
            if theirs is not None:
                ways["reference"] = functools.partial(old_form, theirs.socket, user.name, user.password, pam_service)
            times: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(pairs):
                for way, login in ways.items():
                    _must_be(True, Plan.clock(login, times[way]))
            result.cost[pam_service] = times


def _in_this_process(user: PamUser, pam_service: str) -> bool:
    """The least that a program of one's own does: password and account, as the service does it."""
    return pamcall.authenticate(pam_service, user.name, lambda _question, _seen: user.password).outcome == OK


def _behind(user: PamUser, login: Login, wrong: int, rounds: int) -> Behind:
    """Send the wrong ones, and the right one a moment later."""
    result = Behind(wrong)
    progress(f"authservice: a right password behind {wrong} wrong ones, {rounds} rounds")
    with ThreadPoolExecutor(wrong) as threads:
        for turn in range(rounds):
            begin = time.monotonic()
            others = [threads.submit(login, user.wrong(turn * wrong + number)) for number in range(wrong)]
            time.sleep(random.uniform(*GAP))
            result.ahead.append(sum(not other.done() for other in others))
            _must_be(True, Plan.clock(lambda: login(user.password), result.times))
            for other in others:
                _must_be(False, other.result())
            result.all_done.append(time.monotonic() - begin)
    return result


def _proportional(service: OurService) -> tuple[float, int]:
    """Megabytes of all processes of the service, shared pages divided by those who share them; how many they are."""
    total = 0.0
    count = 0
    for pid in service.processes():
        with contextlib.suppress(OSError, KeyError):  # has ended meanwhile
            total += memory(pid)[1]
            count += 1
    return total, count


def _crowd(user: PamUser, service: OurService, login: Login) -> Crowd:
    """All at once; every second password is right."""
    idle = _proportional(service)[0]
    seen: list[tuple[float, int]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            seen.append(_proportional(service))

    ready = threading.Barrier(CROWD)

    def one(number: int) -> bool:
        ready.wait(30)
        return login(user.password if number % 2 else user.wrong(number))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        begin = time.monotonic()
        with ThreadPoolExecutor(CROWD) as threads:
            for number, granted in enumerate(threads.map(one, range(CROWD))):
                _must_be(bool(number % 2), granted)
        seconds = time.monotonic() - begin
    finally:
        ended.set()
        watcher.join(30)
    return Crowd(CROWD, seconds, idle, max(size for size, _ in seen), max(count for _, count in seen))


def _measure_broker(plan: Plan, user: PamUser, service: OurService, result: AuthFigures) -> None:
    """The same through our daemon: logins by HTTP, and requests that need no password meanwhile."""
    config = config_text(static=True, mechanism="pam").replace("[global]", "[global]\npenalties = false", 1)
    setup = Setup(plan.accounts[min(plan.groups)], profiles_text(10), config)
    client = AuthServiceClient(service.socket)
    for threads in (THREADS, MANY_THREADS):
        with OurBroker(setup, service, threads) as server:
            by_http = functools.partial(_log_in, server, user)
            _must_be(True, by_http(user.password))
            which = f"by HTTP, {WORKERS * threads} threads"
            result.behind[f"ours, {which}"] = _behind(user, by_http, WRONG, 3 if plan.quick else 20)
            if threads == THREADS:
                result.others.append(_others(plan, server, user, "nothing", None))
                at_service = functools.partial(_ask, client, user)
                what = f"{WRONG} wrong ones at the service, by somebody else"
                result.others.append(_others(plan, server, user, what, at_service))
            result.others.append(_others(plan, server, user, f"{WRONG} wrong ones {which}", by_http))


def _others(plan: Plan, server: Server, user: PamUser, what: str, login: Login | None) -> tuple[str, Figures, float]:
    """Requests of others beside wrong logins; these, by the second."""
    progress(f"authservice: requests beside {what}")
    with _busy(user, login) as answered:
        begin = time.monotonic()
        figures = _paced(server, 1.5 if plan.quick else 3)
        rate = len(answered) / (time.monotonic() - begin)
    return what, figures, rate


def _log_in(server: Server, user: PamUser, password: str) -> bool:
    """One login by HTTP."""
    answer = ask(server.port, PLAIN, form("testcon", user=user.name, password=password), 120)
    if answer.status not in (200, 401):
        raise WrongAnswerError(f"status {answer.status}: {answer.body[:200]!r}")
    return answer.status == 200 and answer.body.startswith("OK")


@contextlib.contextmanager
def _busy(user: PamUser, login: Login | None) -> Iterator[list[bool]]:
    """As many wrong logins as WRONG under way all the time; what came of those that have ended."""
    answered: list[bool] = []
    if login is None:
        yield answered
        return
    ended = threading.Event()

    def one(number: int) -> None:
        while not ended.is_set():
            answered.append(login(user.wrong(number)))

    with ThreadPoolExecutor(WRONG) as threads:
        guesses = [threads.submit(one, number) for number in range(WRONG)]
        time.sleep(0.5)  # until all are under way
        answered.clear()
        try:
            yield answered
        finally:
            ended.set()
    for guess in guesses:
        guess.result()
    _must_be(False, any(answered))


def _paced(server: Server, seconds: float) -> Figures:
    """Requests one after the other with pauses, each on a connection of its own: how long somebody else waits."""
    body = form("testcon", password="x")
    times: list[float] = []
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        answer = Plan.clock(lambda: ask(server.port, FAST, body), times)
        if answer.status != 200:
            raise WrongAnswerError(f"status {answer.status}: {answer.body[:200]!r}")
        time.sleep(PACE)
    return figures_of(times, time.monotonic() - begin)


def _measure_reference(plan: Plan, user: PamUser, result: AuthFigures) -> None:
    """Few rounds: every wrong password keeps the reference, and its whole daemon, for two seconds."""
    with DebianService(user) as service:
        in_lines = functools.partial(old_form, service.socket, user.name)
        result.behind["reference"] = _behind(user, in_lines, 3 if plan.quick else WRONG, 1)
        setup = Setup(plan.accounts[min(plan.groups)], profiles_text(10), config_text(static=True, mechanism="pam"))
        progress("authservice: requests beside the reference's logins")
        with DebianBroker(setup, service) as server:
            result.reference_others = _reference_others(server, user, 1 if plan.quick else 2)


def _reference_others(server: Server, user: PamUser, wrong: int) -> tuple[float, float, int]:
    body = form("testcon", password="x")
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(5):
        Plan.clock(lambda: ask(server.port, FAST, body), alone)
    with ThreadPoolExecutor(wrong) as threads:
        guesses = [threads.submit(_log_in, server, user, user.wrong(number)) for number in range(wrong)]
        time.sleep(GAP[1])
        Plan.clock(lambda: ask(server.port, FAST, body, 60), beside)
        for guess in guesses:
            _must_be(False, guess.result())
    return statistics.median(alone), beside[0], wrong
