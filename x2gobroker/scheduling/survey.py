"""What the servers of a session profile say at this moment: ports, sessions and counts, all asked at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

from x2gobroker.agents.base import TIMEOUT, BrokerAgent
from x2gobroker.agents.farm import AgentFarm, Findings
from x2gobroker.agents.rules import LOCAL, AgentRules
from x2gobroker.errors import AgentError
from x2gobroker.logs import error_log
from x2gobroker.model.hosts import Endpoint, Host
from x2gobroker.model.inventory import Counted
from x2gobroker.model.profile import SessionProfile
from x2gobroker.model.server_names import find_host
from x2gobroker.scheduling.probe import DEADLINE, PortProbe, Target

GRACE_SECONDS = 0.5
NOTHING = Findings([], (), {})

T = TypeVar("T")
Counts = Mapping[Endpoint, Mapping[str, int | None]]


@dataclass(frozen=True)
class Servers:
    """The hosts of a profile by `Endpoint.key`: one that is written twice, or under two names, counts once."""

    by_key: Mapping[str, Host]
    endpoints: Mapping[str, Endpoint]

    @classmethod
    def of(cls, profile: SessionProfile) -> Servers:
        """Those of the profile."""
        pairs = profile.servers.items()
        return cls({key: host for key, (host, _) in pairs}, {key: endpoint for key, (_, endpoint) in pairs})

    def targets(self) -> dict[str, Target]:
        """What to connect to, by key."""
        return dict(self.endpoints)

    def key_of(self, profile: SessionProfile, reported: str, own_name: str) -> str:
        """The key of the server that calls itself `reported`; empty when it is none of the profile's."""
        host = find_host(profile.hosts, reported, own_name)
        return "" if host is None else host.endpoint(profile.sshport).key


@dataclass(frozen=True)
class Questions:
    """What to find out.

    `ask` has the keys of servers whose agents are asked for sessions; of the others they are known. `dead` has those of
    servers that the load checker found down, `counted` how many sessions there are where that is known: where it is
    known of all, no agent is asked for it. `alive` are servers
    that need not be tried, as they have said something of late, or cannot be, as they are behind a proxy. `doubted` are
    dead ones where the user has a session: their ports are tried in full, whatever `probe` is, and where they answer,
    their agents are asked; behind a proxy, without a try.
    """

    servers: Servers
    rules: AgentRules
    user: str
    probe: bool
    sessions: bool
    counts: bool
    dead: Collection[str] = ()
    ask: frozenset[str] | None = None
    counted: Mapping[str, Counted] = field(default_factory=dict)
    alive: frozenset[str] = frozenset()
    doubted: frozenset[str] = frozenset()

    @property
    def homes(self) -> tuple[Endpoint, ...]:
        """The servers whose agents are asked for sessions."""
        every = self.servers.endpoints
        return tuple(server for key, server in every.items() if self.ask is None or key in self.ask)


@dataclass(frozen=True)
class Survey:
    """What was found out.

    `up` has the keys of servers that answer, None where nobody looked. `counts()` is what each answering agent says
    of sessions by server, None where it counts none; it may have to wait for them. `counted` has, by key, the numbers
    that were known before. `back` has the keys of doubted servers that answer after all.
    """

    up: frozenset[str] | None = None
    findings: Findings = NOTHING
    counts: Callable[[], Counts] = dict
    counted: Mapping[str, Counted] = field(default_factory=dict)
    back: frozenset[str] = frozenset()

    @property
    def silent(self) -> frozenset[str]:
        """The keys of servers whose agents were waited for, in vain."""
        return frozenset(server.key for server, error in self.findings.failed.items() if error.reason == TIMEOUT)


def one_knows_all(rules: AgentRules) -> bool:
    """Whether any one agent knows the sessions of all servers."""
    return rules.shared_database or rules.mode == LOCAL


