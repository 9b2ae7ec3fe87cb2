"""What the pointer of a desktop does, as a window over all of it is told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from Xlib import X
from Xlib.display import Display

DOWN, UP = "down", "up"
NAMES = {X.ButtonPress: DOWN, X.ButtonRelease: UP}
MASK = X.ButtonPressMask | X.ButtonReleaseMask


@dataclass
class PointerWatch:
    """Presses and releases so far: which button (1 left, 2 middle, 3 right, 4 to 7 the wheel), and where."""

    connected: Display
    events: list[tuple[str, int, int, int]] = field(default_factory=list)

    def look(self) -> list[tuple[str, int, int, int]]:
        """All of them."""
        while self.connected.pending_events():
            event = self.connected.next_event()
            if event.type in NAMES:
                self.events.append((NAMES[event.type], event.detail, event.root_x, event.root_y))
        return self.events

    def buttons(self) -> list[tuple[str, int]]:
        """The same without the places."""
        return [event[:2] for event in self.look()]

    def forget(self) -> None:
        """From now on."""
        self.look()
        self.events.clear()

    def place(self) -> tuple[int, int]:
        """Where the pointer is."""
        found = self.connected.screen().root.query_pointer()
        return found.root_x, found.root_y

    def held(self) -> bool:
        """Whether the left button is down."""
        return bool(self.connected.screen().root.query_pointer().mask & X.Button1Mask)


@contextlib.contextmanager
def pointer_watch(display: int) -> Iterator[PointerWatch]:
    """Watch the pointer of a desktop, which gets a window in front of all others meanwhile."""
    connected = Display(f":{display}")
    try:
        screen = connected.screen()
        size = (screen.width_in_pixels, screen.height_in_pixels)
        window = screen.root.create_window(0, 0, *size, 0, 0, X.InputOnly, override_redirect=True, event_mask=MASK)
        window.map()
        window.raise_window()
        connected.sync()
        yield PointerWatch(connected)
    finally:
        connected.close()
