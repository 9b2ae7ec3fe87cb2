"""The page of guests: what it has for those who may work, and for those who only look on."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from tests.web.conftest import ADDRESS
from tests.web.portal import HOST, JSON, PortalBench
from x2gobroker.portal import static
from x2gobroker.remote.told import NOT_FOR_GUESTS
from x2gobroker.store.remote_desktops import RUNNING

TYPES = '{"Desk": {"script": "tigervnc.py", "count": 2}}'
# its scripts: all but those for the user's own clipboard, files, sound and links
OF_GUESTS = ("view", "cover", "focus", "keys", "leaving", "scaling", "touchpad", "typing")


@pytest.fixture
def portal(tmp_path: Path) -> PortalBench:
    return PortalBench(tmp_path, "portal-title = Somewhere\n", types=TYPES)


def tag(page: str, name: str) -> str:
    """The start tag of the element with this ID."""
    found = re.search(rf'<[^<>]* id="{name}"[^<>]*>', page)
    assert found, name
    return found[0]


def test_what_its_scripts_look_for_is_there(portal: PortalBench) -> None:
    page = portal.browser().get("/portal/view").text
    loaded = {name.removeprefix("portal/").removesuffix(".js") for name in static.modules_of("portal/view.js")}
    assert set(OF_GUESTS) <= loaded
    for name in OF_GUESTS:
        text = (static.FOLDER / "portal" / f"{name}.js").read_text(encoding="utf-8")
        for wanted in re.findall(r'(?:by|getElementById)\("([\w-]+)"\)', text):
            assert f'id="{wanted}"' in page, (name, wanted)
    for name in ("clipboard", "files", "sound", "share"):
        assert f'id="{name}"' not in page, "nothing of the user's"
        assert name not in loaded


def test_the_tools_for_work_are_hidden_until_the_link_says_that_the_guest_works(portal: PortalBench) -> None:
    page = portal.browser().get("/portal/view").text
    for name in ("keys", "touch", "keys-bar"):
        assert " hidden" in tag(page, name), name
    for name in ("scaling", "hand", "full"):
        assert " hidden" not in tag(page, name), name


def test_its_title_is_right_for_both_kinds_of_guests(portal: PortalBench) -> None:
    """Its script puts before the portal's own what the guest is."""
    page = portal.browser().get("/portal/view").text
    assert "<title>Shared desktop · Somewhere</title>" in page
    assert 'data-title="Somewhere"' in tag(page, "page")


@pytest.mark.parametrize("works", [True, False])
def test_the_token_says_whether_the_guest_works(portal: PortalBench, works: bool) -> None:
    slot = portal.desktops.reserve("Desk", 2, "anna", {"size": "800x600"}, ADDRESS)
    assert slot is not None
    portal.desktops.change(slot.id, RUNNING)
    body = json.dumps({"share": portal.desktops.share(slot, works=works)}).encode()
    found = portal.app.post(
        "/portal/view/token", body, headers={**JSON, "Content-Type": "application/json", "Host": HOST}
    ).json
    assert found["works"] is works
    holder = portal.desktops.redeem(found["token"], ADDRESS)
    assert holder is not None
    assert holder.view_only is not works


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Guests cannot open this desktop: it requires a password"),
        ("de", "Gäste können diesen Desktop nicht öffnen: Er verlangt ein Passwort"),
    ],
)
def test_guests_who_cannot_be_let_in_are_told_why(portal: PortalBench, language: str, words: str) -> None:
    page = portal.browser().get("/portal/view", Accept_Language=language).text
    found = re.search(r'data-texts="([^"]+)"', page)
    assert found
    assert json.loads(html.unescape(found[1]))[NOT_FOR_GUESTS].startswith(words)
    passing = re.search(r'data-passing="([^"]+)"', page)
    assert passing
    assert NOT_FOR_GUESTS not in json.loads(html.unescape(passing[1])), "the page does not try again by itself"


def test_the_owners_page_says_over_the_screen_that_guests_may_work(portal: PortalBench) -> None:
    """Where there is no bar, too: so it is no part of that. And it is read out when it changes."""
    slot = portal.desktops.reserve("Desk", 2, "anna", {"size": "800x600"}, ADDRESS)
    assert slot is not None
    page = portal.signed_in().get(f"/portal/desktop/{slot.id}").text
    assert 'role="status"' in tag(page, "guests")
    assert page.index('<main id="main"') < page.index(tag(page, "guests"))
    style = (static.FOLDER / "portal" / "desktop.css").read_text(encoding="utf-8")
    assert re.search(r"^\.over \.guests \{[^}]*pointer-events: none", style, re.MULTILINE)


def test_the_page_says_how_long_texts_may_be_that_come_out(tmp_path: Path) -> None:
    limit = "From many programs, only text up to 256 KB arrives."
    for way, says in (("both", True), ("out", True), ("in", False)):
        folder = tmp_path / way
        folder.mkdir()
        types = {"Desk": {"script": "tigervnc.py", "count": 2, "clipboard": way}}
        portal = PortalBench(folder, types=json.dumps(types))
        slot = portal.desktops.reserve("Desk", 2, "anna", {"size": "800x600"}, ADDRESS)
        assert slot is not None
        page = portal.signed_in().get(f"/portal/desktop/{slot.id}").text
        assert (limit in page.partition('id="clipboard-hint"')[2].partition("</p>")[0]) is says
