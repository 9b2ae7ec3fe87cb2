"""What the broker does, and what clients report, is known at once: nobody has to be asked for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy.engine import URL

from tests.web.conftest import PASSWORD, Bench
from x2gobroker.inventory.reads import Reads
from x2gobroker.store import ClientEvents, Store
from x2gobroker.store.database import FILE_NAME

Make = Callable[..., Bench]
PROFILES = "[desk]\nhost = ts01.example.org (192.0.2.10)\n[lab]\nhost = 192.0.2.11\n[old]\nhost = ts01.example.org\n"
ANNA, BERT = (f"{user}-50-4102444800_stDXFCE_dp24" for user in ("anna", "bert"))


@pytest.fixture
def broker(broker_with: Make) -> Bench:
    """A broker without agents: nobody but clients tells it anything."""
    made = broker_with("client-events = true\ndefault-portscan-x2goservers = false\n")
    made.write("profiles.conf", PROFILES)
    return made


def store(broker: Bench) -> Store:
    return Store(URL.create("sqlite", database=str(broker.folder / "state" / FILE_NAME)))


def where(broker: Bench) -> list[tuple[str, str, str, str]]:
    """Key of the server, account, state and profile of all that is known."""
    return sorted(
        (one.server.key, one.session.user, one.session.state, one.session.profile)
        for one in Reads(store(broker)).everywhere()
    )


def select(broker: Bench, profile: str = "desk", user: str = "anna") -> None:
    answer = broker.post(task="selectsession", sid=profile, user=user, password=PASSWORD).text
    assert "SERVER:" in answer


def report(
    broker: Bench, event: str, session: str = ANNA, user: str = "anna", server: str = "192.0.2.10", status: int = 200
) -> None:
    fields = {"sid": session, "event": event, "server": server, "login": user, "elapsed": "1", "display": ":50"}
    answer = broker.post(task="clientevent", user=user, password=PASSWORD, **fields)
    assert answer.status_int == status
    assert ("Access granted" in answer.text) == (status == 200)


def test_the_life_of_a_session(broker: Bench) -> None:
    select(broker)
    assert where(broker) == [("192.0.2.10:22", "anna", "E", "desk")]
    for event, state in (("CONNECTING", "R"), ("CONNECTED", "R"), ("SUSPENDING", "S"), ("FINISHED", "S")):
        report(broker, event)
        assert where(broker) == [("192.0.2.10:22", "anna", state, "desk")]


def test_a_session_that_this_broker_did_not_begin(broker: Bench) -> None:
    report(broker, "ALIVE", server="192.0.2.11")
    report(broker, "ALIVE", BERT, "bert", "unknown.example.org")
    assert where(broker) == [("192.0.2.11:22", "anna", "R", "")]


def test_another_selection_by_the_same_profile_moves_who_is_on_the_way(broker: Bench) -> None:
    select(broker)
    select(broker, "lab")
    select(broker, "lab", "bert")
    assert where(broker) == [
        ("192.0.2.10:22", "anna", "E", "desk"), ("192.0.2.11:22", "anna", "E", "lab"),
        ("192.0.2.11:22", "bert", "E", "lab"),
    ]  # fmt: skip


def test_nobody_ends_sessions_of_others(broker: Bench) -> None:
    report(broker, "ALIVE", BERT, "bert")
    report(broker, "TERMINATING", BERT, "anna")
    report(broker, "SUSPENDING", BERT, "anna")
    assert where(broker) == [("192.0.2.10:22", "bert", "R", "")]


def test_an_event_that_cannot_be_noted_is_not_kept_either(broker: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    select(broker)
    monkeypatch.setattr("x2gobroker.inventory.record.merge", lambda *_arguments: 1 / 0)
    report(broker, "CONNECTED", status=500)
    assert ClientEvents(store(broker)).of_user("anna") == []
    monkeypatch.undo()
    report(broker, "CONNECTED")
    assert [event.event for event in ClientEvents(store(broker)).of_user("anna")] == ["CONNECTED"]
