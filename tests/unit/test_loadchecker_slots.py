"""How many servers are asked at the same time: dead ones hold up nobody."""

from __future__ import annotations

from x2gobroker.loadchecker.slots import Slots


def names(count: int, prefix: str = "s") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def test_no_more_than_the_fast_slots_begin() -> None:
    slots = Slots(fast=3, slow=2)
    assert slots.take(names(5), (), 0.0) == ["s0", "s1", "s2"]
    assert slots.take(names(5), (), 0.5) == []
    slots.free("s1")
    assert slots.take(["s3", "s4"], (), 0.5) == ["s3"]
    assert len(slots) == 3


def test_a_server_is_not_asked_twice_at_once() -> None:
    slots = Slots()
    assert slots.take(["a"], (), 0.0) == ["a"]
    assert "a" in slots
    assert slots.take(["a"], (), 0.1) == []
    slots.free("a")
    assert slots.take(["a"], (), 0.2) == ["a"]


def test_a_slow_call_gives_its_fast_slot_back() -> None:
    slots = Slots(fast=2, slow=2, slow_seconds=1.0)
    assert slots.take(["dead0", "dead1", "up"], (), 0.0) == ["dead0", "dead1"]
    assert slots.take(["up"], (), 0.9) == []
    assert slots.take(["up"], (), 1.0) == ["up"]


def test_slow_slots_are_limited_too() -> None:
    slots = Slots(fast=2, slow=1, slow_seconds=1.0)
    assert slots.take(names(4), (), 0.0) == ["s0", "s1"]
    assert slots.take(["s2", "s3"], (), 2.0) == ["s2"]
    assert slots.take(["s3"], (), 9.0) == []
    assert len(slots) == 3


def test_servers_that_failed_never_take_a_fast_slot() -> None:
    slots = Slots(fast=2, slow=3)
    dead = names(10, "dead")
    assert slots.take([*dead, "up0", "up1"], dead, 0.0) == ["dead0", "dead1", "dead2", "up0", "up1"]
    assert slots.take(["dead3", "up2"], dead, 0.1) == []
    slots.free("dead0")
    assert slots.take(["dead3", "up2"], dead, 0.1) == ["dead3"]
    slots.free("up0")
    assert slots.take(["dead4", "up2"], dead, 0.1) == ["up2"]


def test_freeing_what_is_not_there_is_no_trouble() -> None:
    slots = Slots()
    slots.free("nobody")
    assert len(slots) == 0


def farm_seconds(dead: set[int], known: bool, count: int = 200, timeout: float = 5.0) -> float:
    """How long one round takes where every server that is up answers in 0.1 s, and dead ones never do."""
    slots = Slots()
    waiting = dict.fromkeys(f"s{number}" for number in range(count))
    doubtful = {f"s{number}" for number in dead} if known else set[str]()
    ends: dict[str, float] = {}
    now = 0.0
    while waiting or ends:
        for key in [key for key, end in ends.items() if end <= now]:
            slots.free(key)
            del ends[key]
        for key in slots.take(waiting, doubtful, now):
            del waiting[key]
            ends[key] = now + (timeout if int(key[1:]) in dead else 0.1)
        now += 0.05
    return now


def test_a_farm_with_a_third_dead_takes_little_more_than_one_timeout() -> None:
    dead = set(range(0, 200, 3))
    assert farm_seconds(dead, known=True) < 6
    # nobody knows who is dead, and all dead ones come first
    assert farm_seconds(dead, known=False) < 11
    assert farm_seconds(set(range(67)), known=False) < 11
