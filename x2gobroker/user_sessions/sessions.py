"""Sessions of users: found, suspended, resumed and terminated, on all servers of a session profile."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import paramiko

from x2gobroker.agents.rules import agent_rules, ssh_folder
from x2gobroker.agents.ssh import route_to
from x2gobroker.errors import AgentError, SessionError
from x2gobroker.logs import broker_log
from x2gobroker.logs import field as log_field
from x2gobroker.model.hosts import Host
from x2gobroker.model.profile import SessionProfile
from x2gobroker.model.sessions import SESSION_NAME
from x2gobroker.settings import Settings
from x2gobroker.ssh.deadline import Deadline
from x2gobroker.ssh.routes import Route
from x2gobroker.user_sessions.connection import ServerConnection, key_of, opened
from x2gobroker.user_sessions.values import (
    GONE,
    REFUSED,
    SHOWN,
    TIMEOUT,
    UNKNOWN_SERVER,
    ClientWish,
    FoundSessions,
    UserLogin,
    UserSession,
    WaitingSession,
)
from x2gobroker.x2go.wire.command_lines import (
    RESUME_SECONDS,
    forget_client_command,
    parse_state,
    resume_command,
    resumed_ports,
    state_command,
)
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo
from x2gobroker.x2go.wire.params import X2GoSessionParams

LIST_SECONDS = 10.0
ACTION_SECONDS = 45.0
MOST_AT_ONCE = 32  # threads of one listing; servers beyond that wait for their turn within the same deadline


class UserSessions:
    """Sessions of users on the servers of one backend's session profiles. Safe for threads and forks.

    All methods raise SessionError, whose `reason` is one of the words of this module. Each call logs in once on each
    server that it asks: with a wrong password, each of them counts a failed login.
    """

    def __init__(
        self, backend: str, list_seconds: float = LIST_SECONDS, action_seconds: float = ACTION_SECONDS
    ) -> None:
        self._backend = backend
        self._list_seconds = list_seconds
        self._action_seconds = action_seconds

    def find(self, settings: Settings, profile: SessionProfile, login: UserLogin) -> FoundSessions:
        """The user's sessions on all servers of a profile, asked at the same time.

        Servers that do not answer within `list_seconds`, or refuse the login, are in `failed`. Raises SessionError
        only where no server could be asked: with a key that is none, for example.
        """
        key = key_of(login)
        ways: dict[str, tuple[Host, Route]] = {}
        for host in profile.hosts:
            way = self._way(settings, profile, host)
            ways.setdefault(way.endpoint.key, (host, way))
        deadline = Deadline(self._list_seconds, "listing sessions")
        found: list[UserSession] = []
        failed: dict[Host, SessionError] = {}
        for host, answer in _ask_all(list(ways.values()), login, key, deadline):
            if isinstance(answer, SessionError):
                failed[host] = answer
                broker_log.warning(
                    "sessions of %s on %s cannot be listed: %s", log_field(login.account), host.name, answer
                )
            else:
                found += answer
        found.sort(key=lambda session: (not session.is_suspended, session.age, session.name))
        return FoundSessions(tuple(found), failed)

    def suspend(self, settings: Settings, profile: SessionProfile, login: UserLogin, server: str, name: str) -> None:
        """Suspend a session, and wait for it. `server` is the name of a host of the profile."""
        if _is_view(name):
            raise SessionError("a view of another session cannot be suspended; terminate it", REFUSED)
        with self._connected(settings, profile, login, server, name) as (host, connection):
            if not connection.suspend(name):
                raise _why_not(connection, name, "suspended")
            self._note(name, login, host, "suspended")

    def terminate(self, settings: Settings, profile: SessionProfile, login: UserLogin, server: str, name: str) -> None:
        """End a session, with all that runs in it, and wait for it. `server` is the name of a host of the profile."""
        with self._connected(settings, profile, login, server, name) as (host, connection):
            if _state_of(connection, name) == "RESUMING":
                connection.suspend(name)  # while it waits for a client, an agent does not end
            if not connection.terminate(name):
                raise _why_not(connection, name, "terminated")
            self._note(name, login, host, "terminated")

    def resume(
        self,
        settings: Settings,
        profile: SessionProfile,
        login: UserLogin,
        server: str,
        name: str,
        wish: ClientWish | None = None,
        take_over: bool = False,
    ) -> WaitingSession:
        """Make a session wait for its client: what x2goresume-session does, and a client needs to know then.

        Nothing is shown here: the user's client, or what speaks NX for a browser, connects afterwards. A session that
        another client shows, or is about to, is left alone (SHOWN), unless `take_over` says to suspend it first.
        """
        if _is_view(name):
            raise SessionError("a view of another session cannot be resumed; start a new one", REFUSED)
        with self._connected(settings, profile, login, server, name) as (host, connection):
            _free_for_client(connection, name, take_over)
            reply = connection.command(resume_command(_params(wish or ClientWish()), name), RESUME_SECONDS)
            ports = resumed_ports(reply)
            # the session would take this connection for its client's, and end whatever has its process ID later
            connection.command(forget_client_command(name))
            info = connection.list_sessions(refresh=True).get_session_info(name)
            if info is None or not info.cookie:
                raise SessionError(f"session {name} has ended", GONE)
            self._note(name, login, host, "resumed")
            return WaitingSession(
                name,
                host,
                host.endpoint(profile.sshport),
                info.display,
                ports.graphics,
                ports.sound,
                ports.folders,
                info.cookie,
            )

    @staticmethod
    def _note(name: str, login: UserLogin, host: Host, done: str) -> None:
        broker_log.info("session %s of %s on %s: %s over SSH", name, log_field(login.account), host.name, done)

    @contextlib.contextmanager
    def _connected(
        self, settings: Settings, profile: SessionProfile, login: UserLogin, server: str, name: str
    ) -> Iterator[tuple[Host, ServerConnection]]:
        """A connection to the server of a session that is there, for the length of a `with` block."""
        if not SESSION_NAME.fullmatch(name):
            raise SessionError("this is not the name of an X2Go session", GONE)
        host = next((host for host in profile.hosts if host.name == server), None)
        if host is None:
            raise SessionError(f"session profile [{log_field(profile.id)}] has no such server", UNKNOWN_SERVER)
        way = self._way(settings, profile, host)
        with opened(way, login, key_of(login), Deadline(self._action_seconds, f"session {name}")) as connection:
            # what an agent left behind when it ended may look like a session that is suspended
            if name not in connection.list_sessions(refresh=True):
                raise SessionError(f"there is no session {name}; it may have ended meanwhile", GONE)
            yield host, connection

    def _way(self, settings: Settings, profile: SessionProfile, host: Host) -> Route:
        """The way that an agent's connection would take; only its user is another one."""
        rules = replace(agent_rules(settings, self._backend, profile), folder=ssh_folder(settings))
        try:
            return route_to(host.endpoint(profile.sshport), rules)
        except AgentError as error:
            raise SessionError(str(error), REFUSED) from None


