"""Which of several X2Go Servers is the best for a new session: figures in, one server out; asks nobody.

The load of a server is (sessions + 1) / load factor, as in the reference (x2gobroker 0.0.4.3), where sessions that are
on their way count as well.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from x2gobroker.model.hosts import Endpoint, Host
from x2gobroker.store.reservations import Held

UNKNOWN = -1  # base of a reservation made when nobody knew the number of sessions


@dataclass(frozen=True)
class Candidate:
    """A server that can be chosen.

    `capacity` is its load factor, or its weight; 0: a spare. `sessions` is how many it has, as of the moment `as_of`;
    None where nobody can tell. Those with a smaller `tier` come first, whatever their load. `told` is when the server
    last told all of its sessions, where `sessions` goes by that: of those that began since, it has only the ones that
    somebody has told of.
    """

    host: Host
    endpoint: Endpoint
    capacity: float = 1.0
    sessions: int | None = None
    as_of: float = 0.0
    tier: int = 0
    told: float | None = None

    @property
    def since(self) -> float:
        """The moment before which reservations have expired that no longer count."""
        return self.as_of if self.told is None else min(self.told, self.as_of)


@dataclass(frozen=True)
class Ranked:
    """A candidate with the sessions that it is reckoned to have, and its load."""

    candidate: Candidate
    expected: int
    load: float
    is_full: bool = False


def outstanding(candidate: Candidate, rows: Sequence[Held]) -> int:
    """How many of these reservations, oldest first, are not among the candidate's sessions.

    A reservation that was made since the sessions were counted is not; one whose session began before is. Of the others
    the count itself tells: it has grown, since the first of them was made, by those that have arrived. One that has
    expired still counts until its server could have told of its session.
    """
    if not rows:
        return 0
    sessions, as_of = candidate.sessions, candidate.as_of
    rows = [row for row in rows if row.expires > candidate.since]
    if sessions is None:
        return len(rows)
    later = [row for row in rows if row.made > as_of or (row.began is not None and row.began > as_of)]
    before = [row for row in rows if row.made <= as_of and (row.began is None or row.began <= as_of)]
    waiting = [row for row in before if row.is_open]
    if not waiting:
        return len(later)
    first = waiting[0]
    missing = len(waiting)
    if first.base != UNKNOWN:
        due = first.base + sum(row.made >= first.made for row in before)
        missing = min(missing, max(0, due - sessions))
    return len(later) + missing


def starting(rows: Sequence[Held], now: float) -> int:
    """How many of these reservations are of users who may be starting a session at this moment."""
    return sum(row.is_open and row.expires > now for row in rows)


def ranked(
    candidates: Sequence[Candidate],
    reservations: Mapping[str, Sequence[Held]],
    limit: int,
    now: float,
    dice: random.Random,
) -> list[Ranked]:
    """The candidates, best first; those with `limit` (0: none) new logins under way come last, as full.

    Ties are broken at random. Where nobody knows the sessions, the choice is a weighted random one, which keeps away
    from servers that have just been handed out.
    """
    taken = {key: outstanding(candidate, reservations.get(key, ())) for key, candidate in _by_key(candidates)}
    # in a race of exponential clocks each wins as often as its weight says; once places are taken, these say more
    jitter = dice.random if any(taken.values()) else lambda: dice.expovariate(1.0)
    found = []
    for key, candidate in _by_key(dice.sample(candidates, len(candidates))):
        expected = (candidate.sessions or 0) + taken[key]
        load = (expected + (jitter() if candidate.sessions is None else 1)) / (candidate.capacity or 1.0)
        is_full = bool(limit) and starting(reservations.get(key, ()), now) >= limit
        found.append(Ranked(candidate, expected, load, is_full))
    return sorted(found, key=lambda entry: (entry.is_full, entry.candidate.tier, entry.load))


def _by_key(candidates: Sequence[Candidate]) -> list[tuple[str, Candidate]]:
    return [(candidate.endpoint.key, candidate) for candidate in candidates]
