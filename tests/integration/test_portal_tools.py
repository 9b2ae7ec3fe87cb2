"""What browsers do each in their own way with a desktop's page: keys that they want themselves, full screen, sizes.

In real Chromium and real Firefox, with real Xvnc and xterm.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.person import Person
from tests.support.portal_desktops import PortalDesktops, portal_desktops, terminals, wait_typed, work

FOCUSED = (
    "const at = document.activeElement; return at.closest('#screen') ? 'screen' : at.id || at.textContent || at.tagName"
)
SIZES = (
    "const c = document.querySelector('#screen canvas:not(.last)'), b = c.getBoundingClientRect();"
    "return [c.width, c.height, Math.round(b.width), Math.round(b.height)]"
)
ROOM = "const b = document.getElementById('screen').getBoundingClientRect(); return [b.width, b.height].map(Math.floor)"
CHOOSE = (
    "const list = document.getElementById('scaling'); list.value = arguments[0];"
    "list.dispatchEvent(new Event('change', {bubbles: true}));"
)
CHOSEN = "return document.getElementById('scaling').value"


@pytest.fixture(scope="module")
def site(typed: Path) -> Iterator[PortalDesktops]:
    with portal_desktops(terminals(typed), "remote-connections-per-user = 50") as made:
        yield made


def press_control_alt_shift(anna: Person) -> None:
    """The way out of the desktop."""
    for key in ("Control", "Alt", "Shift"):
        anna.hold(key)
    for key in ("Control", "Alt", "Shift"):
        anna.let_go(key)


def test_the_keyboard_gets_everywhere_and_out_of_the_desktop(site: PortalDesktops, anna: Person, typed: Path) -> None:
    work(site, anna)
    anna.press("Tab")
    assert anna.run(FOCUSED) == "screen", "Tab is the desktop's"
    press_control_alt_shift(anna)
    assert anna.run(FOCUSED) == "keys"
    order = []
    for _ in range(4):
        anna.press("Tab")
        order.append(anna.run(FOCUSED))
    assert order == ["clipboard", "share", "full", "stop"]
    for _ in range(3):
        anna.press("Tab")
        if anna.run(FOCUSED) == "screen":
            break
    anna.type("no key hangs\n")
    wait_typed(anna, typed, "no key hangs\n")


def test_keys_that_browsers_have_a_use_for_are_the_desktops(site: PortalDesktops, anna: Person, typed: Path) -> None:
    """Search in the page, quick search, print, view the source, go back, select all: none of it happens here."""
    slot = work(site, anna)
    for name in ("f", "p", "u", "a"):
        anna.press("Control", name)
    anna.type("'/")
    anna.press("Backspace")
    anna.press("Backspace")
    assert slot.id in anna.url
    assert anna.run(FOCUSED) == "screen"
    anna.press("Control", "u")  # empties the terminal's line
    anna.type("all mine\n")
    wait_typed(anna, typed, "all mine\n")
    assert anna.run("return String(getSelection())") == ""


def test_full_screen_hides_the_tools_and_keeps_a_handle(site: PortalDesktops, anna: Person, typed: Path) -> None:
    work(site, anna)
    anna.use("Full screen")
    anna.wait_for("the handle", lambda: anna.visible("#show-bar") and not anna.visible("#full"))
    assert anna.run("return document.fullscreenElement === document.documentElement")
    anna.type("in full\n")
    wait_typed(anna, typed, "in full\n")
    anna.use("Show toolbar")
    anna.wait_for("the tools", lambda: anna.visible("#full"))
    anna.use("Full screen")
    anna.wait_for("the end of it", lambda: anna.visible("#full") and not anna.visible("#show-bar"))
    assert anna.run("return document.fullscreenElement") is None
    anna.type("in the window\n")
    wait_typed(anna, typed, "in the window\n")


def test_the_picture_fits_or_has_its_own_size_or_the_desktop_changes(site: PortalDesktops, anna: Person) -> None:
    work(site, anna)
    width, height, shown_width, shown_height = anna.run(SIZES)
    assert (width, height) == (800, 600)
    room = anna.run(ROOM)
    assert shown_height == pytest.approx(room[1], abs=2)
    assert shown_width == pytest.approx(room[1] * 4 / 3, abs=3)
    anna.run(CHOOSE, "original")
    anna.wait_for("the original size", lambda: anna.run(SIZES) == [800, 600, 800, 600])
    anna.run(CHOOSE, "resize")
    anna.wait_for("the desktop's change", lambda: anna.run(SIZES)[:2] == anna.run(ROOM))
    anna.go(anna.url)
    anna.wait_for_phase("connected")
    assert anna.run(CHOSEN) == "resize"
    anna.run(CHOOSE, "fit")  # the next test has the same browser
