"""`x2gobroker totp`."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import segno
from passlib.totp import TOTP

from x2gobroker.cli.main import main

Totp = Callable[..., int]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file whose state store is not there yet."""
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(tmp_path / "none"))
    path = tmp_path / "x2gobroker.conf"
    path.write_text(f"[global]\ncookie-directory = {tmp_path / 'state'}\n")
    return path


@pytest.fixture
def totp(config: Path) -> Totp:
    """Run one action."""
    return lambda action, *arguments: main(["totp", action, "-C", str(config), *arguments])


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Say what stands on standard input."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def enrolled(totp: Totp, capsys: Capture, *arguments: str) -> str:
    """Enrol anna; the URI."""
    assert totp("enroll", *arguments, "anna") == 0
    return capsys.readouterr().out.splitlines()[0]


def code(uri: str, steps: int = 0) -> str:
    return str(TOTP.from_uri(uri).generate(time.time() + 30 * steps).token)


def drawn(uri: str, compact: bool) -> str:
    buffer = io.StringIO()
    segno.make(uri, micro=False).terminal(buffer, compact=compact)
    return buffer.getvalue()


def test_the_qr_code_is_that_of_the_uri(totp: Totp, capsys: Capture) -> None:
    assert totp("enroll", "anna") == 0
    uri, _, picture = capsys.readouterr().out.partition("\n")
    assert re.fullmatch(r"otpauth://totp/X2Go:anna\?secret=[A-Z2-7]{32}&issuer=X2Go", uri)
    assert picture == drawn(uri, compact=True)
    assert picture != drawn(uri.replace("anna", "bert"), compact=True)


def test_a_terminal_without_block_characters_gets_blanks(totp: Totp, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="iso-8859-1", write_through=True))
    assert totp("enroll", "anna") == 0
    uri, _, picture = buffer.getvalue().decode("ascii").partition("\n")
    assert picture == drawn(uri, compact=False)


def test_a_picture_may_be_left_out_and_the_issuer_chosen(totp: Totp, capsys: Capture) -> None:
    assert totp("enroll", "--no-qr", "--issuer", "Our School", "anna") == 0
    (uri,) = capsys.readouterr().out.splitlines()
    assert TOTP.from_uri(uri).issuer == "Our School"


def test_a_secret_is_replaced_only_by_force(totp: Totp, capsys: Capture, piped: Callable[[str], None]) -> None:
    first = enrolled(totp, capsys)
    assert totp("enroll", "anna") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "--force" in captured.err
    second = enrolled(totp, capsys, "--force")
    assert first != second
    piped(code(second))
    assert totp("verify", "anna") == 0


def test_a_code_is_verified_once(totp: Totp, capsys: Capture, piped: Callable[[str], None]) -> None:
    typed = code(enrolled(totp, capsys)) + "\n"
    piped(typed)
    assert totp("verify", "anna") == 0
    assert "right" in capsys.readouterr().out
    piped(typed)
    assert totp("verify", "anna") == 1
    assert "used before" in capsys.readouterr().err


def test_a_code_of_another_time_is_refused_with_the_clock(
    totp: Totp, capsys: Capture, piped: Callable[[str], None]
) -> None:
    piped(code(enrolled(totp, capsys), steps=10))
    assert totp("verify", "anna") == 1
    assert re.search(r"second factor wrong; this machine's clock says \d\d:\d\d:\d\d", capsys.readouterr().err)


@pytest.mark.parametrize("typed", ["", "\n", "12345\n", "1234567\n", "x123456\n", "abcdef\n"])
def test_what_is_no_code_is_said(totp: Totp, capsys: Capture, piped: Callable[[str], None], typed: str) -> None:
    enrolled(totp, capsys)
    piped(typed)
    assert totp("verify", "anna") == 1
    assert "six digits" in capsys.readouterr().err


def test_who_is_enrolled_is_listed_without_secrets(totp: Totp, capsys: Capture, piped: Callable[[str], None]) -> None:
    uri = enrolled(totp, capsys)
    assert totp("enroll", "Bert") == 0
    piped(code(uri))
    totp("verify", "anna")
    capsys.readouterr()
    assert totp("list") == 0
    printed = capsys.readouterr().out
    assert re.search(r"^anna +\d{4}-\d\d-\d\d \d\d:\d\d +\d{4}-\d\d-\d\d", printed, re.MULTILINE)
    assert re.search(r"^bert +\d{4}-\d\d-\d\d \d\d:\d\d +never$", printed, re.MULTILINE)
    assert not re.search(r"[A-Z2-7]{32}", printed)


def test_who_is_removed_is_no_longer_listed(totp: Totp, capsys: Capture) -> None:
    enrolled(totp, capsys)
    assert totp("remove", "ANNA") == 0
    assert totp("remove", "anna") == 1
    assert "user anna is not enrolled" in capsys.readouterr().err
    assert totp("list") == 0
    assert "nobody is enrolled" in capsys.readouterr().err
    assert totp("verify", "anna") == 1


@pytest.mark.parametrize("action", [("list",), ("remove", "anna"), ("verify", "anna")])
def test_where_there_is_no_store_none_is_made(
    totp: Totp, config: Path, capsys: Capture, action: tuple[str, ...]
) -> None:
    assert totp(*action) == 1
    assert "there is no state store" in capsys.readouterr().err
    assert not (config.parent / "state").exists()


@pytest.mark.parametrize("user", ["a:b", "", "a\nb", "x" * 300])
def test_a_name_that_cannot_be_enrolled_changes_nothing(totp: Totp, config: Path, capsys: Capture, user: str) -> None:
    assert totp("enroll", "--", user) == 1
    assert "nothing was changed" in capsys.readouterr().err
    assert not (config.parent / "state").exists()


def test_a_code_is_no_argument(totp: Totp) -> None:
    with contextlib.redirect_stderr(io.StringIO()), pytest.raises(SystemExit):
        totp("verify", "anna", "123456")


def test_only_the_owner_reads_the_store(totp: Totp, config: Path, capsys: Capture) -> None:
    enrolled(totp, capsys)
    for path in ((config.parent / "state"), *(config.parent / "state").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_a_store_that_becomes_roots_is_told(totp: Totp, config: Path, capsys: Capture) -> None:
    totp("enroll", "anna")
    assert ("belongs to root" in capsys.readouterr().err) == (os.geteuid() == 0)


def test_a_store_that_cannot_be_made_is_status_1_without_the_secret(totp: Totp, config: Path, capsys: Capture) -> None:
    shutil.copy(config, config.parent / "state")  # a file where the folder should be
    assert totp("enroll", "anna") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "cannot be made" in captured.err
    assert not re.search(r"[A-Z2-7]{32}", captured.err)


def test_check_config_knows_a_network_that_is_none(config: Path, capsys: Capture) -> None:
    config.write_text(
        "[broker_inifile]\nenable = true\nsecond-factor = enrolled\nsecond-factor-exempt-networks = x/y\n"
    )
    assert main(["check-config", "-C", str(config)]) == 1
    assert "[broker_inifile] second-factor-exempt-networks: 'x/y' is no network" in capsys.readouterr().out
