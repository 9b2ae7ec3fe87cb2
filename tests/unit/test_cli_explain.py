"""`x2gobroker explain`: the same decision as the broker's, with its rule."""

from __future__ import annotations

import grp
from pathlib import Path

import pytest

from x2gobroker.cli.main import main

CONFIG = "[broker_inifile]\nsession-profiles = {folder}/profiles.conf\n{more}"
PROFILES = """
[by-client]
acl-clients-allow = 192.0.2.0/24
[by-group]
acl-groups-allow = {group}
acl-groups-deny = nosuchgroup
[denied-group]
acl-groups-allow = ALL
acl-groups-deny = {group}
[by-user]
acl-users-allow = root
[denied-user]
acl-users-allow = root
acl-users-deny = root
[open]
name = Open
[misspelt]
acl-user-allow = root
"""


@pytest.fixture
def explain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Explain:
    """Run the command on files of a folder."""
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(tmp_path / "defaults.conf"))
    return Explain(tmp_path, capsys)


class Explain:
    """The command; what it says of each profile."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.write()
        (folder / "profiles.conf").write_text(PROFILES.format(group=grp.getgrgid(0).gr_name))

    def write(self, more: str = "[global]\nignore-primary-group-memberships = false\n") -> None:
        """Write the main configuration file."""
        (self.folder / "x2gobroker.conf").write_text(CONFIG.format(folder=self.folder, more=more))

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, standard output, standard error stream."""
        status = main(["explain", "-C", str(self.folder / "x2gobroker.conf"), *arguments])
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err


def test_each_profile_has_its_decision_and_the_rule(explain: Explain) -> None:
    status, out, _ = explain.run("--user", "root", "--address", "192.0.2.7")
    group = grp.getgrgid(0).gr_name
    assert status == 0
    lines = [line.split(None, 2) for line in out.splitlines()[2:]]
    assert {line[1]: (line[0], line[2]) for line in lines} == {
        "[by-client]": ("offered", "acl-clients-allow = 192.0.2.0/24"),
        "[by-group]": ("offered", f"acl-groups-allow = {group}"),
        "[by-user]": ("offered", "acl-users-allow = root"),
        "[denied-group]": ("denied", f"acl-groups-deny = {group}"),
        "[denied-user]": ("denied", "acl-users-deny = root"),
        "[misspelt]": ("denied", lines[5][2]),
        "[open]": ("offered", "no rules"),
    }
    assert "acl-user-allow" in lines[5][2]


def test_the_address_counts_and_loopback_is_the_default(explain: Explain) -> None:
    _, out, _ = explain.run("--user", "root")
    assert "at 127.0.0.1" in out
    assert "denied   [by-client]" in out


def test_the_users_groups_are_told_and_primary_ones_as_configured(explain: Explain) -> None:
    _, out, _ = explain.run("--user", "root")
    assert f"groups: {grp.getgrgid(0).gr_name}" in out
    explain.write("")
    _, out, _ = explain.run("--user", "root")
    assert "denied   [by-group]" in out


def test_an_unknown_user_is_said_to_be_one(explain: Explain) -> None:
    status, out, _ = explain.run("--user", "no-such-user")
    assert status == 0
    assert "no-such-user (unknown" in out
    assert "groups: none" in out
    assert "denied   [by-user]" in out
    assert "offered  [open]" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--user", "root", "--address", "nowhere"], "'nowhere' is no IP address"),
        (["--user", "root", "--backend", "zerocnf"], 'did you mean "zeroconf"'),
    ],
)
def test_what_is_not_there_is_status_1_with_a_reason(explain: Explain, arguments: list[str], said: str) -> None:
    status, out, err = explain.run(*arguments)
    assert (status, out) == (1, "")
    assert said in err


@pytest.mark.parametrize("option", ["user-db", "group-db"])
def test_a_name_service_that_is_not_installed_is_a_reason_and_no_traceback(explain: Explain, option: str) -> None:
    explain.write(f"{option} = nosuch\n")
    status, out, err = explain.run("--user", "root")
    assert status in (0, 1)
    assert "nosuch" in err or "not to be had" in out


def test_another_backend_and_one_that_is_off(explain: Explain) -> None:
    status, out, err = explain.run("--user", "root", "--backend", "zeroconf")
    assert status == 0
    assert "offered  [localhost]" in out
    assert "zeroconf is not enabled" in err
