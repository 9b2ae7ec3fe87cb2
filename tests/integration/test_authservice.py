"""The authentication service with real accounts: what PAM says comes out, in the line form and in frames."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.accounts import Account, account, pam_service
from tests.support.authservice import ASKING_ACCOUNT, OTHER_ACCOUNT, OUR_PROGRAM, AuthService, ask_as, within
from tests.support.pam_modules import compile_module
from tests.support.processes import wait_until
from x2gobroker.authservice.protocol import encode_frame
from x2gobroker.errors import AuthMechanismError

RIGHT = "Right & proper 1"
WRONG = "Wrong & improper 2"
CODE, OTHER_CODE = "271828", "314159"
UNIX = """\
auth required pam_unix.so nodelay
account required pam_unix.so
password required pam_unix.so sha512 rounds=1000
"""
# pam_unix asks for a refusal to wait 2 s
UNIX_WITH_DELAY = UNIX.replace(" nodelay", "")


@pytest.fixture(scope="module")
def unix() -> Iterator[str]:
    """A PAM service that asks /etc/shadow and says no at once."""
    with pam_service("unix", UNIX) as name:
        yield name


@pytest.fixture(scope="module")
def slow_to_refuse() -> Iterator[str]:
    """A PAM service that asks /etc/shadow, as Debian sets it up."""
    with pam_service("delay", UNIX_WITH_DELAY) as name:
        yield name


@pytest.fixture(scope="module")
def running(unix: str, slow_to_refuse: str) -> Iterator[AuthService]:
    """One service for the tests that do it no harm."""
    with AuthService(unix, slow_to_refuse) as service:
        service.keep_secret(RIGHT, WRONG)
        yield service


@pytest.fixture
def user() -> Iterator[Account]:
    """An account of this test's own."""
    with account(RIGHT) as made:
        yield made


def test_right_and_wrong_passwords(running: AuthService, unix: str, user: Account) -> None:
    assert running.client().authenticate(unix, user.name, RIGHT).granted
    for wrong in (WRONG, "", RIGHT + " ", RIGHT[:-1], RIGHT.swapcase()):
        assert not running.client().authenticate(unix, user.name, wrong).granted


def test_an_unknown_user_is_refused(running: AuthService, unix: str) -> None:
    assert not running.client().authenticate(unix, "x2gt-nobody-of-this-name", RIGHT).granted


def test_an_expired_account_is_refused_in_spite_of_its_password(running: AuthService, unix: str, user: Account) -> None:
    user.expire()
    answer = running.client().authenticate(unix, user.name, RIGHT)
    assert (answer.granted, answer.reason) == (False, "PAM: User account has expired")
    with running.wire() as wire:
        assert wire.ask_line(user.name, RIGHT, unix) == b"fail\n"


def test_a_locked_account_is_refused(running: AuthService, unix: str, user: Account) -> None:
    user.lock()
    assert not running.client().authenticate(unix, user.name, RIGHT).granted


def test_an_account_is_asked_about_without_its_password(running: AuthService, unix: str, user: Account) -> None:
    """Before something is given out on a login that was: a key, for example."""

    def may_come_in(name: str) -> bool:
        answer = running.client().account(unix, name, "192.0.2.7")
        assert answer is not None
        return answer.granted

    assert may_come_in(user.name)
    subprocess.run(["chage", "-E", "0", user.name], check=True)
    assert not may_come_in(user.name)
    subprocess.run(["chage", "-E", "-1", user.name], check=True)
    assert may_come_in(user.name)
    subprocess.run(["userdel", user.name], check=True)
    assert not may_come_in(user.name)
    subprocess.run(["useradd", user.name], check=True)
    with pytest.raises(AuthMechanismError, match="not allowed"):
        running.client().account("sshd", user.name)


def test_a_password_that_must_be_changed_is_refused_until_it_is(running: AuthService, unix: str, user: Account) -> None:
    user.demand_new_password()
    client = running.client()
    answer = client.authenticate(unix, user.name, RIGHT)
    assert not answer.granted
    assert "new one required" in answer.reason
    running.keep_secret("Another & better 3")
    assert client.change_password(unix, user.name, RIGHT, "Another & better 3").granted
    assert client.authenticate(unix, user.name, "Another & better 3").granted


