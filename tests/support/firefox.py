"""Debian's Firefox, driven by Marionette: one window of one person, with the same words as a tab of Chromium."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.browser import DEADLINE, DESKTOP
from tests.support.marionette import Marionette, MarionetteError
from tests.support.processes import Program, free_port

FIREFOX = "/usr/bin/firefox-esr"
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element, by WebDriver
PREFERENCES: dict[str, Any] = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage": "about:blank",
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "network.manage-offline-status": False,
    "intl.accept_languages": "en-GB",
    "dom.events.testing.asyncClipboard": True,  # the clipboard without a question to the user
}
# names of WebDriver's keys
KEYS = {
    "Shift": "\ue008",
    "Insert": "\ue016",
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "Tab": "\ue004",
    "Backspace": "\ue003",
    "Control": "\ue009",
    " ": " ",
}
CORNER = (
    "const box = document.querySelector('#screen canvas:not(.last)').getBoundingClientRect(); return [box.x, box.y]"
)
# a composition as an input method makes one: what the user sees first, and what is written in the end
COMPOSE = """
const [steps, done] = [arguments[0], arguments[arguments.length - 1]];
const browser = gBrowser.selectedBrowser;
browser.focus();
const processor = Cc["@mozilla.org/text-input-processor;1"].createInstance(Ci.nsITextInputProcessor);
processor.beginInputTransactionForTests(window);
for (const text of steps) {
  for (let end = 1; end <= text.length; end++) {
    processor.setPendingCompositionString(text.slice(0, end));
    processor.appendClauseToPendingComposition(end, processor.ATTR_RAW_CLAUSE);
    processor.setCaretInPendingComposition(end);
    processor.flushPendingComposition();
  }
  processor.commitComposition();
}
setTimeout(() => done(true), 200);
"""


class FirefoxTab:
    """One person's only window. `problems` stays empty: Marionette tells nothing of the console."""

    def __init__(self, marionette: Marionette, downloads: Path) -> None:
        self.marionette = marionette
        self._downloads = downloads

    # -- the page ------------------------------------------------------------------------------------------------------

    def go(self, url: str) -> None:
        """Open a page."""
        self.marionette.ask("WebDriver:Navigate", url=url)

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self.marionette.ask("WebDriver:GetCurrentURL"))

    def run(self, script: str, *values: Any) -> Any:
        """What a script of the page gives; `arguments` has the values."""
        return self.marionette.ask("WebDriver:ExecuteScript", script=script, args=list(values), sandbox=None)

    def run_in_browser(self, script: str, *values: Any) -> Any:
        """The same with the browser's own rights; the last argument is called at the end."""
        self.marionette.ask("Marionette:SetContext", value="chrome")
        try:
            return self.marionette.ask("WebDriver:ExecuteAsyncScript", script=script, args=list(values))
        finally:
            self.marionette.ask("Marionette:SetContext", value="content")

    def _element(self, selector: str) -> str:
        found = self.marionette.ask("WebDriver:FindElement", using="css selector", value=selector)
        return str(found[ELEMENT])

    def click(self, selector: str) -> None:
        """Click an element, once it is there and can be seen."""
        self.wait_for(f"{selector} being clickable", lambda: self._clicked(selector))

    def _clicked(self, selector: str) -> bool:
        with contextlib.suppress(MarionetteError):
            self.marionette.ask("WebDriver:ElementClick", id=self._element(selector))
            return True
        return False

    def fill(self, selector: str, text: str) -> None:
        """Write into a field."""
        element = self._element(selector)
        self.marionette.ask("WebDriver:ElementClear", id=element)
        self.marionette.ask("WebDriver:ElementSendKeys", id=element, text=text)

    def text(self, selector: str) -> str:
        """What an element shows."""
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def visible(self, selector: str) -> bool:
        """Whether an element can be seen."""
        return bool(self.run("return document.querySelector(arguments[0])?.checkVisibility() ?? false", selector))

    # -- files ---------------------------------------------------------------------------------------------------------

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in a field for files, shown or not."""
        self.marionette.ask("WebDriver:ElementSendKeys", id=self._element(selector), text=str(path))

    def download(self, selector: str) -> Path:
        """Click what begins a download; the file, once it is whole. As long as it is not, another one is beside it."""
        before = set(self._downloads.iterdir())
        self.click(selector)
        self.wait_for("a download", lambda: self._saved(before))
        (found,) = self._saved(before)
        return found

    def _saved(self, before: set[Path]) -> list[Path]:
        new = set(self._downloads.iterdir()) - before
        return [] if any(path.suffix == ".part" for path in new) else [path for path in new if path.stat().st_size]

    # -- keyboard and pointer ------------------------------------------------------------------------------------------

    def type(self, text: str) -> None:
        """Type where the keyboard is; a newline is Return."""
        steps: list[dict[str, Any]] = []
        for letter in text:
            key = KEYS["Enter"] if letter == "\n" else letter
            steps += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._act({"type": "key", "id": "keyboard", "actions": steps})

    def press(self, *names: str) -> None:
        """Press keys together, such as Control and a letter."""
        keys = [KEYS.get(name, name) for name in names]
        downs = [{"type": "keyDown", "value": key} for key in keys]
        self._act(
            {"type": "key", "id": "keyboard", "actions": [*downs, *({**d, "type": "keyUp"} for d in downs[::-1])]}
        )

    def hold(self, name: str) -> None:
        """Press a key, and hold it until `let_go`."""
        self._act({"type": "key", "id": "keyboard", "actions": [{"type": "keyDown", "value": KEYS.get(name, name)}]})

    def let_go(self, name: str) -> None:
        """Let a held key go."""
        self._act({"type": "key", "id": "keyboard", "actions": [{"type": "keyUp", "value": KEYS.get(name, name)}]})

    def compose(self, *words: str) -> None:
        """Write words by an input method, as Japanese, Chinese and the keyboards of phones do."""
        self.run_in_browser(COMPOSE, list(words))

    def click_screen(self, x: int = 100, y: int = 100) -> None:
        """Click into the desktop, so that the keyboard is there."""
        box = self.run(
            "const b = document.querySelector('#screen canvas:not(.last)').getBoundingClientRect(); return [b.x, b.y]"
        )
        at = {"x": round(box[0] + x), "y": round(box[1] + y), "duration": 0, "origin": "viewport"}
        steps = [
            {"type": "pointerMove", **at},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        self._act({"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": steps})

    def _act(self, actions: dict[str, Any]) -> None:
        self.marionette.ask("WebDriver:PerformActions", actions=[actions])

    # -- desktops ------------------------------------------------------------------------------------------------------

    def sign_in(self, url: str, user: str, password: str) -> None:
        """Sign in at the portal, whose home page is at `url`."""
        self.go(url)
        self.fill("input[name=user]", user)
        self.fill("input[name=password]", password)
        self.click("form .primary")
        self.wait_for("being signed in", lambda: self.visible("details.menu"))

    def phase(self) -> str:
        """How the connection of a desktop's page is."""
        return str(self.run("return document.getElementById('state')?.dataset.phase ?? ''"))

    def wait_for_phase(self, phase: str, deadline: float = DEADLINE) -> None:
        """Wait for one; fails with what the page says instead."""
        self.wait_for(f"the phase {phase}", lambda: self.phase() == phase, deadline)

    def says(self) -> str:
        """What a desktop's page says over the screen."""
        return " ".join(self.text("#cover").split())

    def wait_for(self, what: str, condition: Callable[[], object], deadline: float = DEADLINE) -> None:
        """Wait for a condition."""
        end = time.monotonic() + deadline
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"{what} did not happen within {deadline:g} s: {self.phase()} {self.says()}")
            time.sleep(0.05)

    def picture(self, path: Path) -> None:
        """Take a screenshot of what can be seen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.marionette.ask("WebDriver:TakeScreenshot", full=False)))


@contextlib.contextmanager
def firefox(folder: Path, size: tuple[int, int] = DESKTOP) -> Iterator[FirefoxTab]:
    """A Firefox with an empty profile in this folder. Certificates of the tests' own authority are taken."""
    profile = folder / "profile"
    profile.mkdir(parents=True)
    port = free_port()
    downloads = folder / "downloads"
    downloads.mkdir()
    saving = {"browser.download.folderList": 2, "browser.download.dir": str(downloads)}
    lines = {**PREFERENCES, **saving, "marionette.port": port}.items()
    prefs = "".join(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in lines)
    (profile / "user.js").write_text(prefs, encoding="utf-8")
    argv = [FIREFOX, "--headless", "--no-remote", "--marionette", "--remote-allow-system-access"]
    program = Program([*argv, "--profile", str(profile)], folder / "firefox.log", {**os.environ, "HOME": str(folder)})
    try:
        marionette = Marionette(port)
        marionette.ask("WebDriver:SetTimeouts", script=round(DEADLINE * 1000), pageLoad=round(DEADLINE * 1000))
        marionette.ask("WebDriver:SetWindowRect", width=size[0], height=size[1])
        yield FirefoxTab(marionette, downloads)
        marionette.close()
    finally:
        program.stop()
