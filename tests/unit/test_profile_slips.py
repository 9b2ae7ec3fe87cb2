"""Slips in a session profile file open nothing: either the file means what it meant, or it is closed and named."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import MANY
from x2gobroker.backends.inifile import Compiled, compile_profiles
from x2gobroker.model.acl import Requester, parse_client
from x2gobroker.model.near_names import looks_like_a_rule
from x2gobroker.model.profile_options import CLIENT_NAMES, PROFILE_TABLE, RULE_NAMES
from x2gobroker.settings.ini import IniError, parse_ini

ANNA = Requester("anna", parse_client("192.0.2.7"), lambda: frozenset({"staff", "a,b", "Domain Users"}))
BERT = Requester("bert", parse_client("192.0.2.8"), lambda: frozenset({"guests"}))


def compiled(text: str) -> Compiled:
    """The profiles of a text; none where it is refused as a whole, which is what is in service then."""
    try:
        return compile_profiles(parse_ini(text, "p.conf", keep_faults=True))
    except IniError as error:
        return Compiled(compile_profiles(parse_ini("", "p.conf")).profiles, (error.problem,))


def offered(found: Compiled, who: Requester) -> list[str]:
    return [profile.id for profile in found.profiles.offered_to(who)]


def is_named(found: Compiled) -> bool:
    return bool(found.problems) and all(problem.line > 0 for problem in found.problems)


FOR_BERT = (
    "ACL-Users-Allow = bert",
    "acl_users_allow = bert",
    "acl users allow = bert",
    "acl-users_allow: bert",
    "allow-users = bert",
    "users-allow = bert",
    "users-acl-allow = bert",
    "aclUsersAllow = bert",
    "acl-user-allow = bert",
    "acl-users-alow = bert",
    "lac-users-allow = bert",
    "user-alow = bert",
    '"acl-users-allow" = bert',
    "acl-users-allow\u200b = bert",
    "\u0430cl-users-allow = bert",
    "\uff41cl-users-allow = bert",
    "[acl-users-allow = bert",
    "deny-user = anna",
    "groups = guests",
    "  acl-users-allow = bert",
    "\tacl-users-allow = bert",
    "\xa0acl-users-allow = bert",
    "  allow-users = bert",
    "  allow-users: bert",
    "\tUsers Allow : bert",
    "  deny: anna",
    "  groups: guests",
    "  [rules]\nacl-users-allow = bert",
    "\\\nacl-users-allow = bert",
    "acl-users-allow bert",
    "acl-users-allow = bert\n[a] acl-users-allow = bert",
    "name = Desk acl-users-allow = bert",
    "name = Desk\u2028acl-users-allow = bert",
    "name = Desk\x0bacl-users-allow = bert",
    "name = Desk\x85acl-users-allow = bert",
    "acl-users-allow = bert\nacl-users-allow = ALL",
    "acl-users-allow = bert; anna-marie",
    "acl-users-allow = anna;bert",
    "acl-users-allow = bert anna",
    "acl-users-allow = all",
    "acl-users-allow = 'anna",
    "acl-users-allow = ,",
    "acl-users-allow = anna # not yet",
    "acl-clients-allow = all",
    "acl-clients-allow = 192.0.2.8 192.0.2.7",
)


@pytest.mark.parametrize("rule", FOR_BERT)
def test_a_slip_in_a_rule_for_somebody_else_is_named_and_opens_nothing(rule: str) -> None:
    found = compiled(f"[desk]\nhost = h\ncommand = xterm\n{rule}\n")
    assert "desk" not in offered(found, ANNA)
    assert is_named(found)


@pytest.mark.parametrize(
    "value", ["h,\n  group:22,\n  access.example:2222", "h,\n  k ([2001:db8::1]:22)", "h (192.0.2.1),\n  k"]
)
def test_a_list_of_servers_may_go_on_whatever_they_are_called(value: str) -> None:
    found = compiled(f"[desk]\nhost = {value}\n")
    assert offered(found, ANNA) == ["desk"]
    assert found.problems == ()


@pytest.mark.parametrize("section", ["default", "Default", "DEFAULTS", "defaults", " DEFAULT", "DEFAULT ", "DEFUALT"])
def test_rules_in_a_section_that_is_meant_to_be_default_close_every_profile(section: str) -> None:
    found = compiled(f"[{section}]\nacl-users-allow = bert\n[desk]\nhost = h\n[lab]\nhost = h\n")
    assert offered(found, ANNA) == offered(found, BERT) == []
    assert is_named(found)


def test_a_section_like_default_without_rules_closes_itself_only() -> None:
    found = compiled("[default]\nuser = x\n[desk]\nhost = h\n")
    assert offered(found, ANNA) == ["desk"]
    assert is_named(found)


@pytest.mark.parametrize(
    "slip",
    ["[desk] host = h\n", "[desk ]\nhost = h\n", "[ desk]\nhost = h\n", "[desk]\nname = x\n  host = h\n"],
)
def test_a_fault_closes_its_own_profile_and_no_other(slip: str) -> None:
    found = compiled(slip + "[lab]\nhost = h\n")
    assert offered(found, ANNA) == ["lab"]
    assert is_named(found)
    assert found.profiles.profiles[0].rules.decide(BERT).allowed is False


def test_a_fault_in_default_closes_every_profile() -> None:
    found = compiled("[DEFAULT]\ncommand = xterm\n  acl-users-allow = bert\n[desk]\nhost = h\n")
    assert offered(found, ANNA) == offered(found, BERT) == []
    assert is_named(found)


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_files_of_any_editor_are_read_with_their_rules(end: str) -> None:
    text = "# profiles\n[desk]\nhost = desk1\nacl-users-allow = bert\n\n[lab]\nhost = lab1\n".replace("\n", end)
    found = compiled(text)
    assert found.problems == ()
    assert offered(found, ANNA) == ["lab"]
    assert [profile.hosts[0].name for profile in found.profiles.profiles] == ["desk1", "lab1"]


DENY_ANNA = (
    "bert;anna",
    "bert\n  anna",
    "bert,\n  anna; carl",
    "bert anna",
    "bert | anna",
    "bert/anna",
    "bert+anna",
    "bert:anna",
    "anna # since May",
    "anna ; since May",
    "anna, # since May",
    "'anna",
    'anna"',
    "\u201eanna\u201c, bert;",
    "anna\u200b",
    "anna\xa0",
    "bert\xa0anna",
    "all",
    "All",
    "*",
    "@anna",
    "-anna",
    "(anna)",
    "{anna, bert}",
    "[anna, bert",
    "<anna>",
    ",",
    '""',
)


@pytest.mark.parametrize("entries", DENY_ANNA)
def test_a_slip_in_a_deny_list_of_users_denies_everybody_and_is_named(entries: str) -> None:
    found = compiled(f"[desk]\nhost = h\nacl-users-allow = ALL\nacl-users-deny = {entries}\n")
    if entries != "anna\xa0":  # a blank at the end is no part of the name
        assert is_named(found)
    assert offered(found, ANNA) == []


@pytest.mark.parametrize("entries", [entry.replace("anna", "staff") for entry in DENY_ANNA])
def test_a_slip_in_a_deny_list_of_groups_denies_everybody_and_is_named(entries: str) -> None:
    found = compiled(f"[desk]\nhost = h\nacl-groups-allow = ALL\nacl-groups-deny = {entries}\n")
    if entries != "staff\xa0":
        assert is_named(found)
    assert offered(found, ANNA) == []


@pytest.mark.parametrize("entries", [entries for entries in DENY_ANNA if "," not in entries or entries == ","])
def test_a_slip_in_an_allow_list_allows_nobody_by_it(entries: str) -> None:
    found = compiled(f"[desk]\nhost = h\nacl-users-allow = {entries}\n")
    assert offered(found, ANNA) == ([] if entries != "anna\xa0" else ["desk"])
    assert offered(found, BERT) == []


@pytest.mark.parametrize(
    ("entries", "allowed"),
    [
        ("anna", True),
        ("'anna'", True),
        ("['bert', \"anna\"]", True),
        ("bert,anna,", True),
        ("bert,\n  anna", True),
        ("bert,\n# since May\n  anna", True),
        ("ALL", True),
        ("o'neill, SITE\\anna, anna.b@example.org", False),
    ],
)
def test_lists_as_they_should_be_are_not_complained_about(entries: str, allowed: bool) -> None:
    found = compiled(f"[desk]\nhost = h\nacl-users-allow = {entries}\n")
    assert found.problems == ()
    assert bool(offered(found, ANNA)) is allowed


@pytest.mark.parametrize("entries", ["['a,b']", "'a,b'", '"a,b", guests', "['x', 'a,b']"])
def test_a_comma_between_quotes_is_part_of_the_name(entries: str) -> None:
    found = compiled(f"[desk]\nhost = h\nacl-groups-allow = ALL\nacl-groups-deny = {entries}\n")
    assert found.problems == ()
    assert offered(found, ANNA) == []
    assert offered(compiled(f"[desk]\nhost = h\nacl-groups-allow = {entries}\n"), ANNA) == ["desk"]


@pytest.mark.parametrize("entries", ["Domain Users", "x, Domain Users"])
def test_a_group_with_blanks_counts_and_the_file_had_better_say_so_with_quotes(entries: str) -> None:
    for order, wanted in (("allow", ["desk"]), ("deny", [])):
        more = "acl-groups-allow = ALL\n" if order == "deny" else ""
        found = compiled(f"[desk]\nhost = h\n{more}acl-groups-{order} = {entries}\n")
        assert offered(found, ANNA) == wanted
        assert [problem.error for problem in found.problems] == [False]
    assert compiled("[desk]\nhost = h\nacl-groups-allow = 'Domain Users'\n").problems == ()


def test_an_empty_allow_list_is_no_rule_and_is_named() -> None:
    found = compiled("[desk]\nhost = h\nacl-users-allow =\n")
    assert offered(found, ANNA) == ["desk"]
    assert [problem.error for problem in found.problems] == [False]


@pytest.mark.parametrize("name", ["Host", "HOST", "ho_st", "ho st", "h-o-s-t"])
def test_a_known_option_that_is_spelt_otherwise_counts_and_is_named(name: str) -> None:
    found = compiled(f"[desk]\n{name} = desk1\nCommand = XFCE\n")
    profile = found.profiles.profiles[0]
    assert (profile.options["host"], profile.options["command"]) == (("desk1",), "XFCE")
    assert not {name, "Command"} & set(profile.options)
    assert is_named(found)
    assert offered(found, ANNA) == ["desk"]


def test_the_exact_name_wins_over_another_spelling() -> None:
    found = compiled("[desk]\nHost = wrong\nhost = right\n")
    assert found.profiles.profiles[0].options["host"] == ("right",)
    assert is_named(found)


@pytest.mark.parametrize("name", ["hosts", "hsot", "hst"])
def test_hosts_under_a_wrong_name_never_become_localhost(name: str) -> None:
    for text in (f"[desk]\n{name} = desk1\n", f"[DEFAULT]\n{name} = desk1\n[desk]\n"):
        found = compiled(text)
        profile = found.profiles.profiles[0]
        assert profile.hosts == ()
        assert name not in profile.options
        assert is_named(found)


@pytest.mark.parametrize("name", ["Broker-Session-Autologin", "broker_session_autologin", "broker-session-autologn"])
def test_options_for_the_broker_under_a_wrong_name_are_named_and_never_sent(name: str) -> None:
    found = compiled(f"[desk]\nhost = h\n{name} = true\n")
    assert name not in found.profiles.profiles[0].options
    assert found.profiles.profiles[0].broker_options == {}
    assert is_named(found)


def test_no_option_of_a_client_is_taken_for_a_slip() -> None:
    names = sorted(CLIENT_NAMES | {option.name for option in PROFILE_TABLE} - set(RULE_NAMES))
    text = "".join(f"{name} = 1\n" for name in names if name != "host" and not name.startswith(("acl-", "broker-")))
    assert compiled(f"[desk]\nhost = h\n{text}").problems == ()
    assert not [name for name in CLIENT_NAMES if looks_like_a_rule(name, RULE_NAMES)]


RULES = st.sampled_from(
    [
        ("acl-users-deny", "anna", "acl-users-allow = ALL"),
        ("acl-users-deny", "bert, anna", "acl-users-allow = ALL"),
        ("acl-groups-deny", "staff", "acl-groups-allow = ALL"),
        ("acl-groups-deny", "'x,y', staff", "acl-groups-allow = ALL"),
        ("acl-clients-deny", "192.0.2.7", "acl-clients-allow = ALL"),
        ("acl-users-allow", "bert", ""),
        ("acl-users-allow", "bert, carl", ""),
        ("acl-groups-allow", "guests", ""),
        ("acl-clients-allow", "192.0.2.8", ""),
    ]
)
NAME_SLIPS = (
    str,
    str.upper,
    str.title,
    lambda name: name.replace("-", "_"),
    lambda name: name.replace("-", " "),
    lambda name: name.replace("-", ""),
    lambda name: name.replace("-", ".", 1),
    lambda name: "-".join(reversed(name.split("-"))),
    lambda name: "-".join(name.split("-")[1:]),
    lambda name: f'"{name}"',
    lambda name: name[:5] + name[6:],
    lambda name: name[:5] + name[6] + name[5] + name[7:],
    lambda name: name + "s",
    lambda name: "\ufeff" + name,
)
VALUE_SLIPS = (
    str,
    lambda text: text.replace(", ", ";"),
    lambda text: text.replace(", ", " "),
    lambda text: text.replace(", ", "\n  "),
    lambda text: text.replace(", ", ",\n  "),
    lambda text: text + " # remark",
    lambda text: text + " ; remark",
    lambda text: "'" + text,
    lambda text: text + '"',
    lambda text: text + ",",
    lambda text: "\n  " + text,
    lambda text: "[" + text + "]",
    lambda text: text + "\u200b",
)
LINE_SLIPS = (
    str,
    lambda line: "  " + line,
    lambda line: "\t" + line,
    lambda line: "\xa0" + line,
    lambda line: line.replace("=", ":"),
    lambda line: line.replace(" = ", " "),
    lambda line: line.replace(" = ", "="),
    lambda line: line.replace(" = ", " == "),
    lambda line: line + "\n" + line,
)
PLACES = ("own", "header", "default", "lower-default", "before", "joined", "section-indented")
ENDS = ("\n", "\r\n", "\r", "\u2028", "\x85", "\x0c", "\x0b", "\n\r")


def written(rule: str, more: str, place: str) -> str:
    match place:
        case "header":
            return f"[desk] {rule}\nhost = h\ncommand = xterm\n{more}\n"
        case "default":
            return f"[DEFAULT]\n{rule}\n[desk]\nhost = h\n{more}\n"
        case "lower-default":
            return f"[default]\n{rule}\n[desk]\nhost = h\n{more}\n"
        case "before":
            return f"{rule}\n[desk]\nhost = h\n{more}\n"
        case "joined":
            return f"[desk]\nhost = h\n{more}\ncommand = xterm {rule}\n"
        case "section-indented":
            return f"[lab]\nhost = h\n{more}\n  [desk]\n{rule}\n"
        case _:
            return f"[desk]\nhost = h\n{more}\ncommand = xterm\n{rule}\n"


@MANY
@given(
    RULES,
    st.sampled_from(NAME_SLIPS),
    st.sampled_from(VALUE_SLIPS),
    st.sampled_from(LINE_SLIPS),
    st.sampled_from(PLACES),
    st.sampled_from(ENDS),
)
def test_who_is_kept_out_stays_out_whatever_the_slip(rule, name_slip, value_slip, line_slip, place, end) -> None:  # type: ignore[no-untyped-def]
    name, value, more = rule
    if place == "joined":
        name_slip = str
    line = line_slip(f"{name_slip(name)} = {value_slip(value)}")
    found = compiled(re.sub("\n", end, written(line, more, place)))
    assert "desk" not in offered(found, ANNA)
    if not found.problems:
        clean = compiled(written(f"{name} = {value}", more, "own"))
        assert offered(found, BERT) == offered(clean, BERT)