@pytest.mark.parametrize(
    "password",
    ["carriage\rreturn", "line\nfeed", "both\r\nof them", "über ☃ 密碼", "x2gobroker-auth 1\n", "a" * 511, '"\\{}\x1b'],
    ids=["CR", "LF", "CRLF", "not-ASCII", "hello-line", "511-bytes", "escapes"],
)
def test_any_password_that_crypt_takes(running: AuthService, unix: str, user: Account, password: str) -> None:
    running.keep_secret(password)
    user.set_password(password)
    client = running.client()
    assert client.authenticate(unix, user.name, password).granted
    assert not client.authenticate(unix, user.name, password[:-1]).granted
    assert not client.authenticate(unix, user.name, password[:-1] + "?").granted


@pytest.mark.parametrize("count", [512, 1024])
def test_a_password_longer_than_crypt_takes_is_refused(
    running: AuthService, unix: str, user: Account, count: int
) -> None:
    """libcrypt takes up to 511 bytes; a longer one must not be cut to them and be right."""
    running.keep_secret("b" * 511)
    user.set_password("b" * 511)
    assert not running.client().authenticate(unix, user.name, "b" * count).granted


def test_a_new_password_is_the_right_one_from_then_on(running: AuthService, unix: str, user: Account) -> None:
    running.keep_secret("New & shiny 4")
    before, client = user.shadow(), running.client()
    assert client.change_password(unix, user.name, RIGHT, "New & shiny 4").granted
    assert user.shadow() not in ("", before)
    assert not client.authenticate(unix, user.name, RIGHT).granted
    assert client.authenticate(unix, user.name, "New & shiny 4").granted


def test_a_wrong_present_password_changes_nothing(running: AuthService, unix: str, user: Account) -> None:
    before = user.shadow()
    assert not running.client().change_password(unix, user.name, WRONG, "New & shiny 5").granted
    assert user.shadow() == before


def test_an_expired_account_cannot_change_its_password(running: AuthService, unix: str, user: Account) -> None:
    user.expire()
    before = user.shadow()
    assert not running.client().change_password(unix, user.name, RIGHT, "New & shiny 6").granted
    assert user.shadow() == before


@pytest.mark.parametrize("name", ["other", "sshd", "login", "../pam.d/other", "", "x" * 65])
def test_a_pam_service_that_is_not_on_the_list_is_not_asked(running: AuthService, user: Account, name: str) -> None:
    with pytest.raises(AuthMechanismError):
        running.client().authenticate(name, user.name, RIGHT)
    with running.wire() as wire:
        assert wire.ask_line(user.name, RIGHT, name) == b"fail\n"


def test_a_pam_service_that_lets_everybody_in_is_no_use_when_it_is_not_on_the_list(running: AuthService) -> None:
    with (
        pam_service("permit", "auth required pam_permit.so\naccount required pam_permit.so\n") as name,
        pytest.raises(AuthMechanismError, match="not allowed"),
    ):
        running.client().authenticate(name, "root", RIGHT)


def test_several_requests_on_one_connection_in_line_form(running: AuthService, unix: str, user: Account) -> None:
    with running.wire() as wire:
        for password, answer in ((RIGHT, b"ok\n"), (WRONG, b"fail\n"), (RIGHT, b"ok\n")):
            assert wire.ask_line(user.name, password, unix) == answer


def test_pipelined_lines_are_answered_in_their_order(running: AuthService, unix: str, user: Account) -> None:
    passwords = [RIGHT, WRONG, WRONG, RIGHT, WRONG, RIGHT]
    with running.wire() as wire:
        wire.send("".join(f"{user.name}\r{password}\r{unix}\n" for password in passwords).encode())
        assert [wire.line() == b"ok\n" for _ in passwords] == [password == RIGHT for password in passwords]


def test_pipelined_frames_are_answered_in_their_order(running: AuthService, unix: str, user: Account) -> None:
    passwords = [RIGHT, WRONG, WRONG, RIGHT, WRONG, RIGHT] * 2
    base = {"op": "authenticate", "user": user.name, "service": unix}
    with running.wire() as wire:
        wire.greet()
        wire.send(b"".join(encode_frame({**base, "password": password}) for password in passwords))
        assert [wire.frame()["result"] == "ok" for _ in passwords] == [password == RIGHT for password in passwords]


