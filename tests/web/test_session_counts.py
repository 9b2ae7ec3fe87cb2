"""The plain listing says how many sessions run and are suspended, by the profile that each was begun from."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.web.conftest import PASSWORD, Bench

Make = Callable[..., Bench]
PROFILES = "[desk]\nhost = 192.0.2.10\n[lab]\nhost = 192.0.2.10, 192.0.2.11\n"
QUIET = "default-portscan-x2goservers = false\n"
NAMES = [f"anna-{number}-4102444800_stDXFCE_dp24" for number in range(50, 54)]


@pytest.fixture
def broker(broker_with: Make) -> Bench:
    """A broker with two profiles on the same server."""
    made = broker_with(f"client-events = true\nclient-live-event = 0\n{QUIET}")
    made.write("profiles.conf", PROFILES)
    return made


def counts(broker: Bench, user: str = "anna") -> dict[str, str]:
    """What the listing says of each profile: `running` and `suspended`, as they stand there."""
    text = broker.post(task="listsessions", user=user, password=PASSWORD).text
    return {
        section: " ".join(re.findall(r"^((?:running|suspended)=.*)$", body, re.MULTILINE))
        for section, body in re.findall(r"^\[(.+)\]\n((?:.+\n)*)", text, re.MULTILINE)
    }


def begin(broker: Bench, profile: str, session: str) -> None:
    """Select a profile, and report the session that comes of it."""
    answer = broker.post(task="selectsession", sid=profile, user="anna", password=PASSWORD).text
    server = re.search(r"SERVER:([^:]+):", answer)
    assert server is not None
    report(broker, session, "CONNECTED", server[1])


def report(broker: Bench, session: str, event: str, server: str = "192.0.2.10") -> None:
    fields = {"sid": session, "event": event, "server": server, "login": "anna", "elapsed": "1", "display": ":50"}
    assert broker.post(task="clientevent", user="anna", password=PASSWORD, **fields).text.count("Access granted")


def test_sessions_are_counted_by_the_profile_they_were_begun_from(broker: Bench) -> None:
    assert counts(broker) == {"desk": "", "lab": ""}
    begin(broker, "desk", NAMES[0])
    begin(broker, "lab", NAMES[1])
    begin(broker, "desk", NAMES[2])
    assert counts(broker) == {"desk": "running=2", "lab": "running=1"}
    report(broker, NAMES[0], "SUSPENDING")
    assert counts(broker) == {"desk": "running=1 suspended=1", "lab": "running=1"}
    report(broker, NAMES[0], "FINISHED")
    report(broker, NAMES[1], "TERMINATING")
    assert counts(broker) == {"desk": "running=1", "lab": ""}
    assert counts(broker, "bert") == {"desk": "", "lab": ""}


def test_a_session_that_nobody_began_by_this_broker_is_not_counted(broker: Bench) -> None:
    report(broker, NAMES[0], "CONNECTED")
    assert counts(broker) == {"desk": "", "lab": ""}


def test_json_is_not_told_what_pyhoca_does_not_know(broker: Bench) -> None:
    begin(broker, "desk", NAMES[0])
    profiles = broker.post("/json/inifile/", task="listprofiles", user="anna", password=PASSWORD).json["profiles"]
    assert not {"running", "suspended"} & set(profiles["desk"])


def test_without_client_events_nothing_is_counted(broker: Bench) -> None:
    begin(broker, "desk", NAMES[0])
    broker.write(
        "x2gobroker.conf",
        broker.folder.joinpath("x2gobroker.conf").read_text().replace("client-events = true", "client-events = false"),
    )
    assert counts(broker) == {"desk": "", "lab": ""}
