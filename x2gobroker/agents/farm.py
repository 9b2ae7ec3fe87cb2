"""Many broker agents at once: none of them can hold up a request for longer than the deadline."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
import weakref
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from x2gobroker.agents.base import LEFT_OUT, REFUSED, SERVER_TROUBLE, TIMEOUT, BrokerAgent
from x2gobroker.agents.breaker import CircuitBreaker
from x2gobroker.agents.rules import LOCAL, NONE, AgentRules
from x2gobroker.agents.workers import Workers
from x2gobroker.errors import AgentError, PluginError
from x2gobroker.logs import broker_log, error_log
from x2gobroker.logs import field as log_field
from x2gobroker.model.hosts import Endpoint, Host
from x2gobroker.model.server_names import find_host
from x2gobroker.model.sessions import ServerSession
from x2gobroker.plugins import AGENTS, load

MOST_THREADS = 256  # made when needed; as many dead servers must not keep the others from being asked
FIRST_ASKED = 2
HEDGE_SHARE = 0.25  # of the deadline; then the servers that were kept back are asked as well
REPEAT_SECONDS = 60.0  # the same trouble of a server that answers is said once in that time

T = TypeVar("T")


@dataclass(frozen=True)
class Findings:
    """A user's sessions on several servers, which servers answered, and why the others did not.

    `tellers` has the server whose agent has told a session, by the names of the session and of its server.
    """

    sessions: list[ServerSession]
    answered: tuple[Endpoint, ...]
    failed: dict[Endpoint, AgentError]
    tellers: dict[tuple[str, str], Endpoint] = field(default_factory=dict)

    def teller_of(self, session: ServerSession) -> Endpoint | None:
        """The server whose agent has told this session; that which it is on, if that one has told it."""
        return self.tellers.get((session.name, session.server))

    def joined(self, other: Findings) -> Findings:
        """With what servers said that were asked apart from these."""
        return Findings(
            [*self.sessions, *(session for session in other.sessions if self.teller_of(session) is None)],
            (*self.answered, *other.answered),
            {**self.failed, **other.failed},
            {**other.tellers, **self.tellers},
        )


@dataclass
class _Answers(Generic[T]):
    """What came in so far, by `Endpoint.key`."""

    results: dict[str, T | AgentError] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def good(self) -> int:
        return sum(not isinstance(result, AgentError) for result in self.results.values())


def own_endpoint() -> Endpoint:
    """This machine, as the only server of query mode LOCAL."""
    return Endpoint(socket.gethostname(), "localhost", 0)


class AgentFarm:
    """Asks the broker agents of several servers at the same time; one for each process or application.

    Safe for threads and forks: a child process has threads and connections of its own, made when needed.
    """

    def __init__(self, breaker: CircuitBreaker | None = None, most_threads: int = MOST_THREADS) -> None:
        self.breaker = breaker or CircuitBreaker()
        self._most_threads = most_threads
        self._agents: dict[str, BrokerAgent] = {}
        self._start_anew()
        _farms.add(self)

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._workers: Workers | None = None
        self._said: dict[str, tuple[str, float]] = {}

    def after_fork(self) -> None:
        """In a new process: threads of the old one are not there, and may have held a lock."""
        self._start_anew()
        self.breaker.after_fork()

    def agent(self, mode: str) -> BrokerAgent:
        """The query mode's plug-in. Raises AgentError when it is not installed or does not load."""
        name = mode.lower()
        known = self._agents.get(name)
        if known is None:
            with self._lock:
                known = self._agents.get(name)
                if known is None:
                    known = self._agents[name] = _made(name)
        return known

    def close(self) -> None:
        """Give up all connections and threads; waits for nobody. The farm can be used again."""
        with self._lock:
            workers, self._workers = self._workers, None
            agents, self._agents = list(self._agents.values()), {}
        if workers is not None:
            workers.close()
        for agent in agents:
            agent.close()

    def ask_all(
        self,
        servers: Sequence[Endpoint],
        rules: AgentRules,
        call: Callable[[BrokerAgent, Endpoint], T],
        known_dead: Collection[str] = (),
        seconds: float = 0,
    ) -> dict[Endpoint, T | AgentError]:
        """What `call` returns for each server, or why it does not; never takes longer than `seconds`.

        `seconds` 0 is the timeout of the rules. `call` raises AgentError. Servers whose keys are in `known_dead` are
        not asked (LEFT_OUT), unless that would leave nobody. In query mode LOCAL the only server is `own_endpoint()`.
        """
        servers = _servers(servers, rules)
        end = time.monotonic() + (seconds or rules.timeout)
        answers, asked = self._prepare(servers, rules, known_dead)
        self._start(asked, rules, call, answers, end)
        _wait(answers, end, lambda: len(answers.results) >= len({server.key for server in servers}))
        self._give_up(answers, asked, seconds or rules.timeout)
        return {server: answers.results[server.key] for server in servers}

    def ask_any(
        self,
        servers: Sequence[Endpoint],
        rules: AgentRules,
        call: Callable[[BrokerAgent, Endpoint], T],
        known_dead: Collection[str] = (),
        enough: int = 1,
    ) -> dict[Endpoint, T | AgentError]:
        """The same where servers know the same things: returns as soon as `enough` of them have answered.

        Two (at least `enough`) are asked at first, at random; the others when these fail, or take a quarter of the
        timeout. The result holds the servers of which something is known.
        """
        servers = _servers(servers, rules)
        begun = time.monotonic()
        end = begun + rules.timeout
        answers, asked = self._prepare(servers, rules, known_dead)
        random.shuffle(asked)
        left_out = self.breaker.left_out()
        asked.sort(key=lambda server: server.key in left_out)
        first = max(FIRST_ASKED, enough)
        before = len(answers.results)
        self._start(asked[:first], rules, call, answers, end)

        def settled(count: int) -> bool:
            return answers.good() >= enough or len(answers.results) >= before + count

        _wait(answers, begun + rules.timeout * HEDGE_SHARE, lambda: settled(min(first, len(asked))))
        if answers.good() < enough:
            self._start(asked[first:], rules, call, answers, end)
            _wait(answers, end, lambda: settled(len(asked)))
        if answers.good() < enough:
            self._give_up(answers, asked, rules.timeout)
        with answers.changed:
            return {server: answers.results[server.key] for server in servers if server.key in answers.results}

    def sessions_of(
        self, servers: Sequence[Endpoint], rules: AgentRules, user: str, known_dead: Collection[str] = ()
    ) -> Findings:
        """The user's sessions, each once, as the server that it is on tells it, where that one answers."""

        def call(agent: BrokerAgent, server: Endpoint) -> list[ServerSession]:
            return agent.list_sessions(server, rules, user)

        ask = self.ask_any if _knows_all(rules) else self.ask_all
        return _merged(ask(servers, rules, call, known_dead))

    def counts_of(
        self, servers: Sequence[Endpoint], rules: AgentRules, user: str, known_dead: Collection[str] = ()
    ) -> dict[str, int]:
        """Sessions of all users by server, as servers call themselves; without those that do not tell.

        What a server says of itself counts; of others, the highest number that is said.
        """

        def call(agent: BrokerAgent, server: Endpoint) -> dict[str, int | None]:
            return agent.get_servers(server, rules, user)

        ask = self.ask_any if _knows_all(rules) else self.ask_all
        counts: dict[str, tuple[bool, int]] = {}
        for server, answer in ask(servers, rules, call, known_dead).items():
            if isinstance(answer, AgentError):
                continue
            for name, count in answer.items():
                if count is not None:
                    counts[name] = max(counts.get(name, (False, 0)), (_is(server, name), count))
        return {name: count for name, (_, count) in counts.items()}

    def _prepare(
        self, servers: Sequence[Endpoint], rules: AgentRules, known_dead: Collection[str]
    ) -> tuple[_Answers[Any], list[Endpoint]]:
        """Answers that need no asking, and one endpoint for each server that is to be asked."""
        answers: _Answers[Any] = _Answers()
        by_key: dict[str, Endpoint] = {}
        for server in servers:
            by_key.setdefault(server.key, server)
        refusal = self._refusal(rules.mode)
        if refusal is not None:
            answers.results.update(dict.fromkeys(by_key, refusal))
            return answers, []
        alive = {key: server for key, server in by_key.items() if key not in known_dead} or by_key
        for key in by_key.keys() - alive.keys():
            answers.results[key] = _left_out(by_key[key], "the load checker found it down")
        return answers, list(alive.values())

    def _refusal(self, mode: str) -> AgentError | None:
        """Why nobody can be asked in this query mode."""
        if mode == NONE:
            return AgentError("broker agents are off (agent query mode NONE)", REFUSED)
        try:
            self.agent(mode)
        except AgentError as error:
            if self._is_new(mode, REFUSED):
                error_log.error("no broker agent can be asked: %s", error)
            return error
        return None

    def _start(
        self,
        servers: Sequence[Endpoint],
        rules: AgentRules,
        call: Callable[[BrokerAgent, Endpoint], T],
        answers: _Answers[T],
        end: float,
    ) -> None:
        with self._lock:
            workers = self._workers
            if servers and workers is None:
                workers = self._workers = Workers(self._most_threads)
        for server in servers:
            if not self.breaker.allows(server.key):
                with answers.changed:
                    answers.results[server.key] = _left_out(server, "it failed too often of late")
            elif workers is not None:
                workers.submit(lambda server=server: self._ask(server, rules, call, answers), end)  # type: ignore[misc]

    def _ask(
        self, server: Endpoint, rules: AgentRules, call: Callable[[BrokerAgent, Endpoint], T], answers: _Answers[T]
    ) -> None:
        """One server, in a thread of its own; raises nothing."""
        result: T | AgentError
        answers.begun.add(server.key)
        try:
            result = call(self.agent(rules.mode), server)
        except AgentError as error:
            result = error
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the thread and the request go on
            error_log.exception("agent query mode %s: a plug-in failed", rules.mode)
            result = AgentError(f"the plug-in for {rules.mode} failed: {type(error).__name__}", REFUSED)
        with answers.changed:  # the caller goes on when all of this is known
            known = answers.results.setdefault(server.key, result)
            if not isinstance(result, AgentError):
                self._note_success(server)
            elif known is result:
                self._note_failure(server, result)
            answers.changed.notify_all()
        if known is not result:
            broker_log.debug("agent on %s: an answer that came too late", log_field(server.key))

    def _give_up(self, answers: _Answers[Any], asked: Sequence[Endpoint], seconds: float) -> None:
        """Put a TIMEOUT where there is no answer; what still comes is too late."""
        late = []
        with answers.changed:
            for server in asked:
                if server.key not in answers.results:
                    error = AgentError(f"agent on {log_field(server.name)}: no answer within {seconds:g} s", TIMEOUT)
                    answers.results[server.key] = error
                    if server.key in answers.begun:  # else it was the broker that did not get round to it
                        late.append((server, error))
        for server, error in late:
            self._note_failure(server, error)

    def _note_success(self, server: Endpoint) -> None:
        if self.breaker.succeeded(server.key):
            broker_log.warning("X2Go Server %s: its broker agent answers again", log_field(server.key))

    def _note_failure(self, server: Endpoint, error: AgentError) -> None:
        """One line for each failure; where a server goes on failing, for each time that it is left out."""
        pause = self.breaker.failed(server.key, error.reason)
        if pause:
            broker_log.warning(
                "X2Go Server %s: left out for %.0f s, after failures in a row; the last: %s: %s",
                log_field(server.key),
                pause,
                error.reason,
                error,
            )
        elif self._is_news(server, error):
            broker_log.warning("X2Go Server %s: %s: %s", log_field(server.key), error.reason, error)

    def _is_news(self, server: Endpoint, error: AgentError) -> bool:
        if error.reason in SERVER_TROUBLE:
            return server.key not in self.breaker.left_out()
        return self._is_new(server.key, error.reason)

    def _is_new(self, what: str, reason: str) -> bool:
        now = time.monotonic()
        with self._lock:
            known, when = self._said.get(what, ("", 0.0))
            if known == reason and now - when < REPEAT_SECONDS:
                return False
            self._said[what] = (reason, now)
        return True


