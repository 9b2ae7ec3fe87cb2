"""Every page of the portal, one after the other, in a browser: for what is checked, or pictured, on all of them.

    python -m tests.support.portal_pages FOLDER

writes pictures of all pages into a folder, light and dark, on a phone and on a desktop. It needs root.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from passlib.hash import sha512_crypt
from playwright.sync_api import Browser, expect

from tests.support.accounts import Account, account_with_home
from tests.support.browser import DESKTOP, PHONE, Tab, chromium, tab
from tests.support.portal_desktops import PortalDesktops, portal_desktops
from tests.support.processes import free_port, wait_until
from tests.support.sshd import Sshd, sshd
from x2gobroker.store import DesktopOrders, PortalSessions

Look = Callable[[str, Tab], None]
Scheme = Literal["light", "dark"]
OWN_PASSWORD = "Pages-pw-1"
DISPLAYS = 52000 + os.getpid() % 400 * 10  # displays that no other test has
PICTURE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 180">
<rect width="320" height="180" fill="#2b5c8a"/>
<rect x="24" y="24" width="150" height="92" rx="6" fill="#fff"/>
<rect x="24" y="24" width="150" height="16" fill="#8fb4d6"/>
<rect x="196" y="60" width="100" height="80" rx="6" fill="#f4b860"/>
<rect y="164" width="320" height="16" fill="#14304c"/>
</svg>
"""
BROKEN = """\
from nexus_remote_service import RemoteServiceScript


class Broken(RemoteServiceScript):
    def start(self, *words, **named):
        return False

    def stop(self):
        return super().stop()


def realize_service(name="", count=1, index=0, common_options=dict()):
    return Broken(name, count=count, index=index, common_options=common_options)
"""
# a server that has two sessions, whoever logs in
FORCED = """\
#!/bin/bash
exec /bin/bash -c "${{SSH_ORIGINAL_COMMAND//PATH=/PATH={folder}:}}"
"""
LISTED = """\
#!/bin/sh
user=$(id -un)
began=$(($(date +%s) - 9000))
at=$(date -d "@$began" +%Y-%m-%dT%H:%M:%S)
cookie=0123456789abcdef0123456789abcdef
rest="$at|$cookie|127.0.0.1|30001|30002|$at|$user|9000|30003|-1|-1"
echo "101|$user-50-${began}_stDXFCE_dp24|50|host|R|$rest"
echo "102|$user-51-${began}_stRxterm_dp24|51|host|S|$rest"
"""
PROFILES = """\
[DEFAULT]
user = BROKER_USER
command = XFCE

[office]
name = Office
host = ts01 (127.0.0.1:{port})

[down]
name = The server in the basement, which is switched off at night
host = ts02 (127.0.0.1:{closed})
"""


def _types() -> Mapping[str, Any]:
    sizes = {"sizes": ["1280x800", "1024x768"]}
    made: dict[str, dict[str, Any]] = {
        "Office desktop": {"count": 20, "description": "Xfce with office programs, a browser and mail."},
        "Matlab": {"count": 1, "description": "One licence."},
        "Late": {"count": 2},
        "Running": {"count": 4, "per-user": 2, "absolute-minutes": 4, "files": "both", "sound": "out"},
        "Asks": {"count": 2, "options": {"password": "Vnc-pw-1"}},
    }
    for at, (name, values) in enumerate(made.items()):
        options = {"display_base": DISPLAYS + at * 2, **sizes, **values.pop("options", {})}
        values |= {"script": "terminal.py", "options": options}
        options["typed"] = "/dev/null"
        made[name] = values
    made["Office desktop"]["picture"] = "office.svg"
    made["Late"]["script"] = "broken.py"
    return made


@dataclass
class Pages:
    """A portal where something is to be seen on every page, and somebody who may sign in."""

    site: PortalDesktops
    user: Account

    def sign_in(self, person: Tab) -> None:
        """Sign the user in."""
        person.sign_in(self.site.url, self.user.name, OWN_PASSWORD)

    def start(self, person: Tab, kind: str) -> None:
        """Start a desktop from the home page."""
        person.page.goto(self.site.url)
        person.page.locator(f'li.card:has(h3:text-is("{kind}")) form[action$="/start"] button').click()
        person.page.wait_for_url(f"{self.site.url}desktop/*")

    def stop_all(self) -> None:
        """Stop all desktops of the user."""
        desktops = self.site.service.desktops
        for slot in desktops.of_user(self.user.name):
            desktops.ask_stop(slot)
        wait_until(
            lambda: all(slot.state == "failed" for slot in desktops.of_user(self.user.name)), "all being stopped"
        )


