"""What a control session does to sessions: start, resume, share, suspend, terminate."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

from x2gobroker.model.sessions import SESSION_NAME, SHARED_DESKTOP
from x2gobroker.x2go.backends import TERMINAL, backend_class
from x2gobroker.x2go.control.queries import Queries
from x2gobroker.x2go.errors import (
    X2GoDesktopSharingException,
    X2GoTerminalSessionException,
    X2GoTimeOutException,
    X2GoUserException,
)
from x2gobroker.x2go.log import (
    LOGLEVEL_DEBUG,
    LOGLEVEL_ERROR,
    LOGLEVEL_INFO,
    LOGLEVEL_NOTICE,
    LOGLEVEL_WARN,
    X2GoLogger,
)
from x2gobroker.x2go.terminal import X2GoTerminalSession
from x2gobroker.x2go.terminal.server import Server
from x2gobroker.x2go.weak import Weak
from x2gobroker.x2go.wire.command_lines import parse_state, suspend_command, terminate_command
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo

SUSPEND_SECONDS = 30.0
TERMINATE_SECONDS = 40.0
SESSION_SECONDS = 180.0  # how long to wait for another thread that does something to the same session
SCREEN = re.compile(r"(:[0-9]{1,5})\.[0-9]{1,2}")
VIEW_ONLY, FULL_ACCESS = 0, 1
SHADOW_MARK = "_stS"


def desktop_name(text: str) -> str:
    """`user@:display` of a desktop, which may be written with a screen number and without the colon.

    Raises X2GoDesktopSharingException for anything else.
    """
    found = SHARED_DESKTOP.fullmatch(SCREEN.sub(r"\1", text))
    if found is None:
        raise X2GoDesktopSharingException("a shared desktop needs a user and a display, like user@:50")
    return f"{found[1]}@:{found[2]}"


class Acting(Server, Protocol):
    """What acts need of the connection: all that a terminal session needs, and this."""

    logger: X2GoLogger
    hostname: str | None
    profile_name: str
    last_failure: str
    client_rootdir: str
    sessions_rootdir: str
    associated_terminals: dict[str, X2GoTerminalSession]
    terminated_terminals: list[str]

    def is_x2gouser(self, username: str) -> bool:
        """Whether this user may start sessions."""

    def list_sessions(self, *, refresh: bool = ...) -> Mapping[str, X2GoServerSessionInfo]:
        """The user's sessions on the server."""

    def list_desktops(self) -> list[str]:
        """Desktops that can be shared."""

    def resume(self, **kwargs: Any) -> X2GoTerminalSession | None:
        """Show a session here."""

    def terminate(self, session_name: str, destroy_terminals: bool = ...) -> bool:
        """End a session; whether the server says that it has ended."""

    def start(self, **kwargs: Any) -> X2GoTerminalSession | None:
        """Start a session and show it."""


