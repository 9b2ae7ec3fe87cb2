"""What a control session makes of answers: whom it lets go of, when it asks again, what it remembers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from x2gobroker.x2go.control import X2GoControlSession as ControlQueries
from x2gobroker.x2go.control import X2GoControlSession as ControlSessions
from x2gobroker.x2go.control import queries as control_queries
from x2gobroker.x2go.errors import (
    X2GoControlSessionException,
    X2GoDesktopSharingException,
    X2GoTerminalSessionException,
    X2GoTimeOutException,
)
from x2gobroker.x2go.log import LOGLEVEL_DEBUG
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo
from x2gobroker.x2go.wire.reply import Reply
from x2gobroker.x2go.wire.session_probe import Question

NAME = "anna-50-1795167317_stRxterm_dp24"
OTHER = "anna-51-1795167317_stDMATE_dp24"
LOCKED = "DBD::SQLite::dbpreparefailed:databaseislockedat/usr/share/perl5/X2Go/Server/DB/SQLite3.pmline567."


def line(name: str = NAME, state: str = "R", port: int = 1) -> str:
    """One session of a listing."""
    place = name.split("-")[1]
    return (
        f"99|{name}|{place}|vm|{state}|2026-11-20T09:35:17|{'0' * 32}|::1|{port}|2|2026-11-20T09:35:18|anna|25|3|-1|-1"
    )


class Terminal:
    """A session that is shown: notes what becomes of it."""

    def __init__(self, name: str, is_protected: bool = False) -> None:
        self.session_info = X2GoServerSessionInfo()
        self.session_info._parse_x2golistsessions_line(line(name))
        self.is_protected = is_protected
        self.ends: list[str] = []

    def is_session_info_protected(self) -> bool:
        """Whether it wants no updates."""
        return self.is_protected

    def has_been_suspended(self) -> None:
        """It was suspended by somebody else."""
        self.ends.append("suspended")

    def has_been_terminated(self) -> None:
        """It was ended by somebody else."""
        self.ends.append("terminated")
        raise X2GoTerminalSessionException("its folder cannot be removed")


class Scripted(ControlQueries):
    """A control session whose server gives these lists, one after the other; the last one again and again."""

    def __init__(self, *lists: str) -> None:
        super().__init__()
        self.lists = list(lists)
        self.asked: list[str] = []
        self.shown: dict[str, Terminal] = {}

    def command(self, command: str, *limits: Any, **more: Any) -> Reply:
        """The next list; what it says of the state of agents is never settled."""
        self.asked.append(command)
        said = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if said == "time-out":
            raise X2GoTimeOutException("a command on the server did not end within 20 s")
        mark = command.partition("X2GOLIST-")[2][:16]
        return Reply(f"1\n{said}\nX2GOLIST-{mark} 0\nX2GOLIST-{mark}\n", "", 0)

    def show(self, *names: str, is_protected: bool = False) -> None:
        """Show these sessions."""
        for name in names:
            self.shown[name] = Terminal(name, is_protected)
            self.associated_terminals[name] = self.shown[name]  # type: ignore[assignment]


class Ending(Scripted, ControlSessions):
    """The same, whose agents end when they are told to."""

    def command(self, command: str, *limits: Any, **more: Any) -> Reply:
        """An order, or a question for the list."""
        if "x2goterminate-session" in command:
            return Reply("state=TERMINATED\n", "", 0)
        return super().command(command, *limits, **more)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_queries, "LOCKED_PAUSE", 0.01)


def test_sessions_that_others_suspended_or_ended_are_let_go() -> None:
    control = Scripted(line(state="S"))
    control.show(NAME, OTHER)
    assert list(control.list_sessions()) == [NAME]
    assert not control.associated_terminals
    assert control.terminated_terminals == [OTHER]
    assert control.shown[NAME].ends == ["suspended"]
    assert control.shown[OTHER].ends == ["terminated"]
    assert control.shown[NAME].session_info.status == "S"
    assert control.has_terminated(OTHER) is True


def test_a_session_whose_end_was_seen_does_not_come_back_by_a_list_that_is_late() -> None:
    """The server's cleaner may write `running` behind the end: it had read that before."""
    control = Ending(f"{line()}\n{line(OTHER)}")
    control.show(NAME)
    control.shown[NAME].has_been_terminated = lambda: None  # type: ignore[method-assign]
    assert list(control.list_sessions()) == [NAME, OTHER]
    assert control.terminate(NAME) is True
    for _ in range(2):
        assert list(control.list_sessions(refresh=True)) == [OTHER]
        assert control.has_terminated(NAME) is True


@pytest.mark.parametrize("stays", ["", "debug", "shown", "view"])
def test_what_an_earlier_run_left_of_a_session_goes_when_the_session_is_ended(tmp_path: Path, stays: str) -> None:
    """As start, Ctrl-C, and `terminate` by another process leave it. What is shown here tidies up itself."""
    name = "anna-50-1795167317_stS0XSHADbertXSHADPP51_dp24" if stays == "view" else NAME
    folders = [tmp_path / f"S-{each}" for each in (name, OTHER)]
    for folder in folders:
        folder.mkdir()
        (folder / "session.log").write_bytes(b"x")
    control = Ending(line())
    control.sessions_rootdir = str(tmp_path)
    if stays == "debug":
        control.logger.loglevel |= LOGLEVEL_DEBUG
    if stays == "shown":
        control.show(name)
        control.shown[name].has_been_terminated = lambda: None  # type: ignore[method-assign]
    assert control.terminate(name) is True
    assert [folder.exists() for folder in folders] == [stays in ("debug", "shown"), True]


