"""Kept connections to a real sshd: shared, replaced, closed when idle, and left alone by forked children."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.accounts import Account, account_with_home
from tests.support.processes import wait_until
from tests.support.sshd import Sshd, children_of, make_key, sshd
from x2gobroker.errors import SshError
from x2gobroker.model.hosts import Endpoint
from x2gobroker.ssh import pool as module
from x2gobroker.ssh.failures import ConnectionBroken, HostKeyRefused, SshTimeout, Unreachable
from x2gobroker.ssh.pool import SshPool
from x2gobroker.ssh.routes import Login, Route, Trust

SECONDS = 15.0
WHO = "echo $SSH_CONNECTION"


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    with account_with_home("not-used-1") as made:
        yield made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, user: Account) -> Iterator[Sshd]:
    keys = tmp_path_factory.mktemp("keys")
    line = make_key(keys / "id_ed25519")
    with sshd(tmp_path_factory.mktemp("sshd"), authorized={user.name: line}, kinds=("ed25519",)) as running:
        (keys / "known_hosts").write_text(running.host_key_lines("127.0.0.1"))
        (running.folder / "keys").symlink_to(keys)
        yield running


def route_to(server: Sshd, user: Account) -> Route:
    keys = (server.folder / "keys").resolve()
    return Route(Endpoint("srv", "127.0.0.1", server.port), Login(user.name, keys), Trust((keys / "known_hosts",)))


@pytest.fixture
def route(server: Sshd, user: Account) -> Route:
    return route_to(server, user)


@pytest.fixture
def pool(server: Sshd) -> Iterator[SshPool]:
    made = SshPool()
    yield made
    made.close()
    wait_until(lambda: not server.connections(), "the end of all connections")


@pytest.fixture
def logins(server: Sshd) -> Callable[[], int]:
    """Says how often somebody logged in since the beginning of the test."""
    before = server.log_text().count("Accepted publickey")
    return lambda: server.log_text().count("Accepted publickey") - before


def together(count: int, call: Callable[[], bytes]) -> list[bytes]:
    with ThreadPoolExecutor(count) as threads:
        return [future.result(60) for future in [threads.submit(call) for _ in range(count)]]


def test_one_connection_serves_one_command_after_another(
    pool: SshPool, route: Route, logins: Callable[[], int]
) -> None:
    assert len({pool.execute(route, WHO, SECONDS).output for _ in range(20)}) == 1
    assert logins() == 1


def test_threads_that_come_at_once_wait_for_one_connection(
    pool: SshPool, route: Route, logins: Callable[[], int]
) -> None:
    assert len(set(together(8, lambda: pool.execute(route, WHO, SECONDS).output))) == 1
    assert logins() == 1


def test_more_commands_than_sshd_allows_on_one_connection(pool: SshPool, route: Route) -> None:
    answers = together(40, lambda: pool.execute(route, f"sleep 0.2; {WHO}", SECONDS).output)
    assert 1 < len(set(answers)) <= module.CONNECTIONS
    assert all(answers)


def test_a_server_that_allows_fewer_sessions(pool: SshPool, user: Account, server: Sshd, tmp_path: Path) -> None:
    line = (server.folder / "keys" / "id_ed25519.pub").read_text()
    with sshd(tmp_path / "sshd", authorized={user.name: line}, config="MaxSessions 2", kinds=("ed25519",)) as small:
        (tmp_path / "known_hosts").write_text(small.host_key_lines("127.0.0.1"))
        route = replace(
            route_to(server, user),
            endpoint=Endpoint("srv", "127.0.0.1", small.port),
            trust=Trust((tmp_path / "known_hosts",)),
        )
        answers = together(16, lambda: pool.execute(route, f"sleep 0.1; {WHO}", SECONDS).output)
        assert all(answers)
        assert len(set(answers)) <= module.CONNECTIONS


def test_waiting_for_a_free_session_ends_at_the_deadline(
    pool: SshPool, route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECTIONS", 1)
    pool.execute(route, "true", SECONDS)
    with ThreadPoolExecutor(module.SESSIONS) as threads:
        running = [threads.submit(pool.execute, route, "sleep 4", SECONDS) for _ in range(module.SESSIONS)]
        time.sleep(0.3)
        begun = time.monotonic()
        with pytest.raises(SshTimeout):
            pool.execute(route, "true", 0.4)
        assert time.monotonic() - begun < 3
        assert [future.result().status for future in running] == [0] * module.SESSIONS


def test_a_dead_connection_is_replaced(pool: SshPool, route: Route, server: Sshd, logins: Callable[[], int]) -> None:
    for _ in range(5):
        pool.execute(route, "true", SECONDS)
        server.end_connections()
        assert pool.execute(route, "echo again", SECONDS).output == b"again\n"
    assert logins() == 6
    assert pool.connections(route) == 1


def test_a_command_that_may_have_been_started_is_never_repeated(pool: SshPool, route: Route, server: Sshd) -> None:
    marks = Path(f"/tmp/x2gt-marks-{os.getpid()}")
    try:
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(pool.execute, route, f"echo x >>{marks}; sleep 20", SECONDS)
            wait_until(lambda: marks.exists() and marks.read_text() != "", "the start of the command")
            server.end_connections()
            with pytest.raises(ConnectionBroken):
                running.result(SECONDS)
        assert marks.read_text() == "x\n"
    finally:
        marks.unlink()


def test_a_frozen_connection_costs_a_moment_once(
    pool: SshPool, route: Route, server: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.execute(route, "true", SECONDS)
    monkeypatch.setattr(module, "SUSPECT_SECONDS", 0.0)
    monkeypatch.setattr(module, "SUSPECT_PATIENCE", 0.3)
    frozen = children_of(server.pid)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        assert pool.execute(route, "echo new", SECONDS).output == b"new\n"
        assert time.monotonic() - begun < 3
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGKILL)


def test_after_a_timeout_the_connection_is_not_used_again(
    pool: SshPool, route: Route, logins: Callable[[], int]
) -> None:
    with pytest.raises(SshTimeout):
        pool.execute(route, "sleep 30", 0.5)
    assert pool.connections(route) == 0
    assert pool.execute(route, "echo ok", SECONDS).output == b"ok\n"
    assert logins() == 2


def test_idle_connections_are_closed_and_no_thread_stays(route: Route, server: Sshd) -> None:
    pool = SshPool(idle_seconds=0.3)
    before = set(threading.enumerate())
    pool.execute(route, "true", SECONDS)
    pool.execute(replace(route, proxy=route), "true", SECONDS)
    wait_until(lambda: not server.connections(), "closing what is idle")
    wait_until(lambda: set(threading.enumerate()) <= before, "the end of all threads of the pool")
    assert pool.connections(route) == 0
    assert pool.execute(route, "echo again", SECONDS).output == b"again\n"
    pool.close()


def test_a_command_that_takes_longer_than_idling_goes_on(route: Route) -> None:
    pool = SshPool(idle_seconds=0.2)
    assert pool.execute(replace(route, proxy=route), "sleep 1; echo ok", SECONDS).output == b"ok\n"
    pool.close()


def test_connections_through_a_proxy_share_the_one_to_it(
    pool: SshPool, route: Route, logins: Callable[[], int]
) -> None:
    other = replace(route, endpoint=replace(route.endpoint, name="other"))
    for each in (route, other):
        assert pool.execute(replace(each, proxy=route), "echo ok", SECONDS).output == b"ok\n"
    assert logins() == 3
    assert pool.connections(route) == 1


def test_all_who_wait_get_the_failure_at_once(pool: SshPool, route: Route, tmp_path: Path) -> None:
    unknown = replace(route, trust=Trust((tmp_path / "missing",)))
    begun = time.monotonic()

    def attempt() -> bytes:
        with pytest.raises(HostKeyRefused):
            pool.execute(unknown, "true", SECONDS)
        return b""

    together(20, attempt)
    assert time.monotonic() - begun < 5
    nobody = replace(route, endpoint=Endpoint("srv", "127.0.0.1", 1))
    for _ in range(3):
        with pytest.raises(Unreachable):
            pool.execute(nobody, "true", SECONDS)
    assert pool.connections(nobody) == 0


def test_a_forked_child_makes_connections_of_its_own(
    pool: SshPool, route: Route, server: Sshd, logins: Callable[[], int]
) -> None:
    mine = pool.execute(route, WHO, SECONDS).output
    read, write = os.pipe()
    for _ in range(3):
        child = os.fork()
        if not child:
            try:
                os.write(write, pool.execute(route, WHO, SECONDS).output)
            finally:
                os._exit(0)  # without the destructors' help
        os.waitpid(child, 0)
        theirs = os.read(read, 200)
        assert theirs
        assert theirs != mine
        assert pool.execute(route, WHO, SECONDS).output == mine
    os.close(read)
    os.close(write)
    assert logins() == 4


def test_a_child_that_ends_as_programs_do_disturbs_nothing(pool: SshPool, route: Route) -> None:
    mine = pool.execute(route, WHO, SECONDS).output
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(pool.execute, route, "sleep 1; echo ok", SECONDS)
        time.sleep(0.2)
        child = os.fork()
        if not child:
            try:
                pool.close()
                del pool
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert running.result(SECONDS).output == b"ok\n"
    assert pool.execute(route, WHO, SECONDS).output == mine


def test_closing_ends_what_is_running_and_the_pool_can_be_used_again(pool: SshPool, route: Route) -> None:
    pool.execute(route, "true", SECONDS)
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(pool.execute, route, "sleep 20", SECONDS)
        time.sleep(0.3)
        pool.close()
        with pytest.raises(SshError):
            running.result(5)
    assert pool.execute(route, "echo ok", SECONDS).output == b"ok\n"


def _more_than(outcomes: list[str], count: int) -> None:
    wait_until(lambda: outcomes.count("ok") > count, "commands that go well")


def test_under_load_while_connections_are_ended_nothing_hangs(pool: SshPool, route: Route, server: Sshd) -> None:
    stop = threading.Event()
    outcomes: list[str] = []

    def work() -> bytes:
        while not stop.is_set():
            try:
                done = pool.execute(route, "echo ok", SECONDS)
                outcomes.append("ok" if done.output == b"ok\n" else f"wrong {done}")
            except ConnectionBroken:
                outcomes.append("broken")
        return b""

    with ThreadPoolExecutor(6) as threads:
        working = [threads.submit(work) for _ in range(6)]
        for _ in range(8):
            _more_than(outcomes, outcomes.count("ok") + 2)
            server.end_connections()
        stop.set()
        for future in working:
            future.result(SECONDS)
    assert set(outcomes) <= {"ok", "broken"}


def test_a_command_that_goes_on_is_heard_while_others_use_its_connection(
    pool: SshPool, route: Route, logins: Callable[[], int]
) -> None:
    stream = pool.listen(route, "echo one; read line; echo two", SECONDS)
    assert stream.receive(SECONDS) == b"one\n"
    assert pool.execute(route, "echo other", SECONDS).output == b"other\n"
    threading.Timer(0.2, stream.stop).start()
    assert stream.receive(SECONDS) == b""
    stream.close()
    stream.close()
    assert pool.execute(route, "echo after", SECONDS).output == b"after\n"
    assert logins() == 1


def test_a_command_that_ends_says_why(pool: SshPool, route: Route) -> None:
    stream = pool.listen(route, "echo no such task >&2; exit 1", SECONDS)
    assert stream.receive(SECONDS) == b""
    assert stream.complaint() == "no such task"
    stream.close()
    stream = pool.listen(route, "exit 0", SECONDS)
    assert stream.receive(SECONDS) == b""
    assert stream.complaint() == "it ended"
    stream.close()


def test_a_connection_on_which_a_stream_fell_silent_is_not_used_again(
    pool: SshPool, route: Route, logins: Callable[[], int]
) -> None:
    stream = pool.listen(route, "sleep 100", SECONDS)
    with pytest.raises(SshTimeout, match="nothing was heard"):
        stream.receive(0.3)
    stream.close()
    pool.execute(route, "true", SECONDS)
    assert logins() == 2


def test_a_stream_whose_connection_breaks_ends(server: Sshd, pool: SshPool, route: Route) -> None:
    stream = pool.listen(route, "sleep 100", SECONDS)
    server.end_connections()
    try:
        assert stream.receive(SECONDS) == b""
    except SshError as error:
        assert "the connection ended" in str(error)
    assert "ended" in stream.complaint()
    stream.close()
    assert pool.connections(route) == 0


def test_a_stream_is_not_closed_by_the_one_that_reaps_idle_connections(route: Route) -> None:
    pool = SshPool(idle_seconds=0.2)
    stream = pool.listen(route, "echo one; sleep 1; echo two", SECONDS)
    assert (stream.receive(SECONDS), stream.receive(SECONDS)) == (b"one\n", b"two\n")
    stream.close()
    wait_until(lambda: pool.connections(route) == 0, "the idle connection being closed")
    pool.close()
