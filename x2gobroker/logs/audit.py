"""Events that say who got in and who did not. What is written of them, in whatever form, is made here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from x2gobroker.logs.loggers import LONGEST_FIELD, audit_log, field, printable

_write = audit_log.log  # the one place; its texts are those of AUDIT_EVENTS
LONGEST_REASON = 200
WORDY = ("reason",)  # sentences, of ours or of PAM: written with - for blanks


@dataclass(frozen=True)
class AuditEvent:
    """One kind of event: its name, and the names of its fields in the order of a line."""

    name: str
    fields: tuple[str, ...]

    @property
    def template(self) -> str:
        """The line as logging has it, with `%s` for each value."""
        return " ".join((self.name, *(f"{name}=%s" for name in self.fields)))

    def log(self, good: bool, **values: str) -> None:
        """Write one event: at INFO where it is as it should be, at WARNING where not.

        `values` has a text for each field, as clients, mechanisms and plug-ins gave it. Each becomes one word of the
        line, and the record carries them for forms that keep them apart. Raises TypeError for missing or other fields.
        """
        if values.keys() != set(self.fields):
            raise TypeError(f"the event {self.name} has the fields {', '.join(self.fields)}")
        texts = {name: values[name].replace(" ", "-") if name in WORDY else values[name] for name in self.fields}
        words = [field(text, _limit(name)) for name, text in texts.items()]
        kept = {name: printable(text, _limit(name)) for name, text in texts.items()}
        level = logging.INFO if good else logging.WARNING
        _write(level, self.template, *words, extra={"audit": {"event": self.name, **kept}})


LOGIN = AuditEvent("login", ("user", "address", "backend", "mechanism", "outcome", "reason"))
SETPASS = AuditEvent("setpass", ("user", "address", "mechanism", "outcome", "reason"))
AUDIT_EVENTS = (LOGIN, SETPASS)


def audit_fields(record: logging.LogRecord) -> Mapping[str, str]:
    """The fields of the event that a record tells of, `event` first; empty for any other record."""
    found: Mapping[str, str] = getattr(record, "audit", {})
    return found


def _limit(name: str) -> int:
    return LONGEST_REASON if name in WORDY else LONGEST_FIELD