def test_sessions_that_run_are_brought_up_to_date() -> None:
    control = Scripted(f"{line(port=7)}\n{line(OTHER, port=8)}")
    control.show(NAME)
    control.show(OTHER, is_protected=True)
    control.list_sessions()
    assert sorted(control.associated_terminals) == sorted([NAME, OTHER])
    assert control.shown[NAME].session_info.graphics_port == 7
    assert control.shown[OTHER].session_info.graphics_port == 1


def test_a_session_that_starts_while_the_server_answers_is_not_let_go() -> None:
    class Slow(Scripted):
        def command(self, command: str, *limits: Any, **more: Any) -> Reply:
            """Another thread shows a session meanwhile."""
            self.show(NAME)
            return super().command(command)

    control = Slow("")
    assert not control.list_sessions()
    assert list(control.associated_terminals) == [NAME]
    assert not control.shown[NAME].ends


def test_a_session_in_a_line_that_is_not_understood_is_not_let_go() -> None:
    control = Scripted(line().replace("|R|", "|?|"))
    control.show(NAME)
    assert control.list_sessions().unclear == {NAME}
    assert control.has_terminated(NAME) is False
    assert not control.shown[NAME].ends


def test_sessions_about_to_end_stay_until_they_have() -> None:
    control = Scripted(line(state="T"), "")
    control.show(NAME)
    assert control.is_running(NAME) is False
    assert not control.shown[NAME].ends
    assert control.is_running(NAME) is None
    assert control.shown[NAME].ends == ["terminated"]


def test_what_was_seen_has_ended_when_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_queries, "MOST_NAMES", 2)
    control = Scripted(line(), line(OTHER), line(OTHER.replace("-51-", "-52-")), "")
    assert control.has_terminated(NAME) is False
    assert control.has_terminated(NAME) is True
    control.list_sessions()
    assert control.has_terminated(OTHER) is True
    assert control.has_terminated(NAME) is None, "names are not remembered for ever"
    assert control.has_terminated("anna-59-1795167317") is None


def test_a_locked_database_is_asked_again_until_it_is_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    control = Scripted(LOCKED, LOCKED, line())
    assert list(control.list_sessions()) == [NAME]
    assert len(control.asked) == 3
    monkeypatch.setattr(control_queries, "LISTING_SECONDS", 0.05)
    control = Scripted(LOCKED)
    control.show(NAME)
    with pytest.raises(X2GoControlSessionException, match="the session database is locked"):
        control.list_sessions()
    assert len(control.asked) > 1
    assert not control.session_died
    assert not control.shown[NAME].ends


def test_after_a_time_out_the_connection_is_taken_for_lost() -> None:
    control = Scripted("time-out")
    with pytest.raises(X2GoControlSessionException, match="does not list sessions"):
        control.list_sessions()
    assert control.has_session_died()


def test_a_new_connection_knows_nothing_of_the_last_one() -> None:
    control = Scripted(line())
    control.list_sessions()
    assert control._queries._listing is not None
    control._queries._server_features = ["X2GO_OLD"]
    assert control.query_server_features() == ["X2GO_OLD"]
    control._forget()
    assert "X2GO_OLD" not in control.query_server_features()
    assert vars(control._queries)["_listing"] is None


def test_an_older_answer_does_not_replace_a_newer_one() -> None:
    class Overtaken(Scripted):
        def command(self, command: str, *limits: Any, **more: Any) -> Reply:
            """While the first list is on its way, a second one is asked for and comes."""
            reply = super().command(command)
            if len(self.asked) == 1:
                self.list_sessions()
            return reply

    control = Overtaken(line(), line(OTHER))
    assert list(control.list_sessions()) == [NAME]
    assert control._queries._listing is not None
    assert list(control._queries._listing.sessions) == [OTHER]


def test_ages_advance(monkeypatch: pytest.MonkeyPatch) -> None:
    control = Scripted(line())
    monkeypatch.setattr(Question, "__init__", _asked_before(Question.__init__))
    assert control.list_sessions()[NAME].age == 25 + 10


def _asked_before(usual: Any) -> Any:
    def init(self: Question, *arguments: Any) -> None:
        usual(self, *arguments)
        self.asked_at -= 10.5

    return init


@pytest.mark.parametrize(
    ("line", "yes"),
    [
        ("192.0.2.9|/home/anna/media/disk/_home_anna_Bilder", True),
        ("fe80::1%eth0|/home/anna/a b", True),
        ("|/home/anna/x", True),
        ("192.0.2.9", False),
        ("192.0.2.9|relative", False),
        ("192.0.2.9|/home/\x1b[2J", False),
        ("$(id)|/home/anna", False),
        ("192.0.2.9|/" + "x" * 5000, False),
    ],
)
def test_lines_of_mounts_are_a_client_and_a_path(line: str, yes: bool) -> None:
    assert control_queries._is_mount(line) is yes


def test_the_mode_of_a_shared_desktop_may_be_text(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    control = Ending("")
    monkeypatch.setattr(control, "start", lambda **kwargs: started.append(kwargs["cmd"]))
    for mode in (0, "0", 1, "1"):
        control.share_desktop("bert@:51", share_mode=mode, desktops=["bert@:51"])
    assert started == ["0XSHADbertXSHAD:51"] * 2 + ["1XSHADbertXSHAD:51"] * 2
    for wrong in ("2", "", 2):
        with pytest.raises(X2GoDesktopSharingException, match="view only"):
            control.share_desktop("bert@:51", share_mode=wrong, desktops=["bert@:51"])
