"""Lists of sessions: what a server prints, and what is made of it, whatever else is between the lines."""

from __future__ import annotations

import logging
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.x2go.log import LOGLEVEL_INFO, X2GoLogger
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo, X2GoServerSessionList, database_failure

COOKIE = "f28b48c66f97bdba38e56856d0ea090f"
NAME = "x2gotest1-50-1795167317_stRxterm_dp24"
LINE = (
    f"14864|{NAME}|50|vm|R|2026-11-20T09:35:17|{COOKIE}|127.0.0.1|38091|38092|"
    "2026-11-20T09:35:18|x2gotest1|25|38093|-1|-1"
)
STARTED = f"50\n{COOKIE}\n14864\n{NAME}\n38091\n38092\n38093\n"


def listed(line: str) -> X2GoServerSessionInfo:
    """The only session of this listing."""
    (info,) = X2GoServerSessionList(line)().values()
    return info


def named(kind: str) -> X2GoServerSessionInfo:
    """A session whose name ends so."""
    return listed(LINE.replace("_stRxterm_dp24", kind))


def test_a_line_of_a_listing() -> None:
    info = listed(LINE + "\n")
    assert (info.name, info.cookie, info.agent_pid, info.display) == (NAME, COOKIE, 14864, 50)
    assert (info.graphics_port, info.snd_port, info.sshfs_port) == (38091, 38092, 38093)
    assert (info.tekictrl_port, info.tekidata_port) == (-1, -1)
    assert (info.username, info.hostname, info.status, info.age) == ("x2gotest1", "vm", "R", 25)
    assert (info.date_created, info.date_suspended) == ("2026-11-20T09:35:17", "2026-11-20T09:35:18")
    assert info.is_running() is True
    assert info.is_suspended() is False
    assert info.is_initialized()
    assert not info.is_protected()
    assert str(info) == NAME


def test_a_suspended_session() -> None:
    info = listed(LINE.replace("|R|", "|S|"))
    assert (info.is_running(), info.is_suspended(), info.get_status()) == (False, True, "S")


def test_a_session_about_to_end_is_neither_running_nor_suspended() -> None:
    info = listed(LINE.replace("|R|", "|T|"))
    assert (info.is_running(), info.is_suspended(), info.get_status()) == (False, False, "T")


def test_lines_of_older_servers_have_fewer_fields() -> None:
    info = listed(LINE.rpartition("|-1|")[0])
    assert (info.sshfs_port, info.tekictrl_port, info.tekidata_port) == (38093, -1, -1)


@pytest.mark.parametrize(
    ("kind", "type_", "desktop", "provider", "share_mode"),
    [
        ("_stRxterm_dp24", "R", False, False, None),
        ("_stDopenbox-session_dp24", "D", True, False, None),
        ("_stKMATE_dp24", "K", True, False, None),
        ("_stRPUBLISHED_dp24", "P", False, True, None),
        ("_stS0XSHADx2gotest2XSHADPP51_dp24", "S", False, False, "0"),
        ("_stS1XSHADx2gotest2XSHADPP51_dp24", "S", False, False, "1"),
        ("", None, False, False, None),
    ],
)
def test_kinds_of_sessions(kind: str, type_: str | None, desktop: bool, provider: bool, share_mode: str | None) -> None:
    info = named(kind)
    assert info.get_session_type() == type_
    assert info.get_session_type() == type_  # the second time from what is remembered
    assert info.is_desktop_session() is desktop
    assert info.is_published_applications_provider() is provider
    assert info.get_share_mode() == share_mode
    assert info.is_kdrive_session() is (type_ == "K")
    assert info.is_nx3_session() is (type_ in ("D", "R", "S", "P"))


def test_nothing_is_known_of_a_new_object() -> None:
    info = X2GoServerSessionInfo()
    questions = (
        info.is_running,
        info.is_suspended,
        info.get_status,
        info.get_session_type,
        info.get_share_mode,
        info.is_desktop_session,
        info.is_kdrive_session,
        info.is_nx3_session,
        info.is_published_applications_provider,
    )
    assert [question() for question in questions] == [None] * len(questions)
    assert not info.is_initialized()


def test_the_answer_of_a_start() -> None:
    info = X2GoServerSessionInfo()
    info.initialize(STARTED, "x2gotest1", "vm", "/home/a/.x2go/S-1", "/home/b/.x2go/C-1")
    assert (info.name, info.cookie, info.agent_pid, info.display) == (NAME, COOKIE, 14864, 50)
    assert (info.graphics_port, info.snd_port, info.sshfs_port) == (38091, 38092, 38093)
    assert (info.username, info.hostname, info.status) == ("x2gotest1", "vm", "R")
    assert (info.local_container, info.remote_container) == ("/home/a/.x2go/S-1", "/home/b/.x2go/C-1")
    assert info.is_protected()
    info.unprotect()
    assert not info.is_protected()
    info.initialize(STARTED + "45001\n45002\n")
    assert (info.tekictrl_port, info.tekidata_port) == (45001, 45002)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "50\n",
        "ACCESS DENIED\n",
        "\n" * 7,
        STARTED.replace("50", "fifty", 1),
        STARTED.replace(NAME, "; reboot"),
        STARTED.replace(COOKIE, "Can't open display"),
    ],
)
def test_a_failed_start_is_an_error_and_changes_nothing(said: str) -> None:
    info = listed(LINE)
    with pytest.raises(ValueError, match="x2gostartagent"):
        info.initialize(said)
    assert vars(info) == vars(listed(LINE)) | {"session_type_cached": info.session_type_cached}


