"""The answers of an X2Go Server to start, resume, suspend and terminate."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.x2go.errors import X2GoDesktopSharingDenied, X2GoTerminalSessionException
from x2gobroker.x2go.wire.command_lines import (
    Ports,
    forget_client_command,
    keyboard_command,
    parse_state,
    resumed_ports,
    started_output,
    state_command,
    suspend_command,
    terminate_command,
)
from x2gobroker.x2go.wire.reply import Reply

NAME = "ann-50-1795167317_stRxterm_dp24"
STARTED = f"50\nf28b48c66f97bdba38e56856d0ea090f\n14864\n{NAME}\n38091\n38092\n38093\n"
HARMLESS = "Died at /usr/lib/x2go/x2gormport line 34.\n" * 2


def test_a_start_is_seven_lines_whatever_is_on_stderr() -> None:
    noise = "xauth:  file /tmp/x/.Xauthority does not exist\n"
    assert started_output(Reply(STARTED, noise, 0), "R").splitlines()[3] == NAME


@pytest.mark.parametrize(
    ("errors", "status", "said"),
    [
        ("LIMIT 2\n", 9, "limit of sessions"),
        ("", 124, "within 90 s"),
        ("", 113, "cannot be written"),
        ("sh: 1: x2gostartagent: not found\n", 127, "not installed"),
        ("Unable to find free display port\nxauth: noise\n", 10, "free display port"),
        ("", 12, "nothing"),
    ],
)
def test_a_failed_start_says_why(errors: str, status: int, said: str) -> None:
    with pytest.raises(X2GoTerminalSessionException, match=said):
        started_output(Reply("", errors, status), "R")


def test_a_refused_view_is_told_apart() -> None:
    with pytest.raises(X2GoDesktopSharingDenied):
        started_output(Reply("", "ACCESS DENIED\n", 8), "S")


def test_an_incomplete_start_never_shows_the_cookie() -> None:
    with pytest.raises(X2GoTerminalSessionException) as caught:
        started_output(Reply("50\nf28b48c66f97bdba38e56856d0ea090f\n", "", 1), "R")
    assert "f28b48c6" not in str(caught.value)


def test_a_resume_has_ports() -> None:
    output = "gr_port=38091\nsound_port=38092\nfs_port=38093\n"
    assert resumed_ports(Reply(output, HARMLESS, 0)) == Ports(38091, 38092, 38093)


@pytest.mark.parametrize(
    "reply",
    [
        Reply("", HARMLESS, 6),
        Reply("gr_port=\nsound_port=\n", "", 0),
        Reply("gr_port=x\n", "", 0),
        Reply("gr_port=38091\n", f"ERROR: failed to resume session with ID {NAME}\n", 0),
        Reply("", "", 124),
        Reply("gr_port=0\n", "", 0),
        Reply("gr_port=70000\n", "", 0),
        Reply("gr_port=38091\nsound_port=99999\n", "", 0),
    ],
)
def test_a_failed_resume_is_noticed(reply: Reply) -> None:
    with pytest.raises(X2GoTerminalSessionException):
        resumed_ports(reply)


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_answer_is_ports_or_an_error(output: str, errors: str) -> None:
    with contextlib.suppress(X2GoTerminalSessionException):
        assert 0 < resumed_ports(Reply(output, errors, 0)).graphics < 65536


def test_the_last_state_counts() -> None:
    assert parse_state("noise\nstate=RUNNING\nstate=SUSPENDED\n") == "SUSPENDED"
    assert parse_state("state=\n") == parse_state("") == parse_state("state=what is this\n") == ""


def test_keyboard() -> None:
    assert keyboard_command(50, "de", "nodeadkeys").startswith("DISPLAY=:50 setxkbmap -layout de -variant nodeadkeys")
    assert keyboard_command(50, "us", "null").startswith("DISPLAY=:50 setxkbmap -layout us <")
    with pytest.raises(X2GoTerminalSessionException):
        keyboard_command(50, "us$(id)", "null")


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """A home folder with one session, and X2Go commands that only leave a trace."""
    container = tmp_path / ".x2go" / f"C-{NAME}"
    container.mkdir(parents=True)
    (container / "state").write_text("RUNNING", encoding="ascii")
    (container / "sshd.pid").write_text("PPid:\t1\n", encoding="ascii")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {
        "x2gosuspend-session": f'printf SUSPENDED >"$HOME/.x2go/C-{NAME}/state"',
        "x2goterminate-session": 'kill "$(cat "$HOME/agent")"',
        "x2gopath": 'echo "$HOME/bin"',
        "x2gogetagent": 'cat "$HOME/agent"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
        (programs / name).chmod(0o755)
    return tmp_path


def said(home: Path, command: str) -> str:
    environment = {"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin"}
    done = subprocess.run(
        ["/bin/sh", "-c", f"( {command} )"], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    return parse_state(done.stdout)


def test_suspending_waits_for_the_agent(server: Path) -> None:
    assert said(server, suspend_command(NAME)) == "SUSPENDED"
    assert said(server, state_command(NAME)) == "SUSPENDED"
    other = NAME.replace("50", "51")
    assert said(server, suspend_command(other)) == said(server, state_command(other)) == ""


def test_terminating_waits_for_the_end_of_the_agent(server: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as agent:
        (server / "agent").write_text(f"{agent.pid}\n", encoding="ascii")
        # a child that nobody has waited for is still there for kill -0
        waiter = subprocess.Popen(["/bin/sh", "-c", terminate_command(NAME)], env=_env(server), stdout=subprocess.PIPE)
        agent.wait(20)
        assert waiter.communicate(timeout=20)[0] == b"state=TERMINATED\n"


def _env(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin"}


def test_an_unknown_session_cannot_be_ended(server: Path) -> None:
    (server / "agent").write_text("", encoding="ascii")
    assert said(server, terminate_command(NAME)) == "UNKNOWN"


def test_the_server_forgets_its_process_for_the_client(server: Path) -> None:
    said(server, forget_client_command(NAME))
    assert not (server / ".x2go" / f"C-{NAME}" / "sshd.pid").exists()
