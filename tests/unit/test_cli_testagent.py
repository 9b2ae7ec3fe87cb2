"""`x2gobroker-testagent`, with an agent of the test's own on this host."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.agents import session_line
from x2gobroker.cli import testagent

SESSION = "anna-50-1795167317_stRxterm_dp24"
BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
KEY = f'no-user-rc,expiry-time="20991231" ssh-ed25519 {BLOB} anna'
AGENT = """\
#!/bin/sh
printf '%s\\n' "$*" >>{folder}/asked
echo OK
case "$2" in
  availabletasks) printf '%s\\n' ping listsessions smoke_signals ;;
  listsessions) [ "$1" = anna ] && echo '{line}' || : ;;
  getservers) echo 'ts01 3' ;;
  findbusyservers) echo '100:ts01' ;;
  checkload) printf '%s\\n' loadavgXX:101 memAvail:2000 myMemAvail:1 numCPU:2 typeCPU:1500 numSessions:3 ;;
  delauthkey) echo 'sed: no such file' >&2 ;;
esac
"""


class TestAgent:
    """The program, with a configuration and an agent of its own; it goes on as this user."""

    __test__ = False

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.config = folder / "x2gobroker.conf"
        self.config.write_text("[global]\nautologin-key-type = ed25519\nautologin-key-seconds = 60\n", encoding="utf-8")
        self.agent_is(AGENT.format(folder=folder, line=session_line("anna", "ts01")))

    def agent_is(self, script: str) -> None:
        """Replace the agent."""
        path = self.folder / "x2gobroker-agent"
        path.write_text(script, encoding="utf-8")
        path.chmod(0o755)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, standard output, standard error stream."""
        status = testagent.main(["-C", str(self.config), *arguments])
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err

    def asked(self) -> list[str]:
        """What the agent was asked, without the ping before."""
        return (self.folder / "asked").read_text(encoding="utf-8").splitlines()[1:]


@pytest.fixture
def program(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> TestAgent:
    """The program; nothing of this machine's own configuration counts."""
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(tmp_path / "defaults.conf"))
    monkeypatch.setenv("X2GOBROKER_AGENT_CMD", str(tmp_path / "x2gobroker-agent"))
    monkeypatch.setenv("X2GOBROKER_DAEMON_USER", pwd.getpwuid(os.geteuid()).pw_name)
    monkeypatch.setenv("X2GOBROKER_DAEMON_GROUP", grp.getgrgid(os.getegid()).gr_name)
    return TestAgent(tmp_path, capsys)


@pytest.mark.parametrize(
    ("arguments", "asked", "shown"),
    [
        ((), "nobody ping", "It answers"),
        (("--list-tasks",), "nobody availabletasks", "smoke_signals (this broker does not use it)"),
        (("-t", "checkload"), "nobody checkload", "load factor: 5940"),
        (("-t", "checkload"), "nobody checkload", "sessions:    3"),
        (("-t", "listsessions", "-u", "anna"), "anna listsessions", f"{SESSION} on ts01: running, 25 s old"),
        (("-t", "listsessions", "--user", "bert"), "bert listsessions", "bert has no sessions"),
        (("-t", "getservers", "--username", "anna"), "anna getservers", "ts01: 3 sessions"),
        (("-t", "findbusyservers", "-u", "anna"), "anna findbusyservers", "ts01: 100 %"),
        (
            ("-t", "suspendsession", "-u", "anna", "--session-id", SESSION),
            f"anna suspendsession {SESSION}",
            "Debian's agent only notes the wish",
        ),
        (
            ("-t", "terminatesession", "-u", "anna", "--session-id", SESSION),
            f"anna terminatesession {SESSION}",
            "Debian's agent only notes the wish",
        ),
        (
            ("-t", "addauthkey", "-u", "anna", "--pubkey", KEY),
            f"anna addauthkey {KEY} %h/.x2go/authorized_keys 60",
            f"delauthkey --pubkey '{KEY}'",
        ),
    ],
)
def test_each_task_is_done_and_shown(program: TestAgent, arguments: tuple[str, ...], asked: str, shown: str) -> None:
    status, out, err = program.run(*arguments)
    assert (status, err) == (0, "")
    assert shown in out
    assert out.splitlines()[-1].endswith("was done on this host.")
    assert program.asked() == [asked]


