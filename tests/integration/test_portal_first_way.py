"""Somebody's first way through the portal, on a phone, in real Chromium and real Firefox: one walk, as people walk it.

Everything is used by the name that it has on the page, and looked at where it has to arrive: in the desktop's terminal,
in the user's home folder, in the device's downloads, on a guest's screen.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from passlib.hash import sha512_crypt
from playwright.sync_api import Browser

from tests.support.accounts import Account, account_with_home
from tests.support.browser import COLOURS, PHONE, tab
from tests.support.firefox import firefox
from tests.support.person import Person
from tests.support.portal_desktops import DISPLAYS, PortalDesktops, portal_desktops, wait_typed
from tests.support.processes import wait_until
from x2gobroker.store import Slot

PASSWORD = "First-way-pw-1"
SIZE = "const c = document.querySelector('#screen canvas:not(.last)'); return c ? [c.width, c.height] : []"
ROOM = "const b = document.getElementById('page').getBoundingClientRect(); return [b.width, b.height].map(Math.floor)"
REPORT = "Übersicht 2024.ods"  # Firefox shows PDF files in another tab


@dataclass
class Way:
    """The portal, and somebody with an account on this host; what is typed into the user's desktop goes to a file."""

    site: PortalDesktops
    user: Account
    typed: Path

    def slot(self) -> Slot:
        """The user's only desktop."""
        (slot,) = self.site.service.desktops.of_user(self.user.name)
        return slot

    def stop_all(self) -> None:
        """Stop what a walk that failed has left."""
        desktops = self.site.service.desktops
        for slot in desktops.of_user(self.user.name):
            desktops.ask_stop(slot)
        wait_until(lambda: not desktops.of_user(self.user.name), "all being stopped")


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    typed = tmp_path / "typed"
    options = {"display_base": DISPLAYS, "typed": str(typed), "sizes": ["800x600", "1024x768"]}
    types = {"Terminal": {"script": "terminal.py", "count": 2, "files": "both", "options": options}}
    with account_with_home(PASSWORD, below="/var/lib") as user, portal_desktops(types) as site:
        with (site.service.folder / "users").open("a", encoding="utf-8") as users:
            users.write(f"{user.name}:{sha512_crypt.using(rounds=1000).hash(PASSWORD)}\n")
        made = Way(site, user, typed)
        yield made
        made.stop_all()


@pytest.fixture(params=["chromium", "firefox"])
def person(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Person]:
    """Somebody with a phone, in each browser."""
    if request.param == "firefox":
        with firefox(tmp_path / "firefox", PHONE, touch=True) as made:
            yield made
    else:
        chromium: Browser = request.getfixturevalue("running_chromium")
        with tab(chromium, PHONE, touch=True) as phone:
            yield phone


def test_the_first_way_of_somebody_new(way: Way, person: Person, tmp_path: Path, pictures: Path) -> None:
    try:
        _sign_in(way, person)
        _start(way, person)
        _type(way, person, "Grüße aus ", "Köln")
        _paste(way, person)
        report = _upload(way, person, tmp_path)
        _download(person, report)
        _rotate(way, person)
        _lose_the_network(way, person)
        _come_back(way, person)
        _share(way, person)
        _stop(way, person)
    except Exception:
        person.picture(pictures / "here.png")
        raise


def _sign_in(way: Way, person: Person) -> None:
    person.go(way.site.url)
    person.write("User name", way.user.name)
    person.write("Password", PASSWORD)
    person.use("Sign in")
    person.wait_for("the home page", lambda: "Desktops and sessions" in person.text("main"))


def _start(way: Way, person: Person) -> None:
    """The desktop is as large as the phone has room for it."""
    person.use("Start")
    _wait_for_picture(person)
    person.wait_for("a desktop that fits", lambda: person.run(SIZE) == person.run(ROOM))
    width, height = person.run(SIZE)
    assert width < height, "upright"
    assert way.site.service.state(way.slot()) == "running"


def _wait_for_picture(person: Person) -> None:
    person.wait_for_phase("connected")
    person.wait_for("a picture", lambda: int(person.run(COLOURS)) >= 2)


