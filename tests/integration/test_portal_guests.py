"""Guests who come by a link: those who may work have all that work needs. In real Chromium and real Firefox."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import COLOURS, PHONE, tab
from tests.support.person import Person
from tests.support.portal_desktops import (
    DISPLAYS,
    PortalDesktops,
    anna_at,
    begin,
    pointer_in,
    portal_desktops,
    terminals,
    wait_typed,
    work,
)
from tests.support.processes import wait_until

FOCUSED = "return document.activeElement?.id || document.activeElement?.getAttribute('role')"
WARNING = "Guests can control this desktop"
CHOOSE_BY_POINTER = (
    "const list = document.getElementById('scaling'); list.focus();"
    "list.dispatchEvent(new PointerEvent('pointerdown', {bubbles: true}));"
    "list.value = 'original'; list.dispatchEvent(new Event('change', {bubbles: true}));"
)
AT_ONCE_SECONDS = 30.0  # a desktop waits for a password six times as long


@pytest.fixture(scope="module")
def site(typed: Path) -> Iterator[PortalDesktops]:
    with portal_desktops(terminals(typed), "remote-connections-per-user = 50") as made:
        yield made


def shared(anna: Person, *, to_work: bool) -> str:
    """A link that Anna makes on her page, which has a connected desktop."""
    anna.click("#share")
    if to_work:
        anna.click("#share-work")
    anna.click("#share-make")
    anna.wait_for("a link", lambda: anna.visible("#share-link"))
    link = str(anna.run("return document.getElementById('share-link').value"))
    anna.press("Escape")
    return link


def arrive(guest: Person, link: str) -> None:
    """Come by a link, and wait for the picture."""
    guest.go(link)
    guest.wait_for_phase("connected")
    guest.wait_for("a picture", lambda: int(guest.run(COLOURS)) >= 2)


def held_modifiers(site: PortalDesktops) -> int:
    """The state of the modifiers in the desktop: 0 when none is held."""
    return pointer_in(DISPLAYS + site.service.desktops.of_user("anna")[0].number)[2] & 255


def test_a_guest_who_may_work_types_and_gets_out_of_the_desktop(
    site: PortalDesktops, anna: Person, typed: Path
) -> None:
    work(site, anna)
    assert anna.text("#guests") == ""
    link = shared(anna, to_work=True)
    anna.wait_for("the warning over the screen", lambda: anna.text("#guests") == WARNING)
    with anna.guest() as guest:
        arrive(guest, link)
        assert guest.run("return document.title").startswith("Guest with control · ")
        assert guest.run(FOCUSED) == "application", "the keyboard is in the desktop"
        guest.type("a word\n")
        wait_typed(guest, typed, "a word\n")
        for key in ("Control", "Alt", "Shift"):
            guest.hold(key)
        for key in ("Control", "Alt", "Shift"):
            guest.let_go(key)
        assert guest.run(FOCUSED) == "keys", "as the name of the screen promises"
        wait_until(lambda: held_modifiers(site) == 0, "no key being held")
        guest.click("#keys")
        guest.click("#type")
        guest.compose("by the box")
        guest.press("Enter")
        wait_typed(guest, typed, "by the box\n")
        guest.click("#type")
        guest.wait_for("the keyboard", lambda: guest.run(FOCUSED) == "application")


def test_no_tool_of_a_guest_keeps_the_keyboard_or_a_key(site: PortalDesktops, anna: Person, typed: Path) -> None:
    work(site, anna)
    link = shared(anna, to_work=True)
    with anna.guest() as guest:
        arrive(guest, link)
        guest.click_screen(60, 60)
        guest.hold("Control")
        wait_until(lambda: held_modifiers(site) != 0, "Control being held")
        guest.run("document.getElementById('scaling').focus()")
        wait_until(lambda: held_modifiers(site) == 0, "Control being let go")
        guest.let_go("Control")
        guest.run(CHOOSE_BY_POINTER)
        assert guest.run(FOCUSED) == "application"
        for _twice in range(2):
            guest.click("#hand")
            assert guest.run(FOCUSED) == "application"
        guest.type("still here\n")
        wait_typed(guest, typed, "still here\n")


def test_guests_who_only_look_on_have_no_tools_for_more(site: PortalDesktops, anna: Person) -> None:
    work(site, anna)
    link = shared(anna, to_work=False)
    assert anna.text("#guests") == ""
    with anna.guest() as guest:
        arrive(guest, link)
        assert guest.run("return document.title").startswith("View only · ")
        for name in ("keys", "touch", "keys-bar"):
            assert not guest.visible(f"#{name}"), name
        assert guest.run(FOCUSED) not in ("application", "img"), "the page keeps the keyboard"


def test_another_link_in_the_same_window_is_another_kind_of_guest(site: PortalDesktops, anna: Person) -> None:
    work(site, anna)
    to_work, to_look = shared(anna, to_work=True), shared_again(anna)
    with anna.guest() as guest:
        arrive(guest, to_work)
        assert guest.visible("#keys")
        guest.run("location.hash = arguments[0]", to_look.partition("#")[2])
        guest.wait_for("the other kind", lambda: guest.run("return document.title").startswith("View only · "))
        assert not guest.visible("#keys")
        guest.run("document.querySelector('.skip').click()")
        assert guest.phase() == "connected", "the link past the bar is no other desktop"
        assert guest.url == to_look


def shared_again(anna: Person) -> str:
    """A second link, only for looking: the box for work is as it was left."""
    anna.click("#share")
    anna.click("#share-work")
    before = anna.run("return document.getElementById('share-link').value")
    anna.click("#share-make")
    value = "return document.getElementById('share-link').value"
    anna.wait_for("another link", lambda: anna.run(value) != before)
    link = str(anna.run(value))
    anna.press("Escape")
    return link


def test_a_guest_of_a_desktop_whose_password_only_its_user_knows_is_told_so(site: PortalDesktops, anna: Person) -> None:
    slot = begin(site, anna, "Asks")
    anna.wait_for("the question", lambda: anna.visible("#password-dialog"))
    secret = site.service.desktops.share(slot, works=True)
    with anna.guest() as guest:
        began = time.monotonic()
        guest.go(f"{site.url}view#{secret}")
        guest.wait_for_phase("ended")
        assert time.monotonic() - began < AT_ONCE_SECONDS
        assert "Guests cannot open this desktop: it requires a password" in guest.says()
        assert "no longer shared" not in guest.says()


def test_a_guest_with_a_phone_has_a_keyboard_and_a_touchpad(
    site: PortalDesktops, running_chromium: Browser, typed: Path
) -> None:
    with anna_at(site, running_chromium) as anna:
        work(site, anna)
        link = shared(anna, to_work=True)
        with tab(running_chromium, PHONE, touch=True) as phone:
            arrive(phone, link)
            assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
            phone.page.tap("#touch")
            phone.page.get_by_role("radio", name="Touchpad").tap()
            phone.page.get_by_role("button", name="Close").tap()
            expect(phone.page.locator("#page")).to_have_class(re.compile(r"\btouchpad\b"))
            phone.page.tap("#keys")
            phone.page.tap("#type")
            phone.page.keyboard.insert_text("by thumb")
            phone.page.keyboard.press("Enter")
            wait_typed(phone, typed, "by thumb\n")
            phone.assert_well()
