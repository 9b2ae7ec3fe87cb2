"""`x2gobroker drain`: drain, end it, list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from x2gobroker.cli.admin.drain import operator
from x2gobroker.cli.main import main
from x2gobroker.store import Drain, Drains, Store
from x2gobroker.store.database import FILE_NAME

PROFILES = """\
[desk]
host = ts01.example.org (10.0.0.1), ts02.example.org (10.0.0.2:2222)

[office]
host = ts02.example.org (10.0.0.2:2222)
"""


@dataclass
class Command:
    """The command on a store in a folder; exit status, standard output, standard error stream."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run it."""
        files = ["-C", str(self.folder / "x.conf"), "--session-profiles", str(self.folder / "profiles.conf")]
        status = main(["drain", *files, *arguments])
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err

    def drained(self) -> list[Drain]:
        """What the store says."""
        store = Store(URL.create("sqlite", database=str(self.folder / FILE_NAME)))
        found = Drains(store).all()
        store.close()
        return found


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command, configured; nothing is drained."""
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(tmp_path / "defaults.conf"))
    monkeypatch.delenv("SUDO_USER", raising=False)
    (tmp_path / "x.conf").write_text(f"[global]\ncookie-directory = {tmp_path}\n[broker_inifile]\nenable = true\n")
    (tmp_path / "profiles.conf").write_text(PROFILES)
    made = Command(tmp_path, capsys)
    assert made.drained() == []  # and the store is there
    return made


def test_without_a_store_there_is_nothing_to_write_to(command: Command) -> None:
    for path in command.folder.glob(FILE_NAME + "*"):
        path.unlink()
    status, _, err = command.run("ts01")
    assert status == 1
    assert "there is no state store" in err
    assert not (command.folder / FILE_NAME).exists()


def test_nothing_is_drained_at_first(command: Command) -> None:
    assert command.run() == (0, "", "")


def test_a_server_is_drained_listed_and_put_back(command: Command) -> None:
    status, out, err = command.run("ts02", "--reason", "new disk")
    assert (status, err) == (0, "")
    assert "ts02.example.org of [desk]\n" in out
    assert "ts02.example.org of [office]\n" in out
    assert "ts01" not in out
    (drain,) = command.drained()
    assert (drain.name, drain.by, drain.reason) == ("ts02", operator(), "new disk")
    status, out, _ = command.run()
    assert status == 0
    assert out.splitlines()[1].split()[0] == "ts02"
    assert out.splitlines()[1].endswith("new disk")
    assert command.run("ts02", "--end")[0] == 0
    assert command.drained() == []


@pytest.mark.parametrize("name", ["TS02.example.org", "10.0.0.2", "10.0.0.2:2222"])
def test_a_server_may_be_named_in_several_ways(command: Command, name: str) -> None:
    assert "[office]" in command.run(name)[1]


def test_a_name_of_no_profile_is_kept_with_a_note(command: Command) -> None:
    status, _, err = command.run("ts99")
    assert status == 0
    assert "no session profile has a host ts99" in err
    assert [drain.name for drain in command.drained()] == ["ts99"]


def test_what_is_not_drained_cannot_be_ended(command: Command) -> None:
    status, _, err = command.run("ts01", "--end")
    assert status == 1
    assert "ts01 is not drained" in err


@pytest.mark.parametrize(
    "arguments", [("--end",), ("--reason", "x"), (" ",), ("ts01", "--reason", "a\nb"), ("x" * 300,)]
)
def test_what_makes_no_sense_is_refused(command: Command, arguments: tuple[str, ...]) -> None:
    status, out, err = command.run(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith("x2gobroker: ")
    assert command.drained() == []


def test_behind_sudo_the_user_is_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "anna")
    monkeypatch.setattr("x2gobroker.cli.admin.drain.STARTED_AS", 0)
    command.run("ts01")
    assert command.drained()[0].by == "anna"


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr("x2gobroker.cli.admin.drain.STARTED_AS", 4_000_000)
    assert operator() == "4000000"