def _ask_all(
    ways: list[tuple[Host, Route]], login: UserLogin, key: paramiko.PKey | None, deadline: Deadline
) -> Iterator[tuple[Host, list[UserSession] | SessionError]]:
    """What each server says, or why not; never takes longer than the deadline. Threads end by themselves then."""
    todo: queue.SimpleQueue[tuple[Host, Route]] = queue.SimpleQueue()
    answers: queue.SimpleQueue[tuple[Route, list[UserSession] | SessionError]] = queue.SimpleQueue()
    for each in ways:
        todo.put(each)

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while time.monotonic() < deadline.end:
                host, way = todo.get_nowait()
                answers.put((way, _asked(host, way, login, key, deadline)))

    for number in range(min(len(ways), MOST_AT_ONCE)):
        threading.Thread(target=work, name=f"user-sessions-{number}", daemon=True).start()
    open_hosts = {way.endpoint.key: host for host, way in ways}
    with contextlib.suppress(queue.Empty):
        while open_hosts:
            way, answer = answers.get(timeout=max(0.0, deadline.end - time.monotonic()))
            yield open_hosts.pop(way.endpoint.key), answer
    for host in open_hosts.values():
        yield host, SessionError(f"{host.name} did not list sessions within {deadline.seconds:g} s", TIMEOUT)


def _asked(
    host: Host, way: Route, login: UserLogin, key: paramiko.PKey | None, deadline: Deadline
) -> list[UserSession] | SessionError:
    try:
        with opened(way, login, key, deadline) as connection:
            return [_user_session(info, host) for info in connection.list_sessions(refresh=True).values()]
    except SessionError as error:
        return error


def _user_session(info: X2GoServerSessionInfo, host: Host) -> UserSession:
    kind = info.get_session_type() or ""
    return UserSession(
        info.name, host, info.status, kind, info.display, info.age, info.date_created, info.date_suspended
    )


def _is_view(name: str) -> bool:
    """Whether the session of this name is a view of another one."""
    return name.partition("_st")[2].startswith("S")


def _why_not(connection: ServerConnection, name: str, done: str) -> SessionError:
    """Why a session was not suspended or terminated, as far as it can be known."""
    if name not in connection.list_sessions(refresh=True):
        return SessionError(f"there is no session {name}; it may have ended meanwhile", GONE)
    return SessionError(f"the server says that session {name} was not {done}; try again", REFUSED)


def _state_of(connection: ServerConnection, name: str) -> str:
    """What the session's agent says of itself; empty where there is none."""
    return parse_state(connection.command(state_command(name)).output)


def _params(wish: ClientWish) -> X2GoSessionParams:
    return X2GoSessionParams(
        geometry=wish.geometry,
        link=wish.link,
        pack=wish.pack,
        kbtype=wish.keyboard,
        kblayout=wish.layout,
        clipboard=wish.clipboard,
        xinerama=wish.xinerama,
    )


def _free_for_client(connection: ServerConnection, name: str, take_over: bool) -> None:
    """Raises SessionError when the session cannot be resumed now; x2goresume-session would hang, or take it away."""
    state = _state_of(connection, name)
    if state in ("", "TERMINATING", "TERMINATED"):
        raise SessionError(f"there is no session {name}; it may have ended meanwhile", GONE)
    if state == "STARTING":
        raise SessionError(
            f"session {name} was started, but no client has connected to it yet; it ends by itself, or terminate it",
            SHOWN,
        )
    if state != "SUSPENDED":
        if not take_over:
            raise SessionError(f"session {name} is shown by another client, or is about to be", SHOWN)
        if not connection.suspend(name):
            raise SessionError(f"session {name} cannot be taken over: the server does not suspend it", REFUSED)
