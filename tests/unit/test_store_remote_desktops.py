"""Slots of desktops in the browser, and the tokens that lead to them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.support.several_desktops import rush
from x2gobroker.errors import StoreError
from x2gobroker.store import DesktopOrders, DesktopsClosedError, RemoteDesktops, SignInTie, Slot, Store
from x2gobroker.store.remote_desktops import (
    FAILED_SECONDS,
    LONGEST_OPTIONS,
    RESERVED_SECONDS,
    RUNNING,
    STOPPING,
    TOKEN_SECONDS,
)

HOME = "192.0.2.1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the store."""
    return tmp_path / "store.sqlite"


@pytest.fixture
def desktops(path: Path) -> Iterator[RemoteDesktops]:
    """The desktops of an empty store."""
    store = Store(URL.create("sqlite", database=str(path)))
    yield RemoteDesktops(store)
    store.close()


def taken(desktops: RemoteDesktops, user: str = "anna", count: int = 2, now: float | None = None) -> Slot:
    slot = desktops.reserve("KDE", count, user, {"size": "800x600"}, HOME, now)
    assert slot is not None
    return slot


def test_slots_are_given_in_their_order_and_to_one_user_each(desktops: RemoteDesktops) -> None:
    assert desktops.free("KDE", 2) == 2
    first, second = taken(desktops), taken(desktops, "bert")
    assert (first.number, first.username, first.state, first.options) == (0, "anna", "reserved", {"size": "800x600"})
    assert (second.number, desktops.free("KDE", 2), desktops.free("Xfce", 2)) == (1, 0, 2)
    assert desktops.reserve("KDE", 2, "carl", {}, HOME) is None
    assert taken(desktops).id == first.id
    assert [slot.id for slot in desktops.of_user("bert")] == [second.id]
    desktops.release(first.id)
    third = taken(desktops, "carl")
    assert third.number == 0
    assert third.id != first.id


def test_a_user_is_the_same_in_every_spelling(desktops: RemoteDesktops) -> None:
    """A phone writes the capital by itself."""
    slot = taken(desktops)
    assert taken(desktops, "Anna").id == slot.id
    assert taken(desktops, "ＡＮＮＡ").id == slot.id
    assert desktops.free("KDE", 2) == 1
    desktops.begin_start(slot.id, "here")
    assert [one.id for one in desktops.of_user(" Anna")] == [slot.id]
    assert desktops.of_user("Bert") == []
    found = desktops.redeem(desktops.token(slot, "Anna", HOME), HOME)
    assert found is not None
    assert found.slot.id == slot.id
    token = desktops.token(slot, "Anna", HOME)
    assert desktops.ask_cut("ANNA", links=True) == 1
    assert desktops.redeem(token, HOME) is None
    assert desktops.ask_stop_all("Anna", "logout") == 1
    with pytest.raises(ValueError, match="link"):
        desktops.token(slot, "Bert", HOME)


def test_many_at_once_never_get_one_slot(path: Path) -> None:
    stores = [Store(URL.create("sqlite", database=str(path))) for _ in range(4)]
    desktops = [RemoteDesktops(store) for store in stores]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: desktops[n % 4].reserve("KDE", 10, f"user{n}", {}, HOME), range(40)))
    slots = [slot for slot in found if slot is not None]
    assert sorted(slot.number for slot in slots) == list(range(10))
    assert len({slot.username for slot in slots}) == 10
    for store in stores:
        store.close()


def another(desktops: RemoteDesktops, per_user: int = 2, user: str = "anna", count: int = 4) -> Slot | None:
    """What a user gets who may have several."""
    return desktops.reserve("KDE", count, user, {"size": "800x600"}, HOME, per_user=per_user)


def started(desktops: RemoteDesktops, per_user: int = 2, user: str = "anna", count: int = 4) -> Slot:
    """The same, and come for."""
    slot = another(desktops, per_user, user, count)
    assert slot is not None
    assert desktops.begin_start(slot.id, "here")
    return slot


def test_a_user_may_have_several_of_a_type_each_with_a_number_of_its_own(desktops: RemoteDesktops) -> None:
    first, second = started(desktops), started(desktops)
    assert [(slot.number, slot.ordinal) for slot in (first, second)] == [(0, 1), (1, 2)]
    assert another(desktops) is None
    assert started(desktops, user="bert").ordinal == 1
    assert another(desktops, per_user=3, count=3) is None, "all are taken"
    desktops.release(first.id)
    third = started(desktops)
    assert (third.number, third.ordinal) == (0, 1), "the first number that is free"
    assert third.id != first.id
    assert desktops.of_user("anna")[0].ordinal == 2


def test_what_nobody_has_come_for_is_given_again(desktops: RemoteDesktops) -> None:
    """Who presses twice gets one desktop."""
    started(desktops)
    slot, again = another(desktops), another(desktops)
    assert slot is not None
    assert again is not None
    assert (again.id, again.ordinal, again.options["size"]) == (slot.id, 2, "800x600")


