"""What all parts of a terminal session know of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from x2gobroker.x2go import defaults
from x2gobroker.x2go.backends import INFO, PRINTING, PROXY, backend_class
from x2gobroker.x2go.display.proxy import X2GoProxy
from x2gobroker.x2go.errors import X2GoTerminalSessionException
from x2gobroker.x2go.log import LOGLEVEL_DEFAULT, X2GoLogger, logger_of
from x2gobroker.x2go.terminal.server import Server
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo
from x2gobroker.x2go.wire.params import DESKTOP, KDRIVE, PROVIDER, ROOTLESS, SHADOW, X2GoSessionParams

DEFAULT_DEPTH = 24


class TerminalBase:
    """A terminal session without anything that it does."""

    def __init__(
        self,
        control_session: Server,
        session_info: X2GoServerSessionInfo | None = None,
        geometry: str = "800x600",
        depth: int | str | None = None,
        link: str = "adsl",
        pack: str = "16m-jpeg-9",
        dpi: str | int = "",
        cache_type: str = "unix-kde",
        kbtype: str = "null/null",
        kblayout: str = "null",
        kbvariant: str = "null",
        clipboard: str = "both",
        xinerama: bool = False,
        kdrive: bool = False,
        session_type: str = "application",
        snd_system: str = "pulse",
        snd_port: int = 4713,
        cmd: str | None = None,
        published_applications: bool = False,
        set_session_title: bool = False,
        session_title: str = "",
        applications: Sequence[str] = (),
        rdp_server: str | None = None,
        rdp_options: str | None = None,
        xdmcp_server: str | None = None,
        convert_encoding: bool = False,
        server_encoding: str = "UTF-8",
        client_encoding: str = "UTF-8",
        rootdir: str | None = None,
        profile_name: str = "UNKNOWN",
        profile_id: str | None = None,
        print_action: Any = None,
        print_action_args: Mapping[str, Any] | None = None,
        info_backend: Any = defaults.INFO_BACKEND,
        list_backend: Any = defaults.LIST_BACKEND,
        proxy_backend: Any = defaults.PROXY_BACKEND,
        proxy_options: Mapping[str, Any] | None = None,
        printing_backend: Any = defaults.PRINTING_BACKEND,
        client_rootdir: str = defaults.CLIENT_ROOTDIR,
        sessions_rootdir: str = defaults.SESSIONS_ROOTDIR,
        session_instance: Any = None,
        logger: X2GoLogger | None = None,
        loglevel: int = LOGLEVEL_DEFAULT,
    ) -> None:
        """Parameters as Python X2Go's; `geometry` is `<width>x<height>`, `maximize` or `fullscreen`.

        `depth` None is that of the local display. `session_type` is desktop, application, shared or published;
        `session_info` is of the session that is to be resumed. Raises X2GoTerminalSessionException when that names no
        session, X2GoBackendException.
        """
        self.logger = logger_of(logger, loglevel, "terminal")
        self.control_session = control_session
        self.client_rootdir = client_rootdir
        self.sessions_rootdir = sessions_rootdir
        self.params = X2GoSessionParams()
        self.params.update(
            geometry=geometry,
            depth=depth,
            link=str(link).lower(),
            pack=pack,
            dpi=dpi,
            cache_type=cache_type,
            kbtype=kbtype,
            kblayout=kblayout,
            kbvariant=kbvariant,
            clipboard=clipboard,
            xinerama=xinerama,
            kdrive=kdrive,
            session_type=session_type,
            snd_system=snd_system,
            cmd=cmd,
            published_applications=published_applications,
            rdp_server=rdp_server,
            rdp_options=rdp_options,
            xdmcp_server=xdmcp_server,
            convert_encoding=convert_encoding,
            server_encoding=server_encoding,
            client_encoding=client_encoding,
            rootdir=rootdir or sessions_rootdir,
        )
        self.published_applications = published_applications
        self.applications = tuple(applications)
        self.set_session_title = set_session_title
        self.session_title = session_title
        self.profile_name = profile_name
        self.profile_id = profile_id
        self.snd_port = snd_port
        self.print_action = print_action
        self.print_action_args = dict(print_action_args or {})
        self.proxy_backend = backend_class(proxy_backend, PROXY, X2GoProxy)
        self.proxy_options = dict(proxy_options or {})
        self.printing_backend = backend_class(printing_backend, PRINTING)
        self.session_instance = session_instance
        self.client_instance = getattr(session_instance, "client_instance", None)
        self.proxy: X2GoProxy | None = None
        self._gone = threading.Event()  # set when the session is not shown here any more
        self._services = threading.RLock()
        self._found_command = ""  # that the server has, as it said at the start
        if session_info is not None and not session_info.name:
            raise X2GoTerminalSessionException("a session without a name cannot be resumed")
        self.session_info: X2GoServerSessionInfo = (
            session_info or backend_class(info_backend, INFO, X2GoServerSessionInfo)()
        )
        self._place()

    def _place(self) -> None:
        """Where the files of the session are, on the client and on the server."""
        if self.session_info.name:
            self.session_info.local_container = os.path.join(self.params.rootdir, f"S-{self.session_info.name}")
            home = self.control_session.remote_home
            self.session_info.remote_container = f"{home}/.x2go/C-{self.session_info.name}"

    # ------------------------------------------------------------ what it is

    def get_session_name(self) -> str:
        """The name of the session on the server; empty before its start."""
        return self.session_info.name

    def get_session_info(self) -> X2GoServerSessionInfo:
        """What is known of the session."""
        return self.session_info

    def get_session_cmd(self) -> str:
        """The command of the session, as it was given."""
        return self.params.cmd

    def get_session_type(self) -> str:
        """D, R, S, P or K; before its start as it will be."""
        return self.session_info.get_session_type() or self.params.rewrite_session_type()

    def color_depth(self) -> int:
        """Bits per pixel."""
        return int(self.params.depth or DEFAULT_DEPTH)

    def is_desktop_session(self) -> bool:
        """Whether it is a whole desktop."""
        return self.get_session_type() in (DESKTOP, KDRIVE)

    def is_rootless_session(self) -> bool:
        """Whether it is a single application."""
        return self.get_session_type() == ROOTLESS

    def is_shadow_session(self) -> bool:
        """Whether it is a view of another session."""
        return self.get_session_type() == SHADOW

    def is_pubapp_session(self) -> bool:
        """Whether it is one for published applications."""
        return self.get_session_type() == PROVIDER

    def is_kdrive_session(self) -> bool:
        """Whether it is a desktop of KDrive."""
        return self.get_session_type() == KDRIVE

    def is_published_applications_provider(self) -> bool:
        """Whether it runs and is one for published applications."""
        return self.is_running() and bool(self.session_info.is_published_applications_provider())

    # ------------------------------------------------------------ how it is

    def ok(self) -> bool:
        """Whether the session is shown here, now."""
        proxy = self.proxy
        return bool(self.session_info.name) and proxy is not None and proxy.ok()

    def is_running(self) -> bool:
        """Whether it ran when the server was last asked."""
        return bool(self.session_info.is_running())

    def is_suspended(self) -> bool:
        """Whether it was suspended when the server was last asked."""
        return bool(self.session_info.is_suspended())

    def is_connected(self) -> bool:
        """Whether the connection to the server stands."""
        return self.control_session.is_connected()

    def is_session_info_protected(self) -> bool:
        """Whether `list_sessions` must not update what is known of the session."""
        return self.session_info.is_protected()

    def session_info_protect(self) -> None:
        """Let `list_sessions` not update what is known of the session."""
        self.session_info.protect()

    def session_info_unprotect(self) -> None:
        """Let `list_sessions` update what is known of the session."""
        self.session_info.unprotect()

    def _call_hook(self, owner: Any, name: str, **values: Any) -> None:
        """Call a hook of the session or the client, if there is one; what it raises is only logged."""
        hook = getattr(owner, name, None)
        if hook is None:
            return
        try:
            hook(**values)
        except Exception as error:  # noqa: BLE001 - other people's code
            self.logger(f"{name} failed: {type(error).__name__}")
