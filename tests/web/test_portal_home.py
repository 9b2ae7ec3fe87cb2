"""The portal's home page, starting desktops and waiting for a place."""

from __future__ import annotations

import html
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

import pytest
from webtest import TestApp

from tests.web.portal import Browser, PortalBench
from x2gobroker.remote.told import TOO_SLOW
from x2gobroker.store import Slot, Why
from x2gobroker.store.remote_desktops import BROKEN, RUNNING, STOPPING

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
MARKUP = '"><script>alert(1)</script>'


def kind(count: int = 2, **more: Any) -> dict[str, Any]:
    """A session type for everybody who is not denied."""
    return {"script": "tigervnc.py", "count": count, **more}


def portal_with(folder: Path, more: str = "", **types: dict[str, Any]) -> PortalBench:
    """A portal with these session types."""
    return PortalBench(folder, more, types=json.dumps(types))


@pytest.fixture
def portal(tmp_path: Path) -> PortalBench:
    """One session type for everybody and one for bert."""
    return portal_with(
        tmp_path,
        Desk=kind(2, description="For <everybody>"),
        Staff=kind(1, users=["bert"], options={"sizes": ["800x600"]}),
    )


class Names(HTMLParser):
    """Texts of the headings of cards, and the forms' addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.posts: list[str] = []
        self._in_heading = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note forms, and where headings begin."""
        self._in_heading = tag == "h3"
        if tag == "form":
            self.posts.append(dict(attrs).get("action") or "")

    def handle_data(self, data: str) -> None:
        """The text of a heading."""
        if self._in_heading and data.strip():
            self.headings.append(data.strip())


def cards(browser: Browser) -> list[str]:
    """The session types on the home page."""
    page = browser.get()
    assert page.status_int == 200, page.text
    return Names(page.text).headings


def start(browser: Browser, name: str = "Desk", size: str = "") -> str:
    """Start a desktop; its ID."""
    answer = browser.post("/portal/start", type=name, size=size)
    found = re.fullmatch(r"/portal/desktop/([0-9a-f]{16})", answer.location or "")
    assert answer.status_int == 303, answer.text
    assert found, answer.location
    return found[1]


def slot_of(portal: PortalBench, slot_id: str) -> Slot:
    """A desktop as it stands in the store."""
    slot = portal.desktops.find(slot_id)
    assert slot is not None
    return slot


def test_who_may_see_what(portal: PortalBench) -> None:
    anna, bert = portal.signed_in(), portal.signed_in("bert")
    assert cards(anna) == ["Desk"]
    assert cards(bert) == ["Desk", "Staff"]
    assert "A desk" in anna.get().text
    assert "Staff only" not in anna.get().text
    assert "Staff only" in bert.get().text
    assert "For &lt;everybody&gt;" in anna.get().text


def test_free_places_and_ones_own_desktop(portal: PortalBench) -> None:
    anna, bert = portal.signed_in(), portal.signed_in("bert")
    assert "2 of 2 available" in anna.get().text
    made = start(anna, size="1280x720")
    assert slot_of(portal, made).options == {"size": "1280x720"}
    page = anna.get().text
    assert f"/portal/desktop/{made}" in page
    assert "Starting" in page
    assert "/portal/start" not in Names(page).posts
    portal.desktops.change(made, RUNNING, connections=1)
    assert "Running" in anna.get().text
    assert "1 of 2 available" in bert.get().text
    assert anna.post(f"/portal/desktop/{made}/stop").status_int == 303
    assert "Stopping" in anna.get().text  # at once, not only when the service has begun with it
    assert "Stopping" in anna.get("/portal/sessions").text
    assert "Reconnect" not in anna.get().text + anna.get("/portal/sessions").text
    portal.desktops.change(made, STOPPING)
    assert "Stopping" in anna.get().text
    portal.desktops.release(made, TOO_SLOW, Why.FAILED)
    page = anna.get().text
    assert "Something went wrong last time. The desktop took too long to start. Try again." in page
    german = anna.get(Accept_Language="de").text
    assert "Beim letzten Mal ist ein Fehler aufgetreten. Der Start des Desktops hat zu lange gedauert." in german
    assert "2 of 2 available" in page


