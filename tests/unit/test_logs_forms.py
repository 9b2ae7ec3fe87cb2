"""What lines look like: one time, one record to a line, JSON; also with Debian's files of loggers of 0.0.4.3."""

from __future__ import annotations

import io
import json
import logging
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from logging.handlers import SysLogHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.logs import (
    AUDIT_EVENTS,
    LOGGERS,
    LOGIN,
    SETPASS,
    LogForm,
    access_log,
    audit_log,
    authservice_log,
    broker_log,
    error_log,
    loadchecker_log,
    set_up_logging,
)
from x2gobroker.logs.forms import JSON, Lines
from x2gobroker.privilege.logfiles import LogFile

DEBIAN = Path("/etc/x2go/broker")
DEBIANS = {
    "x2gobroker-loggers.conf": (broker_log, access_log, error_log),
    "x2gobroker-authservice-logger.conf": (authservice_log,),
    "x2gobroker-loadchecker-logger.conf": (loadchecker_log,),
}
JSON_FORM = LogForm("x2gobroker-daemon", JSON)
MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - ")
WORDS = st.text(st.characters())
EVENT = {
    "user": "anna",
    "address": "192.0.2.1",
    "backend": "inifile",
    "mechanism": "pam",
    "outcome": "refused",
    "reason": "wrong password",
}


def log_in(good: bool = False, **other: str) -> None:
    """One login, of which something may be special."""
    LOGIN.log(good, **{**EVENT, **other})


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Makes a file the error stream, of which systemd says that it is the journal."""

    def made() -> Path:
        path = tmp_path / "journal"
        monkeypatch.setattr("sys.stderr", path.open("w", buffering=1))
        monkeypatch.setenv("JOURNAL_STREAM", f"{path.stat().st_dev}:{path.stat().st_ino}")
        return path

    return made


@pytest.fixture
def debians(tmp_path: Path) -> Callable[[str], Path]:
    """Debian's file of loggers of that name, with logs in a folder of the test."""

    def made(name: str) -> Path:
        copy = tmp_path / name
        text = (DEBIAN / name).read_text(encoding="utf-8")
        assert "/var/log/x2gobroker/" in text
        copy.write_text(text.replace("/var/log/x2gobroker", str(tmp_path)), encoding="utf-8")
        return copy

    return made


@pytest.mark.reference
@pytest.mark.parametrize("name", DEBIANS)
def test_debians_loggers_write_json_where_they_are_told_to(
    name: str, debians: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging(debians(name), form=JSON_FORM)
    for logger in DEBIANS[name]:
        logger.error("trouble")
        (line,) = (tmp_path / f"{logger.name}.log").read_text().splitlines()
        assert json.loads(line)["message"] == "trouble"
    assert capsys.readouterr().err == ""


@pytest.mark.reference
@pytest.mark.parametrize("name", DEBIANS)
def test_debians_loggers_write_text_as_ever(name: str, debians: Callable[[str], Path], tmp_path: Path) -> None:
    set_up_logging(debians(name))
    for logger in DEBIANS[name]:
        logger.error("trouble")
        line = (tmp_path / f"{logger.name}.log").read_text()
        assert MOMENT.sub("", line) == f"{logger.name} - ERROR - trouble\n"


@pytest.mark.reference
@pytest.mark.parametrize("name", ["x2gobroker-authservice-logger.conf", "x2gobroker-loadchecker-logger.conf"])
def test_what_debians_loggers_send_to_the_error_stream_has_one_time(
    name: str, debians: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging(debians(name))
    error_log.error("trouble")
    assert MOMENT.sub("", capsys.readouterr().err) == "error - ERROR - trouble\n"


@pytest.mark.reference
@pytest.mark.parametrize("name", ["x2gobroker-authservice-logger.conf", "x2gobroker-loadchecker-logger.conf"])
def test_what_debians_loggers_send_to_the_journal_has_a_level_and_no_time(
    name: str, debians: Callable[[str], Path], journal: Callable[[], Path]
) -> None:
    path = journal()
    set_up_logging(debians(name))
    error_log.error("trouble")
    assert path.read_text() == "<3>error - ERROR - trouble\n"


@pytest.mark.reference
def test_debians_loggers_have_who_got_in_at_info(debians: Callable[[str], Path], tmp_path: Path) -> None:
    set_up_logging(debians("x2gobroker-loggers.conf"))
    log_in(True, outcome="granted", reason="right password")
    broker_log.info("dropped: the file has WARNING for it")
    (line,) = (tmp_path / "broker.log").read_text().splitlines()
    assert "broker.audit - INFO - login user=anna address=192.0.2.1" in line


@pytest.mark.reference
def test_debians_loggers_survive_rotation_in_json(debians: Callable[[str], Path], tmp_path: Path) -> None:
    set_up_logging(debians("x2gobroker-loggers.conf"), form=JSON_FORM)
    log_in(user="before")
    (tmp_path / "broker.log").rename(tmp_path / "broker.log.1")
    log_in(user="after")
    users = [json.loads((tmp_path / name).read_text())["user"] for name in ("broker.log.1", "broker.log")]
    assert users == ["before", "after"]


FILE = """
[loggers]
keys = root
[handlers]
keys = one
[formatters]
keys = own
[logger_root]
handlers = one
[handler_one]
class = {handler}
formatter = own
args = {args}
[formatter_own]
{formatter}
"""


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("format = %(asctime)s - %(name)s: %(message)s", "<4>broker: odd"),
        ("format = %(asctime)s %(message)s", "<4>odd"),
        ("format = %(asctime)s [%(levelname)s] %(message)s", "<4>[WARNING] odd"),
        ("format = %(message)s", "<4>odd"),
        ("format = %(name)s %(message)s", "<4>broker odd"),
    ],
)
def test_a_form_of_the_administrators_loses_its_time_where_the_journal_has_it(
    tmp_path: Path, journal: Callable[[], Path], text: str, seen: str
) -> None:
    config = tmp_path / "loggers.conf"
    config.write_text(FILE.format(handler="StreamHandler", args="(sys.stderr,)", formatter=text))
    for logger in LOGGERS:
        logger.handlers, logger.propagate = [], True
    path = journal()
    set_up_logging(config)
    broker_log.warning("odd")
    assert path.read_text() == f"{seen}\n"


