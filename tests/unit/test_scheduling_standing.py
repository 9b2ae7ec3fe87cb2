"""How many sessions run and are suspended, by the session profile that they were begun from."""

from __future__ import annotations

import pytest

from x2gobroker.scheduling.standing import Count, count_listed, count_reported, state_of
from x2gobroker.store.origins import Reported

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("event", "age", "live", "state"),
    [
        ("CONNECTING", 1, 30, "R"),
        ("CONNECTED", 1, 30, "R"),
        ("ALIVE", 99, 30, "R"),
        ("ALIVE", 101, 30, "S"),
        ("CONNECTED", 9999, 0, "R"),
        ("SUSPENDING", 1, 30, "S"),
        ("SUSPENDING", 9999, 0, "S"),
        ("TERMINATING", 1, 30, ""),
        ("FINISHED", 9999, 30, ""),
    ],
)
def test_the_last_report_tells_the_state(event: str, age: float, live: int, state: str) -> None:
    assert state_of(event, NOW - age, live, NOW) == state


def test_reports_are_counted_by_profile() -> None:
    events = ["CONNECTED", "SUSPENDING", "ALIVE", "FINISHED"]
    reports = [Reported(f"s{number}", "desk", event, NOW) for number, event in enumerate(events)]
    reports += [Reported("other", "lab", "SUSPENDING", NOW)]
    assert count_reported(reports, 30, NOW) == {"desk": Count(2, 1), "lab": Count(0, 1)}


def test_sessions_that_servers_list_count_for_the_profile_they_were_begun_from() -> None:
    listed = {"desk": {"a": "R", "b": "S", "c": "T"}, "lab": {"a": "R", "b": "S"}, "none": {}}
    assert count_listed(listed, {"a": "desk", "b": "lab"}) == {"desk": Count(1, 0), "lab": Count(0, 1)}
    assert count_listed(listed, {}) == {"desk": Count(1, 1), "lab": Count(1, 1)}