def test_how_a_desktop_has_ended_is_on_its_card(portal: PortalBench) -> None:
    anna = portal.signed_in()
    made, ended = start(anna), time.time() - 7 * 3600
    portal.desktops.change(made, RUNNING, started=ended - 50_000)
    portal.desktops.release(made, why=Why.IDLE, seconds=14400.0, now=ended)
    start(portal.signed_in("bert"))
    assert "This desktop ended 7 hours ago. It had not been used for 4 hours." in anna.get().text
    german = anna.get(Accept_Language="de").text
    assert "Dieser Desktop wurde vor 7 Stunden beendet. Er war seit 4 Stunden nicht benutzt worden." in german
    other = start(anna)
    assert "7 hours ago" not in anna.get().text
    portal.desktops.change(other, RUNNING)
    portal.desktops.release(other, why=Why.STOP)
    assert "This desktop" not in anna.get().text, "that is what she wanted"


def test_ends_of_several_desktops_have_their_numbers(tmp_path: Path) -> None:
    portal = portal_with(tmp_path, Desk=kind(5, **{"per-user": 2}))
    anna = portal.signed_in()
    _first, second = (come_for(portal, start(anna)) for _ in range(2))
    portal.desktops.release(second, why=Why.GRACE, seconds=900.0)
    text = "<strong>Desktop 2</strong> This desktop has ended. Nobody had been connected to it for 15 minutes."
    assert text in anna.get().text


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/portal", "/portal/"),
        ("/portal?x=1&y=a%26b", "/portal/?x=1&y=a%26b"),
        ("/portal/client/?profile=desk", "/portal/client?profile=desk"),
        ("/portal/sessions/", "/portal/sessions"),
    ],
)
def test_a_page_has_one_address_so_that_relative_links_are_right(portal: PortalBench, path: str, address: str) -> None:
    anna = portal.signed_in()
    answer = anna.get(path)
    assert (answer.status_int, answer.location) == (303, address)
    assert anna.get(address).status_int == 200


def test_all_links_of_the_pages_lead_somewhere(portal: PortalBench) -> None:
    anna = portal.signed_in()
    made = start(anna)
    portal.desktops.change(made, RUNNING)
    paths = ["/portal", "/portal/", "/portal/sessions", "/portal/client?profile=desk", "/portal/wait?type=Desk"]
    for path in (*paths, f"/portal/desktop/{made}", "/portal/no/such/page"):
        page = anna.get(path)
        if page.status_int == 303:
            path = page.location
            page = anna.get(path)
        for link in {html.unescape(found) for found in re.findall(r'<a [^>]*href="([^"#]+)"', page.text)}:
            if not link.startswith(("http", "mailto:", "x2go")):
                assert anna.get(urljoin(path, link)).status_int == 200, (path, link)


def test_a_double_click_on_start_gives_one_desktop(portal: PortalBench) -> None:
    anna = portal.signed_in()
    assert start(anna) == start(anna, size="1440x900")
    assert len(portal.desktops.everything()) == 1


def test_two_tabs_and_two_browsers_of_a_user_have_the_same_desktop(portal: PortalBench) -> None:
    assert start(portal.signed_in()) == start(portal.signed_in(address="198.51.100.4"))


def come_for(portal: PortalBench, slot_id: str) -> str:
    """Somebody connects to a desktop, and it runs; its ID."""
    assert portal.desktops.begin_start(slot_id, "here")
    portal.desktops.change(slot_id, RUNNING)
    return slot_id


def test_a_card_with_several_desktops(tmp_path: Path) -> None:
    portal = portal_with(tmp_path, Desk=kind(5, **{"per-user": 2}))
    anna = portal.signed_in()
    assert "Desktop 1" not in anna.get().text
    first = come_for(portal, start(anna))
    page = anna.get().text
    assert re.search(r">Desktop 1</strong> <span class=\"badge good\">Running</span>", page)
    assert "started less than a minute ago" in page
    assert "4 of 5 available" in page
    assert "Start another" in page
    assert start(anna, size="1440x900") == start(anna, size="1280x720"), "pressed twice"
    second = come_for(portal, start(anna))
    assert first != second
    page = anna.get().text
    assert [f"/portal/desktop/{one}/stop" in Names(page).posts for one in (first, second)] == [True, True]
    assert f'href="/portal/desktop/{first}"' in page
    assert 'aria-describedby="desk-1 desk-1-2">Reconnect' in page
    assert '<span class="visually-hidden"> Desk, desktop 2</span>' in page
    assert "/portal/start" not in Names(page).posts
    assert "You can have 2 desktops of this type at a time." in page
    assert "data-refresh" not in page
    assert anna.post(f"/portal/desktop/{first}/stop").status_int == 303
    page = anna.get().text
    assert (page.count("Reconnect"), page.count("Stopping"), page.count("data-refresh")) == (1, 1, 1)
    portal.desktops.release(first)
    assert slot_of(portal, start(anna)).ordinal == 1


