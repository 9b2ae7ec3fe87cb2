"""The three loggers of the reference (`broker`, `access`, `error`), and how values are written into a line safely."""

from __future__ import annotations

import logging
import logging.config
import os
import sys
from pathlib import Path

from x2gobroker.privilege.logfiles import read_loggers

broker_log = logging.getLogger("broker")
# who got in: goes where `broker` goes, but also where its level, as in Debian's files of 0.0.4.3, is above INFO
audit_log = logging.getLogger("broker.audit")
audit_log.setLevel(logging.INFO)
access_log = logging.getLogger("access")
error_log = logging.getLogger("error")
authservice_log = logging.getLogger("authservice")
loadchecker_log = logging.getLogger("loadchecker")

LOGGERS = (broker_log, audit_log, access_log, error_log, authservice_log, loadchecker_log)
LINE_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
JOURNAL_FORMAT = "%(name)s - %(levelname)s - %(message)s"  # the journal has the time itself
JOURNAL_LEVELS = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
LONGEST_FIELD = 64


def field(text: str, limit: int = LONGEST_FIELD) -> str:
    """`text` from a client, fit for one log line: cut to `limit` characters, everything unprintable escaped."""
    shown = text[:limit].encode("unicode_escape").decode("ascii") if not text.isprintable() else text[:limit]
    shown = shown.replace(" ", "\\x20").replace('"', "\\x22")
    return shown + "..." if len(text) > limit else shown or "-"


class SaidOnce:
    """What a process has said already, so that it does not say it with every request. Remembers `most` things."""

    def __init__(self, most: int = 100) -> None:
        self._most = most
        self._said: set[str] = set()

    def is_new(self, what: str) -> bool:
        """True the first time; nothing is new any more when there is too much to remember."""
        if what in self._said or len(self._said) >= self._most:
            return False
        self._said.add(what)
        return True


def set_up_logging(
    config: Path | None, debug: bool = False, console: bool = False, fallback: logging.Handler | None = None
) -> None:
    """Direct the loggers: as the file `config` says (configparser form), else to `fallback`, the error stream if None.

    A file that cannot be used is reported there, where all lines then go; root uses none that could lead it astray.
    """
    handler = fallback or logging.StreamHandler(sys.stderr)
    if config is not None and config.is_file() and not console:
        try:
            logging.config.fileConfig(read_loggers(config), disable_existing_loggers=False)
        except Exception as error:  # noqa: BLE001 - the file names classes and arguments: anything may come of it
            _log_to(handler)
            reason = error.__cause__ or error
            error_log.warning("%s cannot be used (%s); logging to the standard error stream", config, reason)
    else:
        _log_to(handler)
    if audit_log.level == logging.NOTSET:  # the file says nothing of it, so that fileConfig has reset it
        audit_log.setLevel(logging.INFO)
    if debug:
        for logger in LOGGERS:
            logger.setLevel(logging.DEBUG)


class JournalFormatter(logging.Formatter):
    """Lines as systemd's journal takes them from the error stream: each begins with its level, as sd-daemon(3) says."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record, also of several lines."""
        level = next((number for least, number in JOURNAL_LEVELS if record.levelno >= least), 7)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


def goes_to_journal(stream: object) -> bool:
    """Whether this stream is the one that systemd has connected with its journal, as systemd.exec(5) says."""
    try:
        status = os.fstat(stream.fileno())  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):  # no file, or closed
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _log_to(handler: logging.Handler) -> None:
    journal = isinstance(handler, logging.StreamHandler) and goes_to_journal(handler.stream)
    handler.setFormatter(JournalFormatter(JOURNAL_FORMAT) if journal else logging.Formatter(LINE_FORMAT))
    for logger in LOGGERS:
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO)