@contextlib.contextmanager
def _listing_server(folder: Path, user: Account) -> Iterator[Sshd]:
    for name, text in (("force", FORCED.format(folder=folder)), ("x2golistsessions", LISTED)):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    with sshd(folder / "sshd", config=f"Match User {user.name}\n    ForceCommand {folder}/force\n") as started:
        yield started


@contextlib.contextmanager
def portal_pages() -> Iterator[Pages]:
    """The portal, with one place taken by somebody else and two X2Go Servers, one of which is down. Needs root."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portal-pages-")))
        folder.chmod(0o755)
        user = stack.enter_context(account_with_home(OWN_PASSWORD))
        server = stack.enter_context(_listing_server(folder, user))
        (folder / "ssh").mkdir(mode=0o700)
        (folder / "ssh" / "known_hosts").write_text(server.host_key_lines("127.0.0.1"), encoding="ascii")
        more = "portal-title = University of Somewhere\npenalties = false\nremote-connections-per-user = 50"
        site = stack.enter_context(portal_desktops(_types(), more, {"X2GOBROKER_SSH_FOLDER": str(folder / "ssh")}))
        site.service.write_script("broken.py", BROKEN)
        (site.service.folder / "office.svg").write_text(PICTURE, encoding="utf-8")
        with (site.service.folder / "users").open("a", encoding="utf-8") as users:
            users.write(f"{user.name}:{sha512_crypt.using(rounds=1000).hash(OWN_PASSWORD)}\n")
        profiles = PROFILES.format(port=server.port, closed=free_port())
        (site.service.folder / "profiles.conf").write_text(profiles, encoding="utf-8")
        taken = site.service.reserve("Matlab", "bert")
        holder = site.service.connect(taken, origin=site.url.removesuffix("/portal/"))
        stack.callback(holder.close)
        yield Pages(site, user)


def walk(
    pages: Pages, browser: Browser, size: tuple[int, int], scheme: Scheme, look: Look, language: str = "en-GB"
) -> None:
    """Call `look` with a name for each page and each state of it, in a browser of this size, scheme and language."""
    with tab(browser, size, scheme, language, touch=size[0] < 600) as person:
        _before_signing_in(pages, person, look)
        pages.sign_in(person)
        _home(pages, person, look)
        _lists(pages, person, look)
        _desktop(pages, person, look)
        with tab(browser, size, scheme, language) as guest:
            _shared(pages, person, guest, look)
        _ends(pages, person, look)
        _again(pages, person, look)
    pages.stop_all()


def _before_signing_in(pages: Pages, person: Tab, look: Look) -> None:
    page = person.page
    page.goto(pages.site.url)
    look("sign-in", person)
    page.fill("input[name=user]", "anna")
    page.fill("input[name=password]", "wrong")
    page.press("input[name=password]", "Enter")
    page.wait_for_selector(".notice.error")
    look("sign-in-wrong", person)
    page.goto(f"{pages.site.url}sign-in?lost=1")
    look("sign-in-lost", person)


def _home(pages: Pages, person: Tab, look: Look) -> None:
    page = person.page
    look("home", person)
    pages.start(person, "Running")
    person.wait_for_phase("connected")
    pages.start(person, "Late")
    person.wait_for_phase("ended")
    look("desktop-failed", person)
    page.goto(pages.site.url)
    look("home-running", person)
    page.click("details.sure summary")
    page.click("details.menu summary")
    look("home-menu", person)
    pages.start(person, "Running")
    person.wait_for_phase("connected")
    page.goto(pages.site.url)
    look("home-several", person)
    page.goto(f"{pages.site.url}wait?type=Running")
    look("enough", person)


def _lists(pages: Pages, person: Tab, look: Look) -> None:
    page = person.page
    page.goto(f"{pages.site.url}sessions")
    expect(page.locator('form[action$="/x2go/terminate"]').first).to_be_attached()
    look("sessions", person)
    page.locator("details.sure summary").last.click()
    look("sessions-sure", person)
    for name, path in (
        ("full", "wait?type=Matlab"),
        ("waiting", "wait?type=Matlab&wait=1"),
        ("client", "client?profile=office"),
        ("not-found", "nothing"),
    ):
        page.goto(pages.site.url + path)
        look(name, person)


def _desktop(pages: Pages, person: Tab, look: Look) -> None:
    page = person.page
    page.goto(f"{pages.site.url}desktop/{_slot_of(pages, 'Running')}")
    person.wait_for_phase("connected")
    person.wait_for_colours(2)
    expect(page.locator("#ending")).to_be_visible()
    look("desktop", person)
    page.click("#keys")
    look("desktop-keys", person)
    page.click(".more-keys summary")
    look("desktop-more-keys", person)
    page.click(".more-keys summary")
    page.click("#keys")
    touch = ("touch",) if person.touch else ()
    for name in ("clipboard", "files", *touch, "stop"):
        page.click(f"#{name}")
        expect(page.locator("#files-rows")).not_to_have_attribute("aria-busy", "true")
        look(f"desktop-{name}", person)
        page.keyboard.press("Escape")
    pages.site.pull()
    person.wait_for_phase("waiting")
    look("desktop-waiting", person)
    pages.site.plug()
    person.wait_for_phase("connected")


def _slot_of(pages: Pages, kind: str) -> str:
    slots = pages.site.service.desktops.of_user(pages.user.name)
    return next(slot.id for slot in slots if slot.type == kind)


def _shared(pages: Pages, person: Tab, guest: Tab, look: Look) -> None:
    person.page.click("#share")
    person.page.click("#share-make")
    expect(person.page.locator("#share-link")).to_be_visible()
    look("desktop-share", person)
    guest.page.goto(person.page.locator("#share-link").input_value())
    guest.wait_for_phase("connected")
    guest.wait_for_colours(2)
    look("view", guest)
    person.page.check("#share-work")
    before = person.page.locator("#share-link").input_value()
    person.page.click("#share-make")
    expect(person.page.locator("#share-link")).not_to_have_value(before)
    guest.page.goto(person.page.locator("#share-link").input_value())
    guest.page.click("#keys")
    look("view-work", guest)
    person.page.keyboard.press("Escape")
    expect(person.page.locator("#guests")).not_to_be_empty()
    look("desktop-guests", person)
    person.page.click("#share")
    person.page.click("#share-end")
    guest.wait_for_phase("ended")
    look("view-ended", guest)
    guest.page.goto(f"{pages.site.url}view")
    guest.wait_for_phase("ended")
    look("view-no-link", guest)
    person.page.keyboard.press("Escape")


def _ends(pages: Pages, person: Tab, look: Look) -> None:
    page = person.page
    pages.stop_all()
    person.wait_for_phase("ended")
    look("desktop-ended", person)
    page.goto(pages.site.url)
    look("home-ended", person)
    page.goto(f"{pages.site.url}sessions")
    look("sessions-empty", person)
    page.click("details.menu summary")
    page.click('form[action$="/sign-out"] button')
    expect(page.locator("main p[role=status]")).to_be_visible()
    look("signed-out", person)


def _again(pages: Pages, person: Tab, look: Look) -> None:
    """What need not be seen while the desktop of before goes on: that one has its minutes."""
    page = person.page
    pages.sign_in(person)
    orders = DesktopOrders(pages.site.service.store)
    orders.close("root", "Back on Monday at 8:00.")
    page.goto(pages.site.url)
    look("home-closed", person)
    orders.open()
    pages.start(person, "Asks")
    expect(page.locator("#password")).to_be_focused()
    look("desktop-password", person)
    page.fill("#password", "wrong")
    page.press("#password", "Enter")
    expect(page.locator("#password-dialog [role=alert]")).not_to_be_empty()
    look("desktop-password-wrong", person)
    pages.start(person, "Running")
    person.wait_for_phase("connected")
    PortalSessions(pages.site.service.store).close_all(pages.user.name)
    person.wait_for_phase("signed-out")
    look("desktop-signed-out", person)


def main() -> int:
    """Make the pictures."""
    folder = Path(sys.argv[1])
    with portal_pages() as pages, chromium() as browser:
        for device, size in (("phone", PHONE), ("desktop", DESKTOP)):
            for scheme in ("light", "dark"):
                began = time.monotonic()

                def look(name: str, person: Tab, stem: str = f"{device}-{scheme}") -> None:
                    person.page.screenshot(path=str(folder / f"{name}-{stem}.png"), full_page=True)

                walk(pages, browser, size, scheme, look)
                print(f"{device}, {scheme}: {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
