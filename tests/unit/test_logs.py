"""The three loggers, and values of clients in their lines."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.logs import (
    LOGGERS,
    LONGEST_FIELD,
    audit_log,
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


@pytest.mark.reference
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
        assert f"line of {logger.name}" in (tmp_path / f"{logger.name.removesuffix('.audit')}.log").read_text()


def test_who_got_in_is_written_also_where_the_file_drops_what_is_no_warning(tmp_path: Path) -> None:
    config, log = tmp_path / "loggers.conf", tmp_path / "broker.log"
    config.write_text(FILE_LOGGING.format(handler="FileHandler", path=str(log)))
    set_up_logging(config)
    audit_log.info("anna")
    audit_log.debug("more than anybody wants")
    broker_log.info("below its level")
    assert log.read_text() == "broker.audit/anna\n"


def test_a_file_may_give_who_got_in_a_level_of_its_own(tmp_path: Path) -> None:
    config, log = tmp_path / "loggers.conf", tmp_path / "broker.log"
    text = FILE_LOGGING.format(handler="FileHandler", path=str(log))
    names = next(line for line in text.splitlines() if line.startswith("keys") and "broker" in line)
    audit = "[logger_audit]\nqualname = broker.audit\nlevel = WARNING\nhandlers =\n"
    config.write_text(text.replace(names, names + ",audit", 1) + audit)
    set_up_logging(config)
    audit_log.info("anna")
    audit_log.warning("bert was refused")
    assert log.read_text() == "broker.audit/bert was refused\n"


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


def test_lines_for_the_journal_have_a_priority_and_no_time_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    with path.open("w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        status = path.stat()
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        set_up_logging(None, debug=True)
        error_log.critical("worst")
        error_log.error("bad\nin two lines")
        broker_log.warning("odd")
        broker_log.info("as ever")
        broker_log.debug("all of it")
    assert path.read_text().splitlines() == [
        "<2>error - CRITICAL - worst",
        "<3>error - ERROR - bad",
        "<3>| in two lines",
        "<4>broker - WARNING - odd",
        "<6>broker - INFO - as ever",
        "<7>broker - DEBUG - all of it",
    ]


@pytest.mark.parametrize("value", ["", "1:2", "nonsense"])
def test_a_stream_that_is_not_the_journals_has_the_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", value)
    set_up_logging(None)
    broker_log.info("here")
    assert capsys.readouterr().err.startswith("20")


@pytest.mark.parametrize("handler", ["FileHandler", "handlers.WatchedFileHandler", "logging.FileHandler"])
def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path, handler: str) -> None:
    config, log = tmp_path / "loggers.conf", tmp_path / "broker.log"
    config.write_text(FILE_LOGGING.format(handler=handler, path=str(log)))
    set_up_logging(config)
    broker_log.warning("before")
    log.rename(tmp_path / "broker.log.1")
    broker_log.warning("between")
    log.unlink()
    broker_log.warning("after")
    assert (tmp_path / "broker.log.1").read_text() == "broker/before\n"
    assert log.read_text() == "broker/after\n"
    assert log.stat().st_mode & 0o777 == 0o640


def test_a_line_that_the_file_does_not_take_goes_to_the_error_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    config, log = tmp_path / "loggers.conf", folder / "broker.log"
    config.write_text(FILE_LOGGING.format(handler="FileHandler", path=str(log)))
    set_up_logging(config)
    log.unlink()
    folder.rmdir()
    broker_log.warning("not lost")
    assert "not lost" in capsys.readouterr().err
    folder.mkdir()
    broker_log.warning("again")
    assert log.read_text() == "broker/again\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="what root believes")
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("class = FileHandler", "class = handlers.RotatingFileHandler", "logrotate"),
        ("class = FileHandler", "class = open('/tmp/x2gt-made', 'w')", "name of a class"),
        ("args = (", "args = (str(1), ", "plain values"),
        ("args = (", "kwargs = dict(a=1)\nargs = (", "plain values"),
        ("args = (", "args = [x for x in (", "plain values"),
        ("args = (", "args = (lambda: 1, ", "plain values"),
    ],
)
def test_root_takes_nothing_that_is_executed_from_a_file_of_loggers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    config = tmp_path / "loggers.conf"
    config.write_text(FILE_LOGGING.format(handler="FileHandler", path=str(tmp_path / "log")).replace(old, new))
    set_up_logging(config)
    assert said in capsys.readouterr().err
    assert not Path("/tmp/x2gt-made").exists()
    assert not (tmp_path / "log").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
@pytest.mark.parametrize("whose", ["folder", "file", "link", "second name", "pipe"])
def test_root_opens_no_log_that_somebody_else_could_have_put_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], whose: str
) -> None:
    folder, other = tmp_path / "logs", tmp_path / "other"
    folder.mkdir()
    other.write_text("")
    log = folder / "broker.log"
    if whose == "folder":
        os.chown(folder, 33, 33)
    elif whose == "file":
        log.touch()
        os.chown(log, 33, 33)
    elif whose == "link":
        log.symlink_to(other)
        os.chown(log, 33, 33, follow_symlinks=False)
    elif whose == "second name":
        os.link(other, log)
    else:
        os.mkfifo(log)
    config = tmp_path / "loggers.conf"
    config.write_text(FILE_LOGGING.format(handler="FileHandler", path=str(log)))
    set_up_logging(config)
    broker_log.warning("told")
    assert "cannot be used" in capsys.readouterr().err
    assert other.read_text() == ""
    assert whose != "folder" or not log.exists()
