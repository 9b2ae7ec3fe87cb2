"""Our command line beside that of Debian's broker: the same exit statuses, and answers that mean the same."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.debian_broker import PROGRAM, PYTHON, DebianBroker
from tests.support.ssh_broker import Answered, SshBroker, ssh_broker

pytestmark = pytest.mark.reference
CONFIG = """\
[global]
cookie-directory = {state}
default-portscan-x2goservers = false

[broker_zeroconf]
enable = false

[broker_inifile]
enable = true
"""
PROFILES = """\
[kde]
name = KDE here
host = one.example
command = kde
user = BROKER_USER

[term]
name = Terminal
host = two.example (10.0.2.2)
sshport = 2022
fullscreen = true

[other]
name = Others only
host = three.example
acl-users-allow = somebody-else
"""
USER = "anna"
LISTED = re.compile(r"^\[(\w+)\]\n((?:\w+=.*\n)*)", re.MULTILINE)


@dataclass
class Both:
    """Debian's program and ours, each as the account of its broker, which may act for others."""

    debian: DebianBroker
    ours: SshBroker

    def reference(self, *words: str) -> Answered:
        """What Debian's program answers."""
        done = subprocess.run(
            [PYTHON, PROGRAM, "-C", str(self.debian.config), *words],
            env=self.debian.environment(),
            user=self.debian.account,
            group=self.debian.account,
            extra_groups=[],
            cwd=self.debian.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Answered(done.stdout, done.stderr, done.returncode)

    def mine(self, *words: str) -> Answered:
        """What ours does."""
        return self.ours.call(self.ours.account, *words)

    def asked(self, *words: str) -> tuple[Answered, Answered]:
        """Both, with the same words for the same user."""
        return self.reference("--user", USER, *words), self.mine("--user", USER, *words)


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    """The same files for both."""
    debian = DebianBroker()
    try:
        debian.cookies.mkdir(mode=0o700)
        shutil.chown(debian.cookies, debian.account)
        debian.write_config(CONFIG)
        debian.write_profiles(PROFILES)
        with ssh_broker() as ours:
            ours.write(CONFIG, PROFILES)
            yield Both(debian, ours)
    finally:
        debian.close()


def profiles_in(text: str) -> dict[str, dict[str, str]]:
    """The session profiles of an answer."""
    found = {}
    for name, lines in LISTED.findall(text):
        found[name] = dict(line.split("=", 1) for line in lines.splitlines())
    return found


def plain(answered: Answered) -> str:
    """An answer without its authid, which is another one each time."""
    return re.sub(r"^AUTHID:\S+", "AUTHID:x", answered.text)


def test_the_same_profiles_are_listed(both: Both) -> None:
    reference, mine = both.asked("--task", "listsessions")
    assert profiles_in(reference.text).keys() == {"kde", "term"}
    assert profiles_in(mine.text) == profiles_in(reference.text)
    assert mine.text.endswith("END_USER_SESSIONS\n\n")
    assert reference.text.endswith("END_USER_SESSIONS\n\n")
    assert plain(mine).splitlines()[:5] == plain(reference).splitlines()[:5]
    assert mine.status == reference.status == 0


@pytest.mark.parametrize(
    "line",
    [
        "--task selectsession --sid kde",
        "--task selectsession --profile-id term --login berta",
        "--task selectsession --sid nosuch",
        "--task selectsession",
        "--task nonsense",
        "--task testing -- --task listsessions",
        "-M SSH --task nonsense",
        "--event X -- a b",
        "--task listsessions --event X",
        "--backend zeroconf --task listsessions",
    ],
)
def test_the_same_answer(both: Both, line: str) -> None:
    reference, mine = both.asked(*line.split())
    assert plain(mine) == plain(reference)
    assert mine.status == reference.status == 0


def test_a_dead_authid_is_a_refusal_there_and_a_new_login_here(both: Both) -> None:
    for ask in (both.reference, both.mine):
        first = ask("--user", USER, "--task", "nonsense")
        second = ask("--user", USER, "--task", "nonsense", "--authid", first.authid)
        assert second.authid not in ("", first.authid)
        for wrong in (first.authid, "bogus"):
            refused = ask("--user", USER, "--task", "nonsense", "--auth-cookie", wrong)
            assert refused.status == 0
            assert ("Access granted" in refused.text) is (ask == both.mine)


@pytest.mark.parametrize(
    ("line", "status"),
    [("", 254), ("--user anna", 254), ("--bogus", 2), ("--task", 2), ("--task listsessions extra", 2), ("--help", 0)],
)
def test_the_same_exit_status(both: Both, line: str, status: int) -> None:
    assert both.reference(*line.split()).status == status
    assert both.mine(*line.split()).status == status


def test_an_unknown_backend_is_status_1_without_a_traceback(both: Both) -> None:
    reference, mine = both.asked("--backend", "nosuch", "--task", "listsessions")
    assert "Traceback" in reference.errors
    assert mine.errors == "x2gobroker-ssh: there is no backend nosuch\n"
    assert mine.status == reference.status == 1
    assert mine.text == reference.text == ""


def test_debians_setuid_program_runs_any_code_of_its_caller(both: Both) -> None:
    """Why the how-to has it removed: it hands on the caller's whole environment."""
    wrapper = Path("/usr/bin/x2gobroker-ssh")
    assert wrapper.stat().st_mode & 0o4000
    (both.ours.folder / "sitecustomize.py").write_text("import os\nprint('effective user', os.geteuid())\n")
    done = subprocess.run(
        [wrapper, "--task", "testcon"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(both.ours.folder), "LOGNAME": "games"},
        user="games",
        group=wrapper.stat().st_gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith(f"effective user {wrapper.stat().st_uid}\n"), done
