"""How large a desktop is: as the window, and following it; one window leads; zoomed and moved by hand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import DESKTOP, PHONE, Tab, chromium, tab
from tests.support.person import Person
from tests.support.portal_desktops import PASSWORD, PortalDesktops, anna_at, portal_desktops, stop_all, terminals, work

SIZE = "const c = document.querySelector('#screen canvas:not(.last)'); return [c.width, c.height]"
SHOWN = (
    "const b = document.querySelector('#screen canvas:not(.last)').getBoundingClientRect();"
    "return [Math.round(b.width), Math.round(b.height)]"
)
ROOM = "const b = document.getElementById('page').getBoundingClientRect(); return [b.width, b.height].map(Math.floor)"

OFFERED = """
const card = [...document.querySelectorAll("li.card")].find((li) => li.querySelector("h3").textContent === "Terminal");
return [...card.querySelectorAll("select option")].map((option) => option.textContent);
"""
START = """
const card = [...document.querySelectorAll("li.card")].find((li) => li.querySelector("h3").textContent === "Terminal");
card.querySelector("select").value = "window";
card.querySelector("form button").click();
"""
COUNT = (
    "window.changes = 0; new MutationObserver(() => window.changes++)"
    ".observe(document.querySelector('#screen canvas:not(.last)'), {attributeFilter: ['width', 'height']})"
)
QUIET_SECONDS = 3.0  # in which two windows that fight change the size some thirty times


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalDesktops]:
    types = terminals(tmp_path_factory.mktemp("typed") / "typed")
    types["Terminal"]["options"]["sizes"] = ["1024x768", "1920x1200"]
    with portal_desktops(types, "remote-connections-per-user = 50") as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def anna(site: PortalDesktops, browser: Browser) -> Iterator[Tab]:
    """Anna, signed in; her desktops are stopped afterwards."""
    with tab(browser) as made:
        made.sign_in(site.url, "anna", PASSWORD)
        yield made
    stop_all(site)


@pytest.fixture(params=["chromium", "firefox"])
def at_window(
    request: pytest.FixtureRequest, site: PortalDesktops, browser: Browser, running_firefox: Person
) -> Iterator[Person]:
    """Anna, signed in, in each browser."""
    with anna_at(site, running_firefox if request.param == "firefox" else browser) as person:
        yield person
        person.resize(*DESKTOP)


def start(person: Tab, size: str = "") -> None:
    """Start a terminal from the home page, in a size of its list where one is given."""
    card = person.page.locator('li.card:has(h3:text-is("Terminal"))')
    if size:
        card.locator("select").select_option(size)
    card.get_by_role("button", name="Start").click()
    person.wait_for_phase("connected")


def start_as_the_window(person: Person) -> None:
    """Start a terminal from the home page, as large as the window, which is what it offers first."""
    assert person.run(OFFERED) == ["Match window size", "1024x768", "1920x1200"]
    person.run(START)
    person.wait_for_phase("connected")


def test_a_desktop_is_as_large_as_the_window_and_follows_it(site: PortalDesktops, at_window: Person) -> None:
    start_as_the_window(at_window)
    (slot,) = site.service.desktops.of_user("anna")
    width, height = (int(side) for side in slot.options["size"].split("x"))
    assert width == at_window.run("return innerWidth")
    assert height == pytest.approx(at_window.run(ROOM)[1], abs=4), "nearly right from its start"
    at_window.wait_for("the very size", lambda: at_window.run(SIZE) == at_window.run(ROOM))
    assert at_window.run(SHOWN) == at_window.run(SIZE), "not scaled"
    before = at_window.run(SIZE)
    at_window.resize(1000, 700)
    at_window.wait_for("the window", lambda: at_window.run(ROOM)[0] < before[0])
    at_window.wait_for("the desktop following", lambda: at_window.run(SIZE) == at_window.run(ROOM))
    assert at_window.run("return document.getElementById('scaling').value") == "resize"


def test_a_fixed_size_stays_and_is_offered_again(site: PortalDesktops, anna: Tab) -> None:
    start(anna, "1920x1200")
    assert anna.run(SIZE) == [1920, 1200]
    expect(anna.page.get_by_label("Scaling")).to_have_value("fit")
    stop_all(site)
    anna.go(site.url)
    expect(anna.page.locator('li.card:has(h3:text-is("Terminal")) select')).to_have_value("1920x1200")


def test_two_windows_do_not_fight_for_the_size(site: PortalDesktops, at_window: Person) -> None:
    start_as_the_window(at_window)
    with at_window.guest() as other:  # the same user, in a window that knows nothing of the first one
        other.resize(800, 500)
        other.sign_in(site.url, "anna", PASSWORD)
        other.run("localStorage.setItem('scaling', 'resize')")
        other.go(at_window.url)
        other.wait_for_phase("connected")
        other.click_screen(300, 200)
        other.wait_for("the size of the other window", lambda: other.run(SIZE) == other.run(ROOM))
        other.run(COUNT)
        time.sleep(QUIET_SECONDS)
        assert other.run("return window.changes") <= 2
        at_window.click_screen(60, 60)
        at_window.wait_for("the size of the window that is used", lambda: at_window.run(SIZE) == at_window.run(ROOM))
        at_window.run(COUNT)
        time.sleep(QUIET_SECONDS)
        assert at_window.run("return window.changes") == 0
        assert at_window.run(SIZE) == at_window.run(ROOM)


def test_all_pixels_of_a_sharp_screen_can_be_had(site: PortalDesktops, browser: Browser) -> None:
    context = browser.new_context(
        viewport={"width": 700, "height": 500}, device_scale_factor=2, ignore_https_errors=True
    )
    try:
        person = Tab(context.new_page(), context)
        person.sign_in(site.url, "anna", PASSWORD)
        start(person)
        person.page.get_by_label("Scaling").select_option("sharp")
        person.wait_for("twice the pixels", lambda: person.run(SIZE) == [2 * side for side in person.run(ROOM)])
        assert person.run(SHOWN) == person.run(ROOM)
        person.page.get_by_label("Scaling").select_option("resize")
        person.wait_for("the pixels of the page", lambda: person.run(SIZE) == person.run(ROOM))
    finally:
        context.close()
        stop_all(site)


def test_a_phone_can_zoom_and_move_the_picture(site: PortalDesktops, browser: Browser, tmp_path: Path) -> None:
    with tab(browser, PHONE, touch=True) as phone:
        phone.sign_in(site.url, "anna", PASSWORD)
        work(site, phone)
        phone.page.get_by_label("Scaling").select_option("original")
        phone.wait_for("the size of its own", lambda: phone.run(SHOWN) == phone.run(SIZE))
        position = "const s = document.getElementById('page'); return [s.scrollLeft, s.scrollTop]"
        assert phone.run(position) == [0, 0]
        phone.page.tap("#hand")
        touch = phone.context.new_cdp_session(phone.page)

        def swipe(*steps: list[tuple[int, int]]) -> None:
            for number, fingers in enumerate(steps):
                points = [{"x": x, "y": y, "id": at} for at, (x, y) in enumerate(fingers)]
                kind = "touchStart" if number == 0 else "touchMove"
                touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

        swipe([(300, 400)], [(250, 400)], [(150, 400)])
        phone.wait_for("the picture being moved", lambda: phone.run(position)[0] > 50)
        phone.page.get_by_label("Scaling").select_option("fit")
        phone.wait_for("the whole picture", lambda: phone.run(SHOWN)[0] <= PHONE[0])
        before = phone.run(SHOWN)[0]
        swipe([(180, 400), (220, 400)], [(140, 400), (260, 400)], [(60, 400), (330, 400)])
        phone.wait_for("the picture being larger", lambda: phone.run(SHOWN)[0] > 1.5 * before)
        phone.picture(tmp_path / "zoomed.png")
        phone.page.tap("#hand")
        phone.assert_well()
    stop_all(site)


def test_a_tap_leaves_the_keyboard_of_a_phone_open(site: PortalDesktops, browser: Browser) -> None:
    with tab(browser, PHONE, touch=True) as phone:
        phone.sign_in(site.url, "anna", PASSWORD)
        work(site, phone)
        phone.page.tap("#keys")
        phone.page.tap("#type")
        focused = "return document.activeElement.id"
        assert phone.run(focused) == "typed"
        phone.page.tap("[data-hold=Control_L]")
        phone.page.tap("[data-key=Tab]")
        assert phone.run(focused) == "typed"
        phone.page.tap("#screen canvas:not(.last)", position={"x": 60, "y": 60})
        phone.wait_for("the keyboard being back", lambda: phone.run(focused) == "typed")
    stop_all(site)
