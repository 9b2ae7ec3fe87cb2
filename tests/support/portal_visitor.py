"""What somebody does at the portal, in a page of a real browser; and what then runs on this machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

from playwright.sync_api import expect

from tests.support.accounts import Account, processes_of
from tests.support.browser import DEADLINE, Tab
from tests.support.processes import wait_until

PATIENCE = DEADLINE * 1000  # milliseconds
RED, BLACK = "255,0,0", "0,0,0"
# of the picture as noVNC has it, whatever its size on the page; `none` while there is none
PIXEL = """([x, y]) => {
    const canvas = document.querySelector("#screen canvas:not(.last)");
    if (!canvas || x >= canvas.width || y >= canvas.height) return "none";
    return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data.slice(0, 3)].join();
}"""


class Visitor:
    """Somebody with a tab of a browser."""

    def __init__(self, tab: Tab, url: str) -> None:
        self.tab = tab
        self.page = tab.page
        self.url = url

    def sign_in(self, user: Account, password: str = "") -> None:
        """Fill in the form that the portal shows first, whatever comes of it."""
        self.page.goto(self.url)
        self.page.get_by_label("User name").fill(user.name)
        self.page.get_by_label("Password").fill(password or user.password)
        with self.page.expect_navigation():
            self.page.get_by_role("button", name="Sign in").click()

    def card(self, kind: str) -> str:
        """The selector of what the home page has about a session type."""
        return f'li.card:has(h3:text-is("{kind}"))'

    def start(self, kind: str) -> None:
        """Start a desktop, and wait for its picture."""
        self.page.locator(self.card(kind)).get_by_role("button", name="Start").click()
        self.wait_connected()

    def go_on(self, kind: str) -> None:
        """Go back to a desktop that runs, from the home page."""
        self.page.goto(self.url)
        self.page.locator(self.card(kind)).get_by_role("link", name="Reconnect").click()
        self.wait_connected()

    def wait_connected(self) -> None:
        """Wait for the desktop's picture."""
        self.tab.wait_for_phase("connected")
        self.tab.wait_for("a picture", lambda: self.pixel(1, 1) != "none")

    def wait_phase(self, phase: str) -> None:
        """Wait until the page of a desktop is in this phase."""
        self.tab.wait_for_phase(phase)

    @property
    def desktop(self) -> str:
        """The ID of the desktop that the page shows."""
        return self.page.url.partition("/portal/desktop/")[2]

    def says(self, text: str) -> None:
        """Wait until the cover over the screen says this."""
        expect(self.page.locator("#cover")).to_contain_text(text, timeout=PATIENCE)

    def type(self, text: str) -> None:
        """Type into the desktop, and press Enter. Keys that come before the terminal has its window are lost."""
        self.tab.wait_for("a terminal", lambda: self.pixel() not in ("none", BLACK))
        self.page.locator("#screen canvas:not(.last)").click(position={"x": 60, "y": 60})
        self.page.keyboard.type(text, delay=5)
        self.page.keyboard.press("Enter")

    def pixel(self, x: int = 300, y: int = 200) -> str:
        """The colour of one pixel of the desktop."""
        return str(self.page.evaluate(PIXEL, [x, y]))

    def wait_pixel(self, colour: str) -> None:
        """Wait until the middle of the terminal has this colour."""
        self.tab.wait_for(f"the terminal being {colour}", lambda: self.pixel() == colour)

    def paint(self, colour: int) -> None:
        """Have the terminal fill itself with one of its colours; 1 is red."""
        self.type(f"printf '\\033[4{colour}m\\033[2J'")

    def touch(self, path: Path) -> None:
        """Have the shell in the terminal write a file, and wait for that."""
        self.type(f"touch {path}")
        self.tab.wait_for(f"{path.name} being written by what was typed", path.exists)

    def share(self) -> str:
        """A new link for guests."""
        self.page.locator("#share").click()
        self.page.locator("#share-make").click()
        expect(self.page.locator("#share-link")).to_be_visible(timeout=PATIENCE)
        link = self.page.locator("#share-link").input_value()
        self.page.keyboard.press("Escape")
        return link

    def unshare(self) -> None:
        """Take all links back."""
        self.page.locator("#share").click()
        self.page.locator("#share-end").click()
        expect(self.page.locator("#share-said")).to_contain_text("Sharing has stopped", timeout=PATIENCE)
        self.page.keyboard.press("Escape")

    def stop(self) -> None:
        """Stop the desktop, and be at the home page."""
        self.page.locator("#stop").click()
        self.page.locator("#stop-really").click()
        self.page.wait_for_url(self.url, timeout=PATIENCE)


def programs_of(user: Account, name: str) -> list[int]:
    """Process IDs of the programs of this name that run as a user."""
    found = []
    for number in processes_of(user.name):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{number}/comm").read_text(encoding="utf-8").strip() == name:
                found.append(number)
    return found


def wait_for_nothing(user: Account) -> None:
    """Wait until nothing runs as a user."""
    wait_until(lambda: not processes_of(user.name), f"the end of all that {user.name} runs")
