"""X2GoSession: one session on one server, from the connect to the end. The public API of Python X2Go.

    session = X2GoSession("server.example.org", add_to_known_hosts=True)
    session.connect("user", "password")
    session.start(cmd="xterm")

Its methods stand in the modules `session_*`, by what they are about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from x2gobroker.x2go import backends, defaults
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.display.proxy import X2GoProxy
from x2gobroker.x2go.hooks import SessionParent
from x2gobroker.x2go.log import LOGLEVEL_DEFAULT, X2GoLogger, logger_of
from x2gobroker.x2go.session.connecting import SessionConnect
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


class X2GoSession(SessionConnect):
    """One X2Go session. Safe for threads: of several that start, resume, suspend or end it, one waits for the other.

    Parameters that are not named here are for the connection (username, key_filename, ...), for the SSH proxy
    (sshproxy_...) or for the session's terminal (geometry, link, cmd, ...); see `session_params`. Raises TypeError for
    one that is none of these, X2GoBackendException for a backend that there is not.
    """

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
        mimebox_extensions: Sequence[str] = (),
        mimebox_action: str = "OPEN",
        allow_share_local_folders: bool = False,
        share_local_folders: Sequence[str] = (),
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
        self.mimebox_extensions = list(given["mimebox_extensions"])
        self.share_local_folders = list(given["share_local_folders"])
        for name, (kind, only) in _BACKENDS.items():
            setattr(self, name, backends.backend_class(given[name], kind, only))
        self.siblings = []
        self._prepare(params)
        self.init_control_session()
        self._load_restored_folders()
        self._lives = self.is_connected()
        if self._lives:
            self.retrieve_server_features()
