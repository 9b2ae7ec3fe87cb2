"""Session profiles from the text of their sections (F16 and F18 of the reference among the cases)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.model.hosts import Host
from x2gobroker.model.options import Kind, Value
from x2gobroker.model.profile import SessionProfile, build_profile
from x2gobroker.model.profile_options import BY_NAME, CLIENT_OPTIONS, PROFILE_TABLE

Said = list[tuple[str, str]]


def build(
    own: dict[str, str], shared: dict[str, str] | None = None, profile_id: str = "p"
) -> tuple[SessionProfile, Said]:
    said: Said = []
    made = build_profile(profile_id, own, shared or {}, lambda option, message: said.append((option, message)))
    return made, said


def value(own: dict[str, str], name: str, shared: dict[str, str] | None = None) -> Value | None:
    return build(own, shared)[0].options.get(name)


def test_an_empty_section_has_every_default_and_its_id_as_name() -> None:
    made, said = build({})
    expected = {option.name: option.default for option in CLIENT_OPTIONS}
    assert dict(made.options) == {**expected, "name": "p"}
    assert made.hosts == (Host("localhost"),)
    assert said == []


def test_keys_of_the_section_come_first_then_those_of_default_then_the_defaults() -> None:
    made, _ = build({"zzz": "1", "name": "n"}, {"yyy": "2", "name": "shared"})
    names = list(made.options)
    assert names[:3] == ["zzz", "name", "yyy"]
    assert names[3:] == [option.name for option in CLIENT_OPTIONS]
    assert made.options["name"] == "n"


def test_keys_that_nobody_knows_are_passed_on_as_text() -> None:
    assert value({"usebrokerpass": "true", "future-key": " 1, [x] "}, "usebrokerpass") == "true"
    assert value({"future-key": "several\nlines"}, "future-key") == "several\nlines"


@pytest.mark.parametrize("name", ["acl-users-allow", "broker-session-autologin", "default", "host=h", "sshport=h"])
def test_keys_for_the_broker_itself_are_not_told_to_clients(name: str) -> None:
    assert value({name: "true"}, name) is None


@pytest.mark.parametrize("name", ["layout", "dpi", "sshproxyport", "future-key"])
def test_text_and_integers_that_are_not_set_are_left_out(name: str) -> None:
    made, said = build({name: "not-set"})
    assert name not in made.options
    assert said == []


def test_a_profile_always_has_a_name() -> None:
    assert value({"name": "not-set"}, "name") == "p"


@pytest.mark.parametrize(
    ("name", "text"),
    [("fullscreen", "maybe"), ("dpi", "many"), ("dpi", ""), ("fullscreen", "not-set"), ("sshport", "ssh")],
)
def test_f16_one_bad_value_is_reported_and_the_default_takes_its_place(name: str, text: str) -> None:
    made, said = build({name: text, "layout": "de"})
    assert made.options[name] == BY_NAME[name].default
    assert made.options["layout"] == "de"
    assert [option for option, _ in said] == [name]
    assert name in said[0][1]


def test_f16_a_bad_value_of_the_section_falls_back_to_that_of_default() -> None:
    assert value({"dpi": "many"}, "dpi", {"dpi": "120"}) == 120


def test_f16_a_bad_value_in_default_is_overridden_by_a_good_one_and_still_reported() -> None:
    made, said = build({"dpi": "120"}, {"dpi": "many"})
    assert made.options["dpi"] == 120
    assert [option for option, _ in said] == ["dpi"]


@pytest.mark.parametrize("text", ["not-set", ""])
def test_f16_ssh_port_and_command_without_a_value_do_no_harm(text: str) -> None:
    made, _ = build({"sshport": text, "command": text})
    assert made.sshport == 22
    assert made.is_shadow is False


def test_f16_shadow_without_a_host_has_no_host() -> None:
    made, _ = build({"command": "SHADOW", "host": ""})
    assert made.is_shadow is True
    assert made.hosts == ()


@pytest.mark.parametrize("name", ["sound", "host", "name", "DEFAULT", "acl-users-allow"])
def test_f18_a_profile_named_like_an_option_keeps_its_values(name: str) -> None:
    made, said = build({"sound": "false", "host": "h", "name": "n"}, profile_id=name)
    assert (made.id, made.options["sound"], made.options["host"], made.options["name"]) == (name, False, ("h",), "n")
    assert said == []


@pytest.mark.parametrize("text", ["0", "-1", "65536", "99999"])
def test_f14_an_ssh_port_that_does_not_exist_is_reported_and_the_default_takes_its_place(text: str) -> None:
    made, said = build({"sshport": text, "host": "h"})
    assert made.sshport == 22
    assert [option for option, _ in said] == ["sshport"]


@pytest.mark.parametrize("text", ["kde", "KDE", "Xfce", "xdmcp"])
def test_known_desktops_are_in_capitals_and_not_rootless(text: str) -> None:
    made, _ = build({"command": text, "rootless": "true"})
    assert made.options["command"] == text.upper()
    assert made.options["rootless"] is False


@pytest.mark.parametrize("text", ["startkde", "kde ", "shadow"])
def test_other_commands_stay_as_they_are(text: str) -> None:
    made, _ = build({"command": text})
    assert made.options["command"] == text
    assert made.options["rootless"] is True
    assert made.is_shadow is False


def test_bad_hosts_are_reported_and_left_out_the_others_stay() -> None:
    made, said = build({"host": "a, b (), c (10.0.0.1:2222)"})
    assert made.hosts == (Host("a"), Host("c", "10.0.0.1", 2222))
    assert made.options["host"] == ("a", "c")
    assert [option for option, _ in said] == ["host"]


def test_several_bracketed_ipv6_hosts_are_all_there() -> None:
    made, said = build({"host": "[2001:db8::7], [2001:db8::8]"})
    assert made.hosts == (Host("2001:db8::7"), Host("2001:db8::8"))
    assert said == []


@pytest.mark.parametrize(("text", "flag"), [("true", True), ("yes", True), ("on", True), ("1", True), ("no", False)])
def test_broker_flags_take_every_spelling(text: str, flag: bool) -> None:
    made, _ = build({"broker-session-autologin": text})
    assert made.broker_flag("session-autologin", not flag) is flag


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_broker_flag_is_the_default(text: str) -> None:
    made, said = build({"broker-portscan-x2goservers": text})
    assert made.broker_flag("portscan-x2goservers", True) is True
    assert made.broker_flag("portscan-x2goservers", False) is False
    assert said == []


def test_bad_and_unknown_broker_options_are_reported_with_the_nearest() -> None:
    made, said = build({"broker-session-autologn": "1", "broker-portscan-x2goservers": "perhaps"})
    assert dict(made.broker_options) == {}
    assert [option for option, _ in said] == ["broker-session-autologn", "broker-portscan-x2goservers"]
    assert "broker-session-autologin" in said[0][1]


KNOWN = st.sampled_from([option.name for option in PROFILE_TABLE] + ["name", "default", "acl-x", "broker-x", "host=h"])
SECTION = st.dictionaries(st.one_of(KNOWN, st.text(min_size=1)), st.text(max_size=30))


@SOME
@given(SECTION, SECTION, st.text(min_size=1))
def test_no_text_makes_a_profile_raise_and_types_always_hold(
    own: dict[str, str], shared: dict[str, str], profile_id: str
) -> None:
    made, _ = build(own, shared, profile_id)
    types: dict[Kind, type] = {Kind.BOOLEAN: bool, Kind.INTEGER: int, Kind.LIST: tuple}
    for name, found in made.options.items():
        option = BY_NAME.get(name)
        assert type(found) is (types.get(option.kind, str) if option else str)
    assert made.options["host"] == tuple(host.name for host in made.hosts)
    assert not any(name.startswith(("acl-", "broker-", "host=", "sshport=")) for name in made.options)
    assert isinstance(made.sshport, int)
