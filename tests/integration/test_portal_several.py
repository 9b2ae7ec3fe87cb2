"""Two desktops of one session type for one user, in real Chromium and real Firefox, with real Xvnc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.person import Person
from tests.support.portal_desktops import (
    DISPLAYS,
    PortalDesktops,
    portal_desktops,
    wait_typed,
)
from x2gobroker.store.remote_desktops import RUNNING


@pytest.fixture(scope="module")
def site(typed: Path) -> Iterator[PortalDesktops]:
    options = {"display_base": DISPLAYS, "typed": str(typed), "sizes": ["800x600"]}
    types = {"Terminal": {"script": "terminal.py", "count": 3, "per-user": 2, "options": options}}
    with portal_desktops(types) as made:
        yield made


def running(site: PortalDesktops) -> list[int]:
    """The numbers of her desktops that run."""
    return [slot.ordinal for slot in site.service.desktops.of_user("anna") if slot.state == RUNNING]


def start(anna: Person, button: str, ordinal: int) -> str:
    """Start a desktop from the home page, and come to it; its address."""
    anna.use(button)
    anna.wait_for("the page of the desktop", lambda: anna.text("h1") == f"Terminal, desktop {ordinal}")
    anna.wait_for_phase("connected")
    return anna.url


def test_two_are_started_told_apart_and_stopped_one_by_one(
    site: PortalDesktops, anna: Person, typed: Path, pictures: Path
) -> None:
    anna.go(site.url)
    first = start(anna, "Start", 1)
    anna.go(site.url)
    second = start(anna, "Start another", 2)
    assert first != second
    anna.wait_for("both running", lambda: running(site) == [1, 2])
    anna.go(site.url)
    assert "You can have 2 desktops of this type at a time." in anna.text("main")
    anna.picture(pictures / "two.png")
    anna.click(".several li:first-child summary")
    anna.click(".several li:first-child .danger")
    anna.wait_for("the end of the first", lambda: running(site) == [2])
    anna.wait_for("the page seeing it by itself", lambda: "Start another" in anna.text("main"))
    assert "Desktop 1" not in anna.text("main")
    anna.use("Reconnect")
    anna.wait_for_phase("connected")
    assert (anna.url, anna.text("h1")) == (second, "Terminal, desktop 2")
    anna.click_screen(60, 60)
    anna.type("the second goes on\n")
    wait_typed(anna, typed, "the second goes on\n")
    anna.go(site.url)
    third = start(anna, "Start another", 1)
    assert third not in (first, second)
    anna.go(f"{site.url}sessions")
    assert anna.text("main").index("Terminal, desktop 2") < anna.text("main").index("Terminal, desktop 1"), "by age"
