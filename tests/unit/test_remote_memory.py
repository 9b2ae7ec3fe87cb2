"""A desktop that ends for want of memory: its keeper says so, the service believes it, and the user reads it."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import time
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.remote_folders import store_in
from x2gobroker.remote.desktop import Desktop
from x2gobroker.remote.hold import own_stat
from x2gobroker.remote.keeper import Keeper
from x2gobroker.remote.limits import MEMORY_SECONDS, OOM_SCORE, SPARED, MemoryWatch
from x2gobroker.remote.slots import Desktops
from x2gobroker.remote.told import ENDED_AT_ONCE, MORE_MEMORY
from x2gobroker.remote.types import SessionType
from x2gobroker.remote.uses import Use
from x2gobroker.remote.workers import Answer, Worker, Workers
from x2gobroker.store import DesktopEnds, RemoteDesktops, SignInTie, Slot, Why
from x2gobroker.store.remote_desktops import FAILED, RUNNING


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    """One whose desktop may take some memory; none was short of it so far."""
    made = Keeper({"folder": str(tmp_path), "seconds": 5}, io.BytesIO(), own_stat(), None, False)
    kill(tmp_path, 0)
    made.programs.memory = MemoryWatch(tmp_path)
    return made


def kill(group: Path, count: int) -> None:
    """The kernel has killed so many processes."""
    (group / "memory.events").write_text(f"oom_kill {count}\n", encoding="ascii")


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ("its VNC server has ended by signal 9", f"{MORE_MEMORY}: its VNC server has ended by signal 9"),
        ("", MORE_MEMORY),  # systemd ends the whole scope
    ],
)
def test_the_keeper_says_that_memory_ran_out(keeper: Keeper, tmp_path: Path, ended: str, said: str) -> None:
    kill(tmp_path, 1)
    keeper.programs.ended = ended
    keeper.note_end()
    assert Use(tmp_path).ended() == said


def test_what_was_long_ago_is_no_reason(keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program was killed, and the desktop went on."""
    kill(tmp_path, 1)
    keeper.programs.turn(0)
    later = time.monotonic() + MEMORY_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    keeper.note_end()
    assert Use(tmp_path).ended() == ""
    keeper.programs.ended = "its desktop command has ended"
    keeper.note_end()
    assert Use(tmp_path).ended() == "its desktop command has ended"


def test_the_keeper_is_spared_and_none_of_its_programs(keeper: Keeper, tmp_path: Path) -> None:
    """Where it may say so, that is where it is root."""
    before = OOM_SCORE.read_text(encoding="ascii").strip()
    spared = SPARED if may_write(SPARED) else before
    assert may_write(before)
    keeper.plan.update(user=None, environment={"HOME": "/", "PATH": "/usr/bin:/bin"})
    assert keeper.programs.memory is not None
    child = os.fork()
    if child == 0:  # what it does to itself is not to last
        keeper.programs.memory.spare()
        (tmp_path / "keeper").write_text(OOM_SCORE.read_text(encoding="ascii"), encoding="ascii")
        keeper.programs.spawn(["sh", "-c", f"cat {OOM_SCORE} >{tmp_path}/program"], last_breath=False)
        os.wait()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert (tmp_path / "keeper").read_text(encoding="ascii").strip() == spared
    assert (tmp_path / "program").read_text(encoding="ascii").strip() == before


def may_write(score: str) -> bool:
    """Whether this process may have that score; it does so in a child."""
    return (
        subprocess.run(["sh", "-c", f"echo {score} >{OOM_SCORE}"], stderr=subprocess.DEVNULL, check=False).returncode
        == 0
    )


class OneAnswer:
    """The process of a script, which says that the desktop has ended."""

    lost = False

    def __init__(self, memory: bool) -> None:
        self.values: dict[str, Any] = {"alive": False, "locked": False, "memory": memory, "why": "because"}

    async def ask(self, what: str, seconds: float) -> Answer:
        assert what == "poll"
        return Answer(self.values)

    def close(self, group: bool) -> None:
        """Nothing to close."""


class Browser:
    """A connection."""

    share: bytes | None = None
    sign_in: SignInTie | None = None
    last_input = 0.0
    told = ""

    def cut(self, why: str) -> None:
        self.told = why


@pytest.mark.parametrize(
    ("memory", "ago", "why", "note"),
    [
        (True, 3600.0, Why.MEMORY, MORE_MEMORY),
        (False, 3600.0, Why.SESSION, ""),
        (False, 1.0, Why.EARLY, ENDED_AT_ONCE),
    ],
)
def test_its_user_is_told(tmp_path: Path, memory: bool, ago: float, why: Why, note: str) -> None:
    kind = SessionType("Desk", "tigervnc.py", 1, {}, tmp_path)
    browser = Browser()

    async def look(store: RemoteDesktops, slot: Slot) -> None:
        desktops = Desktops(cast(Workers, None), lambda _name: kind, lambda: store, "here")
        desktop = Desktop(slot, kind, cast(Worker, OneAnswer(memory)), {browser}, running=True)
        desktop.started = time.time() - ago
        await desktops._look_after(desktop)
        assert desktop.stopping is not None
        await desktop.stopping
        await desktops.close(stop=False)

    with store_in(tmp_path) as made:
        store = RemoteDesktops(made)
        slot = store.reserve("Desk", 1, "anna", {}, "")
        assert slot is not None
        store.change(slot.id, RUNNING, node="here", started=slot.reserved)
        asyncio.run(look(store, slot))
        assert browser.told == f"this desktop was stopped: {why}"
        rows = store.of_user("anna")
        assert [(row.state, row.note) for row in rows] == ([(FAILED, note)] if note else [])
        (end,) = DesktopEnds(made).of_user("anna")
        assert (end.why, end.note, end.never_ran) == (why, note, False)
