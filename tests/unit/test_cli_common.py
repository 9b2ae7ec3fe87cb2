"""What several programs have in common: settings or a reason why not, the log on the error stream, exit statuses."""

from __future__ import annotations

import argparse
import errno
import logging
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from x2gobroker.cli.common import check_made, debug_variables, log_to_stderr, settings_of
from x2gobroker.cli.streams import run_told
from x2gobroker.errors import ConfigurationError, StoreError
from x2gobroker.logs import LOGGERS, broker_log
from x2gobroker.settings import GLOBAL
from x2gobroker.store import Store


@pytest.fixture(autouse=True)
def own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own configuration counts."""
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(tmp_path / "defaults.conf"))
    monkeypatch.setenv("X2GOBROKER_CONFIG", str(tmp_path / "usual.conf"))


def test_the_settings_are_those_of_the_named_file_else_of_the_usual_one(tmp_path: Path) -> None:
    (tmp_path / "usual.conf").write_text("[global]\nagent-timeout = 7\n")
    (tmp_path / "other.conf").write_text("[global]\nagent-timeout = 8\n")
    assert settings_of(None).integer(GLOBAL, "agent-timeout") == 7
    assert settings_of(str(tmp_path / "other.conf")).integer(GLOBAL, "agent-timeout") == 8


def test_a_file_that_is_missing_or_no_configuration_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.conf is not there"):
        settings_of(str(tmp_path / "no.conf"))
    (tmp_path / "bad.conf").write_text("nonsense\n")
    with pytest.raises(ConfigurationError, match=r"bad\.conf:1: error"):
        settings_of(str(tmp_path / "bad.conf"))


@pytest.mark.parametrize(
    ("debug", "interactively", "names"),
    [
        (False, False, set()),
        (True, False, {"X2GOBROKER_DEBUG"}),
        (False, True, {"X2GOBROKER_DEBUG", "X2GOBROKER_DEBUG_INTERACTIVELY"}),
    ],
)
def test_the_options_of_services_for_debugging(debug: bool, interactively: bool, names: set[str]) -> None:
    options = argparse.Namespace(debug=debug, debug_interactively=interactively)
    assert debug_variables(options) == dict.fromkeys(names, "1")


@pytest.mark.parametrize(("debug", "shown"), [(False, "some-program: mind this\n"), (True, None)])
def test_the_log_goes_to_the_error_stream(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], debug: bool, shown: str | None
) -> None:
    for logger in LOGGERS:
        for name in ("handlers", "propagate", "level"):
            monkeypatch.setattr(logger, name, getattr(logger, name))
    log_to_stderr("some-program", debug)
    broker_log.debug("by the way")
    broker_log.warning("mind this")
    assert capsys.readouterr().err == (shown or "some-program: by the way\nsome-program: mind this\n")
    assert all(logger.level in (logging.DEBUG, logging.WARNING) for logger in LOGGERS)


def test_a_state_store_that_is_not_there_is_the_brokers_to_make(tmp_path: Path) -> None:
    path = tmp_path / "x2gobroker.sqlite"
    with pytest.raises(ConfigurationError, match=f"no state store {path} yet; wait a bit"):
        check_made(Store(make_url(f"sqlite:///{path}")), "wait a bit")
    assert not path.exists()
    path.touch()
    check_made(Store(make_url(f"sqlite:///{path}")))
    check_made(Store(make_url("postgresql+psycopg://user@127.0.0.1:1/name")))


def test_what_a_program_raises_is_told_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(_options: argparse.Namespace) -> int:
        raise StoreError("the disk is full")

    assert run_told("some-program", fails, argparse.Namespace()) == 1
    assert capsys.readouterr().err == "some-program: the disk is full\n"
    assert run_told("some-program", lambda options: int(options.number), argparse.Namespace(number=3)) == 3


def test_a_store_in_a_folder_of_somebody_else_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root had left it, when it once ran the broker by itself."""

    def is_file(_path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "is_file", is_file)
    with pytest.raises(ConfigurationError, match=r"out of reach .*: Permission denied; give the account its folder"):
        check_made(Store(make_url(f"sqlite:///{tmp_path}/there")))