def test_what_is_being_stopped_no_longer_counts_and_keeps_its_number(desktops: RemoteDesktops) -> None:
    first = started(desktops)
    started(desktops)
    desktops.change(first.id, STOPPING)
    assert started(desktops).ordinal == 3


def test_who_may_have_one_only_comes_back_to_it(desktops: RemoteDesktops) -> None:
    """Also where it were more, before."""
    slots = [started(desktops) for _ in range(2)]
    assert another(desktops, per_user=1) == desktops.find(slots[0].id)
    assert slots[1].options == {"size": "800x600", "ordinal": 2}


def test_new_ones_are_not_given_while_it_is_closed(desktops: RemoteDesktops) -> None:
    started(desktops)
    DesktopOrders(desktops.store).close("root")
    with pytest.raises(DesktopsClosedError):
        another(desktops)


def test_nobody_gets_more_than_there_may_be_however_fast(path: Path) -> None:
    stores = [Store(URL.create("sqlite", database=str(path))) for _ in range(2)]
    found = rush(stores, 20, 3, "anna", "bert")
    for user in ("anna", "bert"):
        assert sorted(slot.ordinal for slot in found if slot.username == user) == [1, 2, 3]
    for store in stores:
        store.close()


def test_what_nobody_comes_for_is_free_again(desktops: RemoteDesktops) -> None:
    now = time.time()
    slot = taken(desktops, count=1, now=now)
    later = now + RESERVED_SECONDS + 1
    assert desktops.free("KDE", 1, now) == 0
    assert desktops.free("KDE", 1, later) == 1
    assert taken(desktops, "bert", 1, later).number == slot.number
    assert desktops.find(slot.id) is None
    assert not desktops.begin_start(slot.id, "here")


def test_one_service_only_starts_a_slot(desktops: RemoteDesktops) -> None:
    slot = taken(desktops)
    assert desktops.begin_start(slot.id, "here")
    assert not desktops.begin_start(slot.id, "there")
    found = desktops.find(slot.id)
    assert found is not None
    assert (found.state, found.node) == ("starting", "here")
    assert [one.id for one in desktops.everything("here")] == [slot.id]
    assert desktops.everything("there") == []
    # a used slot stays its user's, however long ago it was reserved
    desktops.sweep(time.time() + RESERVED_SECONDS * 10)
    assert taken(desktops).id == slot.id


def test_the_reason_of_a_failure_stays_a_while_and_blocks_nobody(desktops: RemoteDesktops) -> None:
    slot = taken(desktops, count=1)
    desktops.change(slot.id, wanted="stop")
    desktops.release(slot.id, "its VNC server did not come up " + "x" * 500)
    found = desktops.find(slot.id)
    assert found is not None
    assert (found.state, found.wanted, len(found.note)) == ("failed", "", 200)
    assert desktops.free("KDE", 1) == 1
    desktops.sweep(time.time() + FAILED_SECONDS + 1)
    assert desktops.find(slot.id) is None


def test_a_token_counts_once(desktops: RemoteDesktops) -> None:
    slot = taken(desktops)
    token = desktops.token(slot, "anna", HOME)
    found = desktops.redeem(token, HOME)
    assert found is not None
    assert (found.slot.id, found.username, found.view_only, found.share) == (slot.id, "anna", False, None)
    assert desktops.redeem(token, HOME) is None


def test_a_token_is_for_a_short_time_one_address_and_one_use_of_the_slot(desktops: RemoteDesktops) -> None:
    slot, now = taken(desktops), time.time()
    assert desktops.redeem(desktops.token(slot, "anna", HOME, now=now), HOME, now + TOKEN_SECONDS + 1) is None
    assert desktops.redeem(desktops.token(slot, "anna", HOME), "192.0.2.2") is None
    assert desktops.redeem(desktops.token(slot, "anna", ""), "192.0.2.2") is not None
    token = desktops.token(slot, "anna", HOME)
    desktops.release(slot.id)
    taken(desktops, "bert")
    assert desktops.redeem(token, HOME) is None
    for nonsense in ("", "x" * 1000, "0" * 40, "\udcff"):
        assert desktops.redeem(nonsense, HOME) is None


def test_what_was_made_while_a_clock_was_ahead_does_not_outlive_its_time(
    desktops: RemoteDesktops, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot, now = taken(desktops), time.time()
    assert desktops.redeem(desktops.token(slot, "anna", HOME, now=now + 3600), HOME, now) is None
    swept = desktops.token(slot, "anna", HOME, now=now + 3600)
    desktops.sweep(now)
    assert desktops.redeem(swept, HOME, now + 3600) is None
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now + 3600)
        ahead, until_taken_back = desktops.share(slot, seconds=3600), desktops.share(slot)
    assert desktops.shared(ahead) is None
    assert desktops.redeem(desktops.token(slot, "guest", HOME, share=ahead), HOME) is None
    assert desktops.shared(until_taken_back) is not None


