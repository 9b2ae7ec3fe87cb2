"""What a session is made of, and its plain questions and settings."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.errors import X2GoProfileException, X2GoTimeOutException
from x2gobroker.x2go.hooks import SessionHooks
from x2gobroker.x2go.profiles.options import DEFAULTS, PARAMETER_NAMES, session_params
from x2gobroker.x2go.session.jobs import Jobs
from x2gobroker.x2go.session.params import (
    CONTROL_PARAMS,
    SESSION_PARAMS,
    SSHPROXY_PARAMS,
    TERMINAL_PARAMS,
    split_params,
)
from x2gobroker.x2go.terminal import X2GoTerminalSession

# How long an action waits for another one on the same session; longer than any of them takes.
LOCK_SECONDS = 300.0
STATES = ("virgin", "connected", "running", "suspended", "terminated", "faulty")


class SessionState(SessionHooks):
    """Attributes, parameters and the lock of a session."""

    server: str | None
    port: int
    profile_id: str | None
    control_session: X2GoControlSession | None
    terminal_session: X2GoTerminalSession | None
    activated: bool
    virgin: bool
    connected: bool
    running: bool | None
    suspended: bool | None
    terminated: bool | None
    auto_start_or_resume: bool
    auto_connect: bool
    printing: bool
    allow_mimebox: bool
    mimebox_extensions: list[str]
    mimebox_action: str
    allow_share_local_folders: bool
    share_local_folders: list[str]
    restore_shared_local_folders: bool
    use_sshproxy: bool
    sshproxy_reuse_authinfo: bool
    keep_controlsession_alive: bool
    add_to_known_hosts: bool
    known_hosts: str | None
    forward_sshagent: bool
    client_rootdir: str
    sessions_rootdir: str
    ssh_rootdir: str
    published_applications: bool
    control_backend: Any
    terminal_backend: Any
    info_backend: Any
    list_backend: Any
    proxy_backend: Any

    def _prepare(self, params: Mapping[str, Any]) -> None:
        """Everything that does not come as a parameter of its own; then the further parameters."""
        self.uuid = uuid.uuid4()
        self.terminal_session = None
        self.master_session: bool | None = None
        self.control_params: dict[str, Any] = {}
        self.terminal_params: dict[str, Any] = {}
        self.sshproxy_params: dict[str, Any] = {}
        self.session_environment: dict[str, str] = {}
        self.server_features: list[str] = []
        self.published_applications = False
        self.published_applications_menu: Any = None
        self.shared_folders: dict[str, dict[str, str]] = {}
        self.last_error: Exception | None = None
        self._secrets: dict[str, Any] = {}
        self._jobs = Jobs(self.logger)
        self._lock = threading.Lock()
        self._beginning = False
        self._status_lock = threading.RLock()
        self._restored_folders: dict[str, bool] = {}
        self.update_params(params)
        self._changed_at = 0.0
        self._last_status: dict[str, Any] | None = None
        self._current_status = self._status()
        self._told = self._current_status  # what the client's registry has reacted to

    def __str__(self) -> str:
        return self.get_uuid()

    def __call__(self) -> str:
        return self.get_uuid()

    def __repr__(self) -> str:
        states = [name for name in STATES if getattr(self, name)]
        where = f"{self.server}:{self.port}, profile {self.profile_name!r}"
        return f"<X2GoSession {self.uuid} {self.session_name} on {where}: {' '.join(states) or 'no state'}>"

    def _status(self) -> dict[str, Any]:
        """The states as they are now, with the server, and when that is."""
        states = {name: getattr(self, name) for name in STATES}
        shown = self.terminal_session is not None
        return {"timestamp": time.time(), "server": self.get_server_hostname(), "shown": shown, **states}

    def _take_change(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The states that were told of last, and those of now, which are taken as told from here on."""
        with self._status_lock:
            former, self._told = self._told, self._status()
            return former, self._told

    def _record(self, **states: bool | None) -> None:
        """Change states, and keep the former ones for who compares them (the registry)."""
        with self._status_lock:
            self._last_status = self._current_status
            for name, value in states.items():
                setattr(self, name, value)
            self._current_status = self._status()

    def _set_states(self, **states: bool | None) -> None:
        """Change states by an action of this object: lists made before it do not count any more."""
        with self._status_lock:
            self._record(**states)
            self._changed_at = time.monotonic()

    @contextlib.contextmanager
    def _exclusively(self, begins: bool = False) -> Iterator[bool]:
        """Hold the session's lock. Gives whether this action, a start, waited for another thread's start.

        Raises X2GoTimeOutException when the other action does not end.
        """
        waited = False
        if not self._lock.acquire(blocking=False):
            waited = begins and self._beginning
            if not self._lock.acquire(timeout=LOCK_SECONDS):
                raise X2GoTimeOutException(f"another action on session {self.session_name} does not end")
        self._beginning = begins
        try:
            yield waited
        finally:
            self._beginning = False
            self._lock.release()

    def is_locked(self) -> bool:
        """Whether an action is under way that changes the session's state."""
        return self._lock.locked()

    def update_params(self, params: Mapping[str, Any]) -> None:
        """Change parameters of the session; those that only the constructor takes are left as they are.

        Raises TypeError for a parameter that no session has.
        """
        split = split_params(params)
        for name, value in split.session.items():
            setattr(self, name, list(value) if isinstance(value, (list, tuple)) else value)
        self.control_params.update(split.control)
        self.sshproxy_params.update(split.sshproxy)
        self.terminal_params.update(split.terminal)
        self._secrets.update(split.secrets)
        if self.sshproxy_reuse_authinfo:
            for name in ("key_filename", "pkey"):
                if name in split.control:
                    self.sshproxy_params[f"sshproxy_{name}"] = split.control[name]
        self._settle_published_applications()

    def _settle_published_applications(self) -> None:
        """Published applications are a session of command PUBLISHED, and no other one."""
        wanted = bool(self.terminal_params.get("published_applications"))
        if self.session_name:
            wanted = "_stRPUBLISHED_" in self.session_name
        if wanted:
            self.terminal_params["cmd"] = "PUBLISHED"
        self.published_applications = self.terminal_params["published_applications"] = wanted

    def get_session_profile_option(self, option: str) -> Any:
        """The value of a parameter of this session, by its own name or that of the profile's option.

        Raises X2GoProfileException when sessions have no such option.
        """
        name = PARAMETER_NAMES.get(option, option)
        if name in SESSION_PARAMS:
            return getattr(self, name)
        for known, params in (
            (TERMINAL_PARAMS, self.terminal_params),
            (CONTROL_PARAMS, self.control_params),
            (SSHPROXY_PARAMS, self.sshproxy_params),
        ):
            if name in known:
                return params.get(name, session_params(DEFAULTS).get(name))
        raise X2GoProfileException(f"sessions have no profile option {option!r}")

    def get_uuid(self) -> str:
        """The session's UUID in this program, as text."""
        return str(self.uuid)

    def get_client_instance(self) -> Any:
        """The client that this session belongs to, or None."""
        return self.client_instance

    def get_control_session(self) -> X2GoControlSession | None:
        """The connection to the server."""
        return self.control_session

    def has_control_session(self) -> bool:
        """Whether there is an object for the connection; `is_connected` tells whether it is up."""
        return self.control_session is not None

    def get_terminal_session(self) -> X2GoTerminalSession | None:
        """What shows the session on this client, if anything does."""
        return self.terminal_session

    def has_terminal_session(self) -> bool:
        """Whether the session is shown on this client."""
        return self.terminal_session is not None

    is_associated = has_terminal_session

    def get_profile_name(self) -> str:
        """The name of the session's profile."""
        return self.profile_name

    def get_profile_id(self) -> str | None:
        """The ID of the session's profile."""
        return self.profile_id

    def set_profile_name(self, profile_name: str) -> None:
        """Give the session and its connection another profile name."""
        self.profile_name = profile_name
        if self.control_session is not None:
            self.control_session.set_profile_name(profile_name)

    def set_server(self, server: str) -> None:
        """Another server, for the next `connect`."""
        self.server = server

    def set_port(self, port: int) -> None:
        """Another SSH port, for the next `connect`."""
        self.port = int(port)

    def get_session_name(self) -> str | None:
        """The session's name on the server; None before it was started."""
        return self.session_name

    def set_session_name(self, session_name: str | None) -> None:
        """Let this object stand for another session of the server."""
        self.session_name = session_name

    def get_server_hostname(self) -> str | None:
        """The host that the session is connected to, or will be."""
        hostname = self.control_session.get_hostname() if self.control_session is not None else None
        return hostname or self.server

    def get_server_port(self) -> int:
        """The port of that host's sshd."""
        port = self.control_session.get_port() if self.control_session is not None else None
        return int(port or self.port)
