"""How many sessions of a user run, or are suspended, by the session profile that each was begun from.

What servers were just asked counts where they were; else what clients reported last. No server is asked for this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from x2gobroker.model.sessions import RUNNING, SUSPENDED
from x2gobroker.store.origins import Reported

GONE = ("TERMINATING", "FINISHED")
SUSPENDING = "SUSPENDING"
MISSED = 3  # signs of life, after which a client is taken for gone
SLACK_SECONDS = 10.0


@dataclass(frozen=True)
class Count:
    """How many sessions of one profile run and are suspended."""

    running: int = 0
    suspended: int = 0


def state_of(event: str, reported: float, live_seconds: int, now: float) -> str:
    """The state of a session by the last report about it; empty for one that has ended.

    A client that gives no sign of life any more has lost its session, which its server suspends then.
    """
    if event in GONE:
        return ""
    late = live_seconds > 0 and reported < now - MISSED * live_seconds - SLACK_SECONDS
    return SUSPENDED if event == SUSPENDING or late else RUNNING


def count_reported(reports: Iterable[Reported], live_seconds: int, now: float) -> dict[str, Count]:
    """The sessions of each profile, by what clients reported of them; moments are seconds since the epoch."""
    states = ((one.profile, state_of(one.event, one.reported, live_seconds, now)) for one in reports)
    return _counted(states)


def count_listed(listed: Mapping[str, Mapping[str, str]], profile_of: Mapping[str, str]) -> dict[str, Count]:
    """The sessions of each profile, by what servers listed: for each profile, states by name of those on its servers.

    A session whose profile is not known counts for each profile that could resume it.
    """
    return _counted(
        (profile, state)
        for profile, sessions in listed.items()
        for name, state in sessions.items()
        if profile_of.get(name, profile) == profile
    )


def _counted(states: Iterable[tuple[str, str]]) -> dict[str, Count]:
    counts: dict[str, Count] = {}
    for profile, state in states:
        count = counts.get(profile, Count())
        counts[profile] = Count(count.running + (state == RUNNING), count.suspended + (state == SUSPENDED))
    return counts
