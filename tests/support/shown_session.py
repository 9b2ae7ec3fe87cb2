"""Sessions of the X2Go library on a real screen, for tests: their windows, and the bad days of a client."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.accounts import Account
from tests.support.desktop import Desktop
from tests.support.leftovers import nothing_left
from tests.support.processes import wait_until
from tests.support.x2go_control import control_session
from tests.support.x2go_server import X2GoServer, cleaner_at_rest
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.terminal import X2GoTerminalSession

QUIET: dict[str, Any] = {"snd_system": "none", "link": "lan"}


@contextlib.contextmanager
def client(
    server: X2GoServer, user: Account, screen: Desktop, monkeypatch: pytest.MonkeyPatch
) -> Iterator[X2GoControlSession]:
    """A connected control session whose sessions come up on `screen`; in the end nothing of it may be left."""
    for name, value in screen.environment.items():
        monkeypatch.setenv(name, value)
    with nothing_left(), control_session(server.sshd, user) as control:
        yield control


def started(control: X2GoControlSession, **parameters: Any) -> X2GoTerminalSession:
    """A new session, and its command; fails with the reason when it does not come up."""
    terminal = control.start(**{**QUIET, **parameters})
    assert terminal is not None, control.last_failure
    terminal.run_command()
    return terminal


def resumed(control: X2GoControlSession, name: str, **parameters: Any) -> X2GoTerminalSession:
    """A session that is there; fails with the reason when it does not come up."""
    with cleaner_at_rest():
        terminal = control.resume(name, **{**QUIET, **parameters})
    assert terminal is not None, control.last_failure
    return terminal


def window(screen: Desktop, title: str) -> str:
    """The ID of the window with this in its title, as soon as there is one."""
    found: list[str] = []

    def is_there() -> bool:
        found[:] = [number for number, name in screen.windows().items() if title in name]
        return bool(found)

    try:
        wait_until(is_there, f"a window {title!r}")
    except AssertionError as error:
        raise AssertionError(f"{error}; there are: {screen.windows()}") from None
    return found[0]


def no_window(screen: Desktop, title: str) -> None:
    """Wait until no window has this in its title."""
    wait_until(lambda: not any(title in name for name in screen.windows().values()), f"no window {title!r}")


def size_of(screen: Desktop, number: str) -> tuple[int, int]:
    """Width and height of a window."""
    found = re.search(r"Geometry: ([0-9]+)x([0-9]+)", screen.xdotool("getwindowgeometry", number))
    assert found
    return int(found[1]), int(found[2])


def command_lines() -> str:
    """What the processes of this machine were called with, as everybody can read it."""
    found = []
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError), open(f"/proc/{entry.name}/cmdline", "rb") as file:
            found.append(file.read().replace(b"\0", b" ").decode("utf-8", "replace"))
    return "\n".join(found)