def _type(way: Way, person: Person, *words: str) -> None:
    """By the keyboard on the phone's screen."""
    person.click_screen(60, 60)
    person.use("Keys")
    person.use("Keyboard")
    person.compose(*words)
    person.use("Enter")
    wait_typed(person, way.typed, f"{''.join(words)}\n")


def _paste(way: Way, person: Person) -> None:
    # its line end is in it: the desktop asks for the text when it is wanted, and a key may come before the answer
    person.use("Clipboard")
    person.write("Desktop clipboard", "pasted: ß €\n")
    person.wait_for("the words", lambda: "Sent to the desktop clipboard." in person.text("dialog[open]"))
    person.use("Close")
    person.use("Shift")
    person.use("More keys")
    person.use("Insert")
    wait_typed(person, way.typed, "pasted: ß €\n")


def _upload(way: Way, person: Person, folder: Path) -> bytes:
    report = os.urandom((2 << 20) + 3)
    (folder / REPORT).write_bytes(report)
    person.use("Files")
    person.choose_files("Upload files…", folder / REPORT)
    person.wait_for("the end of the upload", lambda: "Done" in person.text("dialog[open]"))
    assert (way.user.home / REPORT).read_bytes() == report
    assert (way.user.home / REPORT).owner() == way.user.name
    return report


def _download(person: Person, report: bytes) -> None:
    got = person.download(f"Download {REPORT}")
    assert got.name == REPORT
    assert got.read_bytes() == report
    person.use("Close")


def _rotate(way: Way, person: Person) -> None:
    """The desktop follows, and the keyboard stays."""
    before = person.run(SIZE)
    person.rotate()
    person.wait_for("another size", lambda: person.run(SIZE) != before and person.run(SIZE) == person.run(ROOM))
    width, height = person.run(SIZE)
    assert width > height, "on its side"
    person.compose("quer")
    person.use("Enter")
    wait_typed(person, way.typed, "quer\n")


def _lose_the_network(way: Way, person: Person) -> None:
    """It is back by itself once the network is, and the desktop as it was."""
    slot = way.slot()
    way.site.pull()
    try:
        person.wait_for_phase("waiting")
        assert "Trying again in" in person.says()
    finally:
        way.site.plug()
    _wait_for_picture(person)
    assert way.slot().id == slot.id
    _type(way, person, "wieder da")


def _come_back(way: Way, person: Person) -> None:
    """From the home page, where the desktop is said to run."""
    slot = way.slot()
    person.go(way.site.url)
    person.wait_for("the desktop on the home page", lambda: "Running" in person.text("main"))
    person.use("Reconnect")
    _wait_for_picture(person)
    assert way.slot().id == slot.id
    _type(way, person, "noch da")


def _share(way: Way, person: Person) -> None:
    """A guest sees the desktop, does nothing to it, and is told when sharing ends."""
    person.use("Share")
    person.use("Create link")
    person.wait_for("a link", lambda: "Links: 1." in person.text("dialog[open]"))
    link = person.value("Link")
    with person.guest() as guest:
        guest.go(link)
        _wait_for_picture(guest)
        assert "View only" in guest.text("header")
        guest.click_screen(60, 60)
        guest.type("not mine\n")
        person.use("Stop sharing")
        guest.wait_for("the end of it", lambda: "This desktop is no longer shared" in guest.says())
    person.use("Close")
    person.compose("mine")
    person.use("Enter")
    wait_typed(person, way.typed, "mine\n")
    assert "not mine" not in way.typed.read_text()


def _stop(way: Way, person: Person) -> None:
    """It asks first; then there is nothing left, and another one can be started."""
    slot = way.slot()
    person.use("Stop")
    person.use("Stop desktop")
    person.wait_for("the home page", lambda: person.url == way.site.url)
    way.site.service.wait_for_state(slot, "gone")
    person.go(way.site.url)
    assert "2 of 2 available" in person.text("main")
    person.use(way.user.name)
    person.use("Sign out")
    person.wait_for("being signed out", lambda: "Sign in" in person.text("main"))
