"""The three loggers, and values of clients in their lines."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.logs import (
    LOGGERS,
    LONGEST_FIELD,
    authservice_log,
    broker_log,
    error_log,
    field,
    loadchecker_log,
    set_up_logging,
)

SHIPPED = Path("/etc/x2go/broker/x2gobroker-loggers.conf")
FILE_LOGGING = """
[loggers]
keys = root, broker
[logger_root]
level = WARNING
handlers =
[handlers]
keys = file
[formatters]
keys = one
[logger_broker]
level = WARNING
handlers = file
qualname = broker
propagate = 0
[handler_file]
class = {handler}
formatter = one
args = ({path!r},)
[formatter_one]
format = %(name)s/%(message)s
"""


@SOME
@given(st.text(st.characters()))
@example("a\nb")
@example("\ud800")
@example("\u2028\u200b\x7f\x1b[0m")
def test_a_field_is_one_printable_word(text: str) -> None:
    shown = field(text)
    assert shown
    assert shown.isprintable()
    assert not set(' "\n\r') & set(shown)
    assert shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"), [("anna", "anna"), ("", "-"), ("é", "é"), ("a b", "a\\x20b"), ("a\nb", "a\\nb"), ('"', "\\x22")]
)
def test_a_field_shows_what_it_was(text: str, shown: str) -> None:
    assert field(text) == shown


def test_a_long_field_is_cut_and_says_so() -> None:
    assert field("x" * LONGEST_FIELD) == "x" * LONGEST_FIELD
    assert field("x" * (LONGEST_FIELD + 1)) == "x" * LONGEST_FIELD + "..."
    assert field("abc", 2) == "ab..."


def test_without_a_file_all_three_loggers_write_to_the_error_stream(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(None)
    for logger in LOGGERS:
        logger.info("line of %s", logger.name)
        logger.debug("not shown")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" - ", 1)[1] for line in lines] == [
        f"{logger.name} - INFO - line of {logger.name}" for logger in LOGGERS
    ]


def test_debug_shows_everything(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(None, debug=True)
    broker_log.debug("shown")
    assert "broker - DEBUG - shown" in capsys.readouterr().err


def test_a_file_directs_the_loggers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, log = tmp_path / "loggers.conf", tmp_path / "broker.log"
    config.write_text(FILE_LOGGING.format(handler="FileHandler", path=str(log)))
    set_up_logging(config)
    broker_log.info("below its level")
    broker_log.warning("wanted")
    assert log.read_text() == "broker/wanted\n"
    assert capsys.readouterr().err == ""


def test_the_console_wins_over_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, log = tmp_path / "loggers.conf", tmp_path / "broker.log"
    config.write_text(FILE_LOGGING.format(handler="FileHandler", path=str(log)))
    set_up_logging(config, console=True)
    broker_log.warning("wanted")
    assert "wanted" in capsys.readouterr().err
    assert not log.exists()


def test_the_shipped_logging_file_works_with_its_three_loggers(tmp_path: Path) -> None:
    config = tmp_path / "loggers.conf"
    config.write_text(
        SHIPPED.read_text(encoding="utf-8").replace("/var/log/x2gobroker", str(tmp_path)), encoding="utf-8"
    )
    set_up_logging(config)
    others = (authservice_log, loadchecker_log)  # of other programs, with files of their own
    shipped = [logger for logger in LOGGERS if logger not in others]
    for logger in shipped:
        logger.error("line of %s", logger.name)
    logging.shutdown()
    for logger in shipped:
        assert f"line of {logger.name}" in (tmp_path / f"{logger.name}.log").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "nonsense\n",
        "[loggers]\nkeys = root\n",
        "[loggers]\n",
        "[a]\nx = 1\nx = 2\n",
        "[a]\n[a]\n",
        FILE_LOGGING.format(handler="NoSuchHandler", path="x"),
        FILE_LOGGING.format(handler="no.such.module.Handler", path="x"),
        FILE_LOGGING.format(handler="FileHandler", path="/no/such/folder/x"),
        FILE_LOGGING.format(handler="FileHandler", path="x").replace("args = ('x',)", "args = (1, 2, 3, 4, 5, 6, 7)"),
        FILE_LOGGING.format(handler="FileHandler", path="x").replace("args = ('x',)", "args = ("),
        FILE_LOGGING.format(handler="FileHandler", path="/dev/null").replace(
            "level = WARNING\nhandlers = file", "level = LOUD\nhandlers = file"
        ),
        "\xff\xfe",
    ],
)
def test_a_logging_file_that_cannot_be_used_is_named_and_the_error_stream_takes_over(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "loggers.conf"
    config.write_bytes(text.encode("latin-1"))
    set_up_logging(config)
    error_log.error("still heard")
    printed = capsys.readouterr().err
    assert str(config) in printed
    assert "cannot be used" in printed
    assert "still heard" in printed
