"""The display of this client, and the windows of sessions on it. Needs python-xlib: `x2gobroker[x2go]`.

Sources: ICCCM 2.0 (WM_NAME), and the Extended Window Manager Hints 1.5 (names that begin with _NET).
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from x2gobroker.x2go.errors import X2GoException
from x2gobroker.x2go.texts import printable

if TYPE_CHECKING:
    from Xlib.display import Display
    from Xlib.xobject.drawable import Window

T = TypeVar("T")

ANSWER_SECONDS = 10.0
MOST_WINDOWS = 5000
LONGEST_TITLE = 1000
FROM_A_PAGER = 2  # who asks a window manager: a program that acts for the user
# depths that show the same colours: the second number counts bits that hold none
SAME_COLOURS = ({24, 32}, {16, 17})


@dataclass(frozen=True)
class SessionWindow:
    """The window of a session on the display: its number, and the name of the session."""

    id: int
    session_name: str


def local_color_depth() -> int:
    """The colour depth of the display, in bits. Raises X2GoException when it cannot be asked."""
    return _ask(lambda display: int(display.screen().root_depth))


def is_color_depth_ok(depth_session: int, depth_local: int) -> bool:
    """Whether a display of depth `depth_local` can show a session of depth `depth_session`; 0 goes everywhere."""
    if depth_session in (0, depth_local):
        return True
    return any({depth_session, depth_local} <= same for same in SAME_COLOURS)


def desktop_geometry() -> tuple[int, int]:
    """Width and height of the display, in pixels. Raises X2GoException when it cannot be asked."""

    def ask(display: Display) -> tuple[int, int]:
        size = display.screen().root.get_geometry()
        return int(size.width), int(size.height)

    return _ask(ask)


def workarea_geometry() -> tuple[int, int] | None:
    """Width and height, in pixels, of what panels leave of the display; None when the window manager does not tell.

    Raises X2GoException when the display cannot be asked.
    """

    def ask(display: Display) -> tuple[int, int] | None:
        root = display.screen().root
        areas, current = _numbers(display, root, "_NET_WORKAREA"), _numbers(display, root, "_NET_CURRENT_DESKTOP")
        at = 4 * current[0] if current and len(areas) >= 4 * current[0] + 4 else 0
        area = areas[at : at + 4]
        return (area[2], area[3]) if len(area) == 4 and area[2] > 0 and area[3] > 0 else None

    return _ask(ask)


def find_session_window(session_name: str) -> SessionWindow | None:
    """The window that has this name in its title; None when there is none.

    nxagent calls it `X2GO-<name>`, and `set_session_window_title` leaves that in it. Raises X2GoException when the
    display cannot be asked.
    """
    wanted = re.compile(rf"(?<![\w.-]){re.escape(f'X2GO-{session_name}')}(?![\w.-])")

    def ask(display: Display) -> SessionWindow | None:
        for window in _windows(display):
            if wanted.search(_title(display, window)):
                return SessionWindow(int(window.id), session_name)
        return None

    return _ask(ask)


def set_session_window_title(window: SessionWindow, title: str) -> bool:
    """Give a session's window a title; false when the window is gone.

    The name of the session always stays in it, so that the window can be found again: `X2GO-<name>` is put before a
    title that does not hold it. Raises X2GoException when the display cannot be asked.
    """
    generic, text = f"X2GO-{window.session_name}", printable(title.strip(), LONGEST_TITLE)
    if generic not in text:
        text = f"{generic}: {text}" if text else generic

    def change(display: Display, target: Window, fault: Callable[..., int]) -> None:
        kind = display.intern_atom("UTF8_STRING")
        for name in ("WM_NAME", "WM_ICON_NAME", "_NET_WM_NAME", "_NET_WM_ICON_NAME"):
            target.change_property(display.intern_atom(name), kind, 8, text.encode("utf-8", "replace"), onerror=fault)

    return _change(window, change)


def raise_session_window(window: SessionWindow) -> bool:
    """Put a session's window before all others, with the keyboard going to it; false when the window is gone.

    Raises X2GoException when the display cannot be asked.
    """

    def change(display: Display, target: Window, fault: Callable[..., int]) -> None:
        from Xlib import X
        from Xlib.protocol.event import ClientMessage

        root = display.screen().root
        active = display.intern_atom("_NET_ACTIVE_WINDOW")
        words = (32, [FROM_A_PAGER, X.CurrentTime, 0, 0, 0])
        event = ClientMessage(window=target, client_type=active, data=words)
        root.send_event(event, event_mask=X.SubstructureRedirectMask | X.SubstructureNotifyMask, onerror=fault)
        target.configure(stack_mode=X.Above, onerror=fault)  # for displays without such a window manager

    return _change(window, change)


def _change(window: SessionWindow, change: Callable[[Display, Window, Callable[..., int]], None]) -> bool:
    """Do something with a window; whether it was there for that."""

    def ask(display: Display) -> bool:
        from Xlib.error import BadWindow, CatchError

        fault = CatchError(BadWindow)
        target: Window = display.create_resource_object("window", window.id)
        change(display, target, fault)
        display.sync()
        return fault.get_error() is None

    return _ask(ask)


def _windows(display: Display) -> Iterator[Window]:
    """The windows of programs: as the window manager lists them, or else those at the top, and what is in their frames.

    Nobody has to tell us the truth: there are MOST_WINDOWS at most.
    """
    from Xlib.error import BadWindow

    root = display.screen().root
    for name in ("_NET_CLIENT_LIST", "_NET_CLIENT_LIST_STACKING"):
        numbers = _numbers(display, root, name)
        if numbers:
            for number in numbers[:MOST_WINDOWS]:
                yield display.create_resource_object("window", number)
            return
    for top in root.query_tree().children[:MOST_WINDOWS]:
        yield top
        try:
            yield from top.query_tree().children[:MOST_WINDOWS]
        except BadWindow:
            continue


def _title(display: Display, window: Window) -> str:
    """The title of a window; empty when it has none, or is gone."""
    from Xlib import X
    from Xlib.error import BadWindow

    for name in ("_NET_WM_NAME", "WM_NAME"):
        try:
            found = window.get_property(display.intern_atom(name), X.AnyPropertyType, 0, LONGEST_TITLE)
        except BadWindow:
            return ""
        if found is not None and isinstance(found.value, bytes) and found.value:
            return found.value.decode("utf-8", "replace")
    return ""


def _numbers(display: Display, window: Window, name: str) -> list[int]:
    """The numbers that a property of a window holds; none when it does not exist."""
    from Xlib import X

    found = window.get_property(display.intern_atom(name), X.AnyPropertyType, 0, MOST_WINDOWS)
    if found is None or isinstance(found.value, bytes):
        return []
    return [int(number) for number in found.value]


def _ask(question: Callable[[Display], T]) -> T:
    """Ask the display of $DISPLAY something, over a connection for just that: they are not made for threads.

    python-xlib sets no limit of time, so that it waits in a thread. Raises X2GoException.
    """
    try:
        from Xlib.display import Display
    except ImportError:
        raise X2GoException("the windows of sessions need python-xlib; install x2gobroker[x2go]") from None
    answers: list[T] = []
    faults: list[str] = []

    def ask() -> None:
        try:
            display = Display()
            try:
                answers.append(question(display))
            finally:
                display.close()
        except Exception as error:  # noqa: BLE001 - python-xlib raises all kinds for answers that make no sense
            faults.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=ask, name="x2go-display", daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if answers:
        return answers[0]
    shown = printable(os.environ.get("DISPLAY") or "(no DISPLAY is set)", 100)
    reason = printable(faults[0].strip(), 200) if faults else f"no answer within {ANSWER_SECONDS:g} s"
    raise X2GoException(f"the display {shown} cannot be used: {reason}")
