"""`/health/ready` and real outages: each turns it to 503 with the name of what fails, in time, and back again."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.authservice import AuthService, UnprivilegedBroker
from tests.support.our_broker import OurBroker
from tests.support.postgresql import postgresql_server
from tests.support.processes import Program, wait_until

OPEN = "[global]\ndefault-auth-mech = none\ncookie-directory = {state}\n"
PROFILES = "[desk]\nhost = desk.example\n"
BY_LOAD = "[many]\nhost = a.invalid, b.invalid\nbroker-use-load-checker = true\nbroker-agent-query-mode = SSH\n"
LONGEST = 3.0  # of an answer; 1.5 s and what a busy machine adds


def failing(broker: OurBroker) -> list[str]:
    """The names of what fails; status and text agree, and nothing else is said."""
    began = time.monotonic()
    response = requests.get(f"{broker.url}/health/ready", timeout=20)
    assert time.monotonic() - began < LONGEST
    said = response.json()
    assert set(said) <= {"status", "failing", "certificate_days"}
    assert response.status_code == (503 if said["failing"] else 200)
    assert said["status"] == ("not ready" if said["failing"] else "ready")
    live = requests.get(f"{broker.url}/health/live", timeout=20)
    assert (live.status_code, live.json()["status"]) == (200, "live")
    return list(said["failing"])


def becomes(broker: OurBroker, *names: str, seconds: float = 15.0) -> None:
    """Wait until exactly this fails."""
    wait_until(lambda: failing(broker) == list(names), f"what fails being {names}", seconds)


@pytest.fixture
def broker() -> Iterator[OurBroker]:
    """A daemon with SQLite."""
    with OurBroker(OPEN, PROFILES) as running:
        requests.post(f"{running.url}/json/", data={"user": "anna", "task": "listsessions"}, timeout=20)
        yield running


def test_probes_cost_nothing(broker: OurBroker) -> None:
    began = time.monotonic()
    for _ in range(200):
        assert failing(broker) == []
    assert time.monotonic() - began < 15


def test_the_authentication_service_stops_and_freezes() -> None:
    with AuthService("login") as service:
        config = "[global]\ndefault-auth-mech = pam\ncookie-directory = {state}\n[authmech_pam]\nservice = login\n"
        with UnprivilegedBroker(config, PROFILES, service.socket) as broker:
            becomes(broker)
            processes = [service.pid, *service.descendants()]
            for process in processes:
                os.kill(process, signal.SIGSTOP)
            try:
                becomes(broker, "authentication")
            finally:
                for process in processes:
                    os.kill(process, signal.SIGCONT)
            becomes(broker)
            assert service.program is not None
            service.program.stop()
            becomes(broker, "authentication")
            service.start()
            becomes(broker)


def test_a_pam_service_that_is_not_there() -> None:
    config = "[global]\ndefault-auth-mech = pam\ncookie-directory = {{state}}\n[authmech_pam]\nservice = {}\n"
    with (
        AuthService("login") as service,
        UnprivilegedBroker(config.format("login"), PROFILES, service.socket) as broker,
    ):
        becomes(broker)
        broker.write_config(config.format("x2gt-no-such-service"))
        becomes(broker, "authentication")


def test_a_daemon_that_starts_with_session_profiles_that_it_cannot_read(tmp_path: Path) -> None:
    with OurBroker(OPEN, "[desk\n") as broker:
        becomes(broker, "session-profiles")
        broker.write_profiles(PROFILES)
        becomes(broker)


def test_postgresql_stops_and_freezes() -> None:
    with postgresql_server() as server, OurBroker(f"{OPEN}database-url = {server.url}\n", PROFILES) as broker:
        becomes(broker)
        with server.frozen():
            becomes(broker, "store")
            for _ in range(5):
                assert failing(broker) == ["store"]
                time.sleep(0.5)
        becomes(broker)
        with server.stopped():
            becomes(broker, "store")
        becomes(broker)
        assert "not ready: store" in broker.log()
        assert "ready again" in broker.log()


def test_the_disk_of_the_store_is_full() -> None:
    broker = OurBroker(OPEN, PROFILES)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(broker.state)], check=True, timeout=30)
    try:
        with broker:
            becomes(broker)
            filler = broker.state / "filler"
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
                while stream.write(b"x" * 4096):
                    pass
            becomes(broker, "store")
            filler.unlink()
            becomes(broker)
            subprocess.run(["umount", "-l", str(broker.state)], check=True, timeout=30)
    finally:
        subprocess.run(["umount", "-l", str(broker.state)], check=False, capture_output=True, timeout=30)


def test_the_folder_of_the_store_is_gone_or_a_column_is_missing(broker: OurBroker) -> None:
    becomes(broker)
    away = broker.state.with_name("away")
    broker.state.rename(away)
    broker.state.write_text("in its place")
    becomes(broker, "store")
    broker.state.unlink()
    away.rename(broker.state)
    becomes(broker)
    with sqlite3.connect(broker.state / "x2gobroker.sqlite") as connection:
        connection.execute("alter table authids drop column spent_at")
    becomes(broker, "store")


def test_a_store_that_another_process_locks(broker: OurBroker) -> None:
    becomes(broker)
    connection = sqlite3.connect(broker.state / "x2gobroker.sqlite", isolation_level=None)
    connection.execute("begin immediate")
    becomes(broker, "store")
    connection.execute("rollback")
    connection.close()
    becomes(broker)


def test_a_broken_configuration(broker: OurBroker) -> None:
    broker.write_config("[global]\nthis is wrong\n")
    becomes(broker, "configuration")
    assert requests.get(f"{broker.url}/health", timeout=10).json()["status"] == "ok"
    broker.write_config(OPEN)
    becomes(broker)


def test_the_load_checker_is_expected_where_profiles_go_by_load(broker: OurBroker, tmp_path: Path) -> None:
    broker.write_config(f"{OPEN}load-checker-intervals = 2\n")
    broker.write_profiles(BY_LOAD)
    becomes(broker, "load-reports")
    program = Program(
        [str(Path(sys.executable).parent / "x2gobroker-loadchecker"), "-C", str(broker.config)],
        tmp_path / "log",
        env={**broker.env, "X2GOBROKER_LOADCHECKER_SOCKET": str(tmp_path / "socket")},
    )
    try:
        becomes(broker, seconds=30)
    finally:
        program.stop()
    becomes(broker, "load-reports", seconds=20)
