"""A program of a desktop that has copied a text which is too long for one piece."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from Xlib import X, Xatom
from Xlib.display import Display
from Xlib.protocol.event import SelectionNotify, SelectionRequest

SIZE = 1 << 20  # what it says that the text has, in bytes
LOOK_SECONDS = 0.02


class Program:
    """It owns the clipboard, and offers parts of a text (ICCCM, 2.7.2), which Xvnc does not take."""

    def __init__(self, display: int) -> None:
        self._display = Display(f":{display}")
        self._window = self._display.screen().root.create_window(0, 0, 1, 1, 0, X.CopyFromParent)
        self._text, self._targets, self._parts, clipboard = (
            self._display.get_atom(name) for name in ("UTF8_STRING", "TARGETS", "INCR", "CLIPBOARD")
        )
        self._window.set_selection_owner(clipboard, X.CurrentTime)
        self._display.flush()

    def answer(self) -> None:
        """Answer all who have asked for what it has copied."""
        while self._display.pending_events():
            asked = self._display.next_event()
            if isinstance(asked, SelectionRequest):
                self._answer(asked)
        self._display.flush()

    def _answer(self, asked: SelectionRequest) -> None:
        place = asked.property or asked.target
        if asked.target == self._targets:
            asked.requestor.change_property(place, Xatom.ATOM, 32, [self._targets, self._text])
        elif asked.target == self._text:
            asked.requestor.change_property(place, self._parts, 32, [SIZE])
        else:
            place = X.NONE
        told = SelectionNotify(
            time=asked.time,
            requestor=asked.requestor,
            selection=asked.selection,
            target=asked.target,
            property=place,
        )
        asked.requestor.send_event(told)

    def close(self) -> None:
        """End it; its clipboard ends with it."""
        self._display.close()


@contextlib.contextmanager
def copied_in_parts(display: int) -> Iterator[None]:
    """Such a program in the desktop on this display, for the length of a `with` block."""
    program = Program(display)
    over = threading.Event()

    def serve() -> None:
        while not over.wait(LOOK_SECONDS):
            program.answer()

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        yield
    finally:
        over.set()
        serving.join()
        program.close()