def test_an_update_takes_what_changes() -> None:
    info = listed(LINE)
    newer = (
        LINE.replace("|R|", "|S|").replace("38091", "40001").replace("09:35:18", "09:40:00").replace(COOKIE, "0" * 32)
    )
    info.local_container = "/kept"
    info.update(listed(newer))
    assert (info.status, info.graphics_port, info.date_suspended) == ("S", 40001, "2026-11-20T09:40:00")
    assert (info.cookie, info.local_container) == (COOKIE, "/kept")


def test_a_list_is_a_mapping_and_finds_sessions() -> None:
    other = LINE.replace("-50-", "-51-").replace("|50|", "|51|").replace("|vm|", "|vm2|")
    sessions = X2GoServerSessionList(f"{LINE}\n{other}\n")
    second = NAME.replace("-50-", "-51-")
    assert list(sessions) == [NAME, second]
    assert len(sessions) == 2
    assert sessions() is sessions.get_sessions() is sessions.sessions
    assert sessions[NAME] is sessions.get_session_info(NAME)
    assert sessions.get_session_info("nobody") is None
    for display in ("51", ":51", ":51.0", 51):
        assert sessions.get_session_with("display", display) is sessions[second]
    assert sessions.get_session_with("display", "51", hostname="vm") is None
    assert sessions.get_session_with("display", "51", hostname="vm2") is sessions[second]
    assert sessions.get_session_with("nosuchthing", "51") is None
    sessions.set_sessions({})
    assert not sessions


def test_rubbish_is_left_out_and_told_without_cookies(caplog: pytest.LogCaptureFixture) -> None:
    rubbish = [
        "Last login: yesterday",
        LINE.replace("14864", "unknown"),
        LINE.replace(NAME, "../../etc"),
        LINE.replace("|R|", "|X|"),
        LINE.replace("|38093|", "|none|"),
        f"|{NAME}|50|vm|R|2026-11-20T09:35:17||||||x2gotest1|0||-1|-1",  # a session that is just being made
        LINE + "|" * 20,
        "|" * 3000,
        f"\x1b[2J{LINE}",
    ]
    with caplog.at_level(logging.INFO, logger="x2go.test"):
        sessions = X2GoServerSessionList("\n".join([*rubbish, LINE]), logger=X2GoLogger("x2go.test", LOGLEVEL_INFO))
    assert list(sessions) == [NAME]
    assert sessions.unclear == {NAME, ""}
    assert len(caplog.records) == len(rubbish)
    assert COOKIE not in caplog.text


def test_a_whole_listing_is_clear() -> None:
    for text in (f"{LINE}\r\n\n", "", None):
        assert not X2GoServerSessionList(text).unclear


def test_cookies_are_not_shown() -> None:
    info = listed(LINE)
    assert COOKIE not in repr(info)
    assert NAME in repr(info)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("DBD::SQLite::dbpreparefailed:databaseislockedat/usr/share/perl5/X2Go/Server/DB/SQLite3.pmline567.", "locked"),
        (
            "DBIconnect('dbname=/x/x2go_sessions','',...)failed:unabletoopendatabasefileat/x",
            "cannot be used",
        ),
        (
            "DBD::SQLite::dbpreparefailed:fileisnotadatabaseat/x",
            "cannot be used",
        ),
        ("DBI connect('dbname=x2go_sessions;host=db','x2gouser_anna',...) failed: FATAL: password", "cannot be used"),
    ],
)
def test_failures_of_the_database_are_told_from_sessions(line: str, what: str) -> None:
    assert what in (database_failure(f"{LINE}\n{line}\n") or "")
    assert database_failure(f"{LINE}\nMy DBD:: text\n") is None


@given(st.text())
def test_any_text_is_a_list(text: str) -> None:
    sessions = X2GoServerSessionList(text)
    database_failure(text)
    for name, info in sessions.items():
        assert info.name == name
        assert info.get_status() in ("R", "S", "T")


FIELDS = st.one_of(st.text(string.printable.replace("|", ""), max_size=12), st.sampled_from(LINE.split("|")))


@given(st.lists(FIELDS, min_size=10, max_size=20), st.integers(0, 15), FIELDS)
def test_any_fields_are_a_session_or_left_out(fields: list[str], place: int, other: str) -> None:
    almost = LINE.split("|")
    almost[place] = other
    for line in ("|".join(fields), "|".join(almost)):
        for info in X2GoServerSessionList(line)().values():
            assert isinstance(info.agent_pid, int)
            assert isinstance(info.sshfs_port, int)
            assert info.get_session_type() in (None, "D", "R", "S", "P", "K", "C")


@given(st.text() | st.lists(st.sampled_from([*STARTED.split("\n"), "", "x", "-1", "٣"]), max_size=10).map("\n".join))
def test_any_answer_of_a_start_is_taken_or_refused(said: str) -> None:
    info = X2GoServerSessionInfo()
    try:
        info.initialize(said)
    except ValueError:
        assert not info.is_initialized()
    else:
        assert info.name == NAME
