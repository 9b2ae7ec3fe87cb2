"""An X display of its own, with a window manager, for graphical programs under test."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import Program, running, wait_until

SCREEN = "1280x1024x24"
COMMAND_DEADLINE = 20.0


@dataclass(frozen=True)
class Desktop:
    """A running X display: how programs reach it, and what a tester does with it."""

    display: str
    authority: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a graphical program needs to draw here."""
        return {"DISPLAY": self.display, "XAUTHORITY": str(self.authority)}

    def _call(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE,
            check=False,
        )

    def xdotool(self, *words: str) -> str:
        """Run one xdotool command; fails with its message when xdotool does."""
        result = self._call("xdotool", *words)
        assert result.returncode == 0, f"xdotool {' '.join(words)}: {result.stderr}"
        return result.stdout

    def managed(self) -> bool:
        """Whether a window manager answers."""
        return self._call("xdotool", "get_num_desktops").returncode == 0

    def windows(self) -> dict[str, str]:
        """The visible, titled windows: window ID to title."""
        found = self._call("xdotool", "search", "--onlyvisible", "--name", ".+").stdout.split()
        titles = {window: self._call("xdotool", "getwindowname", window).stdout.strip() for window in found}
        return {window: title for window, title in titles.items() if title}

    def active_window(self) -> str:
        """ID of the window that the keyboard goes to; empty while there is none."""
        return self._call("xdotool", "getactivewindow").stdout.strip()

    def type(self, text: str) -> None:
        """Type a text into the active window."""
        self.xdotool("type", "--delay", "5", "--", text)

    def key(self, name: str) -> None:
        """Press one key."""
        self.xdotool("key", name)

    def wait_until_still(self) -> None:
        """Wait until two pictures in a row are the same (a blinking cursor leaves half a second for that)."""
        last = ""

        def still() -> bool:
            nonlocal last
            previous, last = last, self.signature()
            return previous == last

        wait_until(still, "the screen coming to rest")

    def screenshot(self, path: Path) -> Path:
        """Save a picture of the whole screen."""
        result = self._call("import", "-silent", "-window", "root", str(path))
        assert result.returncode == 0, f"import: {result.stderr}"
        return path

    def signature(self) -> str:
        """A word that changes as soon as one pixel of the screen does."""
        argv = ["xwd", "-silent", "-root"]  # a tenth of the time that ImageMagick takes
        env = {**os.environ, **self.environment}
        done = subprocess.run(argv, capture_output=True, env=env, timeout=COMMAND_DEADLINE, check=False)
        assert done.returncode == 0, f"xwd: {done.stderr.decode(errors='replace')}"
        return hashlib.sha256(done.stdout).hexdigest()


def _display_of(server: Program) -> str:
    """The display number that the X server chose and wrote down when it was ready."""

    def number() -> re.Match[str] | None:
        assert server.process.poll() is None, f"Xvfb ended:\n{server.output()}"
        return re.search(r"^(\d+)$", server.output(), re.MULTILINE)

    wait_until(lambda: number() is not None, "Xvfb naming its display")
    match = number()
    assert match is not None
    return f":{match.group(1)}"


@contextlib.contextmanager
def bare_display(folder: Path) -> Iterator[Desktop]:
    """Bring up Xvfb on a free display, guarded by a cookie, without a window manager."""
    cookie = secrets.token_hex(16)
    for_server, for_clients = folder / "xvfb-authority", folder / "client-authority"
    subprocess.run(["xauth", "-q", "-f", for_server, "add", ":0", ".", cookie], check=True, capture_output=True)
    argv = ["Xvfb", "-noreset", "-displayfd", "1", "-screen", "0", SCREEN, "-nolisten", "tcp", "-auth", str(for_server)]
    with running(argv, folder / "xvfb.log") as server:
        display = _display_of(server)
        subprocess.run(["xauth", "-q", "-f", for_clients, "add", display, ".", cookie], check=True, capture_output=True)
        yield Desktop(display, for_clients)


@contextlib.contextmanager
def desktop(folder: Path) -> Iterator[Desktop]:
    """A display as `bare_display` brings it up, and openbox on it."""
    with (
        bare_display(folder) as screen,
        running(["openbox"], folder / "openbox.log", env={**os.environ, **screen.environment}),
    ):
        wait_until(screen.managed, "openbox taking over the screen")
        yield screen
