"""Bad days of the authentication service: whoever is hit is told, and everybody else logs in meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.support.accounts import Account, account, pam_service
from tests.support.authservice import AuthService, UnprivilegedBroker, within
from tests.support.pam_modules import CRASH, HANG, NAP, SLEEP, HangingPam, compile_module
from tests.support.processes import wait_until
from x2gobroker.authservice.client import Answer
from x2gobroker.authservice.protocol import encode_frame
from x2gobroker.errors import AuthMechanismError

RIGHT = "Right & proper 1"
TIMEOUT = 2
# what somebody else may have to wait who has nothing to do with it
OTHERS_SECONDS = 1.5
SILENT_SECONDS = 15.0  # for which the service bears silence: nobody waits behind it
CONFIG = """\
[global]
default-auth-mech = pam
penalties = false
cookie-directory = {{state}}
enable-plain-output = true
enable-json-output = true

[authmech_pam]
service = {service}
"""
PROFILES = "[desk]\nname = Desk\nhost = desk.example\n"


@pytest.fixture(scope="module")
def bad_pam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The PAM service of the bad days."""
    folder = tmp_path_factory.mktemp("bad-pam")
    bad = HangingPam(compile_module(folder), folder)
    with pam_service("bad", bad.lines()) as name:
        try:
            yield name
        finally:
            bad.end_sleepers()


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    """Somebody else, who has nothing to do with it."""
    with account(RIGHT) as made:
        yield made


@pytest.fixture
def service(bad_pam: str) -> Iterator[AuthService]:
    """A service with short deadlines and few workers."""
    env = {"X2GOBROKER_AUTHSERVICE_TIMEOUT": str(TIMEOUT), "X2GOBROKER_AUTHSERVICE_WORKERS": "4"}
    with AuthService(bad_pam, env=env) as running:
        running.keep_secret(RIGHT)
        yield running


@pytest.fixture
def broker(service: AuthService) -> Iterator[UnprivilegedBroker]:
    """Our broker, as an account without rights, that asks this service."""
    config = CONFIG.format(service=service.services[0])
    with UnprivilegedBroker(config, PROFILES, service.socket) as running:
        running.secrets.add(RIGHT)
        yield running


def somebody_else_logs_in(service: AuthService, user: Account) -> None:
    """A right login, a wrong one, both as on any other day."""
    with within(OTHERS_SECONDS):
        assert service.client().authenticate(service.services[0], user.name, RIGHT).granted
    with service.wire() as wire, within(OTHERS_SECONDS):
        assert wire.ask_line(user.name, "wrong", service.services[0]) == b"fail\n"


@contextlib.contextmanager
def login_under_way(service: AuthService, name: str) -> Iterator[Future[Answer]]:
    """A login of this user, begun before the block; its result is asked for in the block."""
    with ThreadPoolExecutor(1) as pool:
        begun = threading.Event()

        def login() -> Answer:
            begun.set()
            return service.client().authenticate(service.services[0], name, RIGHT)

        future = pool.submit(login)
        assert begun.wait(10)
        yield future


# -- PAM modules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [HANG, SLEEP], ids=["hangs", "sleeps-30-s"])
def test_a_pam_module_that_never_returns(service: AuthService, user: Account, name: str) -> None:
    with login_under_way(service, name) as login:
        while not login.done():
            somebody_else_logs_in(service, user)
        with pytest.raises(AuthMechanismError, match=f"timeout: PAM did not answer within {TIMEOUT} s"):
            login.result(TIMEOUT + 2)
    service.wait_for_log(f"outcome=timeout reason=PAM\\x20did\\x20not\\x20answer\\x20within\\x20{TIMEOUT}\\x20s")
    wait_until(lambda: len(service.workers()) <= 2, "the hanging worker's end")


def test_a_pam_module_that_takes_its_time(service: AuthService, user: Account) -> None:
    with login_under_way(service, NAP) as login:
        somebody_else_logs_in(service, user)
        assert login.result(TIMEOUT + 2).granted


def test_a_pam_module_that_crashes(service: AuthService, user: Account) -> None:
    for _ in range(5):
        with pytest.raises(AuthMechanismError, match="worker process ended; a PAM module may have crashed"):
            service.client().authenticate(service.services[0], CRASH, RIGHT)
        somebody_else_logs_in(service, user)
    with service.wire() as wire:
        assert wire.ask_line(CRASH, RIGHT, service.services[0]) == b"fail\n"
        assert wire.ask_line(user.name, RIGHT, service.services[0]) == b"ok\n"


def test_a_worker_killed_in_the_middle_of_a_login(service: AuthService, user: Account) -> None:
    wait_until(lambda: len(service.workers()) >= 2, "workers in stock")
    with login_under_way(service, HANG) as login:
        while not login.done():  # whichever of them has it
            for pid in service.workers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        with within(TIMEOUT), pytest.raises(AuthMechanismError, match="worker process ended"):
            login.result(TIMEOUT + 2)
    somebody_else_logs_in(service, user)


