"""Session types with faults, addresses as people type them, browsers that keep nothing: in real Chromium and Firefox.

What is wrong with one thing stays with that one, and whoever meets it is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import COLOURS, Tab, forgetful_tab, tab
from tests.support.firefox import FirefoxTab
from tests.support.person import Person
from tests.support.portal_desktops import (
    DISPLAYS,
    NEVER_STARTS,
    PASSWORD,
    PortalDesktops,
    begin,
    portal_desktops,
    stop_all,
    terminals,
)

UMLAUTS = "pässwö"  # in UTF-8 as long as VNC passwords can be
# names that look wrong, and are not
NAMES = ("a/b?c#d&e=f", "<b>%2e</b>", "Büro ☃ 😀")
# a description that a tool has cut in the middle of a letter, and names that no form gives back as they are
FAULTY: dict[str, dict[str, Any]] = {
    "Cut short": {"description": "Xfce \ud83d"},
    "half \ud83d": {},
    "zero \0": {},
    " before": {},
    "behind ": {},
    "two\nlines": {},
}
CARDS = "return [...document.querySelectorAll('li.card h3')].map((name) => name.textContent)"
START = (
    "[...document.querySelectorAll('li.card')].find((card) => card.querySelector('h3').textContent === arguments[0])"
    ".querySelector('form button').click()"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalDesktops]:
    types = terminals(tmp_path_factory.mktemp("typed") / "typed")
    types["Asks"]["options"]["password"] = UMLAUTS
    told = {"display_base": DISPLAYS + 20, "password": UMLAUTS, "tell": True}
    types["Knows"] = {"script": "plain.py", "count": 1, "options": told}
    for name in (*NAMES, *FAULTY):
        types[name] = {"script": "late.py", "count": 1, **FAULTY.get(name, {})}
    with portal_desktops(types, "remote-connections-per-user = 50") as made:
        made.service.write_script("late.py", NEVER_STARTS)
        yield made


@pytest.fixture(params=["chromium", "firefox"])
def forgetful(
    request: pytest.FixtureRequest, running_chromium: Browser, running_firefox: FirefoxTab, tmp_path: Path
) -> Iterator[Person]:
    """Somebody whose browser keeps nothing of any page, in each browser."""
    if request.param == "firefox":
        with running_firefox.forgetting():
            yield running_firefox
    else:
        with forgetful_tab(running_chromium, tmp_path) as made:
            yield made


@pytest.fixture
def at_home(site: PortalDesktops, running_chromium: Browser) -> Iterator[Tab]:
    """Anna, signed in; her desktops are stopped afterwards."""
    with tab(running_chromium) as made:
        made.sign_in(site.url, "anna", PASSWORD)
        yield made
    stop_all(site)


def test_a_session_type_with_a_fault_takes_no_other_one_away(site: PortalDesktops, at_home: Tab) -> None:
    """The home page is there, and all that it offers starts."""
    shown = at_home.run(CARDS)
    assert {"Terminal", "Knows", *NAMES} <= set(shown)
    assert not {"Cut short", "half", "zero"} & {name.partition(" \ufffd")[0] for name in shown}
    for name in set(shown) - set(terminals(Path())):
        at_home.go(site.url)
        at_home.run(START, name)
        at_home.wait_for(f"a desktop {name!r}", lambda: at_home.text("h1") == name, 20)  # noqa: B023
        assert "/portal/desktop/" in at_home.url
    at_home.assert_well()


def test_a_vnc_password_with_umlauts_counts(site: PortalDesktops, at_home: Tab) -> None:
    """Typed by the user, and told by a script: `vncpasswd` has stored it in UTF-8."""
    begin(site, at_home, "Asks")
    dialog = at_home.page.get_by_role("dialog", name="This desktop requires a password")
    dialog.get_by_label("VNC password").fill(UMLAUTS)
    dialog.get_by_role("button", name="Connect").click()
    at_home.wait_for_phase("connected", 20)
    begin(site, at_home, "Knows")
    at_home.wait_for_phase("connected", 20)
    expect(dialog).to_be_hidden()


def test_a_name_of_this_device_is_as_good_as_its_address(site: PortalDesktops, anna: Person) -> None:
    """Browsers take all of `localhost` for safe, so a sign-in works there, and so does a desktop."""
    named = site.url.replace("127.0.0.1", "portal.localhost")
    anna.sign_in(named, "anna", PASSWORD)
    slot = begin(site, anna)
    anna.go(f"{named}desktop/{slot.id}")
    anna.wait_for_phase("connected", 20)
    assert "//portal.localhost:" in anna.url


def test_a_slash_at_the_end_leads_to_the_same_page(site: PortalDesktops, anna: Person) -> None:
    """And what that page has further addresses for can be reached from there."""
    anna.go(f"{site.url}sessions/")
    anna.wait_for("the list", lambda: anna.text("h1") == "My sessions")
    anna.go(f"{site.url}sign-in/")
    assert anna.text("h1") == "Desktops and sessions", "who is signed in comes home"
    slot = begin(site, anna)
    anna.go(f"{site.url}desktop/{slot.id}/")
    anna.wait_for_phase("connected", 20)
    anna.go(site.url.removesuffix("/"))
    assert anna.text("h1") == "Desktops and sessions"


def test_who_keeps_no_cookies_is_told_so(site: PortalDesktops, forgetful: Person) -> None:
    forgetful.go(site.url)
    forgetful.fill("input[name=user]", "anna")
    forgetful.fill("input[name=password]", PASSWORD)
    forgetful.click("form .primary")
    said = "Your browser does not keep cookies from this page."
    forgetful.wait_for("the words", lambda: said in forgetful.text("main"), 20)


def test_a_guest_needs_nothing_that_a_browser_keeps(site: PortalDesktops, forgetful: Person) -> None:
    """What was chosen the last time cannot be read there, and is not missed."""
    slot = site.service.reserve("Terminal")
    owner = site.service.connect(slot, origin=site.url.removesuffix("/portal/"))
    try:
        forgetful.go(f"{site.url}view#{site.service.desktops.share(slot, works=False)}")
        forgetful.wait_for_phase("connected", 20)
        forgetful.wait_for("a picture", lambda: int(forgetful.run(COLOURS)) >= 2)
        with pytest.raises(Exception, match=r"SecurityError|denied|insecure"):
            forgetful.run("return localStorage.length")
    finally:
        owner.close()
        stop_all(site)