def _made(name: str) -> BrokerAgent:
    try:
        return load(AGENTS, name, BrokerAgent)()  # type: ignore[type-abstract]
    except PluginError as error:
        raise AgentError(f"agent query mode {name}: {error}", REFUSED) from None


def _left_out(server: Endpoint, why: str) -> AgentError:
    return AgentError(f"X2Go Server {log_field(server.name)} was not asked: {why}", LEFT_OUT)


def _servers(servers: Sequence[Endpoint], rules: AgentRules) -> Sequence[Endpoint]:
    return (own_endpoint(),) if rules.mode == LOCAL and servers else servers


def _knows_all(rules: AgentRules) -> bool:
    return rules.shared_database or rules.mode == LOCAL


def _wait(answers: _Answers[Any], end: float, settled: Callable[[], bool]) -> None:
    with answers.changed:
        answers.changed.wait_for(settled, max(0.0, end - time.monotonic()))


def _is(server: Endpoint, name: str) -> bool:
    """Whether `name` is what this server calls itself."""
    return find_host((Host(server.name, server.address),), name, socket.gethostname()) is not None


def _merged(answers: dict[Endpoint, list[ServerSession] | AgentError]) -> Findings:
    found: dict[tuple[str, str], tuple[bool, ServerSession]] = {}
    tellers: dict[tuple[str, str], Endpoint] = {}
    for server, answer in answers.items():
        if isinstance(answer, AgentError):
            continue
        for session in answer:
            key, own = (session.name, session.server), _is(server, session.server)
            if key not in found or (own and not found[key][0]):
                found[key], tellers[key] = (own, session), server
    return Findings(
        [session for _, session in found.values()],
        tuple(server for server, answer in answers.items() if not isinstance(answer, AgentError)),
        {server: answer for server, answer in answers.items() if isinstance(answer, AgentError)},
        tellers,
    )


_farms: weakref.WeakSet[AgentFarm] = weakref.WeakSet()


def _after_fork() -> None:
    for farm in list(_farms):
        farm.after_fork()


os.register_at_fork(after_in_child=_after_fork)
