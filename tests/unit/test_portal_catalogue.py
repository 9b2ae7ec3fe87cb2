"""Session types as their user sees them: places, one's own desktop, what is out of service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.configured import Files
from x2gobroker.model.acl import Requester
from x2gobroker.portal.catalogue import (
    ENDING,
    ENOUGH,
    FREE,
    FULL,
    HERE,
    Crowd,
    Desk,
    crowd,
    desks,
    find_type,
    types_for,
)
from x2gobroker.remote.told import SCRIPT_FAILED
from x2gobroker.services import Services
from x2gobroker.settings import Settings
from x2gobroker.store import RemoteDesktops, Why
from x2gobroker.store.remote_desktops import BROKEN, RESERVED_SECONDS, RUNNING, STOPPING

ANNA = Requester("anna", None)


class World:
    """Session types and a store."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.services = Services()

    @property
    def store(self) -> RemoteDesktops:
        """The desktops."""
        return self.services.of(RemoteDesktops, self.settings)

    def write(self, **types: dict[str, object]) -> None:
        """The session types from now on."""
        full = {name: {"script": "tigervnc.py", "count": 2, **more} for name, more in types.items()}
        fresh = self.folder / "types.new"
        fresh.write_text(json.dumps(full), encoding="utf-8")
        fresh.rename(self.folder / "types.json")

    def desk(self, name: str = "Desk", who: Requester = ANNA) -> Desk:
        """One session type as this user sees it."""
        return next(desk for desk in desks(self.settings, self.services, who) if desk.kind.name == name)

    def reserve(self, user: str, name: str = "Desk", count: int = 2, per_user: int = 1) -> str:
        """A place for a user."""
        slot = self.store.reserve(name, count, user, {}, "", per_user=per_user)
        assert slot is not None
        return slot.id


@pytest.fixture
def world(tmp_path: Path, files: Files) -> World:
    """One type with two places."""
    settings = files.write(
        f"[global]\ncookie-directory = {tmp_path}/state\nremote-session-config = {tmp_path}/types.json\n"
    )
    made = World(tmp_path, settings)
    made.write(Desk={})
    return made


def test_states_of_a_desk(world: World) -> None:
    assert (world.desk().state, world.desk().free) == (FREE, 2)
    world.reserve("bert")
    assert (world.desk().state, world.desk().free) == (FREE, 1)
    third = world.reserve("carl")
    assert (world.desk().state, world.desk().free) == (FULL, 0)
    world.store.release(third)
    mine = world.reserve("anna")
    assert (world.desk().state, world.desk().free) == (HERE, 0)
    world.store.change(mine, RUNNING)
    world.store.ask_cut("anna")
    assert world.desk().state == HERE
    world.store.change(mine, STOPPING)
    assert world.desk().state == ENDING
    world.store.release(mine, SCRIPT_FAILED, Why.FAILED)
    assert (world.desk().state, world.desk().free) == (FREE, 1)
    assert [(end.id, end.note) for end in world.desk().ends] == [(mine, SCRIPT_FAILED)]
    assert world.desk(who=Requester("bert", None)).ends == ()
    assert len(world.desk(who=Requester("Anna", None)).ends) == 1
    world.reserve("anna")
    assert world.desk().ends == (), "there is another one"


@pytest.mark.parametrize(("why", "shown"), [(Why.IDLE, 1), (Why.ADMINISTRATOR, 1), (Why.STOP, 0), (Why.LOGOUT, 0)])
def test_ends_are_shown_that_their_user_did_not_want(world: World, why: Why, shown: int) -> None:
    world.write(Desk={}, Other={})
    world.store.release(world.reserve("anna"), why=why)
    assert len(world.desk().ends) == shown
    assert world.desk("Other").ends == ()


def test_of_several_desktops_those_are_shown_in_whose_stead_there_is_none(world: World) -> None:
    world.write(Desk={"count": 4, "per-user": 2})
    slots = []
    for _ in range(2):
        slots.append(world.reserve("anna", count=4, per_user=2))
        world.store.begin_start(slots[-1], "here")
    world.store.release(slots[0], why=Why.GRACE)
    assert [end.ordinal for end in world.desk().ends] == [1]
    world.store.release(slots[1], why=Why.IDLE)
    assert [end.ordinal for end in world.desk().ends] == [2, 1]
    world.reserve("anna", count=4, per_user=2)
    assert [end.ordinal for end in world.desk().ends] == [2]
    world.write(Desk={"count": 4})
    assert world.desk().ends == ()


def test_a_place_that_was_not_used_in_time_is_free_and_nobodys(world: World) -> None:
    for user in ("anna", "bert"):
        slot = world.store.find(world.reserve(user))
        assert slot is not None
        world.store.change(slot.id, reserved=slot.reserved - RESERVED_SECONDS - 1)
    assert (world.desk().state, world.desk().free, world.desk().slot) == (FREE, 2, None)
    assert crowd(world.store, world.desk().kind) == Crowd((), 0, 0, None)