def test_a_log_file_without_a_form_has_the_bare_message(tmp_path: Path) -> None:
    config, log = tmp_path / "loggers.conf", tmp_path / "log"
    text = FILE.format(handler="FileHandler", args=f"({str(log)!r},)", formatter="")
    config.write_text(text.replace("formatter = own\n", ""))
    for logger in LOGGERS:
        logger.handlers, logger.propagate = [], True
    set_up_logging(config)
    broker_log.warning("odd")
    assert log.read_text() == "odd\n"


def test_a_file_of_loggers_may_ask_for_json_by_itself(tmp_path: Path) -> None:
    config, log = tmp_path / "loggers.conf", tmp_path / "log"
    text = "class = x2gobroker.logs.json_form.JsonForm"
    config.write_text(FILE.format(handler="FileHandler", args=f"({str(log)!r},)", formatter=text))
    for logger in LOGGERS:
        logger.handlers, logger.propagate = [], True
    set_up_logging(config, form=LogForm("x2gobroker-remote"))
    log_in()
    found = json.loads(log.read_text())
    assert (found["program"], found["user"]) == ("x2gobroker-remote", "anna")


def test_in_apaches_log_the_time_is_apaches(monkeypatch: pytest.MonkeyPatch) -> None:
    class Log(io.BytesIO):
        """What mod_wsgi puts below the error stream."""

    Log.__module__ = "mod_wsgi"
    log = Log()
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(log, "utf-8", line_buffering=True))
    set_up_logging(None)
    broker_log.warning("odd")
    assert log.getvalue() == b"broker - WARNING - odd\n"


def test_in_syslog_the_time_is_syslogs_and_lines_have_the_programs_name(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(tmp_path / "log"))
        handler = SysLogHandler(str(tmp_path / "log"), SysLogHandler.LOG_DAEMON)
        set_up_logging(None, fallback=handler, form=LogForm("x2gobroker-ssh"))
        broker_log.warning("odd")
        sent = syslog.recv(1000).decode()
        handler.close()
    assert re.fullmatch(r"<28>x2gobroker-ssh\[\d+\]: broker - WARNING - odd\0?", sent)


def test_what_libraries_say_has_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger().handlers = []
    set_up_logging(None, form=JSON_FORM)
    logging.getLogger("asyncio").warning("slow")
    assert json.loads(capsys.readouterr().err)["logger"] == "asyncio"


def test_the_root_logger_of_a_program_that_we_are_a_part_of_stays_as_it_is() -> None:
    theirs = logging.NullHandler()
    logging.getLogger().handlers = [theirs]
    set_up_logging(None, form=JSON_FORM)
    assert logging.getLogger().handlers == [theirs]
    assert theirs.formatter is None


def test_a_line_that_a_file_does_not_take_has_the_form_of_the_error_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    handler = LogFile(str(folder / "log"))
    set_up_logging(None, fallback=handler, form=JSON_FORM)
    (folder / "log").unlink()
    folder.rmdir()
    broker_log.warning("not lost")
    assert json.loads(capsys.readouterr().err)["message"] == "not lost"


