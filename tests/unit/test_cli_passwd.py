"""`x2gobroker passwd`."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from x2gobroker.auth.base import Credentials
from x2gobroker.auth.htpasswd import HtpasswdMechanism, read_users
from x2gobroker.auth.passwords import verify_password
from x2gobroker.cli.main import main
from x2gobroker.model.passwords import LONGEST_PASSWORD
from x2gobroker.settings import Settings

PASSWORD = " p:w é ☃"


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """The file of users; it is not there yet."""
    return tmp_path / "users"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what is typed at the prompts, one word for each."""

    def say(*words: str) -> None:
        answers: Iterator[str] = iter(words)

        def prompt(_text: str = "") -> str:
            try:
                return next(answers)
            except StopIteration:
                raise EOFError from None

        monkeypatch.setattr("getpass.getpass", prompt)

    return say


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Say what stands on standard input."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def passwd(users: Path, *arguments: str) -> int:
    return main(["passwd", "--file", str(users), *arguments])


def test_a_password_typed_twice_is_set_and_changed(
    users: Path, typed: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed(PASSWORD, PASSWORD)
    assert passwd(users, "anna") == 0
    assert "user anna added" in capsys.readouterr().out
    assert verify_password(PASSWORD, read_users(users)["anna"])
    typed("new", "new")
    assert passwd(users, "anna") == 0
    assert "user anna changed" in capsys.readouterr().out
    assert verify_password("new", read_users(users)["anna"])


@pytest.mark.parametrize(
    ("words", "said"), [(("a", "b"), "differ"), (("", ""), "empty"), ((), "empty"), (("a",), "empty")]
)
def test_two_that_differ_or_none_change_nothing(
    users: Path, typed: Callable[..., None], capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    typed(*words)
    assert passwd(users, "anna") == 1
    err = capsys.readouterr().err
    assert said in err
    assert "nothing was changed" in err
    assert not users.exists()


@pytest.mark.parametrize("end", ["\n", "\r\n", "", "\nmore\n"])
def test_a_password_may_come_from_standard_input(users: Path, piped: Callable[[str], None], end: str) -> None:
    piped(PASSWORD + end)
    assert passwd(users, "--stdin", "anna") == 0
    assert verify_password(PASSWORD, read_users(users)["anna"])


@pytest.mark.parametrize(("scheme", "prefix"), [("argon2", "$argon2"), ("bcrypt", "$2b$"), ("sha512_crypt", "$6$")])
def test_every_scheme_can_be_chosen(users: Path, piped: Callable[[str], None], scheme: str, prefix: str) -> None:
    piped("x\n")
    assert passwd(users, "--stdin", "--scheme", scheme, "anna") == 0
    assert read_users(users)["anna"].startswith(prefix)


def test_a_password_that_the_scheme_cannot_hold_changes_nothing(
    users: Path, piped: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    piped("x" * 73 + "\n")
    assert passwd(users, "--stdin", "--scheme", "bcrypt", "anna") == 1
    assert "argon2" in capsys.readouterr().err
    assert not users.exists()


def test_a_user_is_removed_without_asking_for_a_password(users: Path, capsys: pytest.CaptureFixture[str]) -> None:
    users.write_text("anna:h\nbert:h\n")
    assert passwd(users, "--delete", "anna") == 0
    assert read_users(users) == {"bert": "h"}
    assert passwd(users, "--delete", "anna") == 1
    assert "there is no user anna" in capsys.readouterr().err


@pytest.mark.parametrize("user", ["a:b", "#a", " a", ""])
def test_a_name_that_the_file_cannot_hold_changes_nothing(
    users: Path, piped: Callable[[str], None], capsys: pytest.CaptureFixture[str], user: str
) -> None:
    piped("x\n")
    assert passwd(users, "--stdin", "--", user) == 1
    assert "is no user name" in capsys.readouterr().err
    assert not users.exists()


def test_a_file_that_cannot_be_written_is_status_1_with_the_reason(
    tmp_path: Path, piped: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    piped("x\n")
    assert passwd(tmp_path / "no" / "such" / "users", "--stdin", "anna") == 1
    err = capsys.readouterr().err
    assert "No such file" in err
    assert "nothing was changed" in err


def test_the_configured_file_is_used_when_none_is_named(
    users: Path, tmp_path: Path, piped: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(tmp_path / "none"))
    config = tmp_path / "x2gobroker.conf"
    config.write_text(f"[authmech_htpasswd]\nfile = {users}\n")
    piped("x\n")
    assert main(["passwd", "-C", str(config), "--stdin", "anna"]) == 0
    assert set(read_users(users)) == {"anna"}


def test_a_password_is_never_an_argument_nor_printed(
    users: Path, piped: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        passwd(users, "anna", "s3cret")
    capsys.readouterr()
    piped("s3cret\n")
    passwd(users, "--stdin", "anna")
    printed = capsys.readouterr()
    assert "s3cret" not in printed.out + printed.err


def test_what_it_writes_apaches_htpasswd_verifies(users: Path, piped: Callable[[str], None]) -> None:
    piped("right\n")
    passwd(users, "--stdin", "--scheme", "bcrypt", "anna")
    right = subprocess.run(
        ["htpasswd", "-vb", str(users), "anna", "right"], capture_output=True, check=False, timeout=20
    )
    wrong = subprocess.run(
        ["htpasswd", "-vb", str(users), "anna", "wrong"], capture_output=True, check=False, timeout=20
    )
    assert (right.returncode == 0, wrong.returncode == 0) == (True, False)


@pytest.mark.parametrize("password", ["", "x" * (LONGEST_PASSWORD + 1), "tab\tin it"])
def test_what_could_not_log_in_is_not_set(
    users: Path, piped: Callable[[str], None], capsys: pytest.CaptureFixture[str], password: str
) -> None:
    piped(password + "\n")
    assert passwd(users, "--stdin", "anna") != 0
    assert "nothing was changed" in capsys.readouterr().err
    assert not users.exists()


def test_the_longest_password_that_can_be_set_can_log_in(users: Path, piped: Callable[[str], None]) -> None:
    longest = "☃" * LONGEST_PASSWORD
    piped(longest + "\n")
    assert passwd(users, "--stdin", "anna") == 0
    settings = Settings({("authmech_htpasswd", "file"): str(users)})
    assert HtpasswdMechanism("htpasswd").authenticate(settings, Credentials("anna", longest)).granted
