"""Configuration: the table of options, the files, and the typed settings made from them."""

from x2gobroker.settings.ini import IniError, IniFile, Problem, parse_ini, read_ini
from x2gobroker.settings.snapshot import (
    AUTH_PREFIX,
    BACKEND_PREFIX,
    ENVIRONMENT,
    GLOBAL,
    Settings,
    options_of,
)
from x2gobroker.settings.source import SettingsSource, broker_variables
from x2gobroker.settings.table import TABLE
from x2gobroker.settings.watch import WatchedFile

__all__ = [
    "AUTH_PREFIX",
    "BACKEND_PREFIX",
    "ENVIRONMENT",
    "GLOBAL",
    "TABLE",
    "IniError",
    "IniFile",
    "Problem",
    "Settings",
    "SettingsSource",
    "WatchedFile",
    "broker_variables",
    "options_of",
    "parse_ini",
    "read_ini",
]