def test_a_json_line_has_time_level_logger_program_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(None, form=JSON_FORM)
    before = datetime.now(UTC)
    broker_log.info("process %d", 7)
    found = json.loads(capsys.readouterr().err)
    assert list(found) == ["time", "level", "logger", "program", "message"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"])
    assert abs((datetime.fromisoformat(found["time"]) - before).total_seconds()) < 60
    del found["time"]
    assert found == {
        "level": "INFO",
        "logger": "broker",
        "program": "x2gobroker-daemon",
        "message": "process 7",
    }


@pytest.mark.parametrize("good", [True, False])
def test_an_audit_event_has_fields_of_its_own(capsys: pytest.CaptureFixture[str], good: bool) -> None:
    set_up_logging(None, form=JSON_FORM)
    log_in(good)
    SETPASS.log(good, user="anna", address="", mechanism="pam", outcome="changed", reason="")
    login, change = map(json.loads, capsys.readouterr().err.splitlines())
    assert login["level"] == ("INFO" if good else "WARNING")
    assert {name: login[name] for name in ("event", *EVENT)} == {**EVENT, "event": "login", "reason": "wrong-password"}
    assert login["message"].startswith("login user=anna address=192.0.2.1 ")
    assert (change["event"], change["address"], change["reason"]) == ("setpass", "", "")


@pytest.mark.parametrize("event", AUDIT_EVENTS, ids=lambda event: event.name)
@pytest.mark.parametrize("change", [lambda names: names[1:], lambda names: (*names, "password")])
def test_an_audit_event_with_other_fields_is_a_mistake_of_ours(
    event: Any, change: Callable[[tuple[str, ...]], tuple[str, ...]]
) -> None:
    with pytest.raises(TypeError):
        event.log(True, **dict.fromkeys(change(event.fields), "x"))


def test_an_exception_is_part_of_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(None, form=JSON_FORM)
    try:
        raise ValueError("bad\nin two lines\ud800")
    except ValueError as error:
        error_log.error("it failed", exc_info=error)
    found = json.loads(capsys.readouterr().err)
    assert found["message"] == "it failed"
    assert found["exception"].startswith("Traceback")
    assert found["exception"].endswith("ValueError: bad\nin two lines\\ud800")


def test_what_a_record_quotes_begins_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(None)
    forged = "2026-11-30 05:00:00,000 - broker.audit - WARNING - login user=x address=192.0.2.66 outcome=refused"
    error_log.error("they say: a\n%s\x0b%s\u2028%s", forged, forged, forged)
    first, *others = capsys.readouterr().err.split("\n")[:-1]
    assert MOMENT.match(first)
    assert others == [f"| {forged}"] * 3


def written(form: str, events: list[tuple[str, str, str]]) -> list[str]:
    """The lines of so many logins, as a file has them."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handlers, propagate = audit_log.handlers, audit_log.propagate
    LogForm("x2gobroker-daemon", form).dress(handler)
    audit_log.handlers, audit_log.propagate = [handler], False
    try:
        for user, address, reason in events:
            log_in(user=user, address=address, reason=reason)
    finally:
        audit_log.handlers, audit_log.propagate = handlers, propagate
    text = stream.getvalue()
    assert text.isascii() or form != JSON
    assert not re.search(r"[^\n -\x7e\xa0-\U0010ffff]", text), "control characters"
    assert text.endswith("\n")
    return text[:-1].split("\n")


HOSTILE = [
    ("a\nb", "192.0.2.1", "x"),
    ('","user":"root', '"}\n{"a":"', "\r\n"),
    ("\ud800\udfff", "\x00\x1b[2J", "\u2028\u2029\x85"),
    ("address=192.0.2.66 outcome=granted", "-", "ok"),
    ("\\", "\\\\", "\\n"),
]


@SOME
@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=5))
@example(HOSTILE)
def test_as_many_json_lines_as_events_and_each_parses(events: list[tuple[str, str, str]]) -> None:
    lines = written(JSON, events)
    assert len(lines) == len(events)
    for line, (user, _, _) in zip(lines, events, strict=True):
        found = json.loads(line)
        assert found["outcome"] == "refused"
        assert all(value.isprintable() for value in found.values())
        assert found["user"] == user or len(user) > 64 or not user.isprintable()
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # no halves of characters


@SOME
@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=5))
@example(HOSTILE)
def test_as_many_text_lines_as_events_and_each_has_its_words(events: list[tuple[str, str, str]]) -> None:
    lines = written("text", events)
    assert len(lines) == len(events)
    for line in lines:
        words = MOMENT.sub("", line).split(" ")
        assert words[:4] == ["broker.audit", "-", "WARNING", "-"]
        assert [word.split("=")[0] for word in words[4:]] == ["login", *EVENT]


def test_a_program_without_the_library_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith(("pythonjsonlogger", "x2gobroker.logs.json_form"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pythonjsonlogger", None)
    set_up_logging(None, form=JSON_FORM)
    broker_log.warning("odd")
    said, odd = capsys.readouterr().err.splitlines()
    assert "python-json-logger is not installed" in said
    assert MOMENT.sub("", odd) == "broker - WARNING - odd"


def test_the_library_is_loaded_only_for_json() -> None:
    code = "import sys; from x2gobroker.logs import *; set_up_logging(None); print('pythonjsonlogger' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_handler_that_was_dressed_before_is_dressed_once() -> None:
    handler = logging.StreamHandler(io.StringIO())
    for form in (LogForm(), JSON_FORM, LogForm()):
        form.dress(handler)
        assert isinstance(handler.formatter, Lines)
        assert not isinstance(handler.formatter.inner, Lines)
