"""Programs whose streams are closed, whose output nobody reads, or who may write nothing: a line of error at most."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from x2gobroker.agents import server

PROGRAMS = (
    *("main", "testauth", "ssh.broker", "loadchecker", "authservice", "daemon.program", "remote.service"),
    *("pubkeyauthorizer", "testagent", "keygen"),
)
CALLS = [("main", "check-config"), ("ssh.broker", "--task", "listsessions"), ("testagent", "-H", "LOCAL")]


def limited() -> None:
    """Let this process write to no file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def closed(*numbers: int) -> Callable[[], None]:
    """Close streams of a process before it starts."""

    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


def output_nobody_reads() -> int:
    """A pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def run(words: tuple[str, ...], folder: Path, how: Callable[[], None], output: int | None = None) -> tuple[int, str]:
    """Exit status of a program that is started so, and what it said on its error stream."""
    none = str(folder / "none")
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), "X2GOBROKER_DEFAULTS": none, "LANG": "C.UTF-8"}
    variables |= {"X2GOBROKER_CONFIG": none, "X2GOBROKER_SSH_FOLDER": str(folder / "ssh")}
    done = subprocess.run(
        [sys.executable, "-m", f"x2gobroker.cli.{words[0]}", *words[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if output is None else output,
        stderr=subprocess.PIPE,
        env=variables,
        cwd=folder,
        preexec_fn=how,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr.decode()


def check(status: int, said: str) -> None:
    assert "Traceback" not in said, said
    assert "Exception ignored" not in said, said
    assert "Bad file descriptor" not in said or status, said
    assert 0 <= status < 128 or status >= 254, (status, said)


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_a_program_whose_output_goes_nowhere_shows_no_traceback(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "ssh").mkdir(mode=0o700)
    check(*run(words, tmp_path, closed(0, 1)))
    status, _ = run(words, tmp_path, closed(0, 1, 2))
    assert 0 <= status < 256
    writer = output_nobody_reads()
    try:
        check(*run(words, tmp_path, lambda: None, writer))
    finally:
        os.close(writer)
    with open("/dev/full", "wb") as full:
        status, said = run(words, tmp_path, limited, full.fileno())
        check(status, said)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name not in ("ssh", ".cache")) == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_says_that_its_output_cannot_be_written(program: str, tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        status, said = run((program, "--help"), tmp_path, limited, full.fileno())
    assert status == 1
    assert said.endswith(": the output cannot be written: No space left on device\n")
    assert said.count("\n") == 1


def test_output_that_cannot_be_written_is_a_failure_that_is_said(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        status, said = run(("main", "plugins"), tmp_path, lambda: None, full.fileno())
    assert (status, said) == (1, "x2gobroker: the output cannot be written: No space left on device\n")
    status, said = run(("main", "plugins"), tmp_path, closed(1))
    assert (status, said) == (1, "x2gobroker: the output cannot be written: Bad file descriptor\n")


@pytest.mark.parametrize("how", [closed(1), closed(0, 1, 2), closed(1, 2)])
def test_the_agent_whose_streams_are_closed_ends_with_a_status(how: Callable[[], None]) -> None:
    done = subprocess.run(
        [sys.executable, server.__file__, "nobody", "ping"],
        stderr=subprocess.PIPE,
        preexec_fn=how,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"")
