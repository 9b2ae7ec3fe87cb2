"""`x2gobroker-testagent` over SSH, at a terminal: unknown host keys, and what is remembered of them."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agents import AgentHost, BrokerSide, UnknownHostKey, WrongHostKey, broker_side, session_line

SECONDS = 60.0


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerSide]:
    """The account and the key of the broker."""
    with broker_side(tmp_path_factory.mktemp("broker") / "ssh") as made:
        yield made


class Terminal:
    """The program at a terminal of its own, and somebody who answers its question."""

    def __init__(self, side: BrokerSide, folder: Path) -> None:
        self.side = side
        self.folder = folder

    def run(self, *arguments: str, answer: str = "", at_terminal: bool = True) -> tuple[int, str]:
        """Exit status and all that was printed. `answer` is typed when the question has come."""
        mine = self.side.variables() | {
            "X2GOBROKER_DEFAULTS": str(self.folder / "none"),
            "X2GOBROKER_CONFIG": str(self.folder / "none"),
            "X2GOBROKER_DAEMON_USER": "root",
            "X2GOBROKER_DAEMON_GROUP": "root",
        }
        ours, theirs = pty.openpty()
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "x2gobroker.cli.testagent", *arguments],
                stdin=theirs if at_terminal else subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                env=os.environ | mine,
                start_new_session=True,
            )
            os.close(theirs)
            said = self._watch(ours, process, answer)
            return process.wait(SECONDS), said
        finally:
            os.close(ours)

    def _watch(self, terminal: int, process: subprocess.Popen[bytes], answer: str) -> str:
        said, end = b"", time.monotonic() + SECONDS
        while time.monotonic() < end:
            if not select.select([terminal], [], [], end - time.monotonic())[0]:
                break
            try:
                piece = os.read(terminal, 4096)
            except OSError:  # nobody has the other side open any more
                return said.decode()
            said += piece
            if answer and b"yes or no:" in said:
                os.write(terminal, f"{answer}\n".encode())
                answer = ""
        process.kill()
        raise AssertionError(f"no end: {said.decode()}")


@pytest.fixture
def terminal(side: BrokerSide, tmp_path: Path) -> Terminal:
    return Terminal(side, tmp_path)


def fingerprint_of(host: AgentHost) -> str:
    assert host.sshd is not None
    argv = ["ssh-keygen", "-l", "-f", str(host.sshd.folder / "host_ed25519.pub")]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout.split()[1]


def where(host: AgentHost) -> tuple[str, ...]:
    return ("-H", host.listen, "-p", str(host.port))


def test_a_host_key_that_is_trusted_is_remembered(side: BrokerSide, terminal: Terminal, tmp_path: Path) -> None:
    with UnknownHostKey(side, tmp_path, "ts-new", [session_line("anna", "ts-new")]) as host:
        status, said = terminal.run(*where(host), answer="yes")
        assert status == 0
        assert fingerprint_of(host) in said
        assert "ssh-keygen -l" in said
        status, said = terminal.run(*where(host), "-t", "listsessions", "-u", "anna")
        assert status == 0
        assert "fingerprint" not in said
        assert "anna-50-1795167317_stRxterm_dp24 on ts-new: running" in said
        line = side.known_hosts.read_text(encoding="utf-8").splitlines()[-1]
        assert line.startswith(f"[{host.listen}]:{host.port} ssh-ed25519 ")


@pytest.mark.parametrize("answer", ["no", "", "y", "Yes, if you say so"])
def test_anything_but_yes_is_a_no(side: BrokerSide, terminal: Terminal, tmp_path: Path, answer: str) -> None:
    before = side.known_hosts.read_bytes()
    with UnknownHostKey(side, tmp_path, "ts-new") as host:
        status, said = terminal.run(*where(host), answer=answer or "\n")
        assert status == 2
        assert "not trusted" in said
        assert not host.asked()
    assert side.known_hosts.read_bytes() == before


def test_without_a_terminal_nothing_is_trusted_unless_told_so(
    side: BrokerSide, terminal: Terminal, tmp_path: Path
) -> None:
    with UnknownHostKey(side, tmp_path, "ts-new") as host:
        status, said = terminal.run(*where(host), at_terminal=False)
        assert status == 2
        assert "-A" in said
        status, said = terminal.run(*where(host), "-A", at_terminal=False)
        assert status == 0
        assert fingerprint_of(host) in said
        assert terminal.run(*where(host), at_terminal=False)[0] == 0


def test_a_wrong_host_key_is_never_asked_about(side: BrokerSide, terminal: Terminal, tmp_path: Path) -> None:
    with WrongHostKey(side, tmp_path, "ts-other") as host:
        status, said = terminal.run(*where(host), "-A")
        assert status == 1
        assert "host-key" in said
        assert "trusted from now on" not in said
        assert not host.asked()
