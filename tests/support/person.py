"""Somebody at a browser, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from tests.support.browser import DEADLINE


class Person(Protocol):
    """What tests do alike in Chromium (`browser.Tab`) and in Firefox (`firefox.FirefoxTab`)."""

    @property
    def url(self) -> str:
        """Where it is."""

    def go(self, url: str) -> None:
        """Open a page."""

    def run(self, script: str, *values: Any) -> Any:
        """What a script of the page gives; `arguments` has the values."""

    def click(self, selector: str) -> None:
        """Click an element, once it is there and can be seen."""

    def fill(self, selector: str, text: str) -> None:
        """Write into a field."""

    def text(self, selector: str) -> str:
        """What an element shows."""

    def visible(self, selector: str) -> bool:
        """Whether an element can be seen."""

    def use(self, name: str) -> None:
        """Click, on a phone tap, a button or a link by its name, once it can be used."""

    def write(self, label: str, text: str) -> None:
        """Write into the field that has this label."""

    def value(self, label: str) -> str:
        """What stands in the field that has this label."""

    def choose_files(self, button: str, *files: Path) -> None:
        """Use a button that asks for files, and choose these."""

    def download(self, button: str) -> Path:
        """Use a button that gives a file; the whole file, under the name that the page gave it."""

    def rotate(self) -> None:
        """Turn the phone on its side, or upright again."""

    def resize(self, width: int, height: int) -> None:
        """Give the window another size: of its page, or a little more than that."""

    def guest(self) -> AbstractContextManager[Person]:
        """Somebody else, with a browser of the same kind that knows nothing of this one."""

    def type(self, text: str) -> None:
        """Type where the keyboard is; a newline is Return."""

    def press(self, *names: str) -> None:
        """Press keys together, such as Control and a letter."""

    def hold(self, name: str) -> None:
        """Press a key, and hold it until `let_go`."""

    def let_go(self, name: str) -> None:
        """Let a held key go."""

    def compose(self, *words: str) -> None:
        """Write words by an input method."""

    def click_screen(self, x: int = 100, y: int = 100) -> None:
        """Click into the desktop, so that the keyboard is there."""

    def fingers(self, *steps: Sequence[tuple[int, int]], rest: float = 0.0) -> None:
        """Put fingers onto a touch screen where the first step has them, move them as the next ones say, and lift them
        after so many seconds of rest.
        """

    def sign_in(self, url: str, user: str, password: str) -> None:
        """Sign in at the portal."""

    def phase(self) -> str:
        """How the connection of a desktop's page is."""

    def wait_for_phase(self, phase: str, deadline: float = DEADLINE) -> None:
        """Wait for one; fails with what the page says instead."""

    def says(self) -> str:
        """What a desktop's page says over the screen."""

    def wait_for(self, what: str, condition: Callable[[], object], deadline: float = DEADLINE) -> None:
        """Wait for a condition."""

    def picture(self, path: Path) -> None:
        """Take a screenshot of what can be seen."""
