"""`x2gobroker penalties`: list and lift."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from x2gobroker.cli.main import main
from x2gobroker.model.penalty import PenaltyRules
from x2gobroker.store import Attempt, Penalties, Store
from x2gobroker.store.database import FILE_NAME

RULES = PenaltyRules()


@dataclass
class Command:
    """The command on a store in a folder; exit status, standard output, standard error stream."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def configure(self, more: str = "") -> None:
        """Write the configuration."""
        (self.folder / "x.conf").write_text(f"[global]\ncookie-directory = {self.folder}\n{more}\n")

    def fail(self, count: int, user: str, address: str, ago: float = 0.0) -> None:
        """So many different wrong passwords."""
        penalties = Penalties(Store(URL.create("sqlite", database=str(self.folder / FILE_NAME))))
        for number in range(count):
            penalties.failed(Attempt.of("realm", user, address), str(number), RULES, time.time() - ago)
        penalties.store.close()

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run it."""
        status = main(["penalties", "-C", str(self.folder / "x.conf"), *arguments])
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err

    def listed(self) -> list[list[str]]:
        """Address, account, failures of each line."""
        status, out, _ = self.run()
        assert status == 0
        return [line.split()[:3] for line in out.splitlines()[1:]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command, configured; there is no store yet."""
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(tmp_path / "defaults.conf"))
    made = Command(tmp_path, capsys)
    made.configure()
    return made


def test_what_is_counted_is_listed(command: Command) -> None:
    command.fail(2, "bert", "2001:db8::5", ago=100)
    command.fail(10, "Anna", "192.0.2.7")
    status, out, err = command.run()
    head, *lines = out.splitlines()
    assert (status, err) == (0, "")
    assert head.split() == ["ADDRESS", "ACCOUNT", "FAILURES", "LAST", "PENALTY"]
    assert [line.split()[:3] for line in lines] == [
        ["(all)", "anna", "10"],
        ["192.0.2.7", "(all)", "10"],
        ["192.0.2.7", "anna", "10"],
        ["(all)", "bert", "2"],
        ["2001:db8::/64", "(all)", "2"],
        ["2001:db8::/64", "bert", "2"],
    ]
    ends = [line[77:] for line in lines]
    assert [end[:12] for end in ends] == ["-", "waits until ", "banned until", "-", "-", "-"]


def test_nothing_counted_is_no_line(command: Command) -> None:
    command.fail(1, "anna", "192.0.2.7", ago=2000)
    assert command.run() == (0, "", "")


@pytest.mark.parametrize("address", ["2001:db8::77", "2001:db8::/64"])
def test_an_address_is_lifted_with_all_its_accounts(command: Command, address: str) -> None:
    for user in ("anna", "bert"):
        command.fail(3, user, "2001:db8::5")
        command.fail(3, user, "192.0.2.7")
    assert command.run("--lift", address) == (0, f"{address}: 3 entries removed\n", "")
    assert {line[0] for line in command.listed()} == {"(all)", "192.0.2.7"}


def test_an_account_is_lifted_at_all_addresses(command: Command) -> None:
    for user in ("anna", "bert"):
        command.fail(3, user, "192.0.2.7")
    assert command.run("--lift", "ANNA")[:2] == (0, "ANNA: 2 entries removed\n")
    assert {line[1] for line in command.listed()} == {"(all)", "bert"}


def test_everything_is_lifted(command: Command) -> None:
    command.fail(3, "anna", "192.0.2.7")
    assert command.run("--lift-all") == (0, "3 entries removed\n", "")
    assert command.run() == (0, "", "")
    assert command.run("--lift-all") == (0, "0 entries removed\n", "")


@pytest.mark.parametrize("who", ["carl", "192.0.2.99"])
def test_lifting_what_is_not_there_is_status_1(command: Command, who: str) -> None:
    command.fail(1, "anna", "192.0.2.7")
    assert command.run("--lift", who) == (1, "", f"nothing is counted against {who}\n")
    assert len(command.listed()) == 3


def test_lifting_nobody_is_refused_and_lifts_nothing(command: Command) -> None:
    command.fail(1, "anna", "192.0.2.7")
    status, out, err = command.run("--lift", " ")
    assert (status, out) == (1, "")
    assert "needs an address or a user name" in err
    assert len(command.listed()) == 3


def test_two_things_at_once_are_a_usage_error(command: Command) -> None:
    with pytest.raises(SystemExit) as ended:
        command.run("--lift", "anna", "--lift-all")
    assert ended.value.code == 2


def test_a_store_that_is_not_there_is_said_and_not_made(command: Command) -> None:
    """Made by root, the broker could not write it."""
    status, out, err = command.run()
    assert (status, out) == (1, "")
    assert f"there is no state store {command.folder / FILE_NAME} yet" in err
    assert not (command.folder / FILE_NAME).exists()


def test_penalties_that_are_off_are_said_to_be(command: Command) -> None:
    command.fail(1, "anna", "192.0.2.7")
    command.configure("penalties = false")
    status, _, err = command.run()
    assert (status, err) == (0, "penalties are off: penalties = false\n")


def test_a_name_cannot_write_to_the_terminal(command: Command) -> None:
    command.fail(1, "\x1b[2Jan\nna", "192.0.2.7")
    assert ["192.0.2.7", "\\x1b[2jan\\nna", "1"] in command.listed()


def test_check_config_names_a_trusted_network_that_is_none(command: Command) -> None:
    command.configure("penalty-trusted-networks = 192.0.2.0/24, office")
    status = main(["check-config", "-C", str(command.folder / "x.conf")])
    assert status == 1
    assert "penalty-trusted-networks: 'office' is no network" in command.capsys.readouterr().out