def test_a_frame_in_single_bytes_and_together_with_the_hello_line(
    running: AuthService, unix: str, user: Account
) -> None:
    frame = encode_frame({"op": "authenticate", "user": user.name, "service": unix, "password": RIGHT})
    with running.wire() as wire:
        wire.send(b"x2gobroker-auth 1\n" + frame)
        assert wire.line() == b"x2gobroker-auth 1\n"
        assert wire.frame()["result"] == "ok"
        for byte in frame:
            wire.send(bytes([byte]))
        assert wire.frame()["result"] == "ok"


def test_a_hello_line_that_is_not_the_first_is_no_hello(running: AuthService, unix: str, user: Account) -> None:
    with running.wire() as wire:
        assert wire.ask_line(user.name, RIGHT, unix) == b"ok\n"
        wire.send(b"x2gobroker-auth 1\n")
        assert wire.line() == b"fail\n"
        assert wire.ask_line(user.name, RIGHT, unix) == b"ok\n"


@pytest.mark.parametrize(
    "request_", [{}, {"op": "nonsense"}, {"op": "setpass"}, {"op": 1}, {"password": ["a"]}, {"user": {"a": 1}}]
)
def test_an_incomplete_request_is_told_so_and_the_connection_goes_on(
    running: AuthService, unix: str, user: Account, request_: dict[str, object]
) -> None:
    with running.wire() as wire:
        wire.greet()
        base = {"user": user.name, "service": unix}
        assert wire.ask(**{**base, **request_})["result"] == "failed"
        assert wire.ask(**base, op="authenticate", password=RIGHT)["result"] == "ok"


def test_a_refusal_in_a_frame_comes_at_once_and_says_how_long_pam_wants_to_wait(
    running: AuthService, slow_to_refuse: str, user: Account
) -> None:
    with within(1.5):
        answer = running.client().authenticate(slow_to_refuse, user.name, WRONG)
    assert not answer.granted
    assert 500 <= answer.delay_ms <= 4000


def test_a_refusal_in_line_form_waits_as_pam_wants(running: AuthService, slow_to_refuse: str, user: Account) -> None:
    """Nobody else waits with it."""
    with running.wire() as wire:
        wire.send(f"{user.name}\r{WRONG}\r{slow_to_refuse}\n".encode())
        with within(1.5):
            assert running.client().authenticate(slow_to_refuse, user.name, RIGHT).granted
        assert wire.line() == b"fail\n"


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthService]:
    """A service whose one PAM service asks for a code behind the password."""
    module = compile_module(tmp_path_factory.mktemp("module"))
    lines = f"auth required pam_unix.so nodelay\n{module.asks_for(CODE)}account required pam_unix.so\n"
    with pam_service("code", lines) as name, AuthService(name) as service:
        service.keep_secret(RIGHT, WRONG, CODE, OTHER_CODE)
        yield service


def test_questions_of_pam_are_put_to_a_client_that_answers(asking: AuthService, user: Account) -> None:
    request = {"op": "authenticate", "user": user.name, "service": asking.services[0], "password": RIGHT}
    with asking.wire() as wire:
        wire.greet()
        for answer, result in ((CODE, "ok"), (OTHER_CODE, "refused")):
            question = wire.ask(**request, interactive=True)
            assert question == {"result": "prompt", "text": "Code of today: ", "echo": True}
            assert wire.ask(op="answer", answer=answer)["result"] == result


def test_a_question_that_is_never_answered_ends_with_the_connection(asking: AuthService, user: Account) -> None:
    request = {"op": "authenticate", "user": user.name, "service": asking.services[0], "password": RIGHT}
    with asking.wire() as wire:
        wire.greet()
        assert wire.ask(**request, interactive=True)["result"] == "prompt"
    assert asking.client().authenticate(asking.services[0], user.name, RIGHT, CODE).granted


def test_a_code_answers_the_second_question(asking: AuthService, user: Account) -> None:
    client, name = asking.client(), asking.services[0]
    assert client.authenticate(name, user.name, RIGHT, CODE).granted
    for password, code in ((RIGHT, OTHER_CODE), (WRONG, CODE), (RIGHT, ""), (RIGHT, None)):
        assert not client.authenticate(name, user.name, password, code).granted


def test_many_at_once_get_the_right_answers(running: AuthService, unix: str, user: Account) -> None:
    def login(number: int) -> bool:
        return running.client().authenticate(unix, user.name, RIGHT if number % 3 else WRONG).granted

    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(login, range(120))) == [bool(number % 3) for number in range(120)]