def test_without_a_key_a_new_one_is_made_and_its_removal_explained(program: TestAgent) -> None:
    status, out, _ = program.run("-u", "anna", "-t", "addauthkey")
    assert status == 0
    (asked,) = program.asked()
    added = asked.removeprefix("anna addauthkey ").removesuffix(" %h/.x2go/authorized_keys 60")
    assert " ssh-ed25519 " in added
    assert 'expiry-time="20' in added
    assert added in out.splitlines()
    assert "PRIVATE KEY-----" not in out
    command = next(line for line in out.splitlines() if "delauthkey" in line)
    words = shlex.split(command)
    assert words[:3] == ["x2gobroker-testagent", "-C", str(program.config)]
    assert words[-2:] == ["--pubkey", added]


def test_a_task_that_fails_has_status_1_and_the_agents_words(program: TestAgent) -> None:
    status, out, err = program.run("-u", "anna", "-t", "delauthkey", "--pubkey", KEY)
    assert (status, out) == (1, "The task delauthkey failed.\n")
    assert "refused" in err
    assert "sed: no such file" in err


def test_an_agent_that_is_not_there_or_talks_nonsense_has_status_1(program: TestAgent) -> None:
    program.agent_is("#!/bin/sh\necho hello\n")
    status, _, err = program.run()
    assert status == 1
    assert "nonsense" in err
    (program.folder / "x2gobroker-agent").unlink()
    status, _, err = program.run()
    assert status == 1
    assert "X2GOBROKER_AGENT_CMD" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-t", "listsessions"), "-u USER"),
        (("-t", "dance", "-u", "anna"), "there is no task dance"),
        (("-t", "suspendsession", "-u", "anna"), "--session-id"),
        (("-t", "terminatesession", "-u", "anna"), "--session-id"),
        (("-t", "delauthkey", "-u", "anna"), "--pubkey"),
        (("-t", "addauthkey", "-u", "anna", "--pubkey", "nonsense"), "no public key"),
        (("-H", "ts01", "-p", "0"), "port"),
        (("-H", "a b"), "host name"),
        (("-C", "/nonexistent/x2gobroker.conf"), "not there"),
    ],
)
def test_what_cannot_be_asked_has_status_2_and_says_why(
    program: TestAgent, arguments: tuple[str, ...], says: str
) -> None:
    status, out, err = program.run(*arguments)
    assert (status, out) == (2, "")
    assert says in err
    assert not (program.folder / "asked").exists()


def test_a_broken_configuration_has_status_2(program: TestAgent) -> None:
    program.config.write_text("[global\n", encoding="utf-8")
    status, _, err = program.run()
    assert status == 2
    assert str(program.config) in err


def test_an_account_that_does_not_exist_has_status_2(program: TestAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X2GOBROKER_DAEMON_USER", "nobody-of-this-name")
    status, _, err = program.run()
    assert status == 2
    assert "X2GOBROKER_DAEMON_USER" in err


def test_debug_tells_how_long_it_took(program: TestAgent) -> None:
    assert "ping for nobody took" in program.run("-d")[2]


def test_root_goes_on_as_the_brokers_user_for_good() -> None:
    """In a process of its own: nobody gets rights back that were given up."""
    mine = os.environ | {"X2GOBROKER_DAEMON_USER": "nobody", "X2GOBROKER_DAEMON_GROUP": "nogroup"}
    probe = (
        "import os; from x2gobroker.cli import testagent; from x2gobroker.settings import SettingsSource\n"
        "testagent.become_broker(SettingsSource.of_process().current())\n"
        "print(os.getresuid(), os.getresgid(), os.getgroups())"
    )
    argv = [sys.executable, "-c", probe]
    done = subprocess.run(argv, env=mine, capture_output=True, text=True, timeout=60, check=True)
    nobody, nogroup = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("nogroup").gr_gid
    assert done.stdout == f"{(nobody,) * 3} {(nogroup,) * 3} {[nogroup]}\n"


def test_somebody_who_is_neither_root_nor_the_brokers_user_is_refused(
    program: TestAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("x2gobroker.cli.testagent.os.geteuid", lambda: 54321)
    monkeypatch.setenv("X2GOBROKER_DAEMON_USER", "nobody")
    status, _, err = program.run()
    assert status == 2
    assert "run this as root or as nobody" in err
