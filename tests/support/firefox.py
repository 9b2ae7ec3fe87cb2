"""Debian's Firefox, driven by Marionette: one window of one person, with the same words as a tab of Chromium."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.browser import DEADLINE, DESKTOP
from tests.support.firefox_scripts import CHOOSE_FILES, COMPOSE, PHONE
from tests.support.marionette import Marionette, MarionetteError
from tests.support.processes import Program, free_port

FIREFOX = "/usr/bin/firefox-esr"
AROUND_PHONES = (1100, 1100)  # a window with room for a phone in it, upright or not
MUCH_THE_SAME = 0.02  # of factors: the browser has whole pixels
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
    "browser.download.folderList": 2,  # the folder of `browser.download.dir`
    "browser.download.alwaysOpenPanel": False,
    "browser.download.panel.shown": True,  # else the first download opens it, and the keyboard is there
    "dom.events.testing.asyncClipboard": True,  # the clipboard without a question to the user
}
ALL_COOKIES, NO_COOKIES = 0, 2
KEEP_COOKIES = "Services.prefs.setIntPref('network.cookie.cookieBehavior', arguments[0]); arguments[1]('');"
PAGE_LEFT = "Document was unloaded"  # what was asked of a page that another one has just replaced
# names of WebDriver's keys
KEYS = {
    "Shift": "\ue008",
    "Insert": "\ue016",
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "Tab": "\ue004",
    "Backspace": "\ue003",
    "Control": "\ue009",
    "Alt": "\ue00a",
    " ": " ",
}
CORNER = (
    "const box = document.querySelector('#screen canvas:not(.last)').getBoundingClientRect(); return [box.x, box.y]"
)
# what can be used at this moment and may be called so; what it is called, the browser says
CALLED = """
const [name] = arguments;
const may = (element) => [element.textContent, element.title, element.ariaLabel].some((text) => text?.includes(name));
return [...document.querySelectorAll("button, a[href], summary, [role=button]")]
  .filter((element) => element.checkVisibility({ visibilityProperty: true }) && !element.disabled && may(element));
