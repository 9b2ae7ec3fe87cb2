"""From a key to the picture of its letter, in Chromium with TigerVNC and a shell in an xterm.

`python -m bench.remote_keys` measures this alone, as root. It needs little of the checkout that it stands in, so that a
copy of this file in an older one shows what has changed since. With `sound` behind it, the desktop plays a tone and the
page plays it, too.
"""

from __future__ import annotations

import contextlib
import math
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.accounts import account_with_home
from tests.support.browser import Tab, chromium, tab
from tests.support.portal_desktops import PASSWORD, PortalDesktops, portal_desktops

KEYS = 120  # and a tenth of them before, which do not count
USER = "anna"
KIND = "Keys"
PAUSE_MS = (25, 75)  # between two keys, so that these fall anywhere between two pictures
WAIT_SECONDS = 20
PLAY = "paplay --raw --format=s16le --rate=48000 --channels=2"
# Looks at the first lines of the terminal in each picture of the browser, and notes when they are another than before
# the last key. `benchSame` says that they have not changed for a while.
SCRIPT = """() => {
  const canvas = document.querySelector("#screen canvas:not(.last)");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pixels = () => new Uint32Array(context.getImageData(0, 0, 400, 60).data.buffer);
  const look = () => pixels().reduce((sum, one) => (sum * 31 + one) | 0, 7);
  let pressed = 0;
  let shown = look();
  let since = performance.now();
  window.benchKeys = [];
  window.benchSame = () => performance.now() - since > 500;
  addEventListener("keydown", () => { pressed = performance.now(); }, true);
  const each = () => {
    const now = look();
    if (now !== shown) {
      shown = now;
      since = performance.now();
      if (pressed) window.benchKeys.push(since - pressed);
      pressed = 0;
    }
    requestAnimationFrame(each);
  };
  requestAnimationFrame(each);
}"""


def keys(count: int = KEYS, tell: Callable[[str], None] = lambda _: None, sound: bool = False) -> list[float]:
    """Milliseconds from each key until its letter is there, or has gone: letters and Backspace in turns.

    `sound`: while a tone is played in the desktop, and heard.
    """
    tell("keys: Chromium")
    with desktop_with_shell(sound) as (site, person):
        if sound:
            person.page.get_by_role("button", name="Sound").click()
            person.wait_for("sound", lambda: "remote: 127.0.0.9 hears" in site.service.said())
        return press(person, count)


@contextlib.contextmanager
def desktop_with_shell(sound: bool = False) -> Iterator[tuple[PortalDesktops, Tab]]:
    """A desktop with an xterm, just started, and somebody who has it on the screen; with `sound` it plays a tone."""
    with account_with_home("Measured+1") as account:
        command = ["xterm", "-geometry", "100x30+0+0"]
        kind: dict[str, Any] = {"script": "tigervnc.py", "count": 1, "pam-service": ""}
        if sound:
            account.home.chmod(0o755)
            command = ["sh", "-c", f"{PLAY} {_tone(account.home)} & exec {' '.join(command)}"]
            kind["sound"] = "out"
        types = {KIND: {**kind, "options": {"account": account.name, "command": command, "sizes": ["1280x800"]}}}
        with portal_desktops(types) as site, chromium() as browser, tab(browser) as person:
            person.sign_in(site.url, USER, PASSWORD)
            card = person.page.locator("li.card", has=person.page.get_by_role("heading", name=KIND))
            card.get_by_role("button").click()
            person.wait_for_phase("connected")
            person.wait_for_colours(2)
            yield site, person


def press(person: Tab, count: int) -> list[float]:
    """Milliseconds from each key until its picture, on a page that shows such a desktop."""
    person.click_screen(60, 20)
    person.page.evaluate(SCRIPT)
    person.wait_for("the shell's prompt", lambda: person.page.evaluate("window.benchSame()"))
    return _press(person, count)


def _tone(folder: Path) -> Path:
    """A file with ten minutes of 440 Hz."""
    path = folder / "tone.raw"
    second = b"".join(
        round(12000 * math.sin(2 * math.pi * 440 * frame / 48000)).to_bytes(2, "little", signed=True) * 2
        for frame in range(48000)
    )
    path.write_bytes(second * 600)
    path.chmod(0o644)
    return path


def _press(person: Tab, count: int) -> list[float]:
    early = count // 10
    for number in range(early + count):
        person.page.keyboard.press("Backspace" if number % 2 else "x")
        _wait_for_letters(person, number + 1)
        person.page.wait_for_timeout(random.uniform(*PAUSE_MS))
    person.assert_well()
    times = [float(each) for each in person.page.evaluate("window.benchKeys")]
    assert len(times) == early + count, "something else has changed the picture"
    return times[early:]


def _wait_for_letters(person: Tab, count: int) -> None:
    letters = "window.benchKeys.length"
    person.wait_for("the letter", lambda: int(person.page.evaluate(letters)) >= count, WAIT_SECONDS)


def main() -> int:
    """Measure, and print it."""
    times = sorted(keys(sound="sound" in sys.argv[1:]))
    print(f"key to picture, ms: p50 {statistics.median(times):.1f}, p95 {times[int(0.95 * len(times))]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