class Acts:
    """The part of a control session that acts. Safe for threads; one at a time does something to one session.

    `backends` are those of terminal session, information, list and proxy.
    """

    _control = Weak[Acting]()

    def __init__(self, control: Acting, queries: Queries, backends: tuple[Any, Any, Any, Any]) -> None:
        self._control = control
        self._queries = queries
        self._backends = backends
        self._session_locks: dict[str, threading.RLock] = {}
        self._locks_lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """What was learned over a connection counts for that one only."""
        self._suspended_here: dict[str, X2GoServerSessionInfo] = {}
        self._may_start = False

    @property
    def logger(self) -> X2GoLogger:
        """Where messages go."""
        return self._control.logger

    @contextlib.contextmanager
    def _acting_on(self, session_name: str) -> Iterator[None]:
        """Let nobody else act on this session meanwhile. Raises X2GoTimeOutException."""
        with self._locks_lock:
            lock = self._session_locks.setdefault(session_name, threading.RLock())
        if not lock.acquire(timeout=SESSION_SECONDS):
            raise X2GoTimeOutException(f"another thread is busy with session {session_name}")
        try:
            yield
        finally:
            lock.release()

    def start(self, **kwargs: Any) -> X2GoTerminalSession | None:
        """Start a session and show it; the parameters are those of X2GoTerminalSession. Returns as `resume` does."""
        kwargs.pop("session_name", None)
        return self._control.resume(**kwargs)

    def resume(
        self,
        session_name: str | None = None,
        session_instance: Any = None,
        session_list: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> X2GoTerminalSession | None:
        """Show a session here: a suspended one, or one that another client shows; without `session_name` a new one."""
        user = self._control.remote_username()
        if not self._may_start and not self._control.is_x2gouser(user):
            raise X2GoUserException(f"the user {user} may not start X2Go sessions on {self._control.hostname}")
        self._may_start = True
        self._control.last_failure = ""
        try:
            if session_name is None:
                return self._shown(None, session_instance, kwargs)
            with self._acting_on(session_name):
                # what is known of a session that was suspended here stays true; whether there still is one, is asked
                info = self._suspended_here.pop(session_name, None) if session_list is None else None
                if info is None:
                    sessions = self._control.list_sessions() if session_list is None else session_list
                    info = sessions.get(session_name)
                if info is None:
                    raise X2GoTerminalSessionException("the server does not list such a session")
                return self._shown(info, session_instance, kwargs)
        except X2GoTerminalSessionException as error:
            self._control.last_failure = str(error)
            self.logger(f"session {session_name or '(new)'} does not come up: {error}", LOGLEVEL_ERROR)
            return None

    def _shown(self, info: Any, session_instance: Any, kwargs: dict[str, Any]) -> X2GoTerminalSession | None:
        """A terminal session that is started or resumed."""
        terminal_class: type[X2GoTerminalSession] = backend_class(self._backends[0], TERMINAL, X2GoTerminalSession)
        options = {
            "profile_name": self._control.profile_name,
            "info_backend": self._backends[1],
            "list_backend": self._backends[2],
            "proxy_backend": self._backends[3],
            "client_rootdir": self._control.client_rootdir,
            "sessions_rootdir": self._control.sessions_rootdir,
            "logger": self.logger,
            **kwargs,
        }
        terminal = terminal_class(self._control, session_info=info, session_instance=session_instance, **options)
        before = self._control.associated_terminals.pop(info.name, None) if info is not None else None
        if before is not None:
            before.release_proxy()
        done = terminal.start() if info is None else terminal.resume()
        if not done:
            self._control.last_failure = "the server has no such command"
            return None
        self._control.associated_terminals[terminal.get_session_name()] = terminal
        return terminal

    def share_desktop(
        self,
        desktop: str | None = None,
        user: str | None = None,
        display: str | int | None = None,
        share_mode: int | str = VIEW_ONLY,
        desktops: Collection[str] | None = None,
        **kwargs: Any,
    ) -> X2GoTerminalSession | None:
        """Show a desktop that runs already, one's own or that of a user who shares it: `desktop` is `user@:display`."""
        name = desktop_name(desktop or f"{user or ''}@{display if display is not None else ''}")
        if share_mode in ("0", "1"):  # as programs have it that read it from a command line
            share_mode = int(share_mode)
        if share_mode not in (VIEW_ONLY, FULL_ACCESS):
            raise X2GoDesktopSharingException("share_mode has to be 0 (view only) or 1 (full access)")
        if name not in {desktop_name(each) for each in (self._sharable() if desktops is None else desktops)}:
            raise X2GoDesktopSharingException(f"{name} is no desktop that could be shared")
        owner, _, place = name.partition("@")
        return self._control.start(
            **{**kwargs, "cmd": f"{share_mode:d}XSHAD{owner}XSHAD{place}", "session_type": "shared"}
        )

    def _sharable(self) -> list[str]:
        try:
            return self._control.list_desktops()
        except X2GoTimeOutException as error:
            raise X2GoDesktopSharingException(f"the server does not list its desktops in time: {error}") from None

    def suspend(self, session_name: str) -> bool:
        """Suspend a session and wait for it; whether the server says that it is suspended."""
        if not SESSION_NAME.fullmatch(session_name):
            return False
        with self._acting_on(session_name):
            if self._is_view(session_name):
                self.logger(f"session {session_name} is a view of another one; it ends", LOGLEVEL_NOTICE)
                self._control.terminate(session_name)
                return False
            state = parse_state(self._control.command(suspend_command(session_name), SUSPEND_SECONDS).output)
            self._control.forget_sessions()
            terminal = self._control.associated_terminals.get(session_name)
            if state != "SUSPENDED":
                self.logger(f"session {session_name} was not suspended: it is {state or 'not there'}", LOGLEVEL_WARN)
                return False
            self._control.associated_terminals.pop(session_name, None)
            if terminal is not None:
                terminal.has_been_suspended()
                self._suspended_here[session_name] = terminal.session_info
            self.logger(f"session {session_name} is suspended", LOGLEVEL_NOTICE)
            return True

    def terminate(self, session_name: str, destroy_terminals: bool = True) -> bool:
        """End a session and wait for it; whether the server says that it has ended."""
        if not SESSION_NAME.fullmatch(session_name):
            return False
        with self._acting_on(session_name):
            state = parse_state(
                self._control.command(
                    terminate_command(session_name, self._agent_of(session_name)), TERMINATE_SECONDS
                ).output
            )
            self._control.forget_sessions()
            self._suspended_here.pop(session_name, None)
            terminal = self._control.associated_terminals.get(session_name)
            # the agent of a view of somebody else's desktop is that user's; it ends when nobody looks any more
            if state != "TERMINATED" and not (terminal is not None and self._is_view(session_name)):
                self.logger(f"session {session_name} was not ended: it is {state or 'not there'}", LOGLEVEL_WARN)
                return False
            if state == "TERMINATED":
                self._queries.ended.add(session_name)
            if session_name not in self._control.terminated_terminals:
                self._control.terminated_terminals.append(session_name)
            if terminal is not None:
                terminal.has_been_terminated()
            elif not self.logger.loglevel & LOGLEVEL_DEBUG:
                # what an earlier process of this user left when it suspended the session
                shutil.rmtree(os.path.join(self._control.sessions_rootdir, f"S-{session_name}"), ignore_errors=True)
            if destroy_terminals:
                self._control.associated_terminals.pop(session_name, None)
            self.logger(f"session {session_name} has ended", LOGLEVEL_NOTICE)
            return True

    @staticmethod
    def _is_view(session_name: str) -> bool:
        return SHADOW_MARK in session_name

    def clean_sessions(self, destroy_terminals: bool = True, published_applications: bool = False) -> None:
        """End all sessions of the user on this server; those for published applications only if that is asked for."""
        for name, info in self._control.list_sessions(refresh=True).items():
            if published_applications or not info.is_published_applications_provider():
                self._control.terminate(name, destroy_terminals)

    def dissociate(self, terminal_session: X2GoTerminalSession) -> None:
        """Let a terminal session go: it is not suspended with this control session any more."""
        for name, terminal in list(self._control.associated_terminals.items()):
            if terminal is terminal_session:
                self._control.associated_terminals.pop(name, None)
                self.logger(f"session {name} is let go", LOGLEVEL_INFO)

    def _agent_of(self, session_name: str) -> int:
        """The process of the session's agent on the server as it was last seen; 0 when it was not."""
        terminal = self._control.associated_terminals.get(session_name)
        info = terminal.session_info if terminal is not None else self._queries.last_seen(session_name)
        return int(info.agent_pid or 0) if info is not None else 0
