"""Client events: the last one of each session, per user, bounded."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from x2gobroker.store import events as module
from x2gobroker.store.database import FILE_NAME, Store
from x2gobroker.store.events import KEEP_SECONDS, ClientEvent, ClientEvents


@pytest.fixture
def events(tmp_path: Path) -> ClientEvents:
    """Events in a fresh store."""
    return ClientEvents(Store(URL.create("sqlite", database=str(tmp_path / FILE_NAME))))


def event(user: str = "anna", session: str = "s1", what: str = "ALIVE", ago: float = 0.0) -> ClientEvent:
    return ClientEvent(
        username=user,
        session=session,
        event=what,
        login=user,
        server="h.example",
        client="pc",
        address="192.0.2.7",
        command="KDE",
        display="50",
        started="2026-01-01T00:00:00",
        elapsed=7,
        version="4.1.2.2",
        system="linux",
        reported=time.time() - ago,
    )


def test_a_report_is_read_back_as_it_was(events: ClientEvents) -> None:
    report = event()
    events.record(report)
    assert events.of_user("anna") == [report]


def test_the_last_report_of_a_session_counts(events: ClientEvents) -> None:
    events.record(event(what="CONNECTED", ago=5))
    last = event(what="SUSPENDING")
    events.record(last)
    assert events.of_user("anna") == [last]


def test_sessions_are_given_the_newest_first(events: ClientEvents) -> None:
    for session, ago in (("s2", 20.0), ("s1", 10.0), ("s3", 30.0)):
        events.record(event(session=session, ago=ago))
    assert [found.session for found in events.of_user("anna")] == ["s1", "s2", "s3"]


def test_users_see_their_own_only_even_for_the_same_session_name(events: ClientEvents) -> None:
    events.record(event("anna", what="ALIVE"))
    events.record(event("bert", what="TERMINATING"))
    assert [found.event for found in events.of_user("anna")] == ["ALIVE"]
    assert [found.event for found in events.of_user("bert")] == ["TERMINATING"]
    assert events.of_user("") == []


def test_old_reports_of_everybody_are_dropped(events: ClientEvents) -> None:
    events.record(event("bert", ago=KEEP_SECONDS + 60))
    events.record(event("carla", ago=KEEP_SECONDS - 60))
    events.record(event("anna"))
    assert events.of_user("bert") == []
    assert len(events.of_user("carla")) == 1


def test_one_user_cannot_fill_the_store_and_keeps_the_newest(
    events: ClientEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_PER_USER", 5)
    events.record(event("bert", session="b"))
    for number in range(12):
        events.record(event(session=f"s{number}", ago=100.0 - number))
    assert [found.session for found in events.of_user("anna")] == ["s11", "s10", "s9", "s8", "s7"]
    assert len(events.of_user("bert")) == 1


def test_text_of_any_kind_is_kept_as_it_is(events: ClientEvents) -> None:
    odd = replace(event(), command="a'b\"c; drop table client_events; --\né", started="", elapsed=0)
    events.record(odd)
    assert events.of_user("anna") == [odd]


@pytest.mark.parametrize(
    ("stored", "late", "kept"),
    [
        (("SUSPENDING", 0.0), ("FINISHED", 0.4), "FINISHED"),
        (("FINISHED", 0.4), ("SUSPENDING", 0.0), "FINISHED"),
        (("ALIVE", 50.0), ("CONNECTED", 0.0), "CONNECTED"),
        (("ALIVE", 0.0), ("SUSPENDING", 50.0), "ALIVE"),
        (("FINISHED", 50.0), ("CONNECTED", 0.0), "CONNECTED"),
        (("CONNECTED", 0.2), ("ALIVE", 0.0), "ALIVE"),
        (("TERMINATING", 0.2), ("FINISHED", 0.0), "FINISHED"),
    ],
)
def test_the_newest_report_stays_in_whatever_order_they_are_written(
    events: ClientEvents, stored: tuple[str, float], late: tuple[str, float], kept: str
) -> None:
    """Of two within a second, the one that ends the session."""
    for what, ago in (stored, late):
        events.record(event(what=what, ago=ago))
    assert [found.event for found in events.of_user("anna")] == [kept]
