"""Many short commands at the same time on one connection to a real sshd: it holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_x2go_tunnels import connected, key, server
from tests.support.sshd import Sshd
from x2gobroker.ssh.execute import execute

__all__ = ["key", "server"]  # fixtures
SECONDS = 6.0
THREADS = 5


@pytest.fixture
def failures() -> Iterator[list[str]]:
    found: list[str] = []
    yield found
    assert found == []


def test_no_command_ends_the_connection_of_the_others(server: Sshd, key: Path, failures: list[str]) -> None:
    """Each ends before its input has been closed: what is written behind the end of a channel, sshd takes badly."""
    transport = connected(server, key)
    end = time.monotonic() + SECONDS
    done = [0] * THREADS

    def work(number: int) -> None:
        while time.monotonic() < end and not failures:
            try:
                assert execute(transport, "echo hello", 20).output == b"hello\n"
                done[number] += 1
            except Exception as error:  # noqa: BLE001 - whatever happens in the thread fails the test
                failures.append(repr(error))

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert transport.is_active()
    assert sum(done) > THREADS
    assert "nonexistent channel" not in server.log_text()
    transport.close()
