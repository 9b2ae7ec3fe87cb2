"""Beside Debian's broker where agents list sessions: by agents that are always asked, and by what is known beforehand.

In both ways a user is to get the server and the session that the reference gives, and the same answers to the letter.
The agent is a script that both brokers call on their own host (query mode LOCAL), so that both hear the same.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.compat.exchange import Request, Talker
from tests.compat.faults import ask, files
from tests.compat.scenario import conf_text
from tests.support.debian_broker import DebianBroker, replace_file
from tests.support.our_broker import OurBroker
from tests.unit.fake_farm import session_line
from x2gobroker.inventory.happenings import Told
from x2gobroker.inventory.record import Inventory
from x2gobroker.inventory.selections import seen_of
from x2gobroker.model.hosts import Endpoint, parse_host
from x2gobroker.model.inventory import WATCH
from x2gobroker.model.sessions import parse_session
from x2gobroker.store import Store
from x2gobroker.store.database import FILE_NAME

pytestmark = pytest.mark.reference
ALWAYS_ASK, WATCHED = 0, -1
AGENT = """\
#!/bin/sh
echo "$1 $2" >>{folder}/asked
echo OK
case "$2" in
listsessions) grep "|$1|" {folder}/sessions ;;
getservers | findbusyservers) cat {folder}/"$2" ;;
esac
exit 0
"""
LISTING = [ask("plain", "listsessions"), ask("json", "listprofiles")]
SELECTION = [ask("plain", "selectsession", sid="one"), ask("json", "selectsession", sid="one")]
STATUS = re.compile(r"^status=[RS]$", re.MULTILINE)
SESSION = re.compile(r"\d+\|([^|]+)\|\d+\|[^|]+\|([RS])\|")


@dataclass(frozen=True)
class Case:
    """What servers a profile has, and which sessions there are: by host, lines of x2golistsessions.

    `crowd` is how many sessions of others each host has.
    """

    label: str
    hosts: str
    sessions: dict[str, list[str]] = field(default_factory=dict)
    crowd: dict[str, int] = field(default_factory=dict)


CASES = (
    Case("nobody has a session", "ts01"),
    Case("a suspended session", "ts01", {"ts01": [session_line("ts01")]}),
    Case("a running session", "ts01", {"ts01": [session_line("ts01", state="R")]}),
    Case("somebody else has one", "ts01", {"ts01": [session_line("ts01", "bert")]}),
    Case(
        "one that runs and one that is suspended", "ts01",
        {"ts01": [session_line("ts01", state="R", display=51), session_line("ts01", display=52)]},
    ),
    Case("on the second of two servers", "ts01, ts02", {"ts02": [session_line("ts02")]}),
    Case(
        "suspended on the second, running on the first", "ts01, ts02",
        {"ts01": [session_line("ts01", state="R")], "ts02": [session_line("ts02", display=52)]},
    ),
    Case("an address and a port", "ts01 (10.0.2.1:{port}), ts02 (10.0.2.2)", {"ts01": [session_line("ts01")]}),
    Case("the idler of two servers", "ts01, ts02", {}, {"ts01": 3, "ts02": 1}),
    Case("the idler of two, by address", "ts01 (10.0.2.1), ts02 (10.0.2.2)", {}, {"ts01": 1, "ts02": 3}),
)  # fmt: skip


class Brokers:
    """The reference and ours, which call the agent of a folder."""

    def __init__(self, folder: Path, reference: DebianBroker, ours: OurBroker, rule: int) -> None:
        self.folder = folder
        self.reference = reference
        self.ours = ours
        self.rule = rule
        self.talkers = (Talker(reference.port), Talker(ours.port))
        self._number = 0

    def lay(self, case: Case) -> None:
        """Both have these servers, at a port that no case before had; the agent knows of these sessions."""
        self._number += 1
        port = 2200 + self._number
        options = {"default-agent-query-mode": "LOCAL", "use-static-cookie": "true"}
        profile = {"host": case.hosts.format(port=port + 100), "sshport": str(port)}
        for broker in (self.reference, self.ours):
            more = {"sessions-known-for": str(self.rule)} if broker is self.ours else {}
            found = files(profile, conf=conf_text({**options, **more}))
            broker.write_config(found.conf)
            broker.write_profiles(found.profiles)
        crowd = {host: self._crowd(host, count) for host, count in case.crowd.items()}
        every = {host: [*case.sessions.get(host, []), *crowd.get(host, [])] for host in {**case.sessions, **crowd}}
        replace_file(self.folder / "sessions", "".join(f"{line}\n" for lines in every.values() for line in lines))
        replace_file(self.folder / "getservers", "".join(f"{host} {len(lines)}\n" for host, lines in every.items()))
        busy = "".join(f"{len(lines) * 10}:{host}\n" for host, lines in every.items())
        replace_file(self.folder / "findbusyservers", busy)
        if self.rule == WATCHED:
            hosts = [parse_host(word) for word in profile["host"].split(", ")]
            self._hear({host.endpoint(port): every.get(host.name, []) for host in hosts})

    @staticmethod
    def _crowd(host: str, count: int) -> list[str]:
        return [session_line(host, f"{host}-{number}", "R", display=60 + number) for number in range(count)]

    def _hear(self, servers: dict[Endpoint, list[str]]) -> None:
        """As a load checker that watches them writes it."""
        store = Store(URL.create("sqlite", database=str(self.ours.state / FILE_NAME)))
        moment = time.time() - 3
        try:
            for server, lines in servers.items():
                sessions = tuple(seen_of(parse_session(line), moment) for line in lines)
                Inventory(store).take([(server, Told(moment, moment, sessions, WATCH))])
        finally:
            store.close()

    def asked(self) -> list[str]:
        """What the agent was asked since the last call of this."""
        notes = self.folder / "asked"
        said = notes.read_text().splitlines()
        notes.write_text("")
        return said

    def say(self, request: Request) -> tuple[str, str, list[str]]:
        """What the reference and ours answer to a request, and what ours asked the agent."""
        theirs, mine = self.talkers
        said = theirs.send(request)
        self.asked()
        answer = mine.send(request)
        assert (said.status, answer.status) == (200, 200)
        return said.body.decode(), answer.body.decode(), self.asked()


class _Reference(DebianBroker):
    """With an agent of the test's own."""

    agent = Path()

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "X2GOBROKER_AGENT_CMD": str(self.agent)}


