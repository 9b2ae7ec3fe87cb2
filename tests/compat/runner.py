"""Ask the brokers the same, and hold their answers against each other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tests.compat.exchange import Request, Talker
from tests.compat.meaning import Meaning, handed_out, meaning
from tests.compat.scenario import Files, Scenario
from tests.support.debian_broker import DebianBroker, replace_file
from tests.support.our_broker import OurBroker
from tests.support.processes import free_port


@dataclass
class Exchange:
    """One request and what came back from the reference, from the repaired reference (if one was asked), and from ours.

    `offered` are the profiles that the reference last listed for this user with these files: the others are denied.
    """

    scenario: Scenario
    request: Request
    reference: Meaning
    repaired: Meaning | None
    ours: Meaning
    offered: frozenset[str] | None
    status: int | None  # demanded of ours, whatever the reference says
    applied: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.scenario.label}: {self.request}"


def any_of(scenario: Scenario, request: Request, said: Meaning) -> Meaning:
    """Where a profile has several servers, each of them is as good as the others."""
    if request.frontend == "uccs" and isinstance(said.payload, dict):
        several = {f"http://{host}:{port}/" for group in scenario.servers.values() if len(group) > 1
                   for host, port in group}  # fmt: skip
        for server in said.payload["RemoteDesktopServers"]:
            server["URL"] = "one of several" if server["URL"] in several else server["URL"]
    allowed = scenario.servers.get(request.sid, frozenset())
    if said.server is None or len(allowed) < 2 or said.server not in allowed:
        return said
    return replace(said, server=("one of several",))


def say(talker: Talker, scenario: Scenario, request: Request) -> Meaning:
    """Send one request and take the answer apart."""
    answer = talker.send(request)
    result = meaning(request, answer, talker.sent)
    given = handed_out(request, answer) if request.frontend in ("plain", "json") else ""
    if given:
        talker.remember(request.user, given)
    return any_of(scenario, request, result)


class Table:
    """The three brokers at one table: the reference, the reference with repaired files, and ours."""

    def __init__(self, reference: DebianBroker, repaired: DebianBroker, ours: OurBroker) -> None:
        self.brokers = (reference, repaired, ours)
        self.dead = free_port()

    def _lay(self, scenario: Scenario) -> tuple[Talker, Talker, Talker]:
        second = scenario.repaired or scenario.files
        reference, repaired, ours = self.brokers
        return self.write(reference, scenario.files), self.write(repaired, second), self.write(ours, scenario.files)

    def write(self, broker: DebianBroker | OurBroker, files: Files) -> Talker:
        """Give a broker these files."""
        ports = {
            "alive": str(self.brokers[0].port),
            "dead": str(self.dead),
            "authid-file": str(broker.folder / "authid"),
        }
        texts = []
        for text in (files.conf, files.profiles):
            for name, value in ports.items():
                text = text.replace("{" + name + "}", value)
            texts.append(text)
        replace_file(broker.folder / "authid", files.authid)
        broker.write_config(texts[0])
        broker.write_profiles(texts[1])
        return Talker(broker.port)

    def play(self, scenario: Scenario) -> Iterator[Exchange]:
        """Every step of a scenario, in order."""
        reference, repaired, ours = self._lay(scenario)
        offered: dict[tuple[str, str], frozenset[str]] = {}
        for step in scenario.steps:
            time.sleep(step.after)
            if step.files is not None:
                self.write(self.brokers[0], step.files)
                self.write(self.brokers[2], step.files)
            right = None
            who = step.request.user, step.request.address
            if scenario.fault and step.repaired is not None:
                right = say(repaired, scenario, step.repaired)
            said = say(reference, scenario, step.request)
            mine = say(ours, scenario, step.request)
            if said.status == 200 and step.request.task == "listprofiles" and "zeroconf" not in step.request.path:
                offered[who] = frozenset(name for name, _ in said.profiles or ())
            yield Exchange(scenario, step.request, said, right, mine, offered.get(who), step.status)
