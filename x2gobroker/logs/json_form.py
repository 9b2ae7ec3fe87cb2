"""Log records as JSON: one object in one line, by python-json-logger. Loaded only where somebody wants it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from x2gobroker.logs.audit import audit_fields

try:
    from pythonjsonlogger.json import JsonFormatter
except ImportError:  # before 3.1
    from pythonjsonlogger.jsonlogger import JsonFormatter  # type: ignore[attr-defined]


class JsonForm(JsonFormatter):
    """Writes `time`, `level`, `logger`, `program` and `message`; the fields of an audit event; `exception`.

    Everything is ASCII: line ends, control characters and whatever else is not are escaped as JSON has it.
    """

    program = "x2gobroker"

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Put what is written of a record into `log_data`, in the order of the line."""
        moment = datetime.fromtimestamp(record.created, tz=UTC)
        log_data["time"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        log_data["program"] = self.program
        log_data["message"] = _whole(record.getMessage())
        log_data.update(audit_fields(record))
        if text := message_dict.get("exc_info"):
            log_data["exception"] = _whole(str(text))


def _whole(text: str) -> str:
    """The text without halves of characters, which no other program takes: they are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