"""
# an element is brought into view; whether a finger there reaches it
IN_FRONT = """
const [element] = arguments;
element.scrollIntoView({ block: "nearest" });
const box = element.getBoundingClientRect();
return element.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2));
"""
LABELLED = """
const labels = [...document.querySelectorAll("label")].filter((label) => label.textContent.trim() === arguments[0]);
return labels.map((label) => label.control).find((field) => field?.checkVisibility()) ?? null;
"""


class FirefoxTab:
    """One person's only window. Marionette tells nothing of the console.

    `size` is that of a phone, where the browser is to behave as on one. What it downloads goes to `downloads`.
    """

    def __init__(self, marionette: Marionette, downloads: Path, size: tuple[int, int] | None = None) -> None:
        self.marionette = marionette
        self.downloads = downloads
        self.size = size
        self._window = str(marionette.ask("WebDriver:GetWindowHandle"))

    def _ask(self, command: str, **parameters: Any) -> Any:
        self.marionette.turn_to(self._window)
        return self.marionette.ask(command, **parameters)

    # -- the page ------------------------------------------------------------------------------------------------------

    def go(self, url: str) -> None:
        """Open a page."""
        self._ask("WebDriver:Navigate", url=url)

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self._ask("WebDriver:GetCurrentURL"))

    def run(self, script: str, *values: Any) -> Any:
        """What a script of the page gives; `arguments` has the values."""
        return self._ask("WebDriver:ExecuteScript", script=script, args=list(values), sandbox=None)

    def run_in_browser(self, script: str, *values: Any) -> Any:
        """The same with the browser's own rights; the last argument is called at the end."""
        self._ask("Marionette:SetContext", value="chrome")
        try:
            return self._ask("WebDriver:ExecuteAsyncScript", script=script, args=list(values))
        finally:
            self._ask("Marionette:SetContext", value="content")

    def _element(self, selector: str) -> str:
        found = self._ask("WebDriver:FindElement", using="css selector", value=selector)
        return str(found[ELEMENT])

    def click(self, selector: str) -> None:
        """Click an element, once it is there and can be seen."""
        self.wait_for(f"{selector} being clickable", lambda: self._clicked(selector))

    def _clicked(self, selector: str) -> bool:
        with contextlib.suppress(MarionetteError):
            self._ask("WebDriver:ElementClick", id=self._element(selector))
            return True
        return False

    def fill(self, selector: str, text: str) -> None:
        """Write into a field."""
        element = self._element(selector)
        self._ask("WebDriver:ElementClear", id=element)
        self._ask("WebDriver:ElementSendKeys", id=element, text=text)

    def text(self, selector: str) -> str:
        """What an element shows."""
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def visible(self, selector: str) -> bool:
        """Whether an element can be seen."""
        return bool(self.run("return document.querySelector(arguments[0])?.checkVisibility() ?? false", selector))

    # -- keyboard and pointer ------------------------------------------------------------------------------------------

    def use(self, name: str) -> None:
        """Click, on a phone tap, a button or a link by its name, once it can be used."""
        self.wait_for(f"{name!r} being there to be used", lambda: self._used(name))

    def _used(self, name: str) -> bool:
        with contextlib.suppress(MarionetteError):  # it went away meanwhile, or something is in front of it
            for element in self.run(CALLED, name):
                if self._ask("WebDriver:GetComputedLabel", id=element[ELEMENT]) == name:
                    return self._clicked_or_tapped(element)
        return False

    def _clicked_or_tapped(self, element: dict[str, str]) -> bool:
        if self.size is None:
            self._ask("WebDriver:ElementClick", id=element[ELEMENT])
        elif not self.run(IN_FRONT, element):
            return False
        else:
            self._point({"x": 0, "y": 0, "origin": element})
        return True

    def _labelled(self, label: str) -> str:
        found: list[str] = []

        def there() -> bool:
            element = self.run(LABELLED, label)
            found.extend([element[ELEMENT]] if element else [])
            return bool(found)

        self.wait_for(f"a field {label!r}", there)
        return found[0]

    def write(self, label: str, text: str) -> None:
        """Write into the field that has this label."""
        element = self._labelled(label)
        self._ask("WebDriver:ElementClear", id=element)
        self._ask("WebDriver:ElementSendKeys", id=element, text=text)

    def value(self, label: str) -> str:
        """What stands in the field that has this label."""
        return str(self.run("return arguments[0].value", {ELEMENT: self._labelled(label)}))

    def choose_files(self, button: str, *files: Path) -> None:
        """Use a button that asks for files, and choose these."""
        self._do(CHOOSE_FILES, [str(file) for file in files])
        self.use(button)

    def download(self, button: str) -> Path:
        """Use a button that gives a file; the whole file, under the name that the page gave it."""
        before = set(self.downloads.iterdir())
        self.use(button)
        self.wait_for("a whole file", lambda: self._whole(before))
        (whole,) = self._whole(before)
        return whole

    def _whole(self, before: set[Path]) -> set[Path]:
        """What has come since; while a file comes, it is empty and another one beside it grows."""
        fresh = set(self.downloads.iterdir()) - before
        return set() if any(path.suffix == ".part" for path in fresh) else {p for p in fresh if p.stat().st_size}

    def rotate(self) -> None:
        """Turn the phone on its side, or upright again."""
        assert self.size is not None
        self.size = self.size[::-1]
        self.be_phone()

    def be_phone(self) -> None:
        """Behave as on a phone of this size."""
        assert self.size is not None
        self._do(PHONE, *self.size)

    def _do(self, script: str, *values: Any) -> None:
        said = self.run_in_browser(script, *values)
        assert not said, said

    def resize(self, width: int, height: int) -> None:
        """Give the window another size; its page has less."""
        self._ask("WebDriver:SetWindowRect", width=width, height=height)

    @contextlib.contextmanager
    def guest(self) -> Iterator[FirefoxTab]:
        """Somebody else, with a browser of the same kind that knows nothing of this one: a private window."""
        made = self._ask("WebDriver:NewWindow", type="window", private=True, focus=True)
        self.marionette.turn_to(made["handle"])
        try:
            yield FirefoxTab(self.marionette, self.downloads)
        finally:
            self.marionette.turn_to(made["handle"])
            self.marionette.close_window()

    def enlarge(self, factor: float) -> None:
        """Have the browser show pages larger, or smaller: 1.5 are the 150 % of its menu."""
        self._do("ZoomManager.setZoomForBrowser(gBrowser.selectedBrowser, arguments[0]); arguments[1]('');", factor)
        self.wait_for(
            f"{factor:g} pixels for each",
            lambda: abs(float(self.run("return devicePixelRatio")) - factor) < MUCH_THE_SAME,
        )

    @contextlib.contextmanager
    def forgetting(self) -> Iterator[None]:
        """Keep nothing meanwhile: pages get neither cookies nor storage."""
        self._do(KEEP_COOKIES, NO_COOKIES)
        try:
            yield
        finally:
            self.go("about:blank")
            self._do(KEEP_COOKIES, ALL_COOKIES)

    def wheel(self, steps: int, x: int, y: int) -> None:
        """Turn the wheel over a place of the page, away from oneself where `steps` is less than nothing."""
        turn = {"type": "scroll", "x": x, "y": y, "deltaX": 0, "deltaY": 100 if steps > 0 else -100, "duration": 0}
        self._act({"type": "wheel", "id": "wheel", "actions": [turn] * abs(steps)})

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
        box = self.run(CORNER)
        self._point({"x": round(box[0] + x), "y": round(box[1] + y), "origin": "viewport"})

    def _point(self, at: dict[str, Any]) -> None:
        """Click, on a phone tap, at a place."""
        steps = [
            {"type": "pointerMove", "duration": 0, **at},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        kind = "touch" if self.size else "mouse"
        self._act({"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": steps})

    def fingers(self, *steps: Sequence[tuple[int, int]], rest: float = 0.0) -> None:
        """Put fingers down, move them step by step, rest, and lift them."""
        sources = []
        for finger in range(len(steps[0])):
            ways = [{"type": "pointerMove", "duration": 20, "x": at[finger][0], "y": at[finger][1]} for at in steps]
            down, up = {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}
            pause = {"type": "pause", "duration": round(rest * 1000)}
            kind = {"type": "pointer", "id": f"finger{finger}", "parameters": {"pointerType": "touch"}}
            sources.append({**kind, "actions": [ways[0], down, *ways[1:], pause, up]})
        self._act(*sources)

    def _act(self, *actions: dict[str, Any]) -> None:
        self._ask("WebDriver:PerformActions", actions=list(actions))

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
        while not self._holds(condition):
            if time.monotonic() > end:
                raise AssertionError(f"{what} did not happen within {deadline:g} s: {self.phase()} {self.says()}")
            time.sleep(0.05)

    @staticmethod
    def _holds(condition: Callable[[], object]) -> bool:
        try:
            return bool(condition())
        except MarionetteError as error:
            if PAGE_LEFT not in str(error):
                raise
            return False

    def picture(self, path: Path) -> None:
        """Take a screenshot of what can be seen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self._ask("WebDriver:TakeScreenshot", full=False)))


@contextlib.contextmanager
def firefox(
    folder: Path, size: tuple[int, int] = DESKTOP, touch: bool = False, sound: Mapping[str, str] | None = None
) -> Iterator[FirefoxTab]:
    """A Firefox with an empty profile in this folder, with `touch` a phone of this size.

    Certificates of the tests' own authority are taken. `sound`: the variables by which it finds a sound server.
    """
    profile, downloads = folder / "profile", folder / "downloads"
    profile.mkdir(parents=True)
    downloads.mkdir()
    port = free_port()
    lines = {**PREFERENCES, "marionette.port": port, "browser.download.dir": str(downloads)}.items()
    prefs = "".join(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in lines)
    (profile / "user.js").write_text(prefs, encoding="utf-8")
    argv = [FIREFOX, "--headless", "--no-remote", "--marionette", "--remote-allow-system-access"]
    program = Program(
        [*argv, "--profile", str(profile)], folder / "firefox.log", {**os.environ, "HOME": str(folder), **(sound or {})}
    )
    try:
        marionette = Marionette(port)
        marionette.ask("WebDriver:SetTimeouts", script=round(DEADLINE * 1000), pageLoad=round(DEADLINE * 1000))
        window = AROUND_PHONES if touch else size
        marionette.ask("WebDriver:SetWindowRect", width=window[0], height=window[1])
        tab = FirefoxTab(marionette, downloads, size if touch else None)
        if touch:
            tab.be_phone()
        yield tab
        marionette.close()
    finally:
        program.stop()