def test_members_of_the_group_may_ask_and_others_cannot_connect(running: AuthService, unix: str, user: Account) -> None:
    status = running.socket.stat()
    assert stat.S_IMODE(status.st_mode) == 0o660
    assert status.st_uid == 0
    request = f"{user.name}\r{RIGHT}\r{unix}\n"
    assert ask_as(ASKING_ACCOUNT, running, request) == repr(b"ok\n")
    assert ask_as(OTHER_ACCOUNT, running, request) == "PermissionError"


def test_who_gets_through_a_wrong_mode_is_refused_by_name(running: AuthService, unix: str, user: Account) -> None:
    """An administrator's `chmod 666` opens the socket, and not the service."""
    running.socket.chmod(0o666)
    try:
        answer = ask_as(OTHER_ACCOUNT, running, f"{user.name}\r{RIGHT}\r{unix}\n")
    finally:
        running.socket.chmod(0o660)
    assert answer in (repr(b""), "ConnectionResetError", "BrokenPipeError")
    running.wait_for_log("refused: not allowed to ask")


def test_the_log_says_who_logged_in_and_how_it_went(running: AuthService, unix: str, user: Account) -> None:
    running.client().authenticate(unix, user.name, RIGHT)
    running.client().authenticate(unix, user.name, WRONG)
    running.wait_for_log(f"login user={user.name} process={os.getpid()} outcome=ok")
    running.wait_for_log(f"login user={user.name} process={os.getpid()} outcome=refused")


def test_a_user_name_cannot_write_lines_of_its_own_into_the_log(running: AuthService, unix: str) -> None:
    with running.wire() as wire:
        wire.greet()
        wire.ask(op="authenticate", user="eve\nlogin user=root outcome=ok", password=WRONG, service=unix)
    running.wait_for_log("user=eve")
    assert "\nlogin user=root" not in running.log()


def test_processes_hold_no_more_than_they_need(running: AuthService, unix: str, user: Account) -> None:
    """A worker has the standard streams and its channel; no core dumps, no other file of the service's."""
    assert running.client().authenticate(unix, user.name, RIGHT).granted

    def files_of(pid: int) -> int:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            return len(os.listdir(f"/proc/{pid}/fd"))
        return 0

    # a worker that was forked this very moment is just about to close what it inherited
    wait_until(lambda: all(files_of(pid) <= 4 for pid in running.workers()), "workers with four files at most", 5)
    workers = running.workers()
    assert workers
    for pid in workers:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
                core = next(line for line in limits if line.startswith("Max core file size"))
            assert core.split()[4:6] == ["0", "0"]


def test_a_second_service_leaves_the_first_ones_socket_alone(running: AuthService, unix: str, user: Account) -> None:
    done = subprocess.run(
        [OUR_PROGRAM, "-s", str(running.socket)],
        env=running.env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "another process listens" in done.stderr
    assert running.client().authenticate(unix, user.name, RIGHT).granted


def test_stopping_removes_the_socket_and_every_process(unix: str, user: Account) -> None:
    with AuthService(unix) as service:
        assert service.client().authenticate(unix, user.name, RIGHT).granted
        below = service.descendants()
        assert below
        assert service.program is not None
        assert service.program.stop() == 0
        assert not service.socket.exists()
        # a worker that was just starting ends as soon as it has started
        wait_until(
            lambda: not [pid for pid in below if os.path.exists(f"/proc/{pid}/exe") and _runs(pid)], "no process left"
        )


def _runs(pid: int) -> bool:
    with (
        contextlib.suppress(FileNotFoundError, ProcessLookupError),
        open(f"/proc/{pid}/stat", encoding="ascii") as file,
    ):
        return file.read().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_killed_service_leaves_no_process_and_its_successor_takes_its_place(unix: str, user: Account) -> None:
    with AuthService(unix) as service:
        service.keep_secret(RIGHT)
        assert service.client().authenticate(unix, user.name, RIGHT).granted
        assert service.program is not None
        service.program.stop(signal.SIGKILL)
        with pytest.raises(AuthMechanismError, match="start x2gobroker-authservice"):
            service.client().authenticate(unix, user.name, RIGHT)
        service.start()
        assert service.client().authenticate(unix, user.name, RIGHT).granted


def test_a_length_of_nothing_ends_the_connection(running: AuthService) -> None:
    with running.wire() as wire:
        wire.greet()
        wire.send(struct.pack("!I", 0))
        assert wire.is_ended()
