"""`x2gobroker lockout`: lock out, lift, list; and what becomes of sessions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from tests.unit.inventory_values import seen
from x2gobroker.agents.base import REFUSED
from x2gobroker.agents.farm import AgentFarm
from x2gobroker.agents.rules import AgentRules
from x2gobroker.cli.admin.lockout import parse_until
from x2gobroker.cli.main import main
from x2gobroker.errors import AgentError, ConfigurationError
from x2gobroker.inventory.happenings import Told
from x2gobroker.inventory.reads import Reads
from x2gobroker.inventory.record import Inventory
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.sessions import ServerSession
from x2gobroker.store import RemoteDesktops, Store, UserLock, UserLocks
from x2gobroker.store.database import FILE_NAME

PROFILES = """\
[DEFAULT]
user = BROKER_USER
broker-agent-query-mode = SSH

[desk]
host = one.example, two.example

[other]
host = two.example, three.example

[shared]
host = four.example
user = everybody

[alone]
host = five.example
broker-agent-query-mode = NONE
"""


def session_on(server: str, user: str = "anna") -> str:
    """The name of a session there."""
    return f"{user}-50-1790000000_stD{server}_dp24"


@dataclass
class Command:
    """The command on a store in a folder; exit status, standard output, standard error stream."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run it."""
        files = ["-C", str(self.folder / "x.conf"), "--session-profiles", str(self.folder / "profiles.conf")]
        status = main(["lockout", *files, *arguments])
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err

    @property
    def store(self) -> Store:
        return Store(URL.create("sqlite", database=str(self.folder / FILE_NAME)))

    def locked(self) -> list[UserLock]:
        """What the store says."""
        return UserLocks(self.store).all()


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command, configured; nobody is locked out."""
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(tmp_path / "defaults.conf"))
    monkeypatch.setenv("X2GOBROKER_SSH_FOLDER", str(tmp_path))
    monkeypatch.delenv("SUDO_USER", raising=False)
    (tmp_path / "x.conf").write_text(f"[global]\ncookie-directory = {tmp_path}\n[broker_inifile]\nenable = true\n")
    (tmp_path / "profiles.conf").write_text(PROFILES)
    made = Command(tmp_path, capsys)
    assert made.locked() == []  # and the store is there
    return made


def test_without_a_store_there_is_nothing_to_write_to(command: Command) -> None:
    for path in command.folder.glob(FILE_NAME + "*"):
        path.unlink()
    status, _, err = command.run("anna")
    assert status == 1
    assert "there is no state store" in err


def test_lock_list_and_lift(command: Command) -> None:
    status, out, _ = command.run("anna", "--until", "8h", "--reason", "lost laptop")
    assert status == 0
    assert "anna: locked out until 2" in out
    (lock,) = command.locked()
    assert (lock.username, lock.reason, lock.for_user) == ("anna", "lost laptop", "")
    assert lock.until is not None
    assert abs(lock.until - time.time() - 8 * 3600) < 60
    assert "lost laptop" in command.run()[1]
    assert command.run("--list")[1] == command.run()[1]
    assert command.run("ANNA", "--list")[0] == 0
    assert command.run("bert", "--list")[0] == 1
    assert command.run("Anna", "--lift")[:2] == (0, "Anna: may come in again\n")
    assert command.run("anna", "--lift")[0] == 1
    assert command.run() == (0, "", "")


def test_a_reason_for_the_user_is_marked(command: Command) -> None:
    command.run("anna", "--reason", "ask Ms. Weber", "--tell-reason")
    assert command.locked()[0].for_user == "ask Ms. Weber"
    assert "(told to the user)" in command.run()[1]


def test_json(command: Command) -> None:
    done = json.loads(command.run("anna", "--reason", "x", "--json")[1])
    assert (done["user"], done["until"], done["sessions"]) == ("anna", None, [])
    assert done["taken_away"]["authids"] == 0
    (lock,) = json.loads(command.run("--json")[1])
    assert (lock["username"], lock["account"], lock["reason"], lock["until"]) == ("anna", "anna", "x", None)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--lift",),
        ("--reason", "x"),
        ("--end-sessions",),
        ("",),
        ("a\nb",),
        ("x" * 257,),
        ("anna", "--until", "yesterday"),
        ("anna", "--until", "2020-01-01"),
        ("anna", "--reason", "x" * 201),
        ("anna", "--reason", "two\nlines"),
        ("anna", "--tell-reason"),
    ],
)
def test_what_cannot_be_meant_locks_nobody(command: Command, arguments: tuple[str, ...]) -> None:
    status, out, err = command.run(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith("x2gobroker: ")
    assert command.locked() == []


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("8h", 28800), ("2d", 172800), (" 1h ", 3600), ("2030-01-31 08:00", None)]
)
def test_times(text: str, seconds: int | None) -> None:
    found = parse_until(text, 1_700_000_000.0)
    local = time.mktime((2030, 1, 31, 8, 0, 0, 0, 0, -1))
    assert found == (local if seconds is None else 1_700_000_000.0 + seconds)


@pytest.mark.parametrize("text", ["", "h", "-1h", "1w", "12345678d", "2030-02-31", "now"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no time"):
        parse_until(text, 0.0)


class Agent:
    """Answers for all servers; two.example does not, and three.example keeps its session."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []

    def list_sessions(self, server: Endpoint, _rules: AgentRules, user: str) -> list[ServerSession]:
        if server.name == "two.example":
            raise AgentError("no route to host", "unreachable")
        return [ServerSession(session_on(server.name, user), user, server.name, "R", 1, ())]

    def terminate_session(self, server: Endpoint, _rules: AgentRules, user: str, session: str) -> None:
        if server.name == "three.example":
            raise AgentError("it does not do it", REFUSED)
        self.ended.append((user, session))


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Agent:
    made = Agent()

    def ask_all(
        _farm: AgentFarm, servers: list[Endpoint], _rules: AgentRules, call: Callable[..., Any], **_more: Any
    ) -> dict[Endpoint, Any]:
        answers: dict[Endpoint, Any] = {}
        for server in servers:
            try:
                answers[server] = call(made, server)
            except AgentError as error:
                answers[server] = error
        return answers

    monkeypatch.setattr(AgentFarm, "ask_all", ask_all)
    return made