def test_a_service_killed_in_the_middle_of_a_login(service: AuthService, user: Account) -> None:
    before = service.workers
    with login_under_way(service, HANG) as login:
        wait_until(lambda: len(before()) > 2, "a worker at work")
        assert service.program is not None
        service.program.stop(signal.SIGKILL)
        with within(TIMEOUT), pytest.raises(AuthMechanismError, match="socket"):
            login.result(TIMEOUT + 2)
    service.start()
    somebody_else_logs_in(service, user)


def test_a_killed_spawner_ends_the_service_for_the_init_system_to_start_it_again(service: AuthService) -> None:
    """Without it no worker process can be made: going on would be to refuse everybody."""
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children")
    wait_until(lambda: len(children.read_text().split()) == 1, "the spawner")
    os.kill(int(children.read_text()), signal.SIGKILL)
    assert service.program is not None
    assert service.program.process.wait(5) != 0
    assert "spawner" in service.log()


def test_a_full_queue_answers_at_once(bad_pam: str, user: Account) -> None:
    env = {
        "X2GOBROKER_AUTHSERVICE_TIMEOUT": "4",
        "X2GOBROKER_AUTHSERVICE_WORKERS": "1",
        "X2GOBROKER_AUTHSERVICE_QUEUE": "1",
    }
    request = encode_frame({"op": "authenticate", "user": HANG, "password": RIGHT, "service": bad_pam})
    with AuthService(bad_pam, env=env) as service, service.wire() as first, service.wire() as second:
        service.keep_secret(RIGHT)
        for wire in (first, second):
            wire.greet()
            wire.send(request)
        with service.wire() as third, within(1):
            third.greet()
            answer = third.ask(op="authenticate", user=user.name, password=RIGHT, service=bad_pam)
            assert answer == {"result": "busy", "reason": "too many logins at the same time"}
        assert {first.frame()["result"], second.frame()["result"]} == {"timeout"}
        somebody_else_logs_in(service, user)


# -- peers -------------------------------------------------------------------------------------------------------------


def flood(wire_count: int, data: bytes) -> Callable[[AuthService], contextlib.ExitStack]:
    """Connections that send this and nothing else."""

    def open_all(service: AuthService) -> contextlib.ExitStack:
        stack = contextlib.ExitStack()
        for _ in range(wire_count):
            stack.enter_context(service.wire()).send(data)
        return stack

    return open_all


@pytest.mark.parametrize(
    "open_all",
    [flood(500, b""), flood(50, b"half a li"), flood(50, b"x2gobroker-auth 1\n\0\0")],
    ids=["500-that-say-nothing", "half-a-line", "half-a-frame"],
)
def test_peers_that_say_too_little(
    service: AuthService, user: Account, open_all: Callable[[AuthService], contextlib.ExitStack]
) -> None:
    with open_all(service):
        somebody_else_logs_in(service, user)


@pytest.mark.parametrize(
    "data",
    [
        b"x" * (1 << 20),
        b"x2gobroker-auth 1\n" + struct.pack("!I", 0xFFFFFFFF) + b"x" * 100,
        b"x2gobroker-auth 1\n" + struct.pack("!I", 16385),
        b"x2gobroker-auth 1\n" + struct.pack("!I", 0),
    ],
    ids=["line-of-1-MB", "frame-of-4-GB", "frame-one-too-long", "frame-of-nothing"],
)
def test_peers_that_say_too_much_are_cut_off(service: AuthService, user: Account, data: bytes) -> None:
    with service.wire() as wire:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            wire.send(data)
        if data.startswith(b"x2gobroker-auth"):
            wire.line()
        assert wire.is_ended()
        somebody_else_logs_in(service, user)
    service.wait_for_log("sends what is no request")


