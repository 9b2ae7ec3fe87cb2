"""selectsession by HTTP where broker agents are asked: one server and three, with autologin and without."""

from __future__ import annotations

import functools
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.agents import run_alone
from bench.load import WrongAnswerError, ask, form
from bench.plan import Plan, progress
from bench.sites import (
    DEBIAN,
    DEBIAN_AGENT,
    OURS,
    PASSWORD,
    TRIVIAL,
    DebianBroker,
    OurBroker,
    Site,
    agent_config,
    authid_of,
    site,
)
from bench.world import PLAIN, Server, Setup

NO_KEY, OF_CLIENT, OF_BROKER = "no autologin", "client's key", "broker's key"
KEY_PAUSE = 0.3  # seconds between two logins with a key made by the broker: as many are in stock as a person needs
SERVERS = (1, 3)
WARMING = 8  # requests of each case that are not counted: both workers have connections afterwards
DEADLINE = 30.0
JSON = "/json/inifile/"


@dataclass(frozen=True)
class Case:
    """One row: how many servers the profile has, and whose key is put there."""

    servers: int
    key: str


@dataclass
class Selects:
    """Seconds of each request: by broker and kind of agent, then by case."""

    times: dict[tuple[str, str], dict[Case, list[float]]] = field(default_factory=dict)
    alone: dict[str, list[float]] = field(default_factory=dict)  # `listsessions` of each agent, without SSH


def cases() -> list[Case]:
    """All rows."""
    return [Case(servers, key) for key in (NO_KEY, OF_CLIENT, OF_BROKER) for servers in SERVERS]


def measure(plan: Plan) -> Selects:
    """Both brokers with the trivial agent, then each with its own."""
    result = Selects()
    reference = "reference" in plan.parts and DEBIAN_AGENT.exists()
    for kind in (TRIVIAL, OURS, DEBIAN):
        if (kind == DEBIAN and not reference) or (plan.quick and kind != TRIVIAL):
            continue
        with site(kind) as servers:
            if servers.agent is not None:
                result.alone[kind] = [_alone(servers) for _ in range(10)]
            if kind != DEBIAN:
                progress(f"selects: ours, agents: {kind}")
                with _ours(plan, servers) as server:
                    result.times[OURS, kind] = _measure_broker(servers, server, _requests(plan, kind, 40))
            if kind != OURS and reference:
                progress(f"selects: reference, agents: {kind}")
                with _reference(plan, servers) as server:
                    result.times[DEBIAN, kind] = _measure_broker(servers, server, _requests(plan, kind, 6))
    return result


def _requests(plan: Plan, kind: str, most: int) -> int:
    """How many requests of each case: fewer of those that take long."""
    return most if kind == TRIVIAL and not plan.quick else max(2, most // 5)


def _alone(servers: Site) -> float:
    times: list[float] = []
    Plan.clock(lambda: run_alone(servers, "listsessions"), times)
    return times[0]


def _profiles(servers: Site) -> str:
    """A profile for each number of servers, with autologin and without."""
    text = [servers.profile(f"desk{count}", count) for count in SERVERS]
    text += [servers.profile(f"auto{count}", count, "broker-session-autologin = true") for count in SERVERS]
    return "\n".join(text)


def _ours(plan: Plan, servers: Site) -> OurBroker:
    """Autologin wants a user whom the broker has checked."""
    setup = Setup(plan.accounts[min(plan.groups)], _profiles(servers), agent_config("htpasswd"))
    return OurBroker(setup, servers.variables(), {servers.user.name: PASSWORD})


def _reference(plan: Plan, servers: Site) -> DebianBroker:
    return DebianBroker(Setup(servers.accounts(), _profiles(servers), agent_config("none")), servers.variables())


def _client_key(folder: Path) -> str:
    """The line of a public key, as a client sends it."""
    path = folder / "client-key"
    if not path.exists():
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "client", "-f", str(path)]
        subprocess.run(argv, check=True, timeout=60, stdin=subprocess.DEVNULL)
    return path.with_suffix(".pub").read_text(encoding="ascii").strip()


def _measure_broker(servers: Site, server: Server, requests: int) -> dict[Case, list[float]]:
    """The cases in turn, one request after the other, on a connection each, with an authid that a login gave."""
    authid = authid_of(server, servers.user.name)
    pubkey = _client_key(servers.folder)
    times: dict[Case, list[float]] = {case: [] for case in cases()}
    if servers.agent is not None:  # a key of either kind is the same to an agent
        times = {case: [] for case in times if case.key != OF_BROKER}
    for case, found in times.items():
        count = requests if case.key != OF_BROKER else requests // 2
        warming = 1 if server.name != OURS else WARMING if servers.agent is None else WARMING // 2
        before = servers.calls()
        for turn in range(-warming, count):
            some: list[float] = []
            Plan.clock(functools.partial(_select, servers, server, case, authid, pubkey), some)
            if turn >= 0:  # those before warm up
                found += some
            if case.key == OF_BROKER:
                time.sleep(KEY_PAUSE)
        if servers.calls() - before < count:
            raise WrongAnswerError(f"{server.name}: {case}: no agent was asked")
    return times


def _select(servers: Site, server: Server, case: Case, authid: str, pubkey: str) -> None:
    """One request; the answer must be one of the servers, with the key that was asked for."""
    name = f"{'desk' if case.key == NO_KEY else 'auto'}{case.servers}"
    more = {"pubkey": pubkey} if case.key == OF_CLIENT else {}
    body = form("selectsession", user=servers.user.name, authid=authid, sid=name, **more)
    # the text frontend does not say whether it took a client's key
    answer = ask(server.port, JSON if case.key == OF_CLIENT else PLAIN, body, DEADLINE)
    expected: dict[str, Callable[[str], bool]] = {
        NO_KEY: lambda text: "AUTHENTICATION" not in text.upper(),
        OF_CLIENT: lambda text: "ACCEPTED" in text,
        OF_BROKER: lambda text: "PRIVATE KEY-----" in text,
    }
    known = any(address in answer.body for address in servers.addresses[: case.servers])
    if answer.status != 200 or not known or not expected[case.key](answer.body):
        raise WrongAnswerError(f"{server.name}: {case}: status {answer.status}: {answer.body[:200]}")
