"""The loggers of the reference (`broker`, `access`, `error`) and ours, and values of clients made fit for a line."""

from __future__ import annotations

import logging

broker_log = logging.getLogger("broker")
# who got in: goes where `broker` goes, but also where its level, as in Debian's files of 0.0.4.3, is above INFO
audit_log = logging.getLogger("broker.audit")
audit_log.setLevel(logging.INFO)
access_log = logging.getLogger("access")
error_log = logging.getLogger("error")
authservice_log = logging.getLogger("authservice")
loadchecker_log = logging.getLogger("loadchecker")

LOGGERS = (broker_log, audit_log, access_log, error_log, authservice_log, loadchecker_log)
LONGEST_FIELD = 64


def printable(text: str, limit: int = LONGEST_FIELD) -> str:
    """`text` from a client, cut to `limit` characters, everything unprintable escaped; blanks stay."""
    shown = text[:limit] if text.isprintable() else text[:limit].encode("unicode_escape").decode("ascii")
    return shown + "..." if len(text) > limit else shown


def field(text: str, limit: int = LONGEST_FIELD) -> str:
    """The same as one word of a log line: blanks and quotes are escaped as well, and nothing is `-`."""
    return printable(text, limit).replace(" ", "\\x20").replace('"', "\\x22") or "-"


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
