"""Lines of x2golistsessions: what is a session, what cannot be one, and what is offered first."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import MANY, SOME
from x2gobroker.model.sessions import (
    LEAST_FIELDS,
    LONGEST_LINE,
    MOST_FIELDS,
    SESSION_NAME,
    ServerSession,
    SessionRecord,
    list_line,
    moved_line,
    parse_session,
    resume_order,
)

COOKIE = "f28b48c66f97bdba38e56856d0ea090f"
RUNNING = (
    f"14864|x2gotest1-50-1795167317_stRxterm_dp24|50|vm|R|2026-11-20T09:35:17|{COOKIE}|127.0.0.1|38091|38092"
    "|2026-11-20T09:35:18|x2gotest1|25|38093|-1|-1"
)
SUSPENDED = RUNNING.replace("|R|", "|S|")
PLACES = {
    "pid": 0,
    "name": 1,
    "display": 2,
    "server": 3,
    "state": 4,
    "started": 5,
    "cookie": 6,
    "client": 7,
    "gr": 8,
    "sound": 9,
    "changed": 10,
    "user": 11,
    "age": 12,
    "fs": 13,
    "control": 14,
    "data": 15,
}


def changed(**values: str) -> str:
    fields = RUNNING.split("|")
    for name, value in values.items():
        fields[PLACES[name]] = value
    return "|".join(fields)


def made(name: str, state: str = "R", age: int = 0) -> ServerSession:
    return ServerSession(name, "anna", "ts01", state, age, ())


def test_a_real_line_is_a_session() -> None:
    session = parse_session(RUNNING, "x2gotest1")
    assert (session.name, session.user) == ("x2gotest1-50-1795167317_stRxterm_dp24", "x2gotest1")
    assert (session.server, session.state, session.age) == ("vm", "R", 25)
    assert not session.is_suspended
    assert not session.is_shadow
    assert parse_session(SUSPENDED).is_suspended


def test_the_line_goes_on_as_it_came_or_with_another_server() -> None:
    session = parse_session(RUNNING)
    assert session.line() == RUNNING
    assert session.line("ts01.example.org") == changed(server="ts01.example.org")
    assert session.in_state("S").line() == SUSPENDED
    assert session.in_state("S").is_suspended
    assert session.line() == RUNNING, "a session does not change"


@pytest.mark.parametrize(
    ("line", "moved"),
    [
        (RUNNING, changed(server="ts01.example.org")),
        (changed(server="vm2"), changed(server="vm2")),
        (changed(user="vm"), changed(user="vm", server="ts01.example.org")),
        ("a|b|c|vm", "a|b|c|ts01.example.org"),
        ("vm|vm|vm", "vm|vm|vm"),
        ("", ""),
    ],
)
def test_only_the_servers_name_changes_where_a_line_is_moved(line: str, moved: str) -> None:
    assert moved_line(line, "vm", "ts01.example.org") == moved


def test_older_servers_leave_the_last_fields_out() -> None:
    fields = RUNNING.split("|")
    assert parse_session("|".join(fields[:LEAST_FIELDS])).line() == "|".join(fields[:14])
    with pytest.raises(ValueError, match="13 fields"):
        parse_session("|".join(fields[: LEAST_FIELDS - 1]))
    with pytest.raises(ValueError, match="fields"):
        parse_session("|".join(fields + ["x"] * (MOST_FIELDS - len(fields) + 1)))


@pytest.mark.parametrize(
    "name",
    [
        "x2gotest1-50-1795167317_stRxterm_dp24",
        "x2gotest1-50-1795168145_stRTERMINAL_dp24",
        "x2gotest1-50-1795168145_stDopenbox-session_dp24",
        "x2gotest1-50-1795168145_stDaPPbcde_dp16",
        "x2gotest1-1234-1795168145_stRPUBLISHED_dp24",
        "anna.b-c@example.org-50-1795168145_stSXSHADbert50XSHAD_dp24",
        "anna-50-1795168145_stD_dp",
    ],
)
def test_names_of_sessions(name: str) -> None:
    assert parse_session(changed(name=name)).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "anna",
        "anna-50",
        "anna-5-1795168145",
        "anna-50-12345678",
        "an na-50-1795168145",
        "anna-50-1795168145;id",
        "anna-50-1795168145_stX_dp24",
        "../x-50-1795168145",
        "a" * 200 + "-50-1795168145",
        "anna-50-1795168145_x",
    ],
)
def test_other_names_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="no session name"):
        parse_session(changed(name=name))


@pytest.mark.parametrize(
    ("field", "value", "wrong"),
    [
        ("server", "", "no server"),
        ("server", "ts 01", "no server"),
        ("server", "ts01;id", "no server"),
        ("server", "a" * 254, "no server"),
        ("server", "-oProxyCommand", "no server"),
        ("server", ".", "no server"),
        ("state", "F", "neither"),
        ("state", "T", "neither"),
        ("state", "", "neither"),
        ("state", "RS", "neither"),
        ("pid", "x", "numbers"),
        ("display", "", "numbers"),
        ("gr", "1e5", "numbers"),
        ("sound", "٣", "numbers"),
        ("age", "soon", "numbers"),
        ("age", "9" * 11, "numbers"),
        ("user", "bert", "somebody else"),
        ("user", "x2gotest1,x", "an owner who"),
        ("user", "-x2gotest1", "an owner who"),
        ("started", "yesterday", "no date of its start"),
        ("started", "", "no date"),
        ("changed", "2026-11-20T09:35:18,x=y", "no date of its last change"),
        ("cookie", "", "no cookie"),
        ("cookie", f"{COOKIE},errors=/home/anna/.bashrc", "no cookie"),
        ("cookie", f"{COOKIE}:51", "no cookie"),
        ("cookie", COOKIE * 3, "no cookie"),
        ("cookie", "g" * 32, "no cookie"),
        ("client", "192.0.2.1,x", "can be no address"),
        ("client", "a b", "can be no address"),
        ("display", "65536", "no ports, or no display"),
        ("gr", "65536", "no ports, or no display"),
        ("sound", "-2", "no ports, or no display"),
        ("fs", "70000", "no ports, or no display"),
        ("fs", "many", "numbers"),
        ("control", "x", "numbers"),
        ("data", "99999", "no ports, or no display"),
        ("user", "", "no owner"),
    ],
)
def test_lines_that_cannot_be(field: str, value: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as caught:
        parse_session(changed(**{field: value}), "x2gotest1")
    assert COOKIE not in str(caught.value)


def test_further_fields_of_later_servers_are_plain_words() -> None:
    assert parse_session(f"{RUNNING}|kdrive|2.0").line() == f"{RUNNING}|kdrive|2.0"
    for further in ("a b", "a,b", "$(id)", "a;b", "x" * 201):
        with pytest.raises(ValueError, match="further fields"):
            parse_session(f"{RUNNING}|{further}")


def test_sessions_of_older_servers_and_of_every_kind_of_account_are_understood() -> None:
    for fields in (
        {"started": "20.11.26 09:35:17", "changed": "20.11.26 09:35:18"},
        {"client": "2001:db8::9"},
        {"client": "fe80::1%eth0"},
        {"client": ""},
        {"user": "SITE\\anna"},
        {"user": "anna+site"},
        {"user": "jürgen.groß"},
        {"user": "host1$"},
        {"control": "", "data": ""},
        {"fs": ""},
    ):
        assert parse_session(changed(**fields)).line() == changed(**fields)


def test_a_session_that_was_started_and_one_that_is_listed_are_checked_alike() -> None:
    started = f"50\n{COOKIE}\n14864\n{SessionRecord.listed(RUNNING).name}\n38091\n38092\n38093\n"
    one, other = SessionRecord.just_started(started, "x2gotest1", "vm"), SessionRecord.listed(RUNNING)
    kept = {"started": other.started, "changed": other.changed, "client": other.client, "age": other.age}
    assert replace(one, **kept) == other  # type: ignore[arg-type]  # each has the type of its field
    with pytest.raises(ValueError, match="no cookie"):
        replace(one, cookie=f"{COOKIE},cups=6000")
    for bad in (started.replace("38091", "98091"), started.replace("50\n", "70000\n", 1), started + "1\n" * 2000):
        with pytest.raises(ValueError):
            SessionRecord.just_started(bad)


@pytest.mark.parametrize("bad", ["a|b", "a\nb", "\x1b[0m"])
def test_no_field_begins_another_field_or_another_line(bad: str) -> None:
    with pytest.raises(ValueError, match="bars or control characters"):
        list_line(["1", bad])
    with pytest.raises(ValueError, match="bars or control characters"):
        parse_session(RUNNING).line(bad)
    with pytest.raises(ValueError, match="bars or control characters"):
        moved_line(RUNNING, "vm", bad)


def test_a_clock_that_was_set_back_makes_no_negative_age() -> None:
    assert parse_session(changed(age="-3600")).age == 0


def test_long_lines_and_control_characters_are_refused() -> None:
    for line in (RUNNING + "x" * LONGEST_LINE, RUNNING + "\n", RUNNING.replace("vm", "v\x1bm"), RUNNING + "\u2028"):
        with pytest.raises(ValueError, match="too long or holds control characters"):
            parse_session(line)


def test_the_cookie_is_in_no_representation() -> None:
    assert COOKIE not in repr(parse_session(RUNNING))


@MANY
@given(st.text(max_size=200) | st.lists(st.text(max_size=12), min_size=12, max_size=18).map("|".join))
def test_any_text_is_a_session_or_a_value_error(line: str) -> None:
    try:
        session = parse_session(line, "anna")
    except ValueError as error:
        assert str(error).isprintable()
        return
    assert session.user == "anna"
    assert session.line() == line


@MANY
@given(st.integers(0, 15), st.text(max_size=20))
def test_one_changed_field_never_makes_a_session_of_somebody_else(place: int, value: str) -> None:
    fields = RUNNING.split("|")
    fields[place] = value
    try:
        session = parse_session("|".join(fields), "x2gotest1")
    except ValueError:
        return
    assert session.user == "x2gotest1"
    assert SESSION_NAME.fullmatch(session.name)
    assert session.state in "RS"


def test_suspended_ones_come_first_the_youngest_at_first() -> None:
    sessions = [made("a", "R", 5), made("b", "S", 900), made("c", "S", 10), made("d", "R", 1)]
    assert [session.name for session in resume_order(sessions)] == ["c", "b", "d", "a"]


def test_views_of_sessions_of_others_are_never_offered() -> None:
    shadow = parse_session(changed(name="x2gotest1-51-1795168145_stSXSHADbert50XSHAD_dp24"))
    assert shadow.is_shadow
    assert resume_order([shadow]) == []


@SOME
@given(st.lists(st.tuples(st.text(max_size=3), st.sampled_from("RS"), st.integers(0, 99))), st.randoms())
def test_the_order_does_not_depend_on_that_of_the_list(rows: list[tuple[str, str, int]], chance: object) -> None:
    sessions = [made(*row) for row in rows]
    shuffled = sessions.copy()
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert resume_order(shuffled) == resume_order(sessions)
    states = [session.is_suspended for session in resume_order(sessions)]
    assert states == sorted(states, reverse=True)
