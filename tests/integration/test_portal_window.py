"""How large a desktop is: as the window, and following it; one window leads; zoomed and moved by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import PHONE, Tab, chromium, tab
from tests.support.portal_desktops import PASSWORD, PortalDesktops, portal_desktops, stop_all, terminals, work

SIZE = "const c = document.querySelector('#screen canvas:not(.last)'); return [c.width, c.height]"
SHOWN = (
    "const b = document.querySelector('#screen canvas:not(.last)').getBoundingClientRect();"
    "return [Math.round(b.width), Math.round(b.height)]"
)
ROOM = "const b = document.getElementById('page').getBoundingClientRect(); return [b.width, b.height].map(Math.floor)"


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


def start(person: Tab, size: str = "") -> None:
    """Start a terminal from the home page, in a size of its list where one is given."""
    card = person.page.locator('li.card:has(h3:text-is("Terminal"))')
    if size:
        card.locator("select").select_option(size)
    card.get_by_role("button", name="Start").click()
    person.wait_for_phase("connected")


def test_a_desktop_is_as_large_as_the_window_and_follows_it(site: PortalDesktops, anna: Tab) -> None:
    card = anna.page.locator('li.card:has(h3:text-is("Terminal"))')
    assert card.locator("select option").all_inner_texts() == ["Match window size", "1024x768", "1920x1200"]
    start(anna)
    (slot,) = site.service.desktops.of_user("anna")
    width, height = (int(side) for side in slot.options["size"].split("x"))
    assert width == 1440
    assert height == pytest.approx(anna.run(ROOM)[1], abs=4), "nearly right from its start"
    anna.wait_for("the very size", lambda: anna.run(SIZE) == anna.run(ROOM))
    assert anna.run(SHOWN) == anna.run(SIZE), "not scaled"
    anna.page.set_viewport_size({"width": 1000, "height": 700})
    anna.wait_for("the desktop following", lambda: anna.run(SIZE) == anna.run(ROOM))
    expect(anna.page.get_by_label("Scaling")).to_have_value("resize")


def test_a_fixed_size_stays_and_is_offered_again(site: PortalDesktops, anna: Tab) -> None:
    start(anna, "1920x1200")
    assert anna.run(SIZE) == [1920, 1200]
    expect(anna.page.get_by_label("Scaling")).to_have_value("fit")
    stop_all(site)
    anna.go(site.url)
    expect(anna.page.locator('li.card:has(h3:text-is("Terminal")) select')).to_have_value("1920x1200")


def test_two_windows_do_not_fight_for_the_size(site: PortalDesktops, anna: Tab) -> None:
    start(anna)
    url = anna.url
    other = anna.context.new_page()
    other.set_viewport_size({"width": 800, "height": 500})
    other.goto(url)
    other.wait_for_selector("#state[data-phase=connected]")
    other.mouse.click(300, 300)
    width = "document.querySelector('#screen canvas:not(.last)').width"
    anna.wait_for("the size of the other window", lambda: other.evaluate(width) == 800)
    count = (
        "window.changes = 0; new MutationObserver(() => window.changes++)"
        ".observe(document.querySelector('#screen canvas:not(.last)'), {attributeFilter: ['width', 'height']})"
    )
    for page in (anna.page, other):
        page.evaluate(count)
    other.wait_for_timeout(3000)
    assert anna.page.evaluate("window.changes") + other.evaluate("window.changes") <= 4
    anna.page.bring_to_front()
    anna.click_screen(60, 60)
    anna.wait_for("the size of the window that is used", lambda: anna.run(SIZE) == anna.run(ROOM))
    other.wait_for_timeout(1000)
    assert anna.run(SIZE) == anna.run(ROOM)
    other.close()


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
