"""The table of session profile options."""

from __future__ import annotations

import pytest

from x2gobroker.model.options import Kind, Option, format_value, parse_value
from x2gobroker.model.profile_options import (
    BY_NAME,
    CLIENT_OPTIONS,
    DESKTOPS,
    PROFILE_TABLE,
    PYHOCA_BOOLEANS,
    PYHOCA_INTEGERS,
    PYHOCA_KNOWS,
    PYHOCA_TEXTS,
)

# what a listing of the reference holds for a profile of nothing but defaults
REFERENCE_DEFAULTS = (
    "kdrive=0 defsndport=1 useiconv=0 iconvfrom=UTF-8 height=600 export= quality=9 fullscreen=0 layout= useexports=1 "
    "width=800 speed=2 soundsystem=pulse print=1 type=auto sndport=4713 xinerama=1 variant= usekbd=1 fstunnel=1 "
    "applications=TERMINAL,WWWBROWSER,MAILCLIENT,OFFICE multidisp=0 sshproxyport=22 sound=1 rootless=1 iconvto=UTF-8 "
    "soundtunnel=1 dpi=96 sshport=22 setdpi=0 pack=16m-jpeg directrdp=0 command=TERMINAL"
)


@pytest.mark.parametrize("pair", REFERENCE_DEFAULTS.split(" "))
def test_defaults_are_those_of_the_reference(pair: str) -> None:
    name, _, text = pair.partition("=")
    default = BY_NAME[name].default
    shown = str(int(default)) if isinstance(default, bool) else format_value(default).replace(", ", ",")
    assert shown == text


def test_names_stand_once_in_the_table() -> None:
    assert len(BY_NAME) == len(PROFILE_TABLE)


@pytest.mark.parametrize("option", PROFILE_TABLE, ids=lambda option: option.name)
def test_every_default_is_of_its_kind_and_every_option_has_help(option: Option) -> None:
    kinds: dict[Kind, type] = {Kind.BOOLEAN: bool, Kind.INTEGER: int, Kind.LIST: tuple}
    assert type(option.default) is kinds.get(option.kind, str)
    assert option.help.endswith(".")
    assert parse_value(option, format_value(option.default)) == option.default


def test_pyhoca_knows_each_key_in_one_type_and_all_our_client_options_agree() -> None:
    assert not PYHOCA_BOOLEANS & PYHOCA_INTEGERS
    assert not PYHOCA_BOOLEANS & PYHOCA_TEXTS
    assert not PYHOCA_INTEGERS & PYHOCA_TEXTS
    assert {option.name for option in CLIENT_OPTIONS} <= PYHOCA_KNOWS


def test_the_desktops_are_those_the_reference_knows() -> None:
    wanted = {"KDE", "GNOME", "XFCE", "CINNAMON", "MATE", "LXDE", "TRINITY", "UNITY", "ICEWM", "OPENBOX", "XDMCP"}
    assert wanted == DESKTOPS
