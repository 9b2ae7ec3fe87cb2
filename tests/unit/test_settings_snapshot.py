"""Settings: typed look-ups of values and defaults."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from x2gobroker.model.options import Value
from x2gobroker.settings.snapshot import Settings, is_known_section, options_of


def settings(values: dict[tuple[str, str], Value], usable: bool = True) -> Settings:
    return Settings(values, usable=usable)


def test_what_is_given_wins_and_everything_else_has_its_default() -> None:
    made = settings({("global", "verify-ip"): False})
    assert made.boolean("global", "verify-ip") is False
    assert made.boolean("global", "require-password") is True
    assert made.integer("global", "auth-timeout") == 36000
    assert str(made.path("global", "cookie-directory")) == "/var/lib/x2gobroker/cookies"
    assert made.environment("X2GOBROKER_DEFAULT_BACKEND") == "inifile"


def test_false_and_zero_and_nothing_are_values_too() -> None:
    made = settings({("global", "client-live-event"): 0, ("global", "default-auth-mech"): ""})
    assert made.integer("global", "client-live-event") == 0
    assert made.text("global", "default-auth-mech") == ""


@pytest.mark.parametrize(
    ("method", "name"), [("boolean", "auth-timeout"), ("integer", "default-auth-mech"), ("text", "verify-ip")]
)
def test_asking_for_the_wrong_type_is_a_mistake_of_the_program(method: str, name: str) -> None:
    with pytest.raises(TypeError, match=name):
        getattr(settings({}), method)("global", name)


def test_asking_for_an_option_that_no_table_has_is_a_mistake_of_the_program() -> None:
    with pytest.raises(KeyError):
        settings({}).value("global", "no-such-option")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        settings({}).usable = False  # type: ignore[misc]


def test_backends_are_off_unless_switched_on_except_inifile() -> None:
    assert settings({}).backend_enabled("inifile") is True
    assert settings({}).backend_enabled("zeroconf") is False
    assert settings({("broker_zeroconf", "enable"): True}).backend_enabled("zeroconf") is True
    assert settings({("broker_inifile", "enable"): False}).backend_enabled("inifile") is False


def test_nothing_is_enabled_while_the_configuration_is_not_usable() -> None:
    made = settings({("broker_zeroconf", "enable"): True}, usable=False)
    assert made.backend_enabled("zeroconf") is False
    assert made.backend_enabled("inifile") is False


def test_a_backend_that_names_no_mechanism_has_the_default_one() -> None:
    made = settings({("broker_zeroconf", "auth-mech"): "none", ("global", "default-auth-mech"): "htpasswd"})
    assert made.for_backend("zeroconf", "auth-mech") == "none"
    assert made.for_backend("inifile", "auth-mech") == "htpasswd"
    assert made.for_backend("inifile", "group-db") == "libnss"


@pytest.mark.parametrize(
    "section",
    [
        "global",
        "broker_zeroconf",
        "broker_inifile",
        "broker_ldap",
        "authmech_pam",
        "authmech_none",
        "authmech_https_get",
    ],
)
def test_sections_of_the_reference_and_of_installed_plugins_are_known(section: str) -> None:
    assert is_known_section(section)


@pytest.mark.parametrize(
    "section", ["environment", "broker_*", "Global", "broker_nosuch", "authmech_nosuch", "broker_", ""]
)
def test_other_sections_are_not(section: str) -> None:
    assert not is_known_section(section)


def test_the_options_of_a_backend_are_those_of_all_and_its_own_and_its_own_default_wins() -> None:
    found = options_of("broker_inifile")
    assert {"enable", "auth-mech", "agent-query-mode", "session-profiles"} <= set(found)
    assert found["enable"].default is True
    assert options_of("broker_zeroconf")["enable"].default is False
    assert "session-profiles" not in options_of("broker_zeroconf")
