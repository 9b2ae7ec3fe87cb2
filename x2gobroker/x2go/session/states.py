"""What a session knows of its state on the server, and how it finds out."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from x2gobroker.x2go.errors import X2GoControlSessionException
from x2gobroker.x2go.log import LOGLEVEL_DEBUG, LOGLEVEL_NOTICE, X2GoLogger
from x2gobroker.x2go.session.whole import Whole
from x2gobroker.x2go.weak import Weak

STATUS_SECONDS = 1.0
STATES = ("virgin", "connected", "running", "suspended", "terminated", "faulty")


class States:
    """The states of a session: virgin, connected, running, suspended, terminated, faulty; attributes of the session."""

    _session = Weak[Whole]()

    def __init__(self, session: Whole) -> None:
        self._session = session
        self._status_lock = threading.RLock()
        self._updated_at: float | None = None
        self._shown_since: tuple[str, int] | None = None
        self._changed_at = 0.0
        self._last_status: dict[str, Any] | None = None
        self._current_status = self.now()
        self._told = self._current_status  # what the client's registry has reacted to

    def forget_shown(self) -> None:
        """Nothing shows the session here any more."""
        self._shown_since = None

    @property
    def logger(self) -> X2GoLogger:
        """Where messages go."""
        return self._session.logger

    def now(self) -> dict[str, Any]:
        """The states as they are now, with the server, and when that is."""
        states = {name: getattr(self._session, name) for name in STATES}
        shown = self._session.terminal_session is not None
        return {"timestamp": time.time(), "server": self._session.get_server_hostname(), "shown": shown, **states}

    def take_change(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The states that were told of last, and those of now, which are taken as told from here on."""
        with self._status_lock:
            former, self._told = self._told, self.now()
            return former, self._told

    def _record(self, **states: bool | None) -> None:
        """Change states, and keep the former ones for who compares them (the registry)."""
        with self._status_lock:
            self._last_status = self._current_status
            for name, value in states.items():
                setattr(self._session, name, value)
            self._current_status = self.now()

    def set(self, **states: bool | None) -> None:
        """Change states by an action of this object: lists made before it do not count any more."""
        with self._status_lock:
            self._record(**states)
            self._changed_at = time.monotonic()

    def is_running(self, update_status: bool = False) -> bool | None:
        """Whether the session is running; None when that is not known. With `update_status` the server is asked."""
        if update_status and self._session.is_connected():
            self._note("running", self._asked("is_running"))
        return self._session.running

    def is_suspended(self, update_status: bool = False) -> bool | None:
        """Whether the session is suspended; None when that is not known. With `update_status` the server is asked."""
        if update_status and self._session.is_connected():
            self._note("suspended", self._asked("is_suspended"))
        return self._session.suspended

    def has_terminated(self, update_status: bool = False) -> bool | None:
        """Whether the session has ended; None when that is not known. With `update_status` the server is asked."""
        if update_status and self._session.is_connected():
            self._note("terminated", None if self._session.virgin else self._asked("has_terminated"))
        return self._session.terminated

    def _asked(self, question: str) -> bool | None:
        """What the control session says of this session; None for one that has no name yet."""
        if not self._session.session_name:
            return None
        answer: bool | None = getattr(self._session._control(), question)(self._session.session_name)
        return answer

    def _note(self, state: str, holds: bool | None) -> None:
        """Set one of three states that exclude each other."""
        if holds:
            others = {"running": False, "suspended": False, "terminated": False}
            self.set(**{**others, state: True, "faulty": False})
        else:
            setattr(self._session, state, None if self._session.virgin else holds)

    def update_status(
        self, session_list: Any = None, force_update: bool = False, listed_at: float | None = None
    ) -> bool:
        """Find out the states, from `session_list` or from the server."""
        if self._session.is_locked():
            return False
        if not force_update and self._updated_at is not None and time.monotonic() - self._updated_at < STATUS_SECONDS:
            self.logger("the status is less than a second old", LOGLEVEL_DEBUG)
            return False
        if session_list is None:
            listed_at = time.monotonic()
            try:
                session_list = self._session._control().list_sessions()
            except X2GoControlSessionException:
                self._session._still_connected()
                raise
        with self._status_lock:
            if self._session.is_locked() or (listed_at is not None and listed_at < self._changed_at):
                return False
            self._updated_at = time.monotonic()
            self._read_states(sessions_in(session_list))
        return True

    def _read_states(self, sessions: Mapping[str, Any]) -> None:
        """Set the states from a list. What shows a session here ends when the session does, or was taken over."""
        info = sessions.get(self._session.session_name or "")
        terminal = self._session.terminal_session
        if info is None and self._session.session_name in getattr(sessions, "unclear", ()):
            return  # the server has something of it that is not understood
        running, suspended = (False, False) if info is None else (info.is_running(), info.is_suspended())
        if info is None and terminal is not None and self._session.is_shadow_session() and terminal.ok():
            running = True  # x2golistsessions leaves such sessions out
        terminated = None if self._session.virgin else not (running or suspended)
        self._session.taken_over = bool(running and terminal is not None and self._is_taken_over(info))
        faulty = not (running or suspended or terminated or self._session.virgin)
        self._record(connected=True, running=running, suspended=suspended, terminated=terminated, faulty=faulty)
        if terminal is not None and (self._session.taken_over or not running):
            self._session.session_cleanup()
        if info is not None:
            self._session._session_info = info

    def _is_taken_over(self, info: Any) -> bool:
        """Whether another client shows the session now.

        Then the proxy here has ended, and the server has noted a later change than the last one that was seen while
        it still ran. A proxy that just ended is not enough: the server may not have noticed yet.
        """
        terminal = self._session.terminal_session
        if info is None or terminal is None:
            return False
        if terminal.ok():
            self._shown_since = (info.date_suspended, info.graphics_port)
            return False
        taken = self._shown_since is not None and self._shown_since != (info.date_suspended, info.graphics_port)
        if taken:
            self.logger(f"session {self._session.session_name} is shown by another client now", LOGLEVEL_NOTICE)
        return taken


def sessions_in(session_list: Any) -> Mapping[str, Any]:
    """The sessions of a list by name: X2GoServerSessionList, or a mapping."""
    found: Mapping[str, Any] = session_list if isinstance(session_list, Mapping) else session_list()
    return found