def test_a_desktop_that_cannot_be_stopped_takes_a_place_and_is_nobodys(world: World) -> None:
    world.store.change(world.reserve("anna"), BROKEN)
    assert (world.desk().state, world.desk().free) == (FREE, 1)
    assert crowd(world.store, world.desk().kind) == Crowd((), 0, 1, None)


def test_a_type_of_which_one_may_have_several(world: World) -> None:
    world.write(Desk={"count": 4, "per-user": 2})
    assert (world.desk().is_several, world.desk().state, world.desk().can_start) == (True, FREE, True)
    first = world.reserve("anna", count=4, per_user=2)
    assert (world.desk().another, world.desk().can_start) == (FREE, True)
    for slot_id in (first, world.reserve("anna", count=4, per_user=2)):
        world.store.begin_start(slot_id, "here")
    second = world.reserve("anna", count=4, per_user=2)
    assert (world.desk().another, world.desk().can_start, world.desk().free) == (ENOUGH, True, 2), "not come for yet"
    world.store.begin_start(second, "here")
    assert [slot.id for slot in world.desk().slots] == [first, second]
    assert (world.desk().another, world.desk().can_start, world.desk().is_ending) == (ENOUGH, False, False)
    world.store.change(first, STOPPING)
    assert (world.desk().another, world.desk().is_ending) == (FREE, True)
    for user in ("bert", "carl"):
        world.reserve(user, count=4)
    assert (world.desk().another, world.desk().can_start) == (FULL, False)
    world.store.release(first, SCRIPT_FAILED, Why.FAILED)
    assert world.desk().ends, "beside the one that runs"
    assert len(world.desk().slots) == 1


def test_several_that_are_left_where_one_is_allowed_now(world: World) -> None:
    for _ in range(2):
        world.store.begin_start(world.reserve("anna", per_user=2), "here")
    assert (world.desk().is_several, world.desk().another, world.desk().can_start) == (True, ENOUGH, True)
    world.store.change(world.desk().slots[0].id, STOPPING)
    assert (world.desk().is_several, world.desk().state) == (False, HERE)


def test_less_places_than_are_taken(world: World) -> None:
    for user in ("anna", "bert"):
        world.reserve(user)
    world.write(Desk={"count": 1})
    assert world.desk(who=Requester("carl", None)).state == FULL
    assert world.desk(who=Requester("bert", None)).state == HERE


def test_who_has_places_and_when_the_next_one_becomes_free(world: World) -> None:
    for user, ends in (("anna", 300.0), ("bert", 200.0)):
        world.store.change(world.reserve(user), RUNNING, ends=ends)
    assert crowd(world.store, world.desk().kind) == Crowd(("anna", "bert"), 0, 0, 200.0)
    world.write(Desk={"count": 4})
    world.reserve("Bert", count=4, per_user=2)
    assert crowd(world.store, world.desk().kind).users == ("anna", "bert"), "once, however it is written"


def test_only_types_for_the_user_with_places_and_a_script(world: World) -> None:
    world.write(
        Mine={"users": ["anna"]},
        Theirs={"users": ["bert"]},
        Empty={"count": 0},
        Groups={"groups": ["staff"]},
        Lost={"script": "lost.py"},
    )

    def names(who: Requester) -> list[str]:
        found = [kind.name for kind in types_for(world.settings, world.services, who)]
        single = (find_type(world.settings, world.services, who, name) for name in (*found, "Empty", "Lost", "?"))
        assert [kind.name for kind in single if kind] == found
        return found

    assert names(ANNA) == ["Mine"]
    assert names(Requester("carl", None, lambda: frozenset(["staff"]))) == ["Groups"]
    assert names(Requester("carl", None, lambda: None)) == []


@pytest.mark.parametrize("text", ["def f(:\n", "\0", "(" * 5000])
def test_a_script_that_is_no_python_is_told_once_and_found_again_when_it_is_mended(
    world: World, said: pytest.LogCaptureFixture, text: str
) -> None:
    script = world.folder / "mine.py"
    script.write_text(text)
    world.write(Desk={"script": "mine.py"})
    for _ in range(2):
        assert types_for(world.settings, world.services, ANNA) == []
    assert said.text.count("session type Desk is out of service") == 1
    script.write_text("raise SystemExit('this is never run here')\n")
    assert [kind.name for kind in types_for(world.settings, world.services, ANNA)] == ["Desk"]


def test_without_a_file_there_are_no_types_and_no_store_is_opened(files: Files) -> None:
    settings = files.write("[global]\ncookie-directory = /nonexistent\n")
    assert desks(settings, Services(), ANNA) == []
