"""Which server is the best: figures in, one server out."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.model.hosts import Host
from x2gobroker.scheduling.ranking import UNKNOWN, Candidate, outstanding, ranked, starting
from x2gobroker.store.reservations import Held

NOW = 1000.0


def candidate(
    name: str = "ts01", capacity: float = 1.0, sessions: int | None = 0, as_of: float = NOW, tier: int = 0
) -> Candidate:
    host = Host(name)
    return Candidate(host, host.endpoint(22), capacity, sessions, as_of, tier)


def reserved(made: float, base: int = 0, began: float | None = None, lasts: float = 90, at: str = "ts01") -> Held:
    return Held(f"{at}:22", made, made + lasts, base, began)


def best(*candidates: Candidate, rows: dict[str, list[Held]] | None = None, limit: int = 0, seed: int = 1) -> str:
    return ranked(candidates, rows or {}, limit, NOW, random.Random(seed))[0].candidate.host.name


def test_the_fewest_sessions_win() -> None:
    assert best(candidate("ts01", sessions=3), candidate("ts02", sessions=2)) == "ts02"


def test_load_is_sessions_plus_one_by_load_factor() -> None:
    # (9 + 1) / 30 is less than (2 + 1) / 8
    assert best(candidate("big", 30, 9), candidate("small", 8, 2)) == "big"
    assert best(candidate("big", 30, 11), candidate("small", 8, 2)) == "small"


def test_an_idle_small_server_beside_an_idle_big_one_waits() -> None:
    assert best(candidate("big", 30, 0), candidate("small", 8, 0)) == "big"


def test_a_lower_tier_wins_whatever_its_load() -> None:
    assert best(candidate("known", sessions=500), candidate("unknown", sessions=0, tier=1)) == "known"


def test_ties_go_to_each_sooner_or_later() -> None:
    names = ("ts01", "ts02", "ts03")
    found = {best(*(candidate(name) for name in names), seed=seed) for seed in range(40)}
    assert found == set(names)


def test_the_same_dice_give_the_same_order() -> None:
    candidates = [candidate(f"ts{number:02}") for number in range(20)]
    orders = [ranked(candidates, {}, 0, NOW, random.Random(7)) for _ in range(2)]
    assert orders[0] == orders[1]


def test_where_nobody_knows_the_sessions_weights_give_the_shares() -> None:
    dice = random.Random(3)
    candidates = [candidate("big", 4, None), candidate("small", 1, None)]
    shares = Counter(ranked(candidates, {}, 0, NOW, dice)[0].candidate.host.name for _ in range(5000))
    assert 3800 < shares["big"] < 4200


def test_where_nobody_knows_the_sessions_reservations_keep_others_away() -> None:
    rows = {"ts01:22": [reserved(NOW - 1, UNKNOWN) for _ in range(10)]}
    candidates = [candidate("ts01", sessions=None), candidate("ts02", sessions=None)]
    assert {best(*candidates, rows=rows, seed=seed) for seed in range(50)} == {"ts02"}


def test_a_full_server_comes_last_and_is_said_to_be_full() -> None:
    rows = {"ts01:22": [reserved(NOW - 1), reserved(NOW - 2)]}
    order = ranked([candidate("ts01"), candidate("ts02", sessions=50)], rows, 2, NOW, random.Random(1))
    assert [(entry.candidate.host.name, entry.is_full) for entry in order] == [("ts02", False), ("ts01", True)]


def test_confirmed_and_expired_reservations_make_no_server_full() -> None:
    rows = [reserved(NOW - 5, began=NOW - 2), reserved(NOW - 100), reserved(NOW - 1)]
    assert starting(rows, NOW) == 1


def test_a_reservation_made_after_the_count_counts() -> None:
    assert outstanding(candidate(as_of=NOW - 10), [reserved(NOW - 5), reserved(NOW - 4)]) == 2


def test_a_session_that_began_after_the_count_counts_one_that_began_before_does_not() -> None:
    seen = candidate(sessions=7, as_of=NOW - 10)
    assert outstanding(seen, [reserved(NOW - 20, began=NOW - 5)]) == 1
    assert outstanding(seen, [reserved(NOW - 20, began=NOW - 15)]) == 0


def test_an_expired_reservation_counts_until_a_count_that_is_newer() -> None:
    old = reserved(NOW - 200)
    assert outstanding(candidate(as_of=NOW - 150), [old]) == 1
    assert outstanding(candidate(as_of=NOW - 100), [old]) == 0


def test_a_count_that_has_grown_by_the_reservations_explains_them() -> None:
    rows = [reserved(NOW - 30 + number, base=5 + number) for number in range(4)]
    assert outstanding(candidate(sessions=9), rows) == 0
    assert outstanding(candidate(sessions=7), rows) == 2
    assert outstanding(candidate(sessions=5), rows) == 4


def test_sessions_that_ended_meanwhile_count_no_reservation_twice() -> None:
    rows = [reserved(NOW - 30, base=5), reserved(NOW - 29, base=6)]
    assert outstanding(candidate(sessions=1), rows) == 2


def test_a_server_on_which_no_session_ever_begins_does_not_attract_everybody() -> None:
    rows = {"hole:22": [reserved(NOW - 30 + number, base=number, at="hole") for number in range(12)]}
    assert best(candidate("hole", sessions=0), candidate("ts02", sessions=11), rows=rows) == "ts02"


def test_a_confirmed_reservation_explains_growth_too() -> None:
    rows = [reserved(NOW - 30, base=5), reserved(NOW - 20, base=6, began=NOW - 10)]
    # six sessions: the confirmed one is among them, so that the first is still to come
    assert outstanding(candidate(sessions=6), rows) == 1
    assert outstanding(candidate(sessions=7), rows) == 0


def test_reservations_without_a_known_base_all_count() -> None:
    assert outstanding(candidate(sessions=9), [reserved(NOW - 30, UNKNOWN), reserved(NOW - 20, 3)]) == 2


def test_what_has_expired_counts_until_its_server_could_tell_of_its_session() -> None:
    gone, shown = reserved(NOW - 150), reserved(NOW - 140, base=1, began=NOW - 130)
    assert outstanding(replace(candidate(sessions=0), told=NOW - 200), [gone]) == 1
    assert outstanding(replace(candidate(sessions=0), told=NOW - 50), [gone]) == 0
    assert outstanding(replace(candidate(sessions=1), told=NOW - 200), [gone, shown]) == 1, "the other is among them"
    assert outstanding(replace(candidate(sessions=0), told=NOW + 60), [reserved(NOW - 10)]) == 1, "by another clock"


times = st.floats(NOW - 300, NOW, allow_nan=False)
rows_of = st.lists(
    st.builds(reserved, times, st.integers(-1, 50), st.one_of(st.none(), times), st.floats(0, 300, allow_nan=False)),
    max_size=20,
).map(lambda rows: sorted(rows, key=lambda row: row.made))


@given(rows_of, st.one_of(st.none(), st.integers(0, 60)), times)
def test_outstanding_is_never_more_than_there_are_reservations(
    rows: list[Held], sessions: int | None, as_of: float
) -> None:
    assert 0 <= outstanding(candidate(sessions=sessions, as_of=as_of), rows) <= len(rows)


@given(rows_of, st.integers(0, 60), times)
def test_one_more_reservation_never_makes_a_server_look_emptier(rows: list[Held], sessions: int, as_of: float) -> None:
    seen = candidate(sessions=sessions, as_of=as_of)
    before = outstanding(seen, rows)
    assert outstanding(seen, [*rows, reserved(NOW, sessions + before)]) >= before