def test_sessions_are_ended_on_every_server_once_and_it_is_said_what_came_of_it(command: Command, agent: Agent) -> None:
    slot = RemoteDesktops(command.store).reserve("Terminal", 1, "anna", {}, "")
    assert slot is not None
    RemoteDesktops(command.store).begin_start(slot.id, "here")
    status, out, _ = command.run("anna", "--end-sessions")
    assert status == 1, "something is left to do by hand"
    assert agent.ended == [("anna", session_on("one.example"))]
    assert f"one.example: {session_on('one.example')}: ended" in out
    assert "two.example: unreachable: no route to host" in out
    assert f"three.example: {session_on('three.example')}: refused: it does not do it" in out
    assert "four" not in out, "an account that several users share"
    assert "five" not in out
    assert RemoteDesktops(command.store).find(slot.id).wanted == "locked"  # type: ignore[union-attr]
    assert len(command.locked()) == 1


@pytest.mark.usefixtures("agent")
def test_sessions_that_were_ended_are_known_to_have_ended(command: Command) -> None:
    now = time.time()
    for name in ("one.example", "three.example"):
        session = replace(seen("anna", server=name), name=session_on(name))
        Inventory(command.store).take([(Endpoint(name, name), Told(now - 5, now, (session, seen("bert"))))])
    command.run("anna", "--end-sessions")
    known = [(one.server.name, one.session.user) for one in Reads(command.store).everywhere()]
    assert known == [("one.example", "bert"), ("three.example", "anna"), ("three.example", "bert")]


def test_without_being_told_to_sessions_go_on(command: Command, agent: Agent) -> None:
    assert command.run("anna")[0] == 0
    assert agent.ended == []
