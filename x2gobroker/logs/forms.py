"""What a line looks like: in files, on a stream that has the time itself, in the journal; as text or as JSON.

A record is one line that begins as its form says. What more lines it has, such as a traceback's, are marked: so nothing
that a record quotes can pass for another record.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from dataclasses import dataclass
from logging.handlers import SysLogHandler

from x2gobroker.privilege.logfiles import LogFile

LINE_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
TIMED_FORMAT = "%(name)s - %(levelname)s - %(message)s"  # for what has the time itself
JOURNAL_LEVELS = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
CONTINUED = "| "
APACHE = "mod_wsgi"  # the module of what is below the error stream there: Apache's error log
TIME_FIRST = re.compile(r"%\(asctime\)s[\s:,|-]*")
TEXT, JSON = "text", "json"
FORMS = (TEXT, JSON)


@dataclass(frozen=True)
class LogForm:
    """How a program's lines look: `program` is its name, `style` one of FORMS."""

    program: str = "x2gobroker"
    style: str = TEXT

    @classmethod
    def at_first(cls, program: str) -> LogForm:
        """The form until the configuration has been read: what the environment of this process says."""
        return cls(program, os.environ.get("X2GOBROKER_LOGFORMAT", TEXT))

    def dress(self, handler: logging.Handler) -> None:
        """Give a handler the formatter for the place that it writes to. Raises ImportError where JSON needs more.

        One that a file of loggers has given it stays in use, without its time where the place has that itself.
        """
        own = handler.formatter
        inner = own.inner if isinstance(own, Lines) else own
        if isinstance(handler, SysLogHandler) and inner is None:
            handler.ident = f"{self.program}[{os.getpid()}]: "
        if isinstance(handler, logging.FileHandler) and inner is None:
            inner = logging.Formatter()  # a file of a site that has no form: its readers expect the bare message
        place = handler.stream if isinstance(handler, logging.StreamHandler) else None
        handler.setFormatter(self._lines(inner, place, isinstance(handler, SysLogHandler)))
        if isinstance(handler, LogFile):
            handler.spare_formatter = self._lines(None, sys.stderr)

    def _lines(self, inner: logging.Formatter | None, stream: object, timed: bool = False) -> Lines:
        """`timed`: what takes the lines has the time of each, whatever the stream is."""
        journal = goes_to_journal(stream)
        chosen = _json(inner, self.program, self.style == JSON)
        if chosen is None:
            below = getattr(stream, "buffer", None)
            timed = timed or journal or type(below).__module__ == APACHE
            chosen = _untimed(inner) if timed else inner or logging.Formatter(LINE_FORMAT)
        return Lines(chosen, journal)


class Lines(logging.Formatter):
    """The lines of another formatter: marked from the second on, each with its level as sd-daemon(3) says."""

    def __init__(self, inner: logging.Formatter, journal: bool) -> None:
        super().__init__()
        self.inner = inner
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record, of one line or of several."""
        level = next((number for least, number in JOURNAL_LEVELS if record.levelno >= least), 7)
        start = f"<{level}>" if self._journal else ""
        lines = self.inner.format(record).splitlines() or [""]
        return "\n".join(f"{start}{CONTINUED if index else ''}{line}" for index, line in enumerate(lines))


def goes_to_journal(stream: object) -> bool:
    """Whether this stream is the one that systemd has connected with its journal, as systemd.exec(5) says."""
    try:
        status = os.fstat(stream.fileno())  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):  # no file, or closed
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _untimed(inner: logging.Formatter | None) -> logging.Formatter:
    """The same formatter, without a time at its beginning."""
    if inner is None:
        return logging.Formatter(TIMED_FORMAT)
    text = inner._fmt or ""
    if type(inner) is not logging.Formatter or not TIME_FIRST.match(text):
        return inner
    return logging.Formatter(TIME_FIRST.sub("", text, count=1) or "%(message)s", inner.datefmt)


def _json(inner: logging.Formatter | None, program: str, wanted: bool) -> logging.Formatter | None:
    """The formatter that writes JSON: the one of a file of loggers, or ours; None where nobody wants it."""
    if not wanted and type(inner).__name__ != "JsonForm":
        return None
    from x2gobroker.logs.json_form import JsonForm  # takes time to load, and some programs start for each call

    made = inner if isinstance(inner, JsonForm) else JsonForm()
    made.program = program
    return made
