"""A farm of X2Go Servers, a third of them dead: how long the load checker takes for a round over all of them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.plan import Plan, progress
from bench.report import number, table
from bench.world import PROGRAMS
from tests.support.accounts import account_with_home
from tests.support.debian_broker import PYTHON
from tests.support.processes import Program, free_port, wait_until
from tests.support.sshd import make_key, sshd

SERVERS = 200
DEAD_EVERY = 3  # one of so many is dead
REFERENCE_SERVERS = 15  # all of them up
REFERENCE_PROGRAM = "/usr/sbin/x2gobroker-loadchecker"
REFERENCE_PATIENCE = 60.0
PATIENCE = 60.0
PER_PROFILE = 20
MOST_ADDRESSES = 16  # that one sshd listens on
KNOCKS = 6  # connections that nobody accepts, until the kernel drops what comes
AGENT = """\
#!/bin/sh
echo OK
case "$SSH_ORIGINAL_COMMAND" in
*checkload*) printf '%s\\n' loadavgXX:101 memAvail:16000 myMemAvail:15900 numCPU:8 typeCPU:3000 numSessions:4 ;;
esac
"""
CONFIG = """\
[global]
load-checker-intervals = 86400
default-use-load-checker = true
default-agent-query-mode = SSH
default-agent-hostkey-policy = RejectPolicy
cookie-directory = {folder}/state
[broker_inifile]
enable = true
use-load-checker = true
session-profiles = {folder}/profiles-{name}.conf
"""


@dataclass(frozen=True)
class Round:
    """Seconds until the servers that are up had been asked, and until all had been."""

    up: float
    all: float


@dataclass(frozen=True)
class FarmFigures:
    """Ours: the first round after its start, and another one, when it knows who is dead. The reference's first."""

    servers: int
    dead: int
    first: Round
    again: Round
    reference: tuple[float, float | None] | None  # seconds for one server that is up, and for a dead one
    patience: float  # seconds waited for the latter


class Farm:
    """Addresses of 127/8: real sshd processes listen on those that are up; on the others nothing answers."""

    def __init__(self, folder: Path, user: str, home: Path, port: int) -> None:
        self.folder = folder
        self.user = user
        self.home = home
        self.port = port

    @staticmethod
    def is_dead(index: int) -> bool:
        """Whether the server of this number is dead."""
        return index % DEAD_EVERY == 0

    @classmethod
    def address(cls, index: int) -> str:
        """The address of a server."""
        return f"127.0.{2 if cls.is_dead(index) else 1}.{index + 1}"

    def configure(self, name: str, chosen: Sequence[int]) -> Path:
        """A configuration with these servers, in profiles of PER_PROFILE."""
        profiles = []
        for begin in range(0, len(chosen), PER_PROFILE):
            members = chosen[begin : begin + PER_PROFILE]
            hosts = ", ".join(f"ts{index} ({self.address(index)}:{self.port})" for index in members)
            flags = "broker-use-load-checker = true\nbroker-agent-query-mode = SSH"
            profiles.append(f"[p{begin}]\nname = p{begin}\nhost = {hosts}\n{flags}\n")
        (self.folder / f"profiles-{name}.conf").write_text("".join(profiles))
        config = self.folder / f"x2gobroker-{name}.conf"
        config.write_text(CONFIG.format(folder=self.folder, name=name))
        return config

    def environment(self, config: Path) -> dict[str, str]:
        """The environment of both load checkers."""
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "LOGNAME": "root",
            "USER": "root",
            "SPHINX_API_DOCUMENTATION_BUILD": "1",
            "X2GOBROKER_CONFIG": str(config),
            "X2GOBROKER_SESSIONPROFILES": str(config).replace("x2gobroker-", "profiles-"),
            "X2GOBROKER_DEFAULTS": str(self.folder / "no-defaults.conf"),
            "X2GOBROKER_LOADCHECKER_LOGCONFIG": str(self.folder / "no-loggers.conf"),
            "X2GOBROKER_LOADCHECKER_SOCKET": str(self.folder / "socket"),
            "X2GOBROKER_LOGCONFIG": str(self.folder / "no-loggers.conf"),
            "X2GOBROKER_SSH_FOLDER": str(self.folder / ".ssh"),
            "X2GOBROKER_AGENT_USER": self.user,
        }


