"""X2GoSession: one session on one server, from the connect to the end. The public API of Python X2Go.

    session = X2GoSession("server.example.org", add_to_known_hosts=True)
    session.connect("user", "password")
    session.start(cmd="xterm")

The session holds its parameters and states, and knows whether its connection lives. What it does stands in its parts.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from x2gobroker.x2go import backends, defaults
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.display import windows
from x2gobroker.x2go.display.proxy import X2GoProxy
from x2gobroker.x2go.errors import (
    SSHException,
    X2GoControlSessionException,
    X2GoException,
    X2GoFwTunnelException,
    X2GoProfileException,
    X2GoProxyException,
    X2GoSessionException,
    X2GoTerminalSessionException,
    X2GoTimeOutException,
)
from x2gobroker.x2go.hooks import SessionHooks, SessionParent
from x2gobroker.x2go.log import (
    LOGLEVEL_DEFAULT,
    LOGLEVEL_INFO,
    LOGLEVEL_NOTICE,
    X2GoLogger,
    logger_of,
)
from x2gobroker.x2go.profiles.options import DEFAULTS, PARAMETER_NAMES, session_params
from x2gobroker.x2go.session.actions import Actions
from x2gobroker.x2go.session.auto import AutoStart
from x2gobroker.x2go.session.folders import Folders
from x2gobroker.x2go.session.jobs import Jobs
from x2gobroker.x2go.session.login import Login
from x2gobroker.x2go.session.params import (
    CONTROL_PARAMS,
    SESSION_PARAMS,
    SSHPROXY_PARAMS,
    TERMINAL_PARAMS,
    split_params,
)
from x2gobroker.x2go.session.services import Services
from x2gobroker.x2go.session.states import STATES, States
from x2gobroker.x2go.session.turns import Turns
from x2gobroker.x2go.terminal import X2GoTerminalSession
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo, X2GoServerSessionList

_PLAIN = (
    *("server", "profile_id", "profile_name", "session_name", "control_session", "auto_start_or_resume"),
    *("auto_connect", "printing", "allow_mimebox", "mimebox_action", "allow_share_local_folders"),
    *("restore_shared_local_folders", "use_sshproxy", "sshproxy_reuse_authinfo", "keep_controlsession_alive"),
    *("add_to_known_hosts", "known_hosts", "forward_sshagent", "client_rootdir", "sessions_rootdir", "ssh_rootdir"),
    *("connected", "activated", "virgin", "running", "suspended", "terminated", "faulty", "client_instance"),
)
_BACKENDS: dict[str, tuple[str, Any]] = {
    "control_backend": (backends.CONTROL, X2GoControlSession),
    "terminal_backend": (backends.TERMINAL, X2GoTerminalSession),
    "info_backend": (backends.INFO, X2GoServerSessionInfo),
    "list_backend": (backends.LIST, X2GoServerSessionList),
    "proxy_backend": (backends.PROXY, X2GoProxy),
    "settings_backend": (backends.SETTINGS, None),
    "printing_backend": (backends.PRINTING, None),
}


class X2GoSession(SessionHooks):
    """One X2Go session. Safe for threads: of several that start, resume, suspend or end it, one waits for the other.

    Parameters that are not named here are for the connection (username, key_filename, ...), for the SSH proxy
    (sshproxy_...) or for the session's terminal (geometry, link, cmd, ...); see `session.params`. Raises TypeError for
    one that is none of these, X2GoBackendException for a backend that there is not.
    """

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
    # Further sessions of the server, which this one has resumed.
    siblings: list[Any]
    taken_over: bool = False
    _lives: bool = False
    _session_info: Any = None
    # What keeps a session from being shown, so that its start ends with False.
    STARTUP_ERRORS: tuple[type[Exception], ...] = (
        X2GoTerminalSessionException,
        X2GoProxyException,
        X2GoFwTunnelException,
        X2GoTimeOutException,
        SSHException,
        OSError,
    )
    _SUPPORTED_SOUND = True
    _SUPPORTED_PRINTING = True
    _SUPPORTED_MIMEBOX = True
    _SUPPORTED_FOLDERSHARING = True

    def __init__(
        self,
        server: str | None = None,
        port: int = 22,
        control_session: X2GoControlSession | None = None,
        use_sshproxy: bool = False,
        sshproxy_reuse_authinfo: bool = False,
        profile_id: str | None = None,
        profile_name: str = "UNKNOWN",
        session_name: str | None = None,
        auto_start_or_resume: bool = False,
        auto_connect: bool = False,
        printing: bool = False,
        allow_mimebox: bool = False,
        mimebox_extensions: Sequence[str] | None = (),
        mimebox_action: str = "OPEN",
        allow_share_local_folders: bool = False,
        share_local_folders: Sequence[str] | None = (),
        restore_shared_local_folders: bool = False,
        control_backend: Any = defaults.CONTROL_BACKEND,
        terminal_backend: Any = defaults.TERMINAL_BACKEND,
        info_backend: Any = defaults.INFO_BACKEND,
        list_backend: Any = defaults.LIST_BACKEND,
        proxy_backend: Any = defaults.PROXY_BACKEND,
        settings_backend: Any = defaults.SETTINGS_BACKEND,
        printing_backend: Any = defaults.PRINTING_BACKEND,
        client_rootdir: str = defaults.CLIENT_ROOTDIR,
        sessions_rootdir: str = defaults.SESSIONS_ROOTDIR,
        ssh_rootdir: str = defaults.SSH_ROOTDIR,
        keep_controlsession_alive: bool = False,
        add_to_known_hosts: bool = False,
        known_hosts: str | None = None,
        forward_sshagent: bool = False,
        logger: X2GoLogger | None = None,
        loglevel: int = LOGLEVEL_DEFAULT,
        connected: bool = False,
        activated: bool = False,
        virgin: bool = True,
        running: bool | None = None,
        suspended: bool | None = None,
        terminated: bool | None = None,
        faulty: bool | None = None,
        client_instance: SessionParent | None = None,
        **params: Any,
    ) -> None:
        self._take(locals(), params)

    def _take(self, given: Mapping[str, Any], params: Mapping[str, Any]) -> None:
        """What the constructor does: `given` are its parameters by name."""
        self.logger = logger_of(given["logger"], given["loglevel"], "session")
        for name in _PLAIN:
            setattr(self, name, given[name])
        self.port = int(given["port"])
        self.mimebox_extensions = list(given["mimebox_extensions"] or ())
        self.share_local_folders = list(given["share_local_folders"] or ())
        for name, (kind, only) in _BACKENDS.items():
            setattr(self, name, backends.backend_class(given[name], kind, only))
        self.siblings = []
        self._prepare(params)
        self.init_control_session()
        self._folders.load()
        self._lives = self.is_connected()
        if self._lives:
            self.retrieve_server_features()

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
        self.update_params(params)
        self._turns = Turns()
        self._states = States(self)
        self._folders = Folders(self)
        self._services = Services(self)
        self._actions = Actions(self, self._turns, self._states, self._folders, self._services)
        self._auto = AutoStart(self)
        self._login = Login(self)

    def __str__(self) -> str:
        return self.get_uuid()

    def __call__(self) -> str:
        return self.get_uuid()

    def __repr__(self) -> str:
        states = [name for name in STATES if getattr(self, name)]
        where = f"{self.server}:{self.port}, profile {self.profile_name!r}"
        return f"<X2GoSession {self.uuid} {self.session_name} on {where}: {' '.join(states) or 'no state'}>"

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

    def is_locked(self) -> bool:
        """Whether an action is under way that changes the session's state."""
        return self._turns.is_taken()

    @property
    def _hooks(self) -> SessionHooks:
        """The HOOKs, for the parts."""
        return self

    def _take_change(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The states that were told of last, and those of now, which are taken as told from here on."""
        return self._states.take_change()

    # ------------------------------------------------------------ connecting

    def init_control_session(self) -> None:
        """Make the object for the connection, if there is none. It does not connect."""
        self._login.init_control_session()

    def check_host(self) -> bool:
        """Whether the server is to be trusted: its key is known, or HOOK_check_host_dialog says so."""
        return self._login.check_host()

    def can_sshproxy_auto_connect(self) -> bool | None:
        """Whether the SSH proxy host lets the session in without a password. None when there is no proxy host."""
        return self._login.can_sshproxy_auto_connect()

    def can_auto_connect(self) -> bool | None:
        """Whether the session can connect without a password. None when there is no control session."""
        return self._login.can_auto_connect()

    def do_auto_connect(self, redirect_to_client: bool = True) -> bool:
        """Connect, if the session's profile wants that and no password is needed; else HOOK_auto_connect is called.

        Returns whether the session is connected. With `redirect_to_client` the session's client does it, if it has one.
        """
        return self._login.do_auto_connect(redirect_to_client)

    def connect(
        self,
        username: str | None = None,
        password: str | None = None,
        passphrase: str | None = None,
        add_to_known_hosts: bool | None = None,
        force_password_auth: bool | None = None,
        look_for_keys: bool | None = None,
        allow_agent: bool | None = None,
        use_sshproxy: bool | None = None,
        sshproxy_user: str | None = None,
        sshproxy_password: str | None = None,
        sshproxy_passphrase: str | None = None,
        sshproxy_force_password_auth: bool | None = None,
        sshproxy_reuse_authinfo: bool | None = None,
    ) -> bool:
        """Connect to the server and log in; what is None stays as the session has it. Returns True.

        Afterwards the states are known, and a session that is to start by itself starts in the background. Raises
        what X2GoControlSession.connect raises; a connection that dies meanwhile is X2GoSessionException.
        """
        return self._login.connect(
            username,
            password,
            passphrase,
            add_to_known_hosts,
            force_password_auth,
            look_for_keys,
            allow_agent,
            use_sshproxy,
            sshproxy_user,
            sshproxy_password,
            sshproxy_passphrase,
            sshproxy_force_password_auth,
            sshproxy_reuse_authinfo,
        )

    def uses_sshproxy(self) -> bool:
        """Whether the session goes through an SSH proxy host."""
        return self.use_sshproxy

    def reuses_sshproxy_authinfo(self) -> bool:
        """Whether the SSH proxy host gets the same key and password as the server."""
        return self.sshproxy_reuse_authinfo

    def get_password(self) -> str:
        """The password that the session logged in with; empty when it used a key."""
        return str(self._secrets.get("password") or "")

    def get_remote_home(self) -> str | None:
        """The user's home folder on the server; None when not connected."""
        return self._control().remote_home if self.is_connected() else None

    def get_server_peername(self) -> tuple[str, int]:
        """Address and port of the server. Raises X2GoControlSessionException when not connected."""
        return self._control().remote_peername()

    remote_peername = get_server_peername

    def user_is_x2gouser(self, username: str | None = None) -> bool:
        """Whether a user, by default the session's own, may start sessions on the server."""
        return bool(self._control().is_x2gouser(username or str(self.get_username())))

    # ------------------------------------------------------------ the connection, and what the server says

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
        self._folders.leave()
        self.session_cleanup()
        self._lives = False
        was_connected = self.control_session is not None and bool(self.control_session.disconnect())
        self._states.set(connected=False, running=None, suspended=None, terminated=None, faulty=None)
        return was_connected

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

    def session_cleanup(self) -> None:
        """End what shows the session on this client; after the session's end, remove what it left here."""
        terminal, self.terminal_session = self.terminal_session, None
        self._states.forget_shown()
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
        self._states.set(virgin=True, running=None, suspended=None, terminated=None, faulty=None)

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

    def is_running(self, update_status: bool = False) -> bool | None:
        """Whether the session is running; None when that is not known. With `update_status` the server is asked."""
        return self._states.is_running(update_status)

    def is_suspended(self, update_status: bool = False) -> bool | None:
        """Whether the session is suspended; None when that is not known. With `update_status` the server is asked."""
        return self._states.is_suspended(update_status)

    def has_terminated(self, update_status: bool = False) -> bool | None:
        """Whether the session has ended; None when that is not known. With `update_status` the server is asked."""
        return self._states.has_terminated(update_status)

    def update_status(
        self, session_list: Any = None, force_update: bool = False, listed_at: float | None = None
    ) -> bool:
        """Find out the states, from `session_list` or from the server.

        Returns False when nothing was done: the last update is less than a second ago (unless `force_update`), an
        action is under way, or the list was made before the last one ended (`listed_at`, time.monotonic()). Raises
        X2GoControlSessionException when the connection is lost.
        """
        return self._states.update_status(session_list, force_update, listed_at)

    # ------------------------------------------------------------ starting, resuming, suspending, ending

    def reset_progress_status(self) -> None:
        """Set the progress back to 0."""
        self._actions.reset_progress_status()

    def get_progress_status(self) -> int:
        """How far the start has come: 0 to 100; -1 after it failed."""
        return self._actions.get_progress_status()

    def start(self, cmd: str | None = None, progress_event: threading.Event | None = None) -> bool:
        """Start a new session with command `cmd`, or the one it was made for. Returns success.

        While another thread starts this session, this waits for that, and does not start a second one. What went wrong
        is in `last_error`.
        """
        return self._actions.start(cmd, progress_event)

    def resume(
        self,
        session_name: str | None = None,
        session_list: Any = None,
        cmd: str | None = None,
        progress_event: threading.Event | None = None,
    ) -> bool:
        """Show a suspended session, or one that runs elsewhere, on this client; without a session a new one starts.

        Returns success. `session_name` counts for an object that stands for no session yet. `session_list` spares a
        question to the server. Raises what fetching the menu of published applications raises.
        """
        return self._actions.resume(session_name, session_list, cmd, progress_event)

    def share_desktop(
        self,
        desktop: str | None = None,
        user: str | None = None,
        display: str | int | None = None,
        share_mode: int | str = 0,
        check_desktop_list: bool = True,
        progress_event: threading.Event | None = None,
    ) -> bool:
        """Show a desktop that is running already: `<user>@<display>`, or both apart. Returns success.

        `share_mode` 0 only looks, 1 takes part. HOOK_desktop_sharing_denied tells that the owner
        said no. Raises X2GoDesktopSharingException when there is no such desktop (after HOOK_no_such_desktop, where the
        list is checked), X2GoSessionException when it is dead.
        """
        return self._actions.share_desktop(desktop, user, display, share_mode, check_desktop_list, progress_event)

    def suspend(self) -> bool:
        """Suspend the session: it goes on without a client. Returns whether the server says so.

        Raises X2GoSessionException when there is no session to suspend.
        """
        return self._actions.suspend()

    def terminate(self) -> bool:
        """End the session. Returns whether the server says so.

        Raises X2GoSessionException when there is no session to end.
        """
        return self._actions.terminate()

    def clean_sessions(self, destroy_terminals: bool = True, published_applications: bool = False) -> None:
        """End all sessions of the user on the server; with `published_applications` also those that provide these."""
        self._actions.clean_sessions(destroy_terminals, published_applications)

    def do_auto_start_or_resume(
        self,
        newest: bool = True,
        oldest: bool = False,
        all_suspended: bool = False,
        start: bool = True,
        redirect_to_client: bool = True,
    ) -> bool:
        """Show the session that this object stands for; else one that the server has; else start one, if `start`.

        Of several the newest is shown, or the oldest, or with `all_suspended` every suspended one (each further one
        by an object of its own, in `siblings`). Sessions with published applications are left alone, and so are views
        of others' desktops. Returns success.
        """
        return self._auto.do_auto_start_or_resume(newest, oldest, all_suspended, start, redirect_to_client)

    def _sibling(self, session_name: str) -> Any:
        """An object like this one, with the same connection, for another session of the server."""
        return self._auto.sibling(session_name)

    # ------------------------------------------------------------ local folders

    def is_master_session(self) -> bool:
        """Whether this session has the local folders: the first of its connection; always without a client."""
        return self._folders.is_master_session()

    def set_master_session(self, wait: float = 0, max_wait: float = 20) -> None:
        """Make this the session with the local folders. They are shared in the background.

        That begins as soon as the session is shown here (`max_wait` seconds at most) and `wait` seconds have passed.
        """
        self._folders.set_master_session(wait, max_wait)

    def unset_master_session(self) -> None:
        """Let this session have the local folders no longer."""
        self._folders.unset_master_session()

    def is_folder_sharing_available(self) -> bool:
        """Whether local folders can be shared: the session allows it, and so does the server."""
        return self._folders.is_folder_sharing_available()

    def share_local_folder(
        self, local_path: str | None = None, folder_name: str | None = None, update_exported_folders: bool = True
    ) -> bool:
        """Mount a local folder in the session; `folder_name` is another word for `local_path`. Returns success.

        Only the master session takes folders. With `update_exported_folders` the profile's option `export` follows.
        Raises X2GoSessionException when the session is not shown here.
        """
        return self._folders.share_local_folder(local_path, folder_name, update_exported_folders)

    def share_all_local_folders(self, update_exported_folders: bool = True) -> bool:
        """Mount all folders that the session is configured with. Returns whether all are mounted."""
        return self._folders.share_all_local_folders(update_exported_folders)

    def unshare_local_folder(self, local_path: str | None = None, update_exported_folders: bool = True) -> bool:
        """Unmount a folder. Returns success. Raises X2GoSessionException when the session is not shown here."""
        return self._folders.unshare_local_folder(local_path, update_exported_folders)

    def unshare_all_local_folders(self, force_all: bool = False, update_exported_folders: bool = True) -> bool:
        """Unmount all folders; with `force_all` also those for print jobs and the MIME box. Returns success.

        Raises X2GoSessionException when the session is not shown here.
        """
        return self._folders.unshare_all_local_folders(force_all, update_exported_folders)

    def get_shared_folders(self, check_list_mounts: bool = False, mounts: Any = None) -> list[str]:
        """The local folders that are mounted in the session.

        With `check_list_mounts` compared with what the server has mounted: `mounts`, as `list_mounts` gives them, or
        by session name; else the server is asked.
        """
        return self._folders.get_shared_folders(check_list_mounts, mounts)

    # ------------------------------------------------------------ what is shown

    def get_session_cmd(self) -> str | None:
        """The command that the session runs, or will run."""
        if self.terminal_session is not None:
            return self.terminal_session.get_session_cmd()
        command = self.terminal_params.get("cmd")
        return None if command is None else str(command)

    def get_session_title(self) -> str:
        """The title of the session's window."""
        if self.terminal_session is not None and self.terminal_session.session_title:
            return str(self.terminal_session.session_title)
        return f"X2GO-{self.session_name}"

    def set_session_window_title(self, title: str = "") -> None:
        """Set the title of the session's window; the session's name is put before it when it is not in it."""
        if self.terminal_session is not None:
            self.terminal_session.set_session_window_title(title=title)

    def raise_session_window(self) -> None:
        """Put the session's window before all others."""
        if self.terminal_session is not None:
            self.terminal_session.raise_session_window()

    def set_print_action(self, print_action: Any, **kwargs: Any) -> None:
        """What to do with print jobs: a name, a class or an object, with its arguments.

        Counts for the session that is shown, and for those that this object shows later. Raises
        X2GoPrintActionException for an action that is not known.
        """
        if self.terminal_session is not None:
            self.terminal_session.set_print_action(print_action, **kwargs)
        self.terminal_params.update(print_action=print_action, print_action_args=kwargs)

    def color_depth_from_session_name(self) -> int | None:
        """The colour depth of the session, in bits, as its name says; None when it does not."""
        depth = (self.session_name or "").rpartition("_dp")[2]
        return int(depth) if depth.isascii() and depth.isdigit() else None

    def is_color_depth_ok(self) -> bool | None:
        """Whether this client's screen has the session's colour depth. None when no session is shown here."""
        if self.terminal_session is None:
            return None
        depth = self.color_depth_from_session_name()
        if depth is None:
            return True
        try:
            local = windows.local_color_depth()
        except X2GoException as error:
            self.logger(f"the colour depth of this screen is not known: {error}", LOGLEVEL_INFO)
            return True
        return windows.is_color_depth_ok(depth_session=depth, depth_local=local)

    def is_published_applications_provider(self) -> bool:
        """Whether the session is shown here, runs, and offers published applications."""
        if self.terminal_session is None or not self.running:
            return False
        return bool(self.terminal_session.is_published_applications_provider())

    def get_published_applications(
        self,
        lang: str | None = None,
        refresh: bool = False,
        raw: bool = False,
        very_raw: bool = False,
        max_no_submenus: int = defaults.PUBAPP_MAX_NO_SUBMENUS,
    ) -> Any:
        """The menu of the server's published applications, as X2GoControlSession gives it; by default in the client's
        language."""
        if lang is None and self.client_instance is not None:
            lang = self.client_instance.lang
        return self._control().get_published_applications(
            lang=lang, refresh=refresh, raw=raw, very_raw=very_raw, max_no_submenus=max_no_submenus
        )

    def exec_published_application(self, exec_name: str, timeout: float = 20) -> None:
        """Start an application of the menu in the session; `timeout` in seconds."""
        if self.terminal_session is not None:
            self.logger(f"starting {exec_name!r} in session {self.session_name}", LOGLEVEL_NOTICE)
            self.terminal_session.exec_published_application(exec_name, timeout=timeout, env=self.session_environment)
