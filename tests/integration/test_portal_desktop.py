"""The desktop page in a real Chromium, with real Xvnc and xterm: the portal and x2gobroker-remote reached directly."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import update

from tests.support.browser import PHONE, Tab, chromium, tab
from tests.support.portal_desktops import (
    NEVER_STARTS,
    PASSWORD,
    VNC_PASSWORD,
    PortalDesktops,
    begin,
    portal_desktops,
    stop_all,
    terminals,
    wait_typed,
    work,
)
from tests.support.processes import wait_until
from x2gobroker.store import PortalSessions
from x2gobroker.store.remote_tables import REMOTE_ENDS

COUNT_PHASES = """() => {
    window.phases = 0;
    const options = {attributes: true, attributeFilter: ["data-phase"]};
    new MutationObserver(() => window.phases++).observe(document.getElementById("state"), options);
}"""
# what the page itself has got: it goes on by its clock, and a frame that the browser has is not one that it has seen
COUNT_FRAMES = """
  window.heardFrames = 0;
  window.WebSocket = new Proxy(WebSocket, {
    construct(kind, words) {
      const made = Reflect.construct(kind, words);
      made.addEventListener("message", () => { window.heardFrames += 1; });
      return made;
    },
  });
"""
FIRST_PICTURE_SECONDS = 10.0  # bench/ has the figure; this one only tells that nothing hangs
REFUSED = re.compile("Security negotiation failed|WebSocket connection to|Failed to fetch|ERR_")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site(typed: Path) -> Iterator[PortalDesktops]:
    with portal_desktops(terminals(typed), "remote-connections-per-user = 50") as made:
        made.service.write_script("late.py", NEVER_STARTS)
        yield made


@pytest.fixture
def anna(site: PortalDesktops, browser: Browser) -> Iterator[Tab]:
    """Anna, signed in; her desktops are stopped afterwards."""
    with tab(browser) as made:
        made.sign_in(site.url, "anna", PASSWORD)
        yield made
    stop_all(site)


def test_click_start_and_type(site: PortalDesktops, anna: Tab, typed: Path) -> None:
    """From the home page to letters in a terminal; Chromium has nothing to complain about, the policy included."""
    began = time.monotonic()
    anna.page.locator("li.card", has=anna.page.get_by_role("heading", name="Terminal")).get_by_role("button").click()
    anna.wait_for_phase("connected")
    anna.wait_for_colours(2)
    assert time.monotonic() - began < FIRST_PICTURE_SECONDS
    anna.click_screen(60, 60)
    anna.type("Hello: #1 <~>\n")
    wait_typed(anna, typed, "Hello: #1 <~>\n")
    anna.assert_well()
    assert not re.search(r"x2gobroker\.[0-9a-f]{20}", site.broker.output())  # no token


def test_words_about_the_start_and_then_the_desktop(site: PortalDesktops, anna: Tab) -> None:
    begin(site, anna, "Slow")
    expect(anna.page.locator("#cover-text")).to_have_text("Starting the desktop…")
    expect(anna.page.locator("#cover-more")).to_have_text("waking up")
    assert anna.page.locator("#spoken").text_content() == "Starting the desktop… waking up"
    expect(anna.page.locator("#clipboard")).to_be_disabled()
    anna.wait_for_phase("connected")
    expect(anna.page.locator("#cover")).to_be_hidden()
    expect(anna.page.locator("#clipboard")).to_be_enabled()


def test_a_desktop_that_does_not_start_says_why_and_can_be_tried_again(site: PortalDesktops, anna: Tab) -> None:
    begin(site, anna, "Late")
    anna.wait_for_phase("ended")
    assert anna.says().startswith("The desktop could not be started. The script for this desktop failed.")
    before = anna.page.url
    anna.page.get_by_role("button", name="Start again").click()
    anna.page.wait_for_url(re.compile("/portal/desktop/"))
    anna.wait_for("another place", lambda: anna.page.url != before)
    anna.wait_for_phase("ended")
    expect(anna.page.get_by_role("link", name="Home", exact=True)).to_be_visible()


def test_after_the_network_was_away_it_comes_back_by_itself(site: PortalDesktops, anna: Tab, typed: Path) -> None:
    slot = work(site, anna)
    anna.type("before")
    site.pull()
    try:
        anna.wait_for_phase("waiting")
        # the browser takes a machine for offline that has a loopback interface only
        assert re.match(r"(Connection lost|This device is offline)\. Trying again in \d", anna.says())
        expect(anna.page.locator("canvas.last")).to_be_visible()
        expect(anna.page.get_by_role("button", name="Connect now")).to_be_visible()
    finally:
        site.plug()
    anna.wait_for_phase("connected")
    expect(anna.page.locator("canvas.last")).to_have_count(0)
    anna.click_screen(60, 60)
    anna.type(" and after\n")
    wait_typed(anna, typed, "before and after\n")
    assert site.service.desktops.of_user("anna")[0].id == slot.id
    assert all(REFUSED.search(problem) for problem in anna.problems), anna.problems


def test_the_button_tries_at_once(site: PortalDesktops, anna: Tab) -> None:
    work(site, anna)
    site.pull()
    try:
        anna.wait_for("some tries", lambda: "Trying again in 4 s" in anna.says())
    finally:
        site.plug()
    began = time.monotonic()
    anna.page.get_by_role("button", name="Connect now").click()
    anna.wait_for_phase("connected")
    assert time.monotonic() - began < 3


def test_a_quiet_connection_stays_and_a_dead_one_is_noticed(site: PortalDesktops, anna: Tab) -> None:
    """Nothing moves, so the page has to ask; the service does not take that for work. Then nothing answers any more."""
    anna.page.clock.install()
    anna.page.add_init_script(COUNT_FRAMES)
    slot = begin(site, anna, "Brief")
    anna.wait_for_phase("connected")
    anna.page.wait_for_timeout(500)
    anna.page.evaluate(COUNT_PHASES)
    began = time.time()
    for _ in range(3):
        before = anna.run("return window.heardFrames")
        anna.page.clock.run_for(11_000)
        anna.wait_for("the answer", lambda: anna.run("return window.heardFrames") > before)  # noqa: B023
    assert anna.page.evaluate("window.phases") == 0
    assert site.service.desktops.of_user("anna")[0].last_input <= began
    assert site.service.program is not None
    os.killpg(site.service.program.pid, signal.SIGSTOP)  # as after a night of sleep: nothing says that it is over
    try:
        anna.page.clock.run_for(11_000)
        anna.page.clock.run_for(9_000)
        anna.wait_for("the end of the connection", lambda: anna.phase() != "connected")
    finally:
        os.killpg(site.service.program.pid, signal.SIGCONT)
    anna.wait_for_phase("connected")
    assert site.service.desktops.of_user("anna")[0].id == slot.id


def test_the_end_is_announced_and_why_it_ended_is_said(site: PortalDesktops, anna: Tab) -> None:
    slot = begin(site, anna, "Brief")
    anna.wait_for_phase("connected")
    # the service writes down the end within a second
    wait_until(lambda: (found := site.service.desktops.find(slot.id)) is not None and found.ends is not None, "an end")
    anna.page.reload()
    anna.wait_for_phase("connected")
    expect(anna.page.locator("#ending")).to_be_visible()
    expect(anna.page.locator("#ending-time")).to_have_text(re.compile(r"Ends in 3:\d\d\."))
    expect(anna.page.locator("#spoken")).to_have_text(re.compile("This desktop ends in about 4 minutes"))
    site.service.desktops.ask_stop(slot, "absolute")
    anna.wait_for_phase("ended")
    assert anna.says().startswith("This desktop has ended. It was stopped because its time limit was reached.")
    expect(anna.page.locator("#ending")).to_be_hidden()


def test_a_page_that_stays_open_says_how_long_ago_its_desktop_has_ended(site: PortalDesktops, anna: Tab) -> None:
    anna.page.clock.install()
    slot = begin(site, anna)
    anna.wait_for_phase("connected")
    site.service.desktops.ask_stop(slot, "idle")
    anna.wait_for_phase("ended")
    assert anna.says().startswith("This desktop has ended. It was stopped because it was idle for too long.")
    site.service.wait_for_state(slot, "gone")
    anna.page.clock.fast_forward("07:00:30")
    anna.page.clock.run_for(2_000)
    expect(anna.page.locator("#cover-text")).to_have_text("This desktop ended 7 hours ago.")
    expect(anna.page.locator("#cover-more")).to_have_text("It was stopped because it was idle for too long.")
    with site.service.store.begin() as connection:
        earlier = update(REMOTE_ENDS).where(REMOTE_ENDS.c.id == slot.id)
        connection.execute(earlier.values(ended=time.time() - 7 * 3600, seconds=4 * 3600.0))
    anna.page.goto(site.url)
    told = "This desktop ended 7 hours ago. It had not been used for 4 hours."
    expect(anna.page.get_by_text(told)).to_be_visible()


def test_the_password_of_the_vnc_server_is_asked_for(site: PortalDesktops, anna: Tab) -> None:
    begin(site, anna, "Asks")
    dialog = anna.page.get_by_role("dialog", name="This desktop requires a password")
    box = dialog.get_by_label("VNC password")
    expect(box).to_be_focused()
    box.fill("wrong")
    box.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text("Wrong password. Try again.")
    dialog.get_by_role("button", name="Cancel").click()
    anna.wait_for_phase("ended")
    anna.page.get_by_role("button", name="Connect now").click()
    box.fill(VNC_PASSWORD)
    dialog.get_by_role("button", name="Connect").click()
    anna.wait_for_phase("connected")
    assert anna.page.input_value("#password") == ""


def test_texts_go_both_ways_by_the_box(site: PortalDesktops, anna: Tab, typed: Path) -> None:
    work(site, anna, "Copies")
    anna.type("\n")
    anna.page.get_by_role("button", name="Clipboard").click()
    box = anna.page.get_by_label("Desktop clipboard")
    expect(box).to_have_value("from the desktop")
    box.fill("into the desktop: ä\n")
    expect(anna.page.locator("#clipboard-said")).to_have_text("Sent to the desktop clipboard.")
    anna.page.get_by_role("button", name="Close").click()
    anna.click_screen(60, 60)
    anna.page.keyboard.press("Shift+Insert")
    wait_typed(anna, typed, "into the desktop: ä\n")


def test_texts_go_both_ways_by_themselves_where_the_browser_lets_them(
    site: PortalDesktops, browser: Browser, typed: Path
) -> None:
    with tab(browser, permissions=("clipboard-read", "clipboard-write")) as person:
        person.sign_in(site.url, "anna", PASSWORD)
        work(site, person, "Copies")
        person.type("\n")
        person.wait_for(
            "the device having it",
            lambda: person.page.evaluate("navigator.clipboard.readText()") == "from the desktop",
        )
        person.page.evaluate("navigator.clipboard.writeText('copied on the device\\n')")
        person.page.hover("#keys")
        person.click_screen(60, 60)
        person.page.wait_for_timeout(300)
        person.page.keyboard.press("Shift+Insert")
        wait_typed(person, typed, "copied on the device\n")
        person.assert_well()
    stop_all(site)


def test_others_look_on_by_a_link_until_it_is_taken_back(
    site: PortalDesktops, anna: Tab, browser: Browser, typed: Path
) -> None:
    work(site, anna, "Copies")
    anna.page.get_by_role("button", name="Share").click()
    anna.page.get_by_role("button", name="Create link").click()
    link = anna.page.get_by_label("Link", exact=True)
    expect(link).to_be_visible()
    secret = link.input_value().partition("#")[2]
    assert len(secret) == 40
    with tab(browser, permissions=("clipboard-read", "clipboard-write")) as guest:
        guest.page.goto(link.input_value())
        guest.wait_for_phase("connected")
        guest.wait_for_colours(2)
        expect(guest.page.get_by_role("heading", name="Copies")).to_be_visible()
        before = typed.read_text() if typed.exists() else ""
        guest.click_screen(60, 60)
        guest.type("not mine\n")
        guest.page.wait_for_timeout(500)
        anna.page.keyboard.press("Escape")
        anna.click_screen(60, 60)
        anna.type("\nmine\n")
        wait_typed(anna, typed, f"{before}mine\n")
        assert "not mine" not in typed.read_text()
        assert guest.page.evaluate("navigator.clipboard.readText()") != "from the desktop"
        anna.page.get_by_role("button", name="Share").click()
        anna.page.get_by_role("button", name="Stop sharing").click()
        guest.wait_for_phase("ended")
        assert "This desktop is no longer shared" in guest.says()
        expect(anna.page.locator("#share-count")).to_have_text("This desktop is not shared.")
        guest.page.reload()
        guest.wait_for_phase("ended")
        assert guest.page.locator("#spoken").text_content() == "This link is no longer valid. Ask for a new one."
        guest.page.goto(f"{site.url}view")
        guest.wait_for_phase("ended")
        assert "Copy the whole link" in guest.says()
    for log in (site.broker.output(), site.service.said()):
        assert "127.0.0" in log
        assert secret not in log


def test_stop_asks_first_and_then_goes_home(site: PortalDesktops, anna: Tab) -> None:
    slot = work(site, anna)
    anna.page.get_by_role("button", name="Stop").click()
    dialog = anna.page.get_by_role("dialog", name="Stop this desktop?")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    anna.page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    assert site.service.state(slot) == "running"
    assert anna.phase() == "connected"
    anna.page.get_by_role("button", name="Stop").click()
    dialog.get_by_role("button", name="Stop desktop").click()
    anna.page.wait_for_url(site.url)
    site.service.wait_for_state(slot, "gone")


def test_who_is_signed_out_meanwhile_is_told_so(site: PortalDesktops, anna: Tab) -> None:
    slot = work(site, anna)
    PortalSessions(site.service.store).close_all("anna")
    site.websockets.pull()
    site.websockets.plug()
    anna.wait_for_phase("signed-out")
    anna.page.get_by_role("link", name="Sign in").click()
    anna.page.fill("input[name=user]", "anna")
    anna.page.fill("input[name=password]", PASSWORD)
    anna.page.press("input[name=password]", "Enter")
    anna.page.wait_for_url(re.compile(slot.id))
    anna.wait_for_phase("connected")


def test_signing_out_in_another_window_ends_the_connection(site: PortalDesktops, anna: Tab, browser: Browser) -> None:
    """The page of who has signed out everywhere says so; one that is still signed in comes back by itself."""
    slot = work(site, anna)
    with tab(browser) as other:
        other.sign_in(site.url, "anna", PASSWORD)
        site.service.desktops.ask_cut("anna")
        anna.wait_for("a new connection", lambda: site.service.said().count(f"works at Terminal/{slot.number}") >= 2)
        anna.wait_for_phase("connected")
        other.page.evaluate("""() => fetch("/portal/sign-out-everywhere", {method: "POST"})""")
        anna.wait_for_phase("signed-out")
    assert anna.says().startswith("You are signed out.")
    assert site.service.state(slot) == "running"


def test_keys_that_a_device_lacks(site: PortalDesktops, anna: Tab, typed: Path) -> None:
    work(site, anna)
    keys = anna.page.get_by_role("button", name="Keys", exact=True)
    keys.click()
    expect(keys).to_have_attribute("aria-expanded", "true")
    anna.page.get_by_role("button", name="Ctrl", exact=True).click()
    expect(anna.page.get_by_role("button", name="Ctrl", exact=True)).to_have_attribute("aria-pressed", "true")
    anna.page.keyboard.press("Escape")
    anna.page.get_by_role("button", name="Ctrl", exact=True).click()
    anna.page.get_by_text("More keys").click()
    anna.page.get_by_role("button", name="Ctrl+Alt+Del").click()
    anna.page.get_by_role("button", name="Tab", exact=True).click()
    anna.click_screen(60, 60)
    anna.type("x\n")
    wait_typed(anna, typed, "\tx\n")


def test_a_phone_has_a_keyboard_too(site: PortalDesktops, browser: Browser, typed: Path) -> None:
    with tab(browser, PHONE, touch=True) as phone:
        phone.sign_in(site.url, "anna", PASSWORD)
        begin(site, phone)
        phone.wait_for_phase("connected")
        phone.wait_for_colours(2)
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        phone.page.tap("#screen canvas", position={"x": 40, "y": 20})
        phone.page.tap("#keys")
        phone.page.tap("#type")
        phone.page.keyboard.insert_text("by thumb: ö")
        phone.page.keyboard.press("Backspace")
        phone.page.keyboard.press("Enter")
        wait_typed(phone, typed, "by thumb: \n")
        phone.assert_well()
    stop_all(site)


def test_two_tabs_go_on_beside_each_other(site: PortalDesktops, anna: Tab, typed: Path) -> None:
    slot = work(site, anna)
    other = anna.context.new_page()
    with contextlib.closing(other):
        other.goto(f"{site.url}desktop/{slot.id}")
        other.wait_for_selector("#state[data-phase=connected]")
        assert anna.phase() == "connected"
    anna.click_screen(60, 60)
    anna.type("still here\n")
    wait_typed(anna, typed, "still here\n")
