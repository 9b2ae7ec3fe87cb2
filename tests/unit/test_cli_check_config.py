"""`x2gobroker check-config`."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

import pytest

from x2gobroker.cli.main import main

GOOD = """[global]
default-auth-mech = none
cookie-directory = {folder}/state
[broker_inifile]
session-profiles = {folder}/profiles.conf
"""
SECRET = "s3cret-0f-mine"


@dataclass
class Check:
    """Runs the command on files of a folder; what it printed and its exit status."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def config(self) -> Path:
        """The main configuration file."""
        return self.folder / "x2gobroker.conf"

    def write(self, more: str = "", profiles: str = "[desk]\nhost = h\n") -> None:
        """Write both files."""
        self.config.write_text(GOOD.format(folder=self.folder) + more)
        (self.folder / "profiles.conf").write_text(profiles)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, standard output, standard error stream."""
        status = main(["check-config", "-C", str(self.config), *arguments])
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """The command, and good files."""
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(tmp_path / "defaults.conf"))
    monkeypatch.setenv("X2GOBROKER_DAEMON_USER", pwd.getpwuid(os.geteuid()).pw_name)
    made = Check(tmp_path, capsys)
    made.write()
    return made


def test_nothing_wrong_is_status_0_and_says_so(check: Check) -> None:
    status, out, err = check.run()
    assert status == 0
    assert out == f"{check.config}: no problems found\n"
    assert f"{check.folder}/state" in err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[globl]\n", ":6: error: unknown section [globl]"),
        ("enabel = true\n", ":6: error: unknown option enabel in [broker_inifile]"),
        ("enable = maybe\n", ":6: error: enable: 'maybe' is not a boolean"),
        ("nonsense\n", ":6: error: is neither"),
        ("auth-mech = nosuch\n", "error: [broker_inifile] auth-mech: no 'nosuch' is registered"),
        ("group-db = ldap\n", "error: [broker_inifile] group-db: no 'ldap' is registered"),
        ("[broker_ldap]\nenable = true\n", "error: [broker_ldap] is enabled, but no such backend is installed"),
    ],
)
def test_an_error_is_status_1_with_file_and_line(check: Check, more: str, said: str) -> None:
    check.write(more)
    status, out, err = check.run()
    assert status == 1
    assert f"{check.config}" in out
    assert said in out
    assert "1 error(s)" in err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("load-checker = true\n", ":6: warning: load-checker is deprecated"),
        ("enable = false\n", "warning: no backend is enabled"),
    ],
)
def test_a_warning_is_status_0(check: Check, more: str, said: str) -> None:
    check.write(more)
    status, out, err = check.run()
    assert status == 0
    assert said in out
    assert "0 error(s)" in err


def test_problems_of_session_profiles_are_found_with_file_and_line(check: Check) -> None:
    check.write(profiles="[desk]\nhost = h\nfullscreen = maybe\nacl-users-alow = anna\n")
    status, out, _ = check.run()
    assert status == 1
    assert f"{check.folder}/profiles.conf:3: error: [desk] fullscreen" in out
    assert f"{check.folder}/profiles.conf:4: error: [desk] unknown access rule acl-users-alow" in out


def test_a_problem_of_the_default_section_is_told_once(check: Check) -> None:
    check.write(profiles="[DEFAULT]\ndpi = many\n[a]\n[b]\n[c]\n")
    _, out, err = check.run()
    assert out.count("dpi") == 1
    assert f"{check.folder}/profiles.conf:2: error: [DEFAULT] dpi: 'many'" in out
    assert "1 error(s)" in err


def test_session_profiles_may_be_named_on_the_command_line(check: Check) -> None:
    other = check.folder / "other.conf"
    other.write_text("nonsense\n")
    status, out, _ = check.run("--session-profiles", str(other))
    assert status == 1
    assert f"{other}:1: error:" in out


def test_missing_files_are_warnings(check: Check) -> None:
    (check.folder / "profiles.conf").unlink()
    status, out, _ = check.run()
    assert status == 0
    assert "profiles.conf: warning: does not exist" in out
    check.config.unlink()
    _, out, _ = check.run()
    assert f"{check.config}: warning: does not exist" in out


@pytest.mark.parametrize("url", ["nonsense {secret}", "postgresql://u:{secret}@h:port/d"])
def test_a_database_url_that_is_none_is_an_error_without_its_text(check: Check, url: str) -> None:
    check.config.write_text(f"[global]\ndatabase-url = {url.format(secret=SECRET)}\n" + check.config.read_text()[9:])
    status, out, err = check.run()
    assert status == 1
    assert "database-url" in out + err
    assert SECRET not in out + err


def test_secrets_are_never_printed(check: Check) -> None:
    text = f"[global]\nmy-cookie = {SECRET}\ndatabase-url = postgresql://u:{SECRET}@h/d\nverify-ip = maybe\n"
    check.config.write_text(text)
    status, out, err = check.run()
    assert status == 1
    assert "my-cookie is deprecated" in out
    assert SECRET not in out + err


def test_what_is_wrong_is_printed_and_not_logged_as_well(check: Check, said: pytest.LogCaptureFixture) -> None:
    check.write("[globl]\n")
    check.run()
    assert said.text == ""
