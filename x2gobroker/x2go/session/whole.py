"""What the parts of a session know of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.hooks import SessionHooks, SessionParent
from x2gobroker.x2go.log import X2GoLogger
from x2gobroker.x2go.session.jobs import Jobs
from x2gobroker.x2go.terminal import X2GoTerminalSession


class Whole(Protocol):
    """A session as its parts see it: X2GoSession is one.

    They call through it whatever a program may override in a class of its own.
    """

    STARTUP_ERRORS: tuple[type[Exception], ...]
    _SUPPORTED_SOUND: bool
    _SUPPORTED_PRINTING: bool
    _SUPPORTED_MIMEBOX: bool
    _SUPPORTED_FOLDERSHARING: bool

    logger: X2GoLogger
    client_instance: SessionParent | None
    profile_name: str
    session_name: str | None
    server: str | None
    port: int
    last_error: Exception | None
    siblings: list[Any]
    taken_over: bool
    _lives: bool
    _jobs: Jobs
    _secrets: dict[str, Any]
    _session_info: Any

    control_session: X2GoControlSession | None
    terminal_session: X2GoTerminalSession | None
    master_session: bool | None
    virgin: bool
    connected: bool
    running: bool | None
    suspended: bool | None
    terminated: bool | None
    faulty: bool | None

    auto_start_or_resume: bool
    auto_connect: bool
    printing: bool
    allow_mimebox: bool
    mimebox_extensions: list[str]
    mimebox_action: str
    allow_share_local_folders: bool
    share_local_folders: list[str]
    restore_shared_local_folders: bool
    shared_folders: dict[str, dict[str, str]]
    published_applications: bool
    published_applications_menu: Any
    session_environment: dict[str, str]
    use_sshproxy: bool
    sshproxy_reuse_authinfo: bool
    add_to_known_hosts: bool
    known_hosts: str | None
    forward_sshagent: bool
    client_rootdir: str
    sessions_rootdir: str
    ssh_rootdir: str
    control_backend: Any
    terminal_backend: Any
    info_backend: Any
    list_backend: Any
    proxy_backend: Any
    control_params: dict[str, Any]
    sshproxy_params: dict[str, Any]
    terminal_params: dict[str, Any]

    @property
    def _hooks(self) -> SessionHooks:
        """The HOOKs."""

    def _control(self) -> X2GoControlSession:
        """The control session. Raises X2GoSessionException when there is none."""

    def _connection_lost(self) -> None:
        """Tell of the loss of the connection, and tidy up."""

    def _still_connected(self) -> bool:
        """Whether the connection lives on after a command failed; if not, the loss is told and tidied up."""

    def can_auto_connect(self) -> bool | None:
        """Whether the session can connect without a password."""

    def can_sshproxy_auto_connect(self) -> bool | None:
        """Whether the SSH proxy host lets the session in without a password."""

    def connect(self) -> bool:
        """Connect to the server and log in."""

    def disconnect(self) -> bool:
        """Leave the server."""

    def do_auto_start_or_resume(self) -> bool:
        """Show the session that this object stands for, or another one."""

    def get_published_applications(self) -> Any:
        """The menu of the server's published applications."""

    def get_server_hostname(self) -> str | None:
        """The host that the session is connected to, or will be."""

    def get_username(self) -> str | None:
        """The user on the server; before `connect`, who is to log in."""

    def get_uuid(self) -> str:
        """The session's UUID in this program."""

    def has_terminal_session(self) -> bool:
        """Whether the session is shown on this client."""

    def is_alive(self) -> bool:
        """Whether the server still answers."""

    def is_connected(self) -> bool:
        """Whether the connection to the server is up."""

    def is_folder_sharing_available(self) -> bool:
        """Whether local folders can be shared."""

    def is_locked(self) -> bool:
        """Whether an action is under way that changes the session's state."""

    def is_master_session(self) -> bool:
        """Whether this session has the local folders."""

    def is_shadow_session(self) -> bool:
        """Whether the session is a view of another one."""

    def list_desktops(self) -> Any:
        """The desktops that could be shared. None when the connection is lost."""

    def list_mounts(self) -> Any:
        """The folders of this client that the session has mounted. None when the connection is lost."""

    def list_sessions(self) -> Any:
        """The user's sessions on the server. None when the connection is lost."""

    def resume(self, session_name: str | None = ...) -> bool:
        """Show a suspended session, or one that runs elsewhere."""

    def retrieve_server_features(self) -> None:
        """Ask the server for its features."""

    def session_cleanup(self) -> None:
        """End what shows the session on this client."""

    def share_all_local_folders(self, update_exported_folders: bool = ...) -> bool:
        """Mount all folders that the session is configured with."""

    def share_local_folder(self, local_path: str, *, update_exported_folders: bool) -> bool:
        """Mount a local folder in the session."""

    def start(self) -> bool:
        """Start a new session."""

    def unshare_all_local_folders(self, *, update_exported_folders: bool) -> bool:
        """Unmount all folders."""

    def unshare_local_folder(self, local_path: str, update_exported_folders: bool) -> bool:
        """Unmount a folder."""

    def update_params(self, params: Mapping[str, Any]) -> None:
        """Change parameters of the session."""

    def update_status(self, *, force_update: bool) -> bool:
        """Find out the states."""
