"""Windows of real sessions on real displays, with and without a window manager."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.desktop import Desktop, bare_display, desktop
from tests.support.leftovers import nothing_left
from tests.support.processes import Program, wait_until
from tests.support.shown_session import QUIET, client, size_of, window
from tests.support.x2go_server import X2GoServer, x2go_server
from x2gobroker.x2go.display import windows
from x2gobroker.x2go.errors import X2GoException

TITLE = "Büro 事務 $(touch evil)"
NAME = "anna-51-1700000000_stDxterm_dp24"
GENERIC = f"X2GO-{NAME}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """A real X2Go Server with one user."""
    with x2go_server(tmp_path_factory.mktemp("x2go-windows")) as running:
        yield running


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[list[Program]]:
    """What is started here is ended here."""
    started: list[Program] = []
    yield started
    for program in started:
        program.stop()


def show(display: Desktop, programs: list[Program], folder: Path, title: str) -> str:
    """Show a window with this title; its number."""
    environment = {**os.environ, **display.environment}
    argv = ["xterm", "-geometry", "40x10+10+10", "-title", title, "-e", "sleep", "600"]
    programs.append(Program(argv, folder / f"xterm-{len(programs)}.log", env=environment))
    found: list[str] = []

    def is_there() -> bool:
        found[:] = [number for number, name in display.windows().items() if name == title]
        return bool(found)

    wait_until(is_there, f"a window {title!r}")
    return found[0]


def on(display: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it the display of this process."""
    for name, value in display.environment.items():
        monkeypatch.setenv(name, value)


def title_of(display: Desktop, number: str) -> str:
    """The title of a window, as other programs see it."""
    return display.windows().get(number, "")


def topmost(display: Desktop) -> str:
    """The window that lies above all others, where no window manager puts frames around them."""
    tree = subprocess.run(
        ["xwininfo", "-root", "-children"],
        env={**os.environ, **display.environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    ).stdout
    numbers = [line.split()[0] for line in tree.splitlines() if line.strip().startswith("0x")]
    return str(int(numbers[0], 16))


def test_a_session_from_its_size_to_its_title(
    server: X2GoServer, screen: Desktop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, programs: list[Program]
) -> None:
    above = show(screen, programs, tmp_path, "something else")
    with client(server, server.users[0], screen, monkeypatch) as control:
        terminal = control.start(
            **QUIET, cmd="openbox-session", geometry="maximize", set_session_title=True, session_title=TITLE
        )
        assert terminal is not None, control.last_failure
        name = terminal.get_session_name()
        assert name.endswith("_dp24")
        number = window(screen, f"X2GO-{name}: {TITLE}")
        assert terminal.params.geometry == "{}x{}".format(*(windows.workarea_geometry() or ()))
        wait_until(lambda: terminal.session_window is not None, "the terminal session having seen its window")
        assert terminal.session_window == windows.SessionWindow(int(number), name)
        file = Path(terminal.get_session_info().local_container) / "session.window"
        wait_until(lambda: file.exists() and file.read_text() == f"ID:{number}\n", "a file that tells of the window")

        screen.xdotool("windowactivate", "--sync", above)
        terminal.raise_session_window()
        wait_until(lambda: screen.active_window() == number, "the session's window before the other one")
        terminal.set_session_window_title("new")
        wait_until(lambda: title_of(screen, number) == f"X2GO-{name}: new", "the new title")
        assert size_of(screen, number)[0] > 1000
        assert terminal.terminate()
        assert not file.exists()
        assert windows.find_session_window(name) is None


def test_windows_with_a_window_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: list[Program]
) -> None:
    with desktop(tmp_path) as display:
        on(display, monkeypatch)
        with nothing_left():
            assert windows.workarea_geometry() == windows.desktop_geometry() == (1280, 1024)
            assert windows.local_color_depth() == 24
            assert windows.find_session_window(NAME) is None
        show(display, programs, tmp_path, f"{GENERIC}0")
        show(display, programs, tmp_path, f"my{GENERIC}")
        show(display, programs, tmp_path, NAME)
        assert windows.find_session_window(NAME) is None  # these are others
        assert windows.find_session_window(".*") is None
        number = show(display, programs, tmp_path, GENERIC)
        top = show(display, programs, tmp_path, "top")
        wait_until(lambda: display.active_window() == top, "the last window being active")
        with nothing_left():
            found = windows.find_session_window(NAME)
            assert found == windows.SessionWindow(int(number), NAME)
            assert windows.raise_session_window(found)
        wait_until(lambda: display.active_window() == number, "the session's window being active")
        display.xdotool("windowminimize", "--sync", number)
        assert windows.raise_session_window(found)
        wait_until(lambda: display.active_window() == number, "the session's window being there again")
        for title, shown in (
            (TITLE, f"{GENERIC}: {TITLE}"),
            (f"Work in {GENERIC} ", f"Work in {GENERIC}"),
            ("two\nlines\x1b[31m", f"{GENERIC}: two lines [31m"),
            ("", GENERIC),
        ):
            assert windows.set_session_window_title(found, title)
            assert title_of(display, number) == shown
            assert windows.find_session_window(NAME) == found
        programs[3].stop()
        wait_until(lambda: windows.find_session_window(NAME) is None, "the end of the window")
        assert not windows.set_session_window_title(found, "gone")
        assert not windows.raise_session_window(found)


def test_windows_without_a_window_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: list[Program]
) -> None:
    with bare_display(tmp_path) as display:
        on(display, monkeypatch)
        assert windows.workarea_geometry() is None
        assert windows.desktop_geometry() == (1280, 1024)
        number = show(display, programs, tmp_path, GENERIC)
        above = show(display, programs, tmp_path, "above")
        found = windows.find_session_window(NAME)
        assert found == windows.SessionWindow(int(number), NAME)
        wait_until(lambda: topmost(display) == above, "the other window being above")
        assert windows.raise_session_window(found)
        assert topmost(display) == number
        assert windows.set_session_window_title(found, TITLE)
        assert title_of(display, number) == f"{GENERIC}: {TITLE}"


def test_a_display_that_does_not_let_us_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bare_display(tmp_path) as display:
        monkeypatch.setenv("DISPLAY", display.display)
        monkeypatch.setenv("XAUTHORITY", str(tmp_path / "missing"))
        with pytest.raises(X2GoException, match=r"cannot be used: .*uthoriz"), nothing_left():
            windows.local_color_depth()