@pytest.fixture(scope="module", params=[ALWAYS_ASK, WATCHED], ids=["always asked", "known beforehand"])
def brokers(request: pytest.FixtureRequest) -> Iterator[Brokers]:
    """Both brokers, for one value of the option."""
    folder = Path(tempfile.mkdtemp(prefix="agents-"))
    folder.chmod(0o755)
    agent = folder / "agent"
    agent.write_text(AGENT.format(folder=folder))
    agent.chmod(0o755)
    (folder / "asked").touch()
    (folder / "asked").chmod(0o666)
    reference = _Reference()
    reference.agent = agent
    try:
        with reference, OurBroker(env={"X2GOBROKER_AGENT_CMD": str(agent)}) as ours:
            yield Brokers(folder, reference, ours, request.param)
    finally:
        shutil.rmtree(folder)


def chosen(body: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Server and port of an answer, and the session that it offers first: its name and state."""
    server = re.findall(r'SERVER:(\S+):(\d+)|"server": "([^"]+)"|"port": "?(\d+)', body)
    found = sorted(word for words in server for word in words if word)
    return found, SESSION.findall(body)[:1]


ANSWERS: dict[tuple[str, str], dict[int, str]] = {}


@pytest.mark.parametrize("case", CASES, ids=[case.label for case in CASES])
def test_users_get_the_server_and_the_session_that_the_reference_gives(brokers: Brokers, case: Case) -> None:
    brokers.lay(case)
    has_session = any("|anna|" in line for lines in case.sessions.values() for line in lines)
    for request in [*LISTING, *SELECTION]:
        theirs, mine, asked = brokers.say(request)
        lines = [line for line in mine.splitlines() if not line.startswith("AUTHID:")]
        answers = ANSWERS.setdefault((case.label, str(request)), {})
        answers[brokers.rule] = re.sub(r'"next-authid": "[^"]*"', "", "\n".join(lines))
        if request in SELECTION:
            assert chosen(mine) == chosen(theirs)
            assert [len(found) for found in chosen(mine)] == [2, int(has_session)]
        elif request.frontend == "plain":
            assert bool(STATUS.search(mine)) is has_session
        if brokers.rule == WATCHED:
            is_on_the_way = request == SELECTION[1]  # the selection before has sent her there
            expected = ["anna listsessions"] if request in SELECTION and (has_session or is_on_the_way) else []
            assert asked == expected, "no agent is asked where all is known"
        else:
            assert "anna listsessions" in asked
        assert len(set(answers.values())) == 1, "both ways give the same answer"


def test_both_ways_were_played() -> None:
    """Each answer of each case was compared."""
    assert len(ANSWERS) == len(CASES) * 4
    assert all(answers.keys() == {ALWAYS_ASK, WATCHED} for answers in ANSWERS.values())
