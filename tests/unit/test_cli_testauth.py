"""`x2gobroker-testauth`."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import wait_until
from x2gobroker.auth.base import AuthMechanism, Credentials, Verdict
from x2gobroker.auth.htpasswd import write_user
from x2gobroker.auth.passwords import hash_password
from x2gobroker.cli import testauth
from x2gobroker.errors import AuthMechanismError
from x2gobroker.settings import Settings

RIGHT = "r:ght é ☃"
CONFIG = """\
[global]
default-auth-mech = htpasswd
[broker_inifile]
enable = true
[authmech_htpasswd]
file = {folder}/users
[authmech_https_get]
host = 127.0.0.1
port = {port}
[authmech_pam]
service = no-such-service-of-pam
"""
SUCCEEDED, FAILED = "Authentication succeeded.\n", "Authentication failed!\n"


class TestAuth:
    """The program, with a configuration of its own."""

    __test__ = False

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.folder, self.capsys, self.patch = folder, capsys, patch
        self.config = folder / "x2gobroker.conf"
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.config.write_text(CONFIG.format(folder=folder, port=unused.getsockname()[1]), encoding="utf-8")
        write_user(folder / "users", "anna", hash_password(RIGHT))

    def run(self, *arguments: str, typed: str | None = None) -> tuple[int, str, str]:
        """Exit status, standard output, standard error stream; `typed` is what comes from standard input."""
        if typed is not None:
            self.patch.setattr(sys, "stdin", io.StringIO(typed + "\nmore\n"))
            arguments = (*arguments, "--stdin")
        status = testauth.main(["-C", str(self.config), *arguments])
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err


@pytest.fixture
def program(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> TestAuth:
    """The program; nothing of this machine's own configuration counts."""
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(tmp_path / "defaults.conf"))
    monkeypatch.setenv("X2GOBROKER_AUTHSERVICE_SOCKET", str(tmp_path / "authservice.socket"))
    return TestAuth(tmp_path, capsys, monkeypatch)