@contextlib.contextmanager
def farm(program: str = AGENT) -> Iterator[Farm]:
    """All servers, for the length of a `with` block; `program` is the agent of those that are up, a shell script."""
    folder = Path(tempfile.mkdtemp(prefix="bench-farm-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        account = stack.enter_context(account_with_home("Bench-pw-1"))
        (folder / ".ssh").mkdir(mode=0o700)
        key = make_key(folder / ".ssh" / "id_rsa", "rsa")
        agent = account.home / "agent"
        agent.write_text(program)
        agent.chmod(0o755)
        up = [Farm.address(index) for index in range(SERVERS) if not Farm.is_dead(index)]
        authorized = {account.name: f'restrict,command="{agent}" {key}'}
        port = free_port()
        for begin in range(0, len(up), MOST_ADDRESSES):
            listen, *others = up[begin : begin + MOST_ADDRESSES]
            more = "\n".join([*(f"ListenAddress {address}" for address in others), "MaxStartups 1000"])
            one = sshd(
                folder / f"sshd-{begin}",
                authorized=authorized,
                config=more,
                listen=listen,
                port=port,
                kinds=("ed25519",),
            )
            server = stack.enter_context(one)
            with (folder / ".ssh" / "known_hosts").open("a") as known:
                known.writelines(server.host_key_lines(address) for address in (listen, *others))
        for index in range(SERVERS):
            if Farm.is_dead(index):
                _make_dead(stack, Farm.address(index), port)
        folder.chmod(0o755)
        shutil.copytree(folder / ".ssh", account.home / ".ssh", dirs_exist_ok=True)
        for path in (account.home / ".ssh", *(account.home / ".ssh").iterdir()):
            shutil.chown(path, account.name, account.name)
        yield Farm(folder, account.name, account.home, port)


def _make_dead(stack: contextlib.ExitStack, address: str, port: int) -> None:
    """From now on the kernel drops what comes to this address and port: its queue is full."""
    listener = stack.enter_context(socket.socket())
    listener.bind((address, port))
    listener.listen(0)
    for _ in range(KNOCKS):
        knock = stack.enter_context(socket.socket())
        knock.setblocking(False)
        knock.connect_ex((address, port))


def _asked(environment: dict[str, str], config: Path) -> list[tuple[str, float]]:
    """State and moment of the last question of each server."""
    done = subprocess.run(
        [str(PROGRAMS / "x2gobroker"), "load", "--json", "-C", str(config)],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if not done.stdout:
        return []
    servers = json.loads(done.stdout)["servers"]
    return [(one["state"], one["asked"] + one["took"]) for one in servers if one["asked"]]


def _round(environment: dict[str, str], config: Path, began: float) -> Round:
    """Wait for the end of a round that began at this moment. By then two thirds must have answered."""

    def ended() -> bool:
        return sum(moment > began for _, moment in _asked(environment, config)) == SERVERS

    wait_until(ended, "a round over all servers", PATIENCE)
    found = _asked(environment, config)
    up = [moment for state, moment in found if state == "ok"]
    expected = sum(not Farm.is_dead(index) for index in range(SERVERS))
    if len(up) != expected:
        raise SystemExit(f"{len(up)} servers answered; {expected} are up")
    return Round(max(up) - began, max(moment for _, moment in found) - began)


def _ours(servers: Farm) -> tuple[Round, Round]:
    config = servers.configure("all", range(SERVERS))
    environment = servers.environment(config)
    began = time.time()
    program = Program(
        [str(PROGRAMS / "x2gobroker-loadchecker")], servers.folder / "log", env=environment, cwd=servers.folder
    )
    try:
        first = _round(environment, config, began)
        began = time.time()
        os.kill(program.pid, signal.SIGHUP)
        return first, _round(environment, config, began)
    finally:
        program.stop()


def _reference(servers: Farm, name: str, chosen: Sequence[int], enough: int, patience: float) -> float | None:
    """Seconds until the reference is done with `enough` of these servers; None where that is more than `patience`."""
    config = servers.configure(name, chosen)
    # it takes its key from the home folder of the account that it runs as, whatever HOME says
    own = {"LOGNAME": servers.user, "USER": servers.user, "X2GOBROKER_DAEMON_USER": servers.user}
    environment = {**servers.environment(config), **own}
    began = time.monotonic()
    program = Program(
        [PYTHON, REFERENCE_PROGRAM, "-s", str(servers.home / "run" / "socket"), "-i"],
        servers.folder / f"{name}.log", env=environment, cwd=servers.home, user=servers.user,
    )  # fmt: skip
    try:
        while time.monotonic() - began < patience:
            said = program.output()
            told, untold = said.count("new load factor is"), said.count("no load factor could be obtained")
            if untold and name == "up":
                raise SystemExit(f"the reference gets no load of servers that are up: {said[-1000:]}")
            ended = told + untold
            if ended >= enough:
                return time.monotonic() - began
            if program.process.poll() is not None:
                raise SystemExit(f"the reference ended: {said[-1000:]}")
            time.sleep(0.05)
        if "querying remote agents" not in program.output():
            raise SystemExit("the reference asks no server")
        return None
    finally:
        program.stop(signal.SIGKILL)


def measure(plan: Plan) -> FarmFigures:
    """Both load checkers, one after the other, over the same farm."""
    with farm() as servers:
        progress(f"farm: a round over {SERVERS} servers, and another one")
        first, again = _ours(servers)
        reference = None
        if "reference" in plan.parts and Path(REFERENCE_PROGRAM).exists():
            progress(f"farm: the reference, over {REFERENCE_SERVERS} servers that are up, and over a dead one")
            up = [index for index in range(SERVERS) if not Farm.is_dead(index)][:REFERENCE_SERVERS]
            seconds = _reference(servers, "up", up, len(up), REFERENCE_PATIENCE)
            if seconds is None:
                raise SystemExit(f"the reference takes longer than {REFERENCE_PATIENCE:g} s")
            reference = seconds / len(up), _reference(servers, "dead", [0, DEAD_EVERY], 1, plan.patience)
    dead = sum(map(Farm.is_dead, range(SERVERS)))
    return FarmFigures(SERVERS, dead, first, again, reference, plan.patience)


def report(result: FarmFigures) -> str:
    """The section's text."""
    whole = result.first.all
    rows = [
        (
            "ours, first round",
            f"{result.servers} ({result.dead})",
            f"{result.first.up:.1f}",
            f"{whole:.1f}",
            "< 10",
            "1",
        ),
        (
            "ours, next round",
            f"{result.servers} ({result.dead})",
            f"{result.again.up:.1f}",
            f"{result.again.all:.1f}",
            "",
            "",
        ),
    ]
    if result.reference is not None:
        up, dead = result.reference
        alive = result.servers - result.dead
        least = up * alive + (dead or result.patience) * result.dead
        sign = "> " if dead is None else ""
        rows.append(("reference, one that is up", "1 (0)", f"{up:.2f}", f"{up:.2f}", "", ""))
        rows.append(("reference, a dead one", "1 (1)", "", f"{sign}{dead or result.patience:.0f}", "", ""))
        total = f"{result.servers} ({result.dead})"
        rows.append(("reference, reckoned", total, "", sign + number(least), "", sign + number(least / whole)))
    return "\n\n".join(
        [
            "### A round of the load checker",
            "Seconds from the start of the program until the servers that are up had answered, and until all had been "
            "asked. The reference asks one after the other: its figure is that for one server, times their number.",
            table(("", "servers (dead)", "all that are up", "all", "wanted", "times as long"), rows),
        ]
    )