def test_who_has_as_many_as_there_may_be_is_told(tmp_path: Path) -> None:
    portal = portal_with(tmp_path, Desk=kind(2, **{"per-user": 2}))
    anna = portal.signed_in()
    first, _second = (come_for(portal, start(anna)) for _ in range(2))
    answer = anna.post("/portal/start", type="Desk")
    assert (answer.status_int, answer.location) == (303, "/portal/wait?type=Desk&size=1024x768")
    page = anna.get(f"{answer.location}&wait=1")
    assert "You already have 2 desktops of type “Desk”" in page.text
    assert "Refresh" not in page.headers, "nothing changes until she stops one"
    german = anna.get(answer.location, Accept_Language="de").text
    assert "Sie haben bereits 2 Desktops vom Typ „Desk“" in german
    portal.desktops.release(first)
    assert "A desktop is available" in anna.get(answer.location).text


def test_one_is_left_for_the_next_user_where_places_are_few(tmp_path: Path) -> None:
    portal = portal_with(tmp_path, Desk=kind(2, **{"per-user": 2}))
    anna, bert = portal.signed_in(), portal.signed_in("bert")
    come_for(portal, start(anna))
    come_for(portal, start(bert))
    assert anna.post("/portal/start", type="Desk").location == "/portal/wait?type=Desk&size=1024x768"
    page = anna.get().text
    assert "All 2 desktops in use" in page
    assert "Reconnect" in page
    assert "<li>bert</li>" in anna.get("/portal/wait?type=Desk").text


def test_several_in_all_places(tmp_path: Path) -> None:
    """My sessions and the page of each desktop tell them apart; a type of which there is one has no number."""
    portal = portal_with(tmp_path, Desk=kind(5, **{"per-user": 2}), One=kind())
    anna = portal.signed_in()
    ids = [come_for(portal, start(anna)) for _ in range(2)] + [come_for(portal, start(anna, "One"))]
    names = ["Desk, desktop 1", "Desk, desktop 2", "One"]
    assert Names(anna.get("/portal/sessions").text).headings == names
    for slot_id, name in zip(ids, names, strict=True):
        page = anna.get(f"/portal/desktop/{slot_id}").text
        assert f"<title>{name}" in page
        assert f"<h1>{name}</h1>" in page
        assert f'data-name="{name}"' in page
    portal.write("types.json", json.dumps({"Desk": kind()}))
    assert Names(anna.get("/portal/sessions").text).headings == ["Desk", "Desk, desktop 2", "One"]
    page = anna.get().text
    assert (page.count("Reconnect"), "You can have 1 desktop of this type at a time." in page) == (2, True)


def test_a_rush_on_start_gives_one_desktop_after_the_other(tmp_path: Path) -> None:
    portal = portal_with(tmp_path, Desk=kind(9, **{"per-user": 2}))
    anna = portal.signed_in()
    for number in (1, 2):
        at_once(portal, [anna] * 6)
        found = portal.desktops.everything()
        assert [slot.ordinal for slot in found] == list(range(1, number + 1))
        come_for(portal, found[-1].id)
    assert set(at_once(portal, [anna] * 6)) == {"/portal/wait?type=Desk&size=1024x768"}


def at_once(portal: PortalBench, browsers: list[Browser]) -> list[str]:
    """Where these browsers are sent that press Start in the same moment."""
    gate = threading.Barrier(len(browsers))

    def press(browser: Browser) -> str:
        mine = Browser(TestApp(portal.app.app), browser.address, dict(browser.cookies))
        gate.wait(10)
        return str(mine.post("/portal/start", type="Desk").location)

    with ThreadPoolExecutor(len(browsers)) as threads:
        return list(threads.map(press, browsers))


def test_a_double_click_in_the_same_moment_gives_one_desktop(portal: PortalBench) -> None:
    anna = portal.signed_in()
    places = at_once(portal, [anna] * 6)
    (only,) = portal.desktops.everything()
    assert set(places) == {f"/portal/desktop/{only.id}"}