def test_tokens_are_stored_as_hashes(desktops: RemoteDesktops, path: Path) -> None:
    slot = taken(desktops)
    token, link = desktops.token(slot, "anna", HOME), desktops.share(slot)
    stored = path.read_bytes() + path.with_name(path.name + "-wal").read_bytes()
    assert slot.id.encode() in stored
    assert token.encode() not in stored
    assert link.encode() not in stored


def test_links_let_others_look_on_until_they_are_taken_back(desktops: RemoteDesktops) -> None:
    slot = taken(desktops)
    with pytest.raises(ValueError, match="link"):
        desktops.token(slot, "bert", HOME)
    link = desktops.share(slot)
    shared = desktops.shared(link)
    assert shared is not None
    token = desktops.token(shared, "bert", HOME, view_only=False, share=link)
    found = desktops.redeem(token, HOME)
    assert found is not None
    assert found.view_only
    assert {found.share: False} == desktops.shares([slot.id])
    pending = desktops.token(shared, "bert", HOME, share=link)
    assert desktops.revoke(slot) == 1
    assert desktops.redeem(pending, HOME) is None
    assert desktops.shared(link) is None
    assert desktops.redeem(desktops.token(slot, "bert", HOME, share=link), HOME) is None
    assert desktops.shared("x" * 1000) is None
    another = desktops.share(slot)
    desktops.release(slot.id)
    assert desktops.shared(another) is None


def test_a_link_ends_by_itself_and_says_what_guests_may_do(desktops: RemoteDesktops) -> None:
    slot = taken(desktops)
    desktops.change(slot.id, RUNNING)
    short, work = desktops.share(slot, seconds=-1.0), desktops.share(slot, seconds=3600.0, works=True)
    assert desktops.shared(short) is None
    assert list(desktops.shares([slot.id]).values()) == [True]
    assert desktops.redeem(desktops.token(slot, "guest", HOME, share=short), HOME) is None
    found = desktops.redeem(desktops.token(slot, "guest", HOME, share=work), HOME)
    assert found is not None
    assert not found.view_only
    assert found.share is not None
    assert found.sign_in is None


def test_a_connection_belongs_to_the_sign_in_that_asked_for_it(desktops: RemoteDesktops) -> None:
    slot = taken(desktops)
    tie = SignInTie(b"digest of a cookie", 600.0)
    found = desktops.redeem(desktops.token(slot, "anna", HOME, sign_in=tie), HOME)
    assert found is not None
    assert found.sign_in == tie
    assert desktops.signed_in({tie: 0.0}) == set()


def test_a_wish_to_stop_is_for_the_service_unless_nothing_runs(desktops: RemoteDesktops) -> None:
    unused, running = taken(desktops), taken(desktops, "bert")
    desktops.begin_start(running.id, "here")
    assert desktops.ask_stop(unused)
    assert desktops.find(unused.id) is None
    assert not desktops.ask_stop(unused)
    assert desktops.ask_stop_all("bert", "logout") == 1
    found = desktops.find(running.id)
    assert found is not None
    assert found.wanted == "logout"


def test_a_wish_to_cut_connections_takes_tokens_back_and_stops_nothing(desktops: RemoteDesktops) -> None:
    unused, running = taken(desktops), taken(desktops, "bert")
    other = desktops.reserve("XFCE", 1, "bert", {}, HOME)
    assert other is not None
    for slot in (running, other):
        desktops.begin_start(slot.id, "here")
    link = desktops.share(running)
    own = [desktops.token(slot, slot.username, HOME) for slot in (unused, running)]
    guest = desktops.token(running, "guest", HOME, share=link)
    assert desktops.ask_stop(other)
    assert desktops.ask_cut("bert") == 1
    found = [desktops.find(slot.id) for slot in (unused, running, other)]
    assert [slot and slot.wanted for slot in found] == ["", "cut", "stop"]
    assert [slot and slot.is_unwanted for slot in found] == [False, False, True]
    assert desktops.redeem(own[1], HOME) is None
    assert desktops.redeem(guest, HOME) is not None
    assert desktops.redeem(own[0], HOME) is not None
    assert desktops.ask_cut("bert", links=True) == 1
    assert desktops.shared(link) is None
    for slot in (running, other):
        desktops.forget_cut(slot.id)
    found = [desktops.find(slot.id) for slot in (running, other)]
    assert [slot and slot.wanted for slot in found] == ["", "stop"]
    assert desktops.ask_cut("nobody") == 0


def test_what_is_written_is_checked(desktops: RemoteDesktops) -> None:
    slot = taken(desktops)
    with pytest.raises(StoreError, match="no column colour"):
        desktops.change(slot.id, colour="red")
    with pytest.raises(ValueError, match=str(LONGEST_OPTIONS)):
        desktops.reserve("KDE", 2, "bert", {"text": "x" * LONGEST_OPTIONS}, HOME)
    desktops.say(slot, "y" * 1000)
    found = desktops.find(slot.id)
    assert found is not None
    assert len(found.progress) == 200
    assert not desktops.change("nothing", note="x")
