"""Lengths of time as the portal says them."""

from __future__ import annotations

import pytest

from x2gobroker.portal.texts import duration, time_left


@pytest.mark.parametrize(
    ("seconds", "past", "to_come"),
    [
        (59, "less than a minute", "less than a minute"),
        (119, "1 minute", "2 minutes"),
        (7190, "119 minutes", "2 hours"),
        (4 * 3600 - 10, "3 hours", "4 hours"),
        (4 * 3600 + 1700, "4 hours", "4 hours"),
        (2 * 86400 - 1, "47 hours", "2 days"),
        (3 * 86400 - 60, "2 days", "3 days"),
    ],
)
def test_ages_are_rounded_down_and_times_to_come_to_the_nearest(seconds: float, past: str, to_come: str) -> None:
    assert (duration(seconds), time_left(seconds)) == (past, to_come)