def test_two_users_never_get_one_place(portal: PortalBench) -> None:
    portal.write("types.json", json.dumps({"Desk": kind(1)}))
    places = at_once(portal, [portal.signed_in(), portal.signed_in("bert")] * 3)
    (only,) = portal.desktops.everything()
    assert set(places) == {f"/portal/desktop/{only.id}", "/portal/wait?type=Desk&size=1024x768"}
    assert len(places) == 6
    assert places.count(f"/portal/desktop/{only.id}") == 3


def test_only_sizes_of_the_list(portal: PortalBench) -> None:
    bert = portal.signed_in("bert")
    for size in ("1280x720", "800x600;reboot", "-geometry"):
        answer = bert.post("/portal/start", type="Staff", size=size)
        assert answer.status_int == 400
        assert "choose a size from the list" in answer.text
    assert portal.desktops.everything() == []
    assert slot_of(portal, start(bert, "Staff")).options == {"size": "800x600"}


@pytest.mark.parametrize("name", ["Staff", "Nothing", "", "x" * 300])
def test_no_desktop_of_a_type_that_is_not_for_the_user(portal: PortalBench, name: str) -> None:
    anna = portal.signed_in()
    answer = anna.post("/portal/start", type=name)
    assert answer.status_int == 404
    assert "Desktop not found" in answer.text
    assert anna.get(f"/portal/wait?type={name}").status_int == 404
    assert anna.get(f"/portal/picture?type={name}").status_int == 404
    assert portal.desktops.everything() == []


def test_no_desktop_from_another_address_than_the_rules_say(tmp_path: Path) -> None:
    portal = portal_with(tmp_path, House=kind(users=["ALL"], addresses=["198.51.100.0/24"]))
    assert cards(portal.signed_in()) == []
    near = portal.signed_in(address="198.51.100.4")
    assert cards(near) == ["House"]
    assert slot_of(portal, start(near, "House")).address == "198.51.100.4"
    assert portal.signed_in().post("/portal/start", type="House").status_int == 404


def test_nothing_but_the_size_goes_into_the_store(tmp_path: Path) -> None:
    """Arguments are computed where scripts run, from the file of session types."""
    portal = portal_with(tmp_path, Desk=kind(3, arguments={"anna": ["--fast", "a b"]}))
    assert slot_of(portal, start(portal.signed_in())).options.keys() == {"size"}


def test_all_places_are_taken(portal: PortalBench) -> None:
    anna, bert = portal.signed_in(), portal.signed_in("bert")
    portal.write("types.json", json.dumps({"Desk": kind(1)}))
    made = start(bert)
    page = anna.get().text
    assert "Desktop in use" in page
    assert "/portal/wait?type=Desk" in page
    answer = anna.post("/portal/start", type="Desk", size="1440x900")
    assert (answer.status_int, answer.location) == (303, "/portal/wait?type=Desk&size=1440x900")
    full = anna.get(answer.location)
    assert "<li>bert</li>" in full.text
    assert "Refresh" not in full.headers
    waiting = anna.get(f"{answer.location}&wait=1")
    assert waiting.headers["Refresh"] == "10"
    assert "It checks every 10 seconds whether a desktop is available." in waiting.text
    portal.desktops.release(made)
    free = anna.get(f"{answer.location}&wait=1")
    assert "Refresh" not in free.headers
    assert "A desktop is available" in free.text
    assert 'name="size" value="1440x900"' in free.text
    start(anna, size="1440x900")


def test_many_users_have_places_and_some_cannot_be_stopped(tmp_path: Path) -> None:
    portal = portal_with(tmp_path, Desk=kind(9))
    slots = [portal.desktops.reserve("Desk", 9, f"user{number}", {}, "") for number in range(9)]
    assert slots[0] is not None
    assert slots[1] is not None
    portal.desktops.change(slots[0].id, BROKEN)
    portal.desktops.change(slots[1].id, RUNNING, ends=slots[1].since + 600.0, ends_why="idle")
    page = portal.signed_in().get("/portal/wait?type=Desk").text
    assert re.findall(r"<li>(.*?)</li>", page) == ["user1", "user2", "user3", "user4", "user5", "and 3 more"]
    assert "One desktop could not be stopped" in page
    assert re.search(r"become available within (9|10) minutes", page)
    assert "All 9 desktops in use" in portal.signed_in().get().text


