"""Debian's Chromium, driven by Playwright: tabs of different people, and what the portal's pages show in them."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",  # the tests run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
DEADLINE = 90.0  # seconds; a busy machine may take its time, and who waits for a fault pays it only then
expect.set_options(timeout=DEADLINE * 1000)  # of its own accord it waits for five seconds only
DESKTOP, PHONE, WALL = (1440, 900), (390, 844), (3840, 2160)
# what the browser itself says where a page rightly answers with an error
EXPECTED = ("Failed to load resource: the server responded with a status of 40",)
PAGE_LEFT = "Execution context was destroyed"  # what was asked of a page that another one has just replaced

COLOURS = """
const canvas = document.querySelector("#screen canvas:not(.last)");
if (!canvas || !canvas.width) return 0;
const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
return new Set(new Uint32Array(image.data.buffer)).size;
"""


@contextlib.contextmanager
def chromium(sound: Mapping[str, str] | None = None) -> Iterator[Browser]:
    """One Chromium for the length of a `with` block; each tab of it is a person of its own.

    `sound`: the variables by which it finds a sound server; else it is mute.
    """
    env = {**os.environ, **(sound or {})}
    muted = [] if sound is None else ["--mute-audio"]  # Playwright's own flags, but for these
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=list(FLAGS),
            timeout=DEADLINE * 1000,
            env=dict(env),
            ignore_default_args=muted,
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """One person's only page. `problems`: what the browser complained about, violations of the policy among them."""

    page: Page
    context: BrowserContext
    touch: bool = False
    problems: list[str] = field(default_factory=list)

    def sign_in(self, url: str, user: str, password: str) -> None:
        """Sign in at the portal, whose home page is at `url`."""
        self.page.goto(url)
        self.page.fill("input[name=user]", user)
        self.page.fill("input[name=password]", password)
        self.page.press("input[name=password]", "Enter")
        self.page.wait_for_selector("details.menu")

    def phase(self) -> str:
        """How the connection of a desktop's page is: `connecting`, `connected`, `waiting`, `ended` ..."""
        return self.page.get_attribute("#state", "data-phase") or ""

    def wait_for_phase(self, phase: str, deadline: float = DEADLINE) -> None:
        """Wait for one; fails with what the page says instead."""
        try:
            self.page.wait_for_selector(f"#state[data-phase={phase}]", state="attached", timeout=deadline * 1000)
        except Exception as error:
            raise AssertionError(f"not {phase} but {self.phase()}: {self.says()} {self.problems}") from error

    def says(self) -> str:
        """What a desktop's page says over the screen."""
        return " ".join(self.text("#cover").split())

    def colours(self) -> int:
        """How many colours the desktop shows: 0 without a picture."""
        return int(self.run(COLOURS))

    def wait_for_colours(self, least: int = 2, deadline: float = DEADLINE) -> None:
        """Wait for a picture with so many colours."""
        self.wait_for("a picture", lambda: self.colours() >= least, deadline)

    def wait_for(self, what: str, condition: Callable[[], object], deadline: float = DEADLINE) -> None:
        """Wait for a condition of Python's, while the page goes on."""
        for _ in range(int(deadline * 20)):
            try:
                if condition():
                    return
            except PlaywrightError as error:
                if PAGE_LEFT not in error.message:
                    raise
            self.page.wait_for_timeout(50)
        raise AssertionError(f"{what} did not happen within {deadline:g} s: {self.says()} {self.problems}")

    def click_screen(self, x: int = 100, y: int = 100) -> None:
        """Click into the desktop, so that the keyboard is there."""
        act = self.page.tap if self.touch else self.page.click
        act("#screen canvas:not(.last)", position={"x": x, "y": y})

    def type(self, text: str) -> None:
        """Type into the desktop; a newline is Return. What no key of its keyboard has comes as a key of its own."""
        for letter in text:
            if letter.isascii():
                self.page.keyboard.type(letter, delay=5)
                continue
            protocol = self.context.new_cdp_session(self.page)
            for kind in ("keyDown", "keyUp"):
                protocol.send("Input.dispatchKeyEvent", {"type": kind, "key": letter, "text": letter})
            protocol.detach()

    # -- the same words as a window of Firefox has (tests/support/firefox.py)

    def go(self, url: str) -> None:
        """Open a page."""
        self.page.goto(url)

    @property
    def url(self) -> str:
        """Where it is."""
        return self.page.url

    def run(self, script: str, *values: object) -> Any:
        """What a script of the page gives; `arguments` has the values."""
        return self.page.evaluate(f"(values) => (function () {{ {script} }}).apply(null, values)", list(values))

    def click(self, selector: str) -> None:
        """Click an element, once it is there and can be seen."""
        self.page.click(selector)

    def fill(self, selector: str, text: str) -> None:
        """Write into a field."""
        self.page.fill(selector, text)

    def text(self, selector: str) -> str:
        """What an element shows."""
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def visible(self, selector: str) -> bool:
        """Whether an element can be seen."""
        return bool(self.run("return document.querySelector(arguments[0])?.checkVisibility() ?? false", selector))

    def use(self, name: str) -> None:
        """Click, on a phone tap, a button or a link by its name, once it can be used."""
        named = self._named(name)
        if self.touch:
            named.tap()
        else:
            named.click()

    def _named(self, name: str) -> Locator:
        link = self.page.get_by_role("link", name=name, exact=True)
        summary = self.page.locator("summary").filter(has_text=re.compile(f"^\\s*{re.escape(name)}\\s*$"))
        return self.page.get_by_role("button", name=name, exact=True).or_(link).or_(summary)

    def write(self, label: str, text: str) -> None:
        """Write into the field that has this label."""
        self.page.get_by_label(label, exact=True).fill(text)

    def value(self, label: str) -> str:
        """What stands in the field that has this label."""
        return self.page.get_by_label(label, exact=True).input_value()

    def choose_files(self, button: str, *files: Path) -> None:
        """Use a button that asks for files, and choose these."""
        with self.page.expect_file_chooser() as chooser:
            self.use(button)
        chooser.value.set_files(list(files))

    def download(self, button: str) -> Path:
        """Use a button that gives a file; the whole file, under the name that the page gave it."""
        with self.page.expect_download() as started:
            self.use(button)
        whole = Path(started.value.path())
        return whole.rename(whole.with_name(started.value.suggested_filename))

    def rotate(self) -> None:
        """Turn the phone on its side, or upright again."""
        size = self.page.viewport_size
        assert size is not None
        self.page.set_viewport_size({"width": size["height"], "height": size["width"]})

    def resize(self, width: int, height: int) -> None:
        """Give the page another size."""
        self.page.set_viewport_size({"width": width, "height": height})

    @contextlib.contextmanager
    def guest(self) -> Iterator[Tab]:
        """Somebody else, with a browser of the same kind that knows nothing of this one."""
        browser = self.context.browser
        assert browser is not None
        with tab(browser) as made:
            yield made

    def press(self, *names: str) -> None:
        """Press keys together, such as Control and a letter."""
        self.page.keyboard.press("+".join(names))

    def hold(self, name: str) -> None:
        """Press a key, and hold it until `let_go`."""
        self.page.keyboard.down(name)

    def let_go(self, name: str) -> None:
        """Let a held key go."""
        self.page.keyboard.up(name)

    def compose(self, *words: str) -> None:
        """Write words by an input method, as Japanese, Chinese and the keyboards of phones do."""
        protocol = self.context.new_cdp_session(self.page)
        for word in words:
            for end in range(1, len(word) + 1):
                caret = {"selectionStart": end, "selectionEnd": end}
                protocol.send("Input.imeSetComposition", {"text": word[:end], **caret})
            protocol.send("Input.insertText", {"text": word})
        protocol.detach()

    def fingers(self, *steps: Sequence[tuple[int, int]], rest: float = 0.0) -> None:
        """Put fingers down, move them step by step, rest, and lift them."""
        protocol = self.context.new_cdp_session(self.page)
        for number, at in enumerate(steps):
            points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(at)]
            kind = "touchMove" if number else "touchStart"
            protocol.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        if rest:
            self.page.wait_for_timeout(rest * 1000)
        protocol.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        protocol.detach()

    def picture(self, path: Path) -> None:
        """Take a screenshot of what can be seen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(path))

    def assert_well(self) -> None:
        """The browser had nothing to complain about."""
        assert not self.problems, self.problems


@contextlib.contextmanager
def tab(
    browser: Browser,
    size: tuple[int, int] = DESKTOP,
    scheme: Literal["light", "dark"] = "light",
    language: str = "en-GB",
    touch: bool = False,
    permissions: tuple[str, ...] = (),
) -> Iterator[Tab]:
    """A fresh person with an empty profile. Certificates of the tests' own authority are taken."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        locale=language,
        has_touch=touch,
        is_mobile=touch,
        ignore_https_errors=True,
        permissions=list(permissions),
    )
    try:
        context.set_default_timeout(DEADLINE * 1000)
        made = Tab(context.new_page(), context, touch)
        made.page.on("console", lambda message: _note(made, message))
        made.page.on("pageerror", lambda error: made.problems.append(str(error)))
        yield made
    finally:
        context.close()


@contextlib.contextmanager
def forgetful_tab(browser: Browser, folder: Path) -> Iterator[Tab]:
    """Somebody whose Chromium, of the same kind as `browser`, keeps nothing: pages get neither cookies nor storage.

    That is a setting of a whole profile, which is made in this folder.
    """
    preferences = folder / "Default" / "Preferences"
    preferences.parent.mkdir(parents=True)
    preferences.write_text(json.dumps({"profile": {"default_content_setting_values": {"cookies": 2}}}), "utf-8")
    context = browser.browser_type.launch_persistent_context(
        folder, executable_path=CHROMIUM, args=list(FLAGS), timeout=DEADLINE * 1000, locale="en-GB"
    )
    try:
        context.set_default_timeout(DEADLINE * 1000)
        yield Tab(context.pages[0], context)
    finally:
        context.close()


def _note(made: Tab, message: ConsoleMessage) -> None:
    if message.type == "error" and not message.text.startswith(EXPECTED):
        made.problems.append(message.text)
