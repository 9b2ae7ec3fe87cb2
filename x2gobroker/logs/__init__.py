"""The broker's loggers, and everything that decides how a line of theirs looks.

`loggers.py` has the loggers and makes values fit for a line, `audit.py` the events that say who got in, `forms.py` what
lines look like (text, the journal's, JSON), and `setup.py` directs the loggers at the start of a program.
"""

from x2gobroker.logs.audit import AUDIT_EVENTS, LOGIN, SETPASS, AuditEvent
from x2gobroker.logs.forms import LogForm, goes_to_journal
from x2gobroker.logs.loggers import (
    LOGGERS,
    LONGEST_FIELD,
    SaidOnce,
    access_log,
    audit_log,
    authservice_log,
    broker_log,
    error_log,
    field,
    loadchecker_log,
    printable,
)
from x2gobroker.logs.setup import set_up_logging

__all__ = [
    "AUDIT_EVENTS",
    "LOGGERS",
    "LOGIN",
    "LONGEST_FIELD",
    "SETPASS",
    "AuditEvent",
    "LogForm",
    "SaidOnce",
    "access_log",
    "audit_log",
    "authservice_log",
    "broker_log",
    "error_log",
    "field",
    "goes_to_journal",
    "loadchecker_log",
    "printable",
    "set_up_logging",
]
