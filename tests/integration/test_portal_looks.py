"""Announcements, colour, logo and links in a real Chromium: a notice over a desktop takes neither keys nor room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.integration.test_portal_accessibility import GRAVE, violations
from tests.support.browser import DESKTOP, PHONE, Tab, chromium, tab
from tests.support.portal_desktops import (
    PASSWORD,
    PortalDesktops,
    begin,
    portal_desktops,
    stop_all,
    terminals,
    wait_typed,
    work,
)
from tests.support.portal_pages import Scheme

NOTICE = "Maintenance on Sunday.\n Please save your work."
LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="80" height="40"><rect width="80" height="40" fill="#7a1f5c"/></svg>'
)
LINKS = "portal-help-url = https://www.example.org/help\nportal-imprint-url = https://www.example.org/imprint"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all that is typed into the terminal goes, line by line."""
    return tmp_path_factory.mktemp("typed") / "typed"


@pytest.fixture(scope="module")
def site(typed: Path) -> Iterator[PortalDesktops]:
    with portal_desktops(terminals(typed), "portal-announcement =\nportal-colour = #7a1f5c\n" + LINKS) as made:
        yield made


@pytest.fixture
def anna(site: PortalDesktops, browser: Browser) -> Iterator[Tab]:
    """Anna, signed in; her desktops are stopped afterwards, and there is no notice."""
    with tab(browser) as made:
        made.sign_in(site.url, "anna", PASSWORD)
        yield made
    change(site, "portal-announcement", "")
    stop_all(site)


def change(site: PortalDesktops, option: str, value: str) -> None:
    """Give an option of the portal another value, as an editor does."""
    config = site.service.config
    lines = config.read_text(encoding="utf-8").splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"{option} ="))
    rest = lines[at + 1 :]
    while rest and rest[0].startswith(" "):
        rest.pop(0)
    fresh = config.with_suffix(".new")
    fresh.write_text("\n".join([*lines[:at], f"{option} = {value}".rstrip(), *rest]) + "\n", encoding="utf-8")
    fresh.rename(config)


def test_a_notice_comes_over_a_desktop_that_is_open_and_takes_neither_keys_nor_room(
    site: PortalDesktops, anna: Tab, typed: Path
) -> None:
    work(site, anna)
    bar = anna.page.locator("#announcement")
    expect(bar).to_be_hidden()
    size = anna.page.locator("#page").bounding_box()
    anna.type("before ")
    change(site, "portal-announcement", NOTICE)
    expect(bar).to_be_visible()
    expect(bar).to_contain_text("Please save your work.")
    assert anna.page.locator("#page").bounding_box() == size
    anna.type("during ")
    bar.get_by_role("button", name="Close").click()
    expect(bar).to_be_hidden()
    anna.type("after\n")
    wait_typed(anna, typed, "before during after\n")
    anna.assert_well()
    anna.page.reload()
    anna.wait_for_phase("connected")
    anna.page.wait_for_timeout(500)
    expect(bar).to_be_hidden()
    change(site, "portal-announcement", "It is over.")
    expect(bar).to_have_text("It is over. Close")
    change(site, "portal-announcement", "")
    expect(bar).to_be_hidden()


def test_who_closes_the_notice_by_the_keyboard_is_in_the_desktop_then(
    site: PortalDesktops, anna: Tab, typed: Path
) -> None:
    change(site, "portal-announcement", "Hello")
    begin(site, anna)
    anna.wait_for_phase("connected")
    anna.wait_for_colours(2)
    expect(anna.page.locator("#announcement")).to_be_visible()
    anna.page.locator("#announcement-close").focus()
    anna.page.keyboard.press("Enter")
    expect(anna.page.locator("#announcement")).to_be_hidden()
    anna.type("back again\n")
    wait_typed(anna, typed, "back again\n")


@pytest.mark.parametrize("colour", ["#7a1f5c", "#ffcc00", "#000080"])
@pytest.mark.parametrize(("scheme", "size"), [("light", PHONE), ("dark", DESKTOP)])
def test_pages_can_be_read_in_any_colour(
    site: PortalDesktops, browser: Browser, scheme: Scheme, size: tuple[int, int], colour: str
) -> None:
    change(site, "portal-colour", colour)
    change(site, "portal-announcement", NOTICE)
    with tab(browser, size, scheme) as bert:
        found: list[str] = []

        def look(name: str) -> None:
            found.extend(f"{name}: {impact}: {where}" for impact, where in violations(bert) if impact in GRAVE)

        bert.page.goto(site.url)
        expect(bert.page.locator("p.links a")).to_have_count(2)
        look("sign-in")
        bert.sign_in(site.url, "bert", PASSWORD)
        expect(bert.page.get_by_text("Please save your work.")).to_be_visible()
        look("home")
        bert.page.goto(f"{site.url}sessions")
        look("sessions")
        assert not found, "\n".join(found)
        bert.assert_well()


def test_the_colour_is_that_of_buttons_and_the_logo_is_shown(site: PortalDesktops, browser: Browser) -> None:
    change(site, "portal-colour", "#7a1f5c")
    logo = site.service.folder / "logo.svg"
    logo.write_text(LOGO, encoding="utf-8")
    config = site.service.config.read_text(encoding="utf-8")
    try:
        change(site, "portal-colour", f"#7a1f5c\nportal-logo = {logo}")
        with tab(browser) as bert:
            bert.page.goto(site.url)
            button = bert.page.get_by_role("button", name="Sign in")
            assert button.evaluate("(node) => getComputedStyle(node).backgroundColor") == "rgb(122, 31, 92)"
            expect(bert.page.locator("img.logo")).to_be_visible()
            bert.wait_for(
                "the logo", lambda: bert.page.locator("img.logo").evaluate("(image) => image.naturalWidth") == 80
            )
            bert.assert_well()
    finally:
        site.service.config.write_text(config, encoding="utf-8")