@pytest.mark.parametrize(
    "data",
    [bytes(range(256)) * 20 + b"\n", b"\n", b"\r\r\r\r\r\n", b"\xff\r\xfe\rx\n", b"a\0b\rc\rd\n"],
    ids=["all-bytes", "nothing", "too-many-fields", "no-utf-8", "nul"],
)
def test_binary_garbage_in_lines_is_answered_with_no(service: AuthService, user: Account, data: bytes) -> None:
    with service.wire() as wire:
        wire.send(data)
        assert wire.line() == b"fail\n"
        somebody_else_logs_in(service, user)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[1]", b"{", b"null", b"[" * 10000], ids=repr)
def test_binary_garbage_in_frames_is_answered_with_no(service: AuthService, user: Account, body: bytes) -> None:
    with service.wire() as wire:
        wire.greet()
        wire.send(struct.pack("!I", len(body)) + body)
        assert wire.frame()["result"] == "failed"
        somebody_else_logs_in(service, user)


def test_a_peer_that_never_reads_is_cut_off(service: AuthService, user: Account) -> None:
    frames = encode_frame({"op": "authenticate", "user": "a", "password": "b", "service": "x"}) * 20
    with service.wire(1) as wire:
        wire.greet()
        for _ in range(500):
            try:
                wire.send(frames)
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
            somebody_else_logs_in(service, user)
        else:
            raise AssertionError("10000 answers remembered for somebody who never reads them")
    assert "does not read its answers" in service.log()


def test_a_peer_that_goes_away_in_the_middle_of_its_login(service: AuthService, user: Account) -> None:
    """Nobody works for it any longer, or a broker that is restarted again and again would fill the service."""
    for _ in range(10):
        with service.wire() as wire:
            wire.greet()
            wire.send(encode_frame({"op": "authenticate", "user": HANG, "password": RIGHT, **_of(service)}))
            wait_until(lambda: len(service.workers()) > 2, "a worker at work")
        wait_until(lambda: len(service.workers()) <= 2, "the end of a login that nobody waits for", TIMEOUT / 2)
    somebody_else_logs_in(service, user)


def _of(service: AuthService) -> dict[str, str]:
    return {"service": service.services[0]}


def test_the_end_of_what_a_peer_sends_is_the_end_of_its_connection(service: AuthService, user: Account) -> None:
    """As `printf ... | nc -N -U` does: everything is answered, then the connection ends."""
    with service.wire(3) as wire:
        wire.send(f"{user.name}\r{RIGHT}\r{service.services[0]}\n".encode() * 2)
        wire.raw.shutdown(socket.SHUT_WR)
        assert wire.line() == b"ok\n"
        assert wire.line() == b"ok\n"
        assert wire.is_ended()


# -- through the broker ------------------------------------------------------------------------------------------------


def log_in(broker: UnprivilegedBroker, name: str) -> str:
    """A login over /plain; the answer."""
    fields = {"task": "listsessions", "user": name, "password": RIGHT}
    response = requests.post(f"{broker.url}/plain/inifile/", data=fields, timeout=20)
    granted = "Access granted" in response.text
    assert response.status_code == (200 if granted else 503), broker.log()
    assert granted or "cannot be checked" in response.text
    return response.text


def assert_logs_in(broker: UnprivilegedBroker, user: Account, seconds: float = OTHERS_SECONDS) -> None:
    """As on any other day."""
    with within(seconds):
        assert "Access granted" in log_in(broker, user.name)


@pytest.mark.parametrize(
    ("name", "said"),
    [(HANG, "PAM did not answer within 2 s"), (SLEEP, "PAM did not answer within 2 s"), (CRASH, "may have crashed")],
)
def test_the_broker_serves_others_while_pam_fails_one(
    broker: UnprivilegedBroker, user: Account, name: str, said: str
) -> None:
    with ThreadPoolExecutor(1) as pool:
        login = pool.submit(log_in, broker, name)
        assert_logs_in(broker, user)
        assert_logs_in(broker, user)
        with within(TIMEOUT + 1):
            assert "Access granted" not in login.result(20)
    assert_logs_in(broker, user)
    wait_until(lambda: said in broker.log(), "what happened in the broker's log")


@pytest.mark.parametrize("count", [500, 1300])
def test_the_broker_serves_others_while_hundreds_of_connections_say_nothing(
    broker: UnprivilegedBroker, service: AuthService, user: Account, count: int
) -> None:
    """Also while there are more than the service takes: whoever has most makes way."""
    with flood(count, b"")(service):
        for _ in range(3):
            assert_logs_in(broker, user, SILENT_SECONDS / 2)


def stopped(service: AuthService) -> None:
    """The service ends as it should: its socket goes with it."""
    assert service.program is not None
    service.program.stop()


def killed(service: AuthService) -> None:
    """The service is killed: its socket stays, and nobody listens."""
    assert service.program is not None
    service.program.stop(signal.SIGKILL)
    assert service.socket.exists()


def closed_to_the_broker(service: AuthService) -> None:
    """The socket's group and mode are wrong."""
    service.socket.chmod(0o600)


def folder_closed(service: AuthService) -> None:
    """The socket's folder cannot be entered."""
    service.socket.parent.chmod(0o700)


@pytest.mark.parametrize(
    ("happens", "advice"),
    [
        (stopped, "start x2gobroker-authservice"),
        (killed, "start x2gobroker-authservice"),
        (closed_to_the_broker, "run it as a member of the socket's group"),
        (folder_closed, "let the broker's user enter its folder"),
    ],
    ids=["socket-missing", "killed", "wrong-mode", "folder-closed"],
)
def test_the_broker_says_what_to_do_and_recovers(
    broker: UnprivilegedBroker, service: AuthService, user: Account, happens: Callable[[AuthService], None], advice: str
) -> None:
    assert_logs_in(broker, user)
    happens(service)
    with within(OTHERS_SECONDS):
        assert "Access granted" not in log_in(broker, user.name)
    assert advice in broker.log()
    assert requests.get(f"{broker.url}/", timeout=10).status_code == 200
    assert service.program is not None
    if service.program.process.poll() is not None:
        service.start()
    service.socket.parent.chmod(0o755)
    service.socket.chmod(0o660)
    assert_logs_in(broker, user)
