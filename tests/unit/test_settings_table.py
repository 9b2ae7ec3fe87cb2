"""The table of options: complete, typed, documented."""

from __future__ import annotations

import pytest

from x2gobroker.model.options import Kind, Option, format_value, parse_value
from x2gobroker.settings.table import OURS, REFERENCE, TABLE

BY_KEY = {(option.section, option.name): option for option in TABLE}

# section, option and the value that the reference documents as its default
REFERENCE_DEFAULTS = {
    "global": {
        "require-password": "true",
        "require-cookie": "false",
        "use-static-cookie": "false",
        "auth-timeout": "36000",
        "cookie-directory": "/var/lib/x2gobroker/cookies",
        "my-cookie-file": "/etc/x2go/broker/x2gobroker.authid",
        "verify-ip": "true",
        "enable-plain-output": "true",
        "enable-json-output": "true",
        "enable-uccs-output": "false",
        "my-uccs-url-base": "http://localhost:8080/",
        "default-auth-mech": "pam",
        "default-user-db": "libnss",
        "default-group-db": "libnss",
        "ignore-primary-group-memberships": "true",
        "default-session-autologin": "false",
        "default-authorized-keys": "%h/.x2go/authorized_keys",
        "default-agent-query-mode": "NONE",
        "default-agent-hostkey-policy": "RejectPolicy",
        "default-portscan-x2goservers": "true",
        "default-use-load-checker": "false",
        "load-checker-intervals": "300",
    },
    "broker_zeroconf": {"desktop-shell": "KDE"},
    "broker_inifile": {"enable": "true", "session-profiles": "/etc/x2go/broker/x2gobroker-sessionprofiles.conf"},
    "broker_*": {"enable": "false"},
    "environment": {
        "X2GOBROKER_DEFAULT_BACKEND": "inifile",
        "X2GOBROKER_DEBUG": "false",
        "DAEMON_BIND_ADDRESS": "127.0.0.1:8080",
        "X2GOBROKER_CONFIG": "/etc/x2go/x2gobroker.conf",
        "X2GOBROKER_AGENT_CMD": "/usr/lib/x2go/x2gobroker-agent",
        "X2GOBROKER_AUTHSERVICE_SOCKET": "/run/x2gobroker/x2gobroker-authservice.socket",
        "X2GOBROKER_LOADCHECKER_SOCKET": "/run/x2gobroker/x2gobroker-loadchecker.socket",
    },
}


@pytest.mark.parametrize(
    ("section", "name", "text"),
    [(section, name, text) for section, options in REFERENCE_DEFAULTS.items() for name, text in options.items()],
)
def test_defaults_are_those_the_reference_documents(section: str, name: str, text: str) -> None:
    assert format_value(BY_KEY[section, name].default) == text


def test_every_option_stands_once() -> None:
    assert len(BY_KEY) == len(TABLE)


@pytest.mark.parametrize("option", TABLE, ids=lambda option: f"{option.section}/{option.name}")
def test_every_default_is_valid_of_its_kind_and_documented(option: Option) -> None:
    kinds: dict[Kind, type] = {Kind.BOOLEAN: bool, Kind.INTEGER: int, Kind.LIST: tuple}
    assert type(option.default) is kinds.get(option.kind, str)
    assert parse_value(option, format_value(option.default)) == option.default
    assert option.help.endswith(".")
    assert option.since in (REFERENCE, OURS)
    assert (option.kind is Kind.CHOICE) == bool(option.choices)


@pytest.mark.parametrize(("section", "name"), [("global", "my-cookie"), ("global", "database-url")])
def test_options_that_may_hold_a_secret_are_marked(section: str, name: str) -> None:
    assert BY_KEY[section, name].secret


def test_variables_that_override_a_file_option_exist() -> None:
    named = [variable for option in TABLE for variable in option.environment]
    assert named
    assert all(("environment", variable) in BY_KEY for variable in named)


def test_switches_that_open_a_door_by_default_are_closed_where_their_text_cannot_be_read() -> None:
    opened = [
        option
        for option in TABLE
        if option.kind is Kind.BOOLEAN and option.name.startswith("enable") and option.default is True
    ]
    assert opened
    assert [option.name for option in opened if option.fallback is not False] == []
