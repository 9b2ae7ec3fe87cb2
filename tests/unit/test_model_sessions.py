"""Lines of x2golistsessions: what is a session, what cannot be one, and what is offered first."""

from __future__ import annotations

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
PLACES = {"pid": 0, "name": 1, "display": 2, "server": 3, "state": 4, "gr": 8, "sound": 9, "user": 11, "age": 12}


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
        ("user", "", "somebody else"),
    ],
)
def test_lines_that_cannot_be(field: str, value: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as caught:
        parse_session(changed(**{field: value}), "x2gotest1")
    assert COOKIE not in str(caught.value)


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
