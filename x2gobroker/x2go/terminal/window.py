"""The window of a session on the local display."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from typing import Any, Protocol

from x2gobroker.x2go.display import windows
from x2gobroker.x2go.errors import X2GoException
from x2gobroker.x2go.log import LOGLEVEL_DEBUG, LOGLEVEL_INFO, LOGLEVEL_WARN, X2GoLogger
from x2gobroker.x2go.terminal.server import Server
from x2gobroker.x2go.texts import printable
from x2gobroker.x2go.weak import Weak
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo
from x2gobroker.x2go.wire.params import DESKTOP, SHADOW, X2GoSessionParams

WINDOW_FILE = "session.window"
MAXIMIZE = "maximize"
FALLBACK_GEOMETRY = (1024, 768)
LOOK_SECONDS = 0.5
SHARED = re.compile(r"_stS[01]XSHAD(.+)XSHAD(?:PP|:)([0-9]+)_")


class Titled(Protocol):
    """What a window needs of the session that it shows."""

    logger: X2GoLogger
    control_session: Server
    session_info: X2GoServerSessionInfo
    params: X2GoSessionParams
    set_session_title: bool
    session_title: str

    def auto_session_window_title(self, *, dont_set: bool) -> None:
        """Find a title for the session's window."""

    def color_depth(self) -> int:
        """Bits per pixel."""

    def get_session_type(self) -> str:
        """D, R, S, P or K."""

    def set_session_window_title(self, title: str) -> None:
        """Give the session's window a title."""

    def update_session_window_file(self) -> None:
        """Write the window's ID into a file of the session's local folder."""


class Window:
    """The part of a terminal session that cares for its window. All waiting is done in threads that end with it.

    `gone` is set when the session is not shown here any more.
    """

    _terminal = Weak[Titled]()

    def __init__(self, terminal: Titled, gone: threading.Event) -> None:
        self._terminal = terminal
        self._gone = gone
        self.session_window: Any = None

    @property
    def _info(self) -> X2GoServerSessionInfo:
        return self._terminal.session_info

    @property
    def _server(self) -> Server:
        return self._terminal.control_session

    @property
    def _params(self) -> X2GoSessionParams:
        return self._terminal.params

    @property
    def logger(self) -> X2GoLogger:
        """Where messages go."""
        return self._terminal.logger

    def _generic_title(self) -> str:
        return f"X2GO-{self._info.name}"

    def auto_session_window_title(self, dont_set: bool = False) -> None:
        """Find a title for the session's window, for `session_title`; and set it, unless `dont_set`."""
        title, generic = self._terminal.session_title.strip(), self._generic_title()
        kind = self._terminal.get_session_type()
        here = f"{self._server.remote_username()}@{self._server.get_hostname()}"
        if kind not in (DESKTOP, SHADOW) or not self._terminal.set_session_title:
            title = generic
        elif kind == DESKTOP:
            title = title or f"{self._params.cmd} for {here}"
        else:
            shared = SHARED.search(self._info.name)
            title = f"Desktop {shared[1]}@:{shared[2]} shared with {here}" if shared else generic
        self._terminal.session_title = title
        if title != generic and not dont_set:
            self._terminal.set_session_window_title(title)

    def find_session_window(self, timeout: float = 60) -> None:
        """Look for the session's window for so many seconds, in the background; `session_window` is it then."""
        self._with_window(timeout, lambda _window: None)

    def set_session_window_title(self, title: str, timeout: float = 60) -> None:
        """Give the session's window a title, in the background; the window may take `timeout` seconds to appear."""
        self._terminal.session_title = title.strip()
        if not self._terminal.session_title:
            self._terminal.auto_session_window_title(dont_set=True)
        text = self._terminal.session_title

        def name_it(window: Any) -> None:
            windows.set_session_window_title(window, text)

        self._with_window(timeout, name_it)

    def raise_session_window(self, timeout: float = 60) -> None:
        """Bring the session's window to the front, in the background; it may take `timeout` seconds to appear."""

        def raise_it(window: Any) -> None:
            windows.raise_session_window(window)

        self._with_window(timeout, raise_it)

    def _with_window(self, timeout: float, action: Callable[[Any], None]) -> None:
        thread = threading.Thread(
            target=self._wait_for_window,
            args=(self._terminal, timeout, action),
            name=f"x2go-window-{self._info.name}",
            daemon=True,
        )
        thread.start()

    def _wait_for_window(self, _terminal: Titled, timeout: float, action: Callable[[Any], None]) -> None:
        """In a thread of its own, which keeps the terminal session until it has ended."""
        try:
            window = self._found_window(timeout)
            if window is not None:
                action(window)
        except (X2GoException, ImportError, OSError) as error:
            self.logger(f"the window of the session cannot be reached: {printable(str(error), 200)}", LOGLEVEL_INFO)

    def _found_window(self, timeout: float) -> Any:
        for _ in range(max(1, int(timeout / LOOK_SECONDS))):
            if self._gone.is_set():
                return None
            window = windows.find_session_window(self._info.name)
            if window is not None:
                self.session_window = window
                self._terminal.update_session_window_file()
                return window
            self._gone.wait(LOOK_SECONDS)
        return None

    def update_session_window_file(self) -> None:
        """Write the window's ID into a file of the session's local folder; without a window, remove that file."""
        container = self._info.local_container
        if not container:
            return
        path = os.path.join(container, WINDOW_FILE)
        try:
            if self.session_window is not None:
                number = getattr(self.session_window, "id", self.session_window)
                with open(path, "w", encoding="ascii") as file:
                    file.write(f"ID:{number}\n")
            elif os.path.lexists(path):
                os.unlink(path)
        except OSError as error:
            self.logger(f"{WINDOW_FILE} cannot be written: {error.strerror}", LOGLEVEL_DEBUG)

    def forget(self) -> None:
        """The window is gone."""
        self.session_window = None
        self._terminal.update_session_window_file()

    def settle_geometry(self) -> None:
        """What `maximize` is on this display, and the depth of it."""
        if self._params.geometry == MAXIMIZE:
            size = self._of_display(lambda: windows.workarea_geometry() or windows.desktop_geometry())
            if not size:
                self.logger("the size of the display is not known; the session is 1024x768", LOGLEVEL_WARN)
            self._params.geometry = "{}x{}".format(*(size or FALLBACK_GEOMETRY))
        if not self._params.depth:
            self._params.depth = str(self._of_display(windows.local_color_depth) or self._terminal.color_depth())

    def _of_display(self, ask: Callable[[], Any]) -> Any:
        """Ask the display; None when it cannot tell."""
        try:
            return ask()
        except (X2GoException, ImportError, OSError) as error:
            self.logger(f"the display cannot be asked: {printable(str(error), 200)}", LOGLEVEL_DEBUG)
            return None