@pytest.fixture
def unknowing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mechanism pam cannot tell whether a password is right."""

    def cannot_tell(_self: AuthMechanism, _settings: Settings, _credentials: Credentials) -> Verdict:
        raise AuthMechanismError("nobody answers")

    monkeypatch.setattr("x2gobroker.auth.pam.PamMechanism._check", cannot_tell)


@pytest.mark.parametrize("name", ["-u", "-U", "--user", "--username"])
def test_a_right_password_succeeds(program: TestAuth, name: str) -> None:
    status, out, err = program.run(name, "anna", typed=RIGHT)
    assert (status, out) == (0, SUCCEEDED)
    assert "mechanism htpasswd: right password" in err


@pytest.mark.parametrize(
    ("user", "password"), [("anna", "wrong"), ("bert", RIGHT), ("anna", ""), ("anna", RIGHT + " ")]
)
def test_anything_else_fails(program: TestAuth, user: str, password: str) -> None:
    assert program.run("-u", user, typed=password)[:2] == (255, FAILED)


def test_the_password_is_asked_for(program: TestAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda: RIGHT)
    assert program.run("-u", "anna")[:2] == (0, SUCCEEDED)


def test_without_anybody_to_ask_it_fails_and_says_what_to_do(
    program: TestAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_of_file() -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", end_of_file)
    status, out, err = program.run("-u", "anna")
    assert (status, out) == (255, FAILED)
    assert "--stdin" in err


@pytest.mark.parametrize("name", ["-p", "--password"])
def test_a_password_as_an_argument_works_with_a_warning(program: TestAuth, name: str) -> None:
    status, out, err = program.run("-u", "anna", name, RIGHT)
    assert (status, out) == (0, SUCCEEDED)
    assert "warning: the password in the command line can be read by other users" in err


@pytest.mark.parametrize("arguments", [("-p", RIGHT), ("-p", "mistaken"), ("-d", "-p", RIGHT)])
def test_the_password_is_never_printed(program: TestAuth, arguments: tuple[str, ...]) -> None:
    _, out, err = program.run("-u", "anna", *arguments)
    assert arguments[-1] not in out + err


def test_no_user_name_fails_and_names_the_option(program: TestAuth) -> None:
    status, out, err = program.run()
    assert (status, out) == (255, FAILED)
    assert "-u USER" in err


def test_the_backend_has_the_say_about_the_mechanism(program: TestAuth) -> None:
    with program.config.open("a", encoding="utf-8") as config:
        config.write("[broker_zeroconf]\nenable = true\nauth-mech = none\n")
    assert program.run("-u", "anyone", "-b", "zeroconf", typed="")[:2] == (0, SUCCEEDED)
    assert program.run("-u", "anyone", "-b", "inifile", typed="")[:2] == (255, FAILED)
    program.patch.setenv("X2GOBROKER_DEFAULT_BACKEND", "zeroconf")
    assert program.run("-u", "anyone", typed="")[:2] == (0, SUCCEEDED)


def test_an_unknown_backend_and_one_that_is_off_have_a_status_each(program: TestAuth) -> None:
    status, out, err = program.run("-u", "anna", "-b", "no-such", typed=RIGHT)
    assert (status, out) == (254, FAILED)
    assert "inifile, zeroconf" in err
    status, out, err = program.run("-u", "anna", "-b", "zeroconf", typed=RIGHT)
    assert (status, out) == (253, FAILED)
    assert "enable = true in [broker_zeroconf]" in err


@pytest.mark.parametrize("name", ["none", "NONE"])
def test_a_mechanism_can_be_chosen(program: TestAuth, name: str) -> None:
    status, out, err = program.run("-u", "bert", "-a", name, typed="")
    assert (status, out) == (0, SUCCEEDED)
    assert "nothing is checked" in err


def test_an_unknown_mechanism_is_told_with_those_that_are_there(program: TestAuth) -> None:
    status, out, err = program.run("-u", "anna", "-a", "htpaswd", typed=RIGHT)
    assert (status, out) == (252, FAILED)
    assert "htpasswd, https_get, none, pam, remote_user" in err


def test_remote_user_cannot_be_tried_here(program: TestAuth) -> None:
    status, out, err = program.run("-u", "anna", "-a", "remote_user", typed=RIGHT)
    assert (status, out) == (252, FAILED)
    assert "cannot be tried here" in err
    assert "web server" in err


def test_a_server_that_is_down_cannot_tell(program: TestAuth) -> None:
    status, out, err = program.run("-u", "anna", "-a", "https_get", typed=RIGHT)
    assert (status, out) == (252, FAILED)
    assert "Connection refused" in err
    assert "[authmech_https_get]" in err


@pytest.mark.usefixtures("unknowing")
def test_without_a_socket_it_says_how_to_start_the_service(program: TestAuth) -> None:
    status, out, err = program.run("-u", "anna", "-a", "pam", typed=RIGHT)
    assert (status, out) == (252, FAILED)
    assert "nobody answers" in err
    assert "systemctl start x2gobroker-authservice.socket" in err


@pytest.mark.usefixtures("unknowing")
def test_a_file_where_the_socket_should_be_is_named(program: TestAuth) -> None:
    (program.folder / "authservice.socket").write_text("", encoding="utf-8")
    assert "authservice.socket is no socket" in program.run("-u", "anna", "-a", "pam", typed=RIGHT)[2]


@pytest.mark.usefixtures("unknowing")
def test_a_silent_service_is_told_from_a_missing_one(program: TestAuth) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(program.folder / "authservice.socket"))
        listener.listen()
        assert "journalctl -u x2gobroker-authservice" in program.run("-u", "anna", "-a", "pam", typed=RIGHT)[2]


@pytest.mark.usefixtures("unknowing")
def test_a_socket_of_others_is_told(program: TestAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(program.folder / "authservice.socket"))
        monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK)
        assert "as the broker's user, or as root" in program.run("-u", "anna", "-a", "pam", typed=RIGHT)[2]


def test_root_is_told_that_it_may_do_more_than_the_broker(program: TestAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "runuser -u x2gobroker" in program.run("-u", "anna", typed=RIGHT)[2]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "runuser" not in program.run("-u", "anna", typed=RIGHT)[2]


@pytest.mark.parametrize("text", [None, "default-auth-mech = htpasswd\n"])
def test_a_configuration_that_cannot_be_read_is_told(program: TestAuth, text: str | None) -> None:
    program.config.unlink()
    if text is not None:
        program.config.write_text(text, encoding="utf-8")
    status, out, err = program.run("-u", "anna", typed=RIGHT)
    assert (status, out) == (252, FAILED)
    assert str(program.config) in err
    assert "Traceback" not in err


@pytest.fixture
def environment(program: TestAuth) -> dict[str, str]:  # after the variables of `program` are set
    """The environment of the real program."""
    return {**os.environ, "PYTHONIOENCODING": "utf-8", "LC_ALL": "C.UTF-8"}


def command(program: TestAuth, *arguments: str) -> list[str]:
    """The command line of the installed program."""
    installed = Path(sys.executable).parent / "x2gobroker-testauth"
    return [str(installed), "-C", str(program.config), *arguments]


def test_the_installed_program(program: TestAuth, environment: dict[str, str]) -> None:
    for password, status, said in ((RIGHT, 0, SUCCEEDED), ("wrong", 255, FAILED)):
        result = subprocess.run(
            command(program, "-u", "anna", "--stdin"),
            input=password + "\n",
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (result.returncode, result.stdout) == (status, said), result.stderr


@pytest.fixture
def slow_server() -> Iterator[int]:
    """The port of a server that takes connections and says nothing, so that the program stays to be looked at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_password_in_the_command_line_does_not_stay_there(
    program: TestAuth, environment: dict[str, str], slow_server: int
) -> None:
    program.config.write_text(
        f"[broker_inifile]\nauth-mech = https_get\n[authmech_https_get]\nhost = 127.0.0.1\nport = {slow_server}\n",
        encoding="utf-8",
    )
    with subprocess.Popen(
        command(program, "-u", "anna", "-p", "s3cret"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        listing = Path(f"/proc/{process.pid}/cmdline")
        try:
            wait_until(lambda: b"--stdin" in listing.read_bytes(), "the program started anew without the password")
            assert b"s3cret" not in listing.read_bytes()
            assert process.poll() is None
        finally:
            process.kill()


def test_a_password_in_the_command_line_reaches_the_mechanism(program: TestAuth, environment: dict[str, str]) -> None:
    result = subprocess.run(
        command(program, "-u", "anna", f"--password={RIGHT}", "-b", "inifile", "-d"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, SUCCEEDED), result.stderr
    assert result.stderr.count("warning: the password in the command line") == 1
    assert "x2gobroker.auth.htpasswd" in result.stderr
