"""Calls of broker agents: ours over a connection that is kept, beside OpenSSH and the reference."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.load import WrongAnswerError
from bench.plan import Plan, progress
from bench.sites import DEBIAN, DEBIAN_AGENT, OURS, TRIVIAL, Site, site
from bench.world import on_system
from tests.support.debian_broker import PYTHON
from tests.support.our_agent import BROKER_ACCOUNT, INSTALLED
from tests.support.processes import wait_until
from x2gobroker.agents.farm import AgentFarm
from x2gobroker.agents.rules import SSH, AgentRules
from x2gobroker.model.hosts import Endpoint

DEADLINE = 60.0
OURS_WARM = "ours, connection kept"
OURS_NEW = "ours, new connection"
MASTER = "ssh -S (ControlMaster)"
NEW_SSH = "ssh, new connection"
REFERENCE_CALL = "reference"
DIRECT = "the agent alone, without SSH"
AGENTS = {TRIVIAL: "trivial agent", OURS: "our agent", DEBIAN: "the reference's agent"}
# the reference's own function; a call that fails ends the program
DEBIAN_CALLS = """\
import json, logging, sys, time
logging.disable()
import x2gobroker.agent
words = json.loads(sys.argv[1])
remote = {"hostname": words["address"], "hostaddr": words["address"], "port": words["port"],
          "host_key_policy": "RejectPolicy"}
times = []
for _ in range(words["calls"]):
    begin = time.monotonic()
    done, _ = x2gobroker.agent._call_remote_broker_agent(words["user"], "ping", remote_agent=remote)
    times.append(time.monotonic() - begin)
    if not done:
        sys.exit("the agent says no")
print(json.dumps(times))
"""


@dataclass
class AgentCalls:
    """Seconds of each call: by agent, then by way."""

    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)


def measure(plan: Plan) -> AgentCalls:
    """The trivial agent by all ways in turn, then the real agents by ours and by the reference's."""
    result = AgentCalls()
    for kind in (TRIVIAL, OURS, DEBIAN):
        if kind == DEBIAN and (plan.quick or not DEBIAN_AGENT.exists()):
            continue
        progress(f"agents: pings, {AGENTS[kind]}")
        with site(kind) as servers:
            result.times[kind] = _ways(plan, servers)
    return result


def _ways(plan: Plan, servers: Site) -> dict[str, list[float]]:
    """A few calls by each way in turn, so that a busy moment of the machine hits all."""
    farm = AgentFarm()
    master = _Ssh(servers)
    times: dict[str, list[float]] = {}
    ways: dict[str, tuple[Callable[[int], list[float]], int]] = {
        OURS_WARM: (_timed(lambda: _ping(farm, servers)), 15),
        OURS_NEW: (_timed(lambda: _ping_anew(servers)), 2),
        MASTER: (_timed(master.call_master), 5),
        NEW_SSH: (_timed(master.call_new), 2),
    }
    if servers.agent is not None:
        ways[DIRECT] = (_timed(lambda: run_alone(servers, "ping")), 5)
    if "reference" in plan.parts:
        ways[REFERENCE_CALL] = (lambda calls: _by_reference(servers, calls), 3)
    often = 1 if servers.agent is not None or plan.quick else 3
    try:
        for turn in range(3 if plan.quick else 4):
            for way, (call, calls) in ways.items():
                some = call(calls * often if turn else 1)
                if turn:  # the first one warms up
                    times.setdefault(way, []).extend(some)
    finally:
        master.close()
        farm.close()
    return times


def _timed(call: Callable[[], None]) -> Callable[[int], list[float]]:
    """A function that does `call` so many times and says how long each took."""

    def several(count: int) -> list[float]:
        times: list[float] = []
        for _ in range(count):
            Plan.clock(call, times)
        return times

    return several


def _ping(farm: AgentFarm, servers: Site) -> None:
    rules = AgentRules(SSH, servers.login, INSTALLED, servers.ssh_folder, "RejectPolicy", "", DEADLINE)
    farm.agent(SSH).ping(Endpoint(servers.addresses[0], servers.addresses[0], servers.server.port), rules)


def _ping_anew(servers: Site) -> None:
    farm = AgentFarm()
    try:
        _ping(farm, servers)
    finally:
        farm.close()


class _Ssh:
    """OpenSSH's client, with a connection that it shares and without."""

    def __init__(self, servers: Site) -> None:
        socket = servers.folder / "control"
        options = [f"UserKnownHostsFile={servers.ssh_folder / 'known_hosts'}", "BatchMode=yes", "IdentitiesOnly=yes"]
        options.append("StrictHostKeyChecking=yes")
        self._argv = ["ssh", "-F", "none", *(word for option in options for word in ("-o", option))]
        self._argv += ["-i", str(servers.ssh_folder / "id_rsa"), "-p", str(servers.server.port)]
        self._target = f"{servers.login}@{servers.addresses[0]}"
        self._shared = ["-S", str(socket)]
        argv = [*self._argv, *self._shared, "-M", "-N", self._target]
        self._master = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_until(socket.exists, "the socket of ssh -M")

    def _call(self, *more: str) -> None:
        argv = [*self._argv, *more, self._target, f"{INSTALLED} nobody ping"]
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        if done.returncode or not done.stdout.startswith("OK"):
            raise WrongAnswerError(f"ssh ended with {done.returncode}: {done.stdout}{done.stderr}")

    def call_master(self) -> None:
        """By the shared connection."""
        self._call(*self._shared)

    def call_new(self) -> None:
        """By a connection of its own."""
        self._call("-S", "none")

    def close(self) -> None:
        """End the shared connection."""
        self._master.terminate()
        self._master.wait(DEADLINE)


def run_alone(servers: Site, task: str) -> None:
    """The agent as sshd starts it, but without sshd."""
    assert servers.agent is not None
    command = f"{INSTALLED} {servers.user.name} {task}"
    done = subprocess.run(
        ["/bin/sh", "-c", str(servers.agent)],
        env={"PATH": "/usr/bin:/bin", "SSH_ORIGINAL_COMMAND": command, "LANG": "C"},
        user=BROKER_ACCOUNT, group=BROKER_ACCOUNT, extra_groups=[], cwd="/",
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    if done.returncode or not done.stdout.startswith("OK"):
        raise WrongAnswerError(f"{servers.agent} ended with {done.returncode}: {done.stdout}{done.stderr}")


def _by_reference(servers: Site, calls: int) -> list[float]:
    """The reference's function in a program of its own; its start is not counted."""
    words = {"address": servers.addresses[0], "port": servers.server.port, "calls": calls, "user": servers.user.name}
    variables = {"LOGNAME": "root", "USER": "root", "SPHINX_API_DOCUMENTATION_BUILD": "1", "LANG": "C.UTF-8"}
    done = subprocess.run(
        on_system(servers.accounts(), [PYTHON, "-c", DEBIAN_CALLS, json.dumps(words)]),
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **variables, **servers.variables()}, cwd=servers.folder,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    if done.returncode:
        raise WrongAnswerError(f"the reference's call failed: {done.stderr[-1000:]}")
    return [float(value) for value in json.loads(done.stdout)]
