"""Query mode LOCAL: a program without a shell, ended at its limits."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.processes import wait_until
from x2gobroker.agents.answers import LARGEST_ANSWER
from x2gobroker.agents.base import NONSENSE, REFUSED, TIMEOUT, UNREACHABLE, AgentStream
from x2gobroker.agents.farm import own_endpoint
from x2gobroker.agents.local import LocalAgent
from x2gobroker.agents.rules import LOCAL, AgentRules
from x2gobroker.errors import AgentError


class Program:
    """An agent of the test's own, as a script, and a way to ask it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "x2gobroker-agent"
        self.folder = folder

    def is_now(self, body: str) -> None:
        self.path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        self.path.chmod(0o755)

    def ask(self, user: str = "anna", task: str = "ping", *more: str, seconds: float = 10.0) -> list[str]:
        rules = AgentRules(LOCAL, "x2gobroker", str(self.path), Path("/nonexistent"), "RejectPolicy", "", seconds)
        return LocalAgent().ask(own_endpoint(), rules, user, task, *more)

    def fails(self, seconds: float = 10.0) -> AgentError:
        with pytest.raises(AgentError) as caught:
            self.ask(seconds=seconds)
        return caught.value


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def gone(pid_file: Path) -> bool:
    try:
        state = Path(f"/proc/{int(pid_file.read_text())}/stat").read_text()
    except FileNotFoundError:
        return True
    return state.rpartition(")")[2].split()[0] == "Z"


def test_arguments_arrive_as_they_are(program: Program) -> None:
    program.is_now('echo OK; for word; do echo "<$word>"; done')
    odd = ["a b", "$HOME", "`id`;x", '"q"', "'s'", "*", "\\", "é"]
    assert program.ask("anna", "listsessions", *odd) == [f"<{word}>" for word in ["anna", "listsessions", *odd]]


def test_the_program_gets_nothing_of_the_brokers_environment(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSH_ORIGINAL_COMMAND", "SUDO_USER", "X2GOBROKER_DEBUG", "PERL5LIB"):
        monkeypatch.setenv(name, "x")
    program.is_now("echo OK; env; pwd; cat")
    lines = program.ask()
    assert {line.partition("=")[0] for line in lines if "=" in line} <= {"PATH", "LANG", "PWD", "OLDPWD", "SHLVL", "_"}
    assert lines[-1] == "/"


def test_a_program_that_is_not_there_is_unreachable_with_advice(program: Program) -> None:
    error = program.fails()
    assert error.reason == UNREACHABLE
    assert "X2GOBROKER_AGENT_CMD" in str(error)


def test_a_program_that_may_not_be_run_is_a_refusal_with_advice(program: Program) -> None:
    program.is_now("echo OK")
    program.path.chmod(0o644)
    error = program.fails()
    assert error.reason == REFUSED
    assert "group" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        "echo $$ >{0}/pid; exec sleep 3600",
        "echo OK; sleep 3600 & echo $! >{0}/pid; wait",
        "trap '' TERM HUP; echo $$ >{0}/pid; while :; do sleep 1; done",
        "exec >&- 2>&-; echo $$ >{0}/pid; sleep 3600",
    ],
)
def test_the_deadline_ends_the_program_and_what_it_started(program: Program, body: str) -> None:
    program.is_now(body.format(program.folder))
    begun = time.monotonic()
    error = program.fails(seconds=0.5)
    assert error.reason == TIMEOUT
    assert time.monotonic() - begun < 30
    wait_until(lambda: gone(program.folder / "pid"), "the end of the program")


@pytest.mark.parametrize("stream", ["1", "2"])
def test_an_endless_answer_is_cut_off(program: Program, stream: str) -> None:
    program.is_now(f"echo $$ >{program.folder}/pid; exec yes >&{stream}")
    error = program.fails()
    assert error.reason == NONSENSE
    assert str(LARGEST_ANSWER) in str(error)
    wait_until(lambda: gone(program.folder / "pid"), "the end of the program")


def test_a_large_answer_that_is_allowed_is_read_whole(program: Program) -> None:
    program.is_now("echo OK; seq 1 4000; seq 1 9000 >&2")
    assert program.ask(task="listsessions") == [str(number) for number in range(1, 4001)]


def test_exit_status_and_stderr_tell_failures(program: Program) -> None:
    program.is_now("echo OK; echo broken >&2; exit 3")
    error = program.fails()
    assert error.reason == REFUSED
    assert "broken" in str(error)
    program.is_now("echo OK; kill -9 $$")
    assert program.fails().reason == NONSENSE


def test_nothing_is_left_open(program: Program) -> None:
    program.is_now("echo OK")
    program.ask()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        program.ask()
    program.is_now("exec sleep 3600")
    for _ in range(3):
        program.fails(seconds=0.1)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_program_that_may_not_be_ended_costs_no_more_than_the_deadline(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's agent runs as root: the broker may not end it."""

    def refused(_group: int, _how: int) -> None:
        raise PermissionError

    monkeypatch.setattr("x2gobroker.agents.local.os.killpg", refused)
    program.is_now("sleep 30")
    begun = time.monotonic()
    assert program.fails(seconds=0.3).reason == TIMEOUT
    assert time.monotonic() - begun < 20


RULES = AgentRules(LOCAL, "x2gobroker", "", Path("/nonexistent"), "RejectPolicy", "", 5.0)


def watched(program: Program) -> AgentStream:
    return LocalAgent().watch(own_endpoint(), replace(RULES, command=str(program.path)), 5)


def test_a_program_is_listened_to_while_it_goes_on(program: Program) -> None:
    program.is_now('echo "$*"; read line; echo "it ended" >&2')
    stream = watched(program)
    assert stream.receive(10) == b"nobody watch 5\n"
    stream.stop()
    assert stream.receive(10) == b""
    assert stream.complaint() == "it ended"
    stream.close()
    stream.stop()


def test_a_program_that_says_nothing_is_given_up_and_ended(program: Program) -> None:
    program.is_now(f"echo $$ > {program.folder}/pid; exec sleep 100")
    stream = watched(program)
    with pytest.raises(AgentError, match="nothing was heard") as caught:
        stream.receive(0.3)
    assert caught.value.reason == TIMEOUT
    wait_until(lambda: (program.folder / "pid").exists() and (program.folder / "pid").read_text() != "", "its start")
    stream.close()
    wait_until(lambda: gone(program.folder / "pid"), "its end", 10)


def test_complaints_of_a_program_do_not_stop_what_it_says(program: Program) -> None:
    program.is_now('head -c 300000 /dev/zero | tr "\\\\0" x >&2; exec 2>&-; echo hello')
    stream = watched(program)
    assert stream.receive(10) == b"hello\n"
    assert stream.receive(10) == b""
    assert len(stream.complaint()) <= 310
    stream.close()


def test_a_program_that_cannot_be_started_is_said(program: Program) -> None:
    with pytest.raises(AgentError, match="install the broker agent here") as caught:
        watched(program)
    assert caught.value.reason == UNREACHABLE