def survey(farm: AgentFarm, probe: PortProbe, asked: Questions) -> Survey:
    """Ask everything at once; takes the agents' timeout or the port probe's deadline, whichever is more, at most.

    Where there are doubted servers, it may take both. The counts are not waited for before somebody wants them: who
    resumes a session does not.
    """
    servers = asked.servers
    # ports that are known to be closed belong to servers whose agents need not be waited for
    dead = frozenset(asked.dead) | (_closed(probe, servers) if asked.probe else frozenset())
    end = time.monotonic() + max(asked.rules.timeout, DEADLINE) + GRACE_SECONDS
    again = _begin(lambda: _again(farm, probe, asked)) if asked.doubted else None
    up = _ports(probe, asked) if asked.probe else None
    uncounted = servers.endpoints.keys() - asked.counted.keys()
    counts = _begin(lambda: _count(farm, asked, dead)) if asked.counts and uncounted else None
    findings = NOTHING
    if asked.sessions and asked.homes:
        findings = farm.sessions_of(asked.homes, asked.rules, asked.user, dead)
    back = frozenset[str]()
    if again is not None:
        found = _result(again, end + DEADLINE, "the answers of servers that were found down")
        if found is not None:
            back, findings = found[0], findings.joined(found[1])
        if one_knows_all(asked.rules) and not findings.answered:
            findings = findings.joined(_sessions_of(farm, asked, back))
    alive = _alive(up, findings, asked, end)
    if counts is None:
        return Survey(alive, findings, counted=asked.counted, back=back)
    return Survey(alive, findings, lambda: _result(counts, end, "the agents' counts") or {}, asked.counted, back)


def _begin(call: Callable[[], T]) -> Future[T]:
    """Call it in a thread of its own: nothing is kept that a fork could tear apart."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - raised again by whoever takes the result
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="survey").start()
    return future


def _result(future: Future[T], end: float, what: str) -> T | None:
    try:
        return future.result(max(0.0, end - time.monotonic()))
    except TimeoutError:
        error_log.error("choosing a server: %s did not come in time", what)
        return None


def _again(farm: AgentFarm, probe: PortProbe, asked: Questions) -> tuple[frozenset[str], Findings]:
    """The doubted servers that answer, and what their agents say, where others cannot say it in their place."""
    back = asked.doubted
    if not asked.rules.proxy:
        targets = {key: target for key, target in asked.servers.targets().items() if key in asked.doubted}
        up = probe.reachable(targets.values())
        back = frozenset(key for key, target in targets.items() if target in up)
    return back, NOTHING if one_knows_all(asked.rules) else _sessions_of(farm, asked, back)


def _sessions_of(farm: AgentFarm, asked: Questions, keys: Collection[str]) -> Findings:
    """What the agents of these servers say of the user's sessions; those that are asked anyway are left out."""
    ask = tuple(server for server in map(asked.servers.endpoints.__getitem__, keys) if server not in asked.homes)
    return farm.sessions_of(ask, asked.rules, asked.user) if ask else NOTHING


def _ports(probe: PortProbe, asked: Questions) -> Future[frozenset[str]]:
    """The servers that answer; of those that are `alive` nobody tries that, nor of others, if these are all dead."""
    apart = asked.alive | asked.doubted
    targets = {key: target for key, target in asked.servers.targets().items() if key not in apart}
    if asked.alive and targets.keys() <= set(asked.dead):
        known: Future[frozenset[str]] = Future()
        known.set_result(asked.alive)
        return known
    return _begin(lambda: _reachable(probe, targets, asked))


def _reachable(probe: PortProbe, targets: Mapping[str, Target], asked: Questions) -> frozenset[str]:
    hopeless = {target for key, target in targets.items() if key in asked.dead}
    up = probe.reachable(targets.values(), hopeless)
    return asked.alive | frozenset(key for key, target in targets.items() if target in up)


def _closed(probe: PortProbe, servers: Servers) -> frozenset[str]:
    targets = servers.targets()
    down = probe.known_down(targets.values())
    return frozenset(key for key, target in targets.items() if target in down)


def _alive(
    future: Future[frozenset[str]] | None, findings: Findings, asked: Questions, end: float
) -> frozenset[str] | None:
    """The servers that answer on their ports, and those whose agents just answered, be it through a proxy."""
    if future is None:
        return None
    up = _result(future, end, "the answers of the servers' ports")
    if asked.rules.mode == LOCAL or (up is None and not findings.answered):
        return up
    return (up or frozenset()) | {endpoint.key for endpoint in findings.answered}


def _count(farm: AgentFarm, asked: Questions, dead: Collection[str]) -> Counts:
    def call(agent: BrokerAgent, server: Endpoint) -> dict[str, int | None]:
        return agent.get_servers(server, asked.rules, asked.user)

    ask = farm.ask_any if one_knows_all(asked.rules) else farm.ask_all
    answers = ask(tuple(asked.servers.endpoints.values()), asked.rules, call, dead)
    return {server: answer for server, answer in answers.items() if not isinstance(answer, AgentError)}