def test_waiting_does_not_keep_anybody_signed_in(portal: PortalBench) -> None:
    anna = portal.signed_in()
    before = portal.sessions.find(anna.token, 1e9)
    assert before is not None
    anna.get("/portal/wait?type=Desk&wait=1")
    after = portal.sessions.find(anna.token, 1e9)
    assert after is not None
    assert after.last_seen == before.last_seen


def test_a_type_with_a_broken_script_or_without_places_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def realize_service(:\n")
    types = {
        "Bad": kind() | {"script": "bad.py"},
        "Away": kind() | {"script": "gone.py"},
        "None": kind(0),
        "Good": kind(),
    }
    portal = PortalBench(tmp_path, types=json.dumps({**types, "Wrong": {"count": 1}}))
    anna = portal.signed_in()
    assert cards(anna) == ["Good"]
    assert anna.post("/portal/start", type="Bad").status_int == 404
    (tmp_path / "bad.py").write_text("def realize_service(name, count, index, common_options):\n    pass\n")
    (tmp_path / "gone.py").write_text("")
    assert cards(anna) == ["Bad", "Away", "Good"]


def test_a_broken_file_of_session_types_leaves_the_portal_alone(portal: PortalBench) -> None:
    anna = portal.signed_in()
    assert cards(anna) == ["Desk"]
    portal.write("types.json", "{")
    assert cards(anna) == ["Desk"]


def test_names_with_markup_and_odd_signs(tmp_path: Path) -> None:
    names = [MARKUP, "/..", "..", "a/b?c=d&e#f", "Büro %s %(x)s"]
    portal = PortalBench(tmp_path, types=json.dumps({name: kind(picture="p.svg") for name in names}))
    (tmp_path / "p.svg").write_text(SVG)
    anna = portal.signed_in()
    page = anna.get().text
    assert Names(page).headings == names
    assert "<script>alert" not in page
    for address in re.findall(r'<img class="picture" src="([^"]+)"', page):
        assert anna.get(address.replace("&amp;", "&")).text == SVG
    for name in names:
        assert anna.get("/portal/wait?" + urlencode({"type": name})).status_int == 200
        start(anna, name)
    page = anna.get("/portal/sessions").text
    assert "<script>alert" not in page


def test_a_picture_is_kept_by_the_browser_and_can_do_nothing(tmp_path: Path) -> None:
    portal = portal_with(
        tmp_path,
        Desk=kind(picture="p.svg"),
        Other=kind(picture="none.png"),
        Staff=kind(picture="p.svg", users=["bert"]),
    )
    (tmp_path / "p.svg").write_text(SVG)
    anna = portal.signed_in()
    answer = anna.get("/portal/picture?type=Desk")
    assert answer.content_type == "image/svg+xml"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"].startswith("private")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert anna.get("/portal/picture?type=Other").status_int == 404
    assert anna.get("/portal/picture?type=Staff").status_int == 404
    assert portal.browser().get("/portal/picture?type=Desk").status_int == 303
    assert anna.get().text.count("<img") == 1


def test_users_whom_nobody_has_checked_get_no_desktop(tmp_path: Path) -> None:
    portal = portal_with(tmp_path, Desk=kind())
    config = (tmp_path / "x2gobroker.conf").read_text()
    portal.write("x2gobroker.conf", config.replace("portal-backend = inifile", "portal-backend = zeroconf"))
    zero = portal.signed_in()
    assert cards(zero) == []
    assert zero.post("/portal/start", type="Desk").status_int == 403
    assert portal.desktops.everything() == []


def test_nothing_to_open(tmp_path: Path) -> None:
    portal = portal_with(tmp_path)
    portal.write("profiles.conf", "[x]\nname = X\nhost = x\nacl-users-allow = nobody\n")
    assert "Contact your administrator" in portal.signed_in().get().text


def test_in_german(portal: PortalBench) -> None:
    anna = portal.signed_in()
    for path in ("/portal/", "/portal/wait?type=Desk&wait=1", "/portal/client?profile=desk"):
        page = anna.get(path, Accept_Language="de")
        assert '<html lang="de">' in page.text
    assert "2 von 2 verfügbar" in anna.get(Accept_Language="de").text
