"""What a session knows of its state on the server, and how it finds out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.errors import X2GoControlSessionException, X2GoSessionException, X2GoTimeOutException
from x2gobroker.x2go.log import LOGLEVEL_DEBUG, LOGLEVEL_NOTICE
from x2gobroker.x2go.session.state import SessionState

STATUS_SECONDS = 1.0


class SessionStatus(SessionState):
    """States, lists and features."""

    _updated_at: float | None = None
    _lives: bool = False
    _session_info: Any = None
    taken_over: bool = False

    def _control(self) -> X2GoControlSession:
        """The control session. Raises X2GoSessionException when there is none."""
        if self.control_session is None:
            raise X2GoSessionException("this session has no control session; init_control_session makes one")
        return self.control_session

    def is_connected(self) -> bool:
        """Whether the connection to the server is up."""
        self.connected = self.control_session is not None and self.control_session.is_connected()
        if not self.connected:
            self.running = self.suspended = self.terminated = self.faulty = None
        return self.connected

    @property
    def lives(self) -> bool:
        """Whether it was connected and not disconnected; a connection that is lost unnoticed counts as well."""
        return self._lives

    def is_alive(self) -> bool:
        """Whether the server still answers. If not, HOOK_on_control_session_death is called, and it is disconnected."""
        control = self._control()
        if control.is_alive():
            self.connected = True
            return True
        if control.has_session_died():
            self._connection_lost()
        else:
            self.disconnect()
        return False

    def disconnect(self) -> bool:
        """Leave the server: what shows the session here ends, and so does what the session does in the background.

        A session that was running goes on, suspended, on the server. Returns whether there was a connection.
        """
        self._jobs.stop()
        self._before_disconnect()
        self.session_cleanup()
        self._lives = False
        was_connected = self.control_session is not None and bool(self.control_session.disconnect())
        self._set_states(connected=False, running=None, suspended=None, terminated=None, faulty=None)
        return was_connected

    def _before_disconnect(self) -> None:
        """What has to happen while the connection stands."""

    def _connection_lost(self) -> None:
        """Tell of the loss, once for all sessions of this connection, and tidy up."""
        told = self._lives
        peers = self._peers()
        for session in (self, *peers):
            session._lives = False
        if told:
            self.HOOK_on_control_session_death()
        for session in (self, *peers):
            session.disconnect()

    def _still_connected(self) -> bool:
        """Whether the connection lives on after a command failed; if not, the loss is told and tidied up."""
        if self.control_session is not None and not self.control_session.has_session_died():
            return True
        self._connection_lost()
        return False

    def _peers(self) -> list[Any]:
        """The other sessions of this client that use the same connection."""
        if self.client_instance is None:
            return []
        sessions = self.client_instance.session_registry.registered_sessions()
        return [other for other in sessions if other is not self and other.control_session is self.control_session]

    def is_running(self, update_status: bool = False) -> bool | None:
        """Whether the session is running; None when that is not known. With `update_status` the server is asked."""
        if update_status and self.is_connected():
            self._note("running", self._asked("is_running"))
        return self.running

    def is_suspended(self, update_status: bool = False) -> bool | None:
        """Whether the session is suspended; None when that is not known. With `update_status` the server is asked."""
        if update_status and self.is_connected():
            self._note("suspended", self._asked("is_suspended"))
        return self.suspended

    def has_terminated(self, update_status: bool = False) -> bool | None:
        """Whether the session has ended; None when that is not known. With `update_status` the server is asked."""
        if update_status and self.is_connected():
            self._note("terminated", None if self.virgin else self._asked("has_terminated"))
        return self.terminated

    def _asked(self, question: str) -> bool | None:
        """What the control session says of this session; None for one that has no name yet."""
        if not self.session_name:
            return None
        answer: bool | None = getattr(self._control(), question)(self.session_name)
        return answer

    def _note(self, state: str, holds: bool | None) -> None:
        """Set one of three states that exclude each other."""
        if holds:
            others = {"running": False, "suspended": False, "terminated": False}
            self._set_states(**{**others, state: True, "faulty": False})
        else:
            setattr(self, state, None if self.virgin else holds)

    def get_username(self) -> str | None:
        """The user on the server; before `connect`, who is to log in."""
        if self.is_connected():
            return self._control().remote_username()
        name = self.control_params.get("username")
        return None if name is None else str(name)

    def list_sessions(self, raw: bool = False) -> Any:
        """The user's sessions on the server: X2GoServerSessionList, or text with `raw`. None when it was lost."""
        try:
            return self._control().list_sessions(raw=raw)
        except X2GoControlSessionException:
            if self._still_connected():
                raise
            return None

    def list_desktops(self, raw: bool = False) -> Any:
        """The desktops that could be shared, or text with `raw`; none when it takes too long. None when lost."""
        try:
            return self._control().list_desktops(raw=raw)
        except X2GoTimeOutException:
            if self.is_alive():
                self.HOOK_list_desktops_timeout()
            return "" if raw else []
        except X2GoControlSessionException:
            if self._still_connected():
                raise
            return None

    def list_mounts(self, raw: bool = False) -> Any:
        """The folders of this client that the session has mounted, or text with `raw`. None when it was lost."""
        if not self.session_name:
            return "" if raw else []
        try:
            return self._control().list_mounts(self.session_name, raw=raw)
        except X2GoControlSessionException:
            if self._still_connected():
                raise
            return None

    def retrieve_server_features(self) -> None:
        """Ask the server for its features."""
        self.server_features = list(self._control().query_server_features())

    def get_server_features(self) -> list[str]:
        """The features of the server, as of the connect."""
        return self.server_features

    def has_server_feature(self, feature: str) -> bool:
        """Whether the server has a feature."""
        return feature in self.server_features

    def update_status(
        self, session_list: Any = None, force_update: bool = False, listed_at: float | None = None
    ) -> bool:
        """Find out the states, from `session_list` or from the server.

        Returns False when nothing was done: the last update is less than a second ago (unless `force_update`), an
        action is under way, or the list was made before the last one ended (`listed_at`, time.monotonic()). Raises
        X2GoControlSessionException when the connection is lost.
        """
        if self.is_locked():
            return False
        if not force_update and self._updated_at is not None and time.monotonic() - self._updated_at < STATUS_SECONDS:
            self.logger("the status is less than a second old", LOGLEVEL_DEBUG)
            return False
        if session_list is None:
            listed_at = time.monotonic()
            try:
                session_list = self._control().list_sessions()
            except X2GoControlSessionException:
                self._still_connected()
                raise
        with self._status_lock:
            if self.is_locked() or (listed_at is not None and listed_at < self._changed_at):
                return False
            self._updated_at = time.monotonic()
            self._read_states(sessions_in(session_list))
        return True

    def _read_states(self, sessions: Mapping[str, Any]) -> None:
        """Set the states from a list. What shows a session here ends when the session does, or was taken over."""
        info = sessions.get(self.session_name or "")
        terminal = self.terminal_session
        if info is None and self.session_name in getattr(sessions, "unclear", ()):
            return  # the server has something of it that is not understood
        running, suspended = (False, False) if info is None else (info.is_running(), info.is_suspended())
        if info is None and terminal is not None and self.is_shadow_session() and terminal.ok():
            running = True  # x2golistsessions leaves such sessions out
        terminated = None if self.virgin else not (running or suspended)
        self.taken_over = bool(running and terminal is not None and self._is_taken_over(info))
        faulty = not (running or suspended or terminated or self.virgin)
        self._record(connected=True, running=running, suspended=suspended, terminated=terminated, faulty=faulty)
        if terminal is not None and (self.taken_over or not running):
            self.session_cleanup()
        if info is not None:
            self._session_info = info

    def _is_taken_over(self, info: Any) -> bool:
        """Whether another client shows the session now.

        Then the proxy here has ended, and the server has noted a later change than the last one that was seen while
        it still ran. A proxy that just ended is not enough: the server may not have noticed yet.
        """
        terminal = self.terminal_session
        if info is None or terminal is None:
            return False
        if terminal.ok():
            self._shown_since = (info.date_suspended, info.graphics_port)
            return False
        taken = self._shown_since is not None and self._shown_since != (info.date_suspended, info.graphics_port)
        if taken:
            self.logger(f"session {self.session_name} is shown by another client now", LOGLEVEL_NOTICE)
        return taken

    _shown_since: tuple[str, int] | None = None

    def session_cleanup(self) -> None:
        """End what shows the session on this client; after the session's end, remove what it left here."""
        terminal, self.terminal_session = self.terminal_session, None
        self._shown_since = None
        if terminal is None:
            return
        terminal.release_proxy()
        if self.terminated:
            terminal.post_terminate_cleanup()
        if self.control_session is not None:
            self.control_session.dissociate(terminal)

    def renew(self) -> None:
        """After the session's end: this object may start another one."""
        self.session_cleanup()
        self.session_name = self._session_info = None
        self.activated = False
        self._set_states(virgin=True, running=None, suspended=None, terminated=None, faulty=None)

    def session_ok(self) -> bool:
        """Whether the session is shown here and in good health."""
        return self.terminal_session is not None and bool(self.terminal_session.ok())

    def get_session_info(self) -> Any:
        """What the server last said of this session (X2GoServerSessionInfo); None when it never did."""
        if self.terminal_session is not None:
            return self.terminal_session.get_session_info()
        return self._session_info

    def get_session_type(self) -> str | None:
        """R for rootless, D for desktop, S for shadow, P for published applications; None before a start."""
        if self.terminal_session is not None:
            return self.terminal_session.get_session_type()
        _, mark, rest = (self.session_name or "").partition("_st")
        if not mark:
            return None
        return "P" if rest.startswith("RPUBLISHED_") else rest[:1]

    def is_desktop_session(self) -> bool:
        """Whether the session is a desktop."""
        return self.get_session_type() == "D"

    def is_rootless_session(self) -> bool:
        """Whether the session's windows stand by themselves."""
        return self.get_session_type() == "R"

    def is_shadow_session(self) -> bool:
        """Whether the session is a view of another one."""
        return self.get_session_type() == "S"

    def is_pubapp_session(self) -> bool:
        """Whether the session offers published applications."""
        return self.get_session_type() == "P"


def sessions_in(session_list: Any) -> Mapping[str, Any]:
    """The sessions of a list by name: X2GoServerSessionList, or a mapping."""
    found: Mapping[str, Any] = session_list if isinstance(session_list, Mapping) else session_list()
    return found
