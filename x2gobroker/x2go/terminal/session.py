"""The terminal session: one session on an X2Go Server, and what shows it here."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from x2gobroker.x2go import defaults
from x2gobroker.x2go.backends import INFO, PRINTING, PROXY, backend_class
from x2gobroker.x2go.display.proxy import X2GoProxy, private_folder
from x2gobroker.x2go.errors import (
    X2GoControlSessionException,
    X2GoException,
    X2GoProxyException,
    X2GoTerminalSessionException,
)
from x2gobroker.x2go.folders.sharing import DISK, FolderSharing
from x2gobroker.x2go.log import (
    LOGLEVEL_DEBUG,
    LOGLEVEL_DEFAULT,
    LOGLEVEL_NOTICE,
    LOGLEVEL_WARN,
    X2GoLogger,
    logger_of,
)
from x2gobroker.x2go.mimebox.queue import X2GoMIMEboxQueue
from x2gobroker.x2go.printing.queue import X2GoPrintQueue
from x2gobroker.x2go.sound.playing import Sound
from x2gobroker.x2go.terminal.commands import Commands
from x2gobroker.x2go.terminal.server import Server
from x2gobroker.x2go.terminal.services import Services
from x2gobroker.x2go.terminal.window import Window
from x2gobroker.x2go.wire.command_lines import (
    RESUME_SECONDS,
    START_SECONDS,
    forget_client_command,
    parse_state,
    resize_command,
    resume_command,
    resumed_ports,
    start_command,
    started_output,
    state_command,
)
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo
from x2gobroker.x2go.wire.params import (
    DESKTOP,
    KDRIVE,
    PROVIDER,
    ROOTLESS,
    SHADOW,
    X2GoSessionParams,
)
from x2gobroker.x2go.wire.reply import Reply

DEFAULT_DEPTH = 24
SLACK_SECONDS = 10.0  # the server ends its commands by itself; this is for the way there and back
STARTING = "STARTING"
FULLSCREEN = "fullscreen"
ENDED_STATES = ("TERMINATING", "TERMINATED")
# Time for a session that another client is just bringing up
STARTING_PATIENCE = 12
PROXY_SECONDS = 3.0
WAIT_WHILE_STARTING = (
    'i=0; while [ $i -lt {tenths} ]; do {look}; [ "$s" = STARTING ] || break; sleep 0.1; i=$((i + 1)); done'
)


class X2GoTerminalSession:
    """A session on a server, new or to be resumed. Made by `start`, `resume` and `share_desktop` of a control session.

    One thread at a time should start, resume, suspend or terminate it; the rest is safe for threads.
    """

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
        self._commands = Commands(self)
        self._services = Services(self)
        self._window = Window(self, self._gone)
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

    # ------------------------------------------------------------ start and end

    def start(self) -> bool:
        """Start a new session and show it. False when the server does not have the command (HOOK_no_such_command).

        Raises X2GoTerminalSessionException with the reason, X2GoDesktopSharingDenied when the owner of the desktop
        says no; X2GoControlSessionException, X2GoTimeOutException. Of a failed start nothing is left, here and there,
        as far as the server can be reached.
        """
        self.params.rewrite_session_type()
        if not self.has_command(self.params.server_command() if not self.params.cmd else self.params.cmd):
            self._commands.tell_no_such_command()
            return False
        self._commands.found = (self.params.cmd or "TERMINAL").strip()
        self._prepare()
        if self.params.session_type == KDRIVE:
            raise X2GoTerminalSessionException("sessions with KDrive cannot be shown; use proxy backend NX3")
        if self.params.session_type != SHADOW:
            self.params.server_command()
        reply = self._must_end(start_command(self.params, self.control_session.remote_username()), START_SECONDS)
        self.control_session.forget_sessions()
        output = started_output(reply, self.params.session_type)
        try:
            self.session_info.initialize(
                output,
                username=self.control_session.remote_username(),
                hostname=str(self.control_session.remote_peername()[0]),
            )
        except ValueError as error:
            raise X2GoTerminalSessionException(f"the server's answer makes no sense: {error}") from None
        self._place()
        self._show(self._undo_start)
        return True

    def resume(self) -> bool:
        """Resume the session of `session_info` and show it here; one that another client shows is taken over.

        Raises X2GoTerminalSessionException with the reason, X2GoControlSessionException, X2GoTimeOutException.
        """
        if not self.session_info.name:
            raise X2GoTerminalSessionException("there is no session that could be resumed")
        self._prepare()
        name = self.session_info.name
        command = resume_command(self.params, name)
        self._must_be_resumable(name)
        reply = self._must_end(command, RESUME_SECONDS)
        self.control_session.forget_sessions()
        ports = resumed_ports(reply)
        info = self.session_info
        info.graphics_port = ports.graphics
        info.snd_port, info.sshfs_port = ports.sound or info.snd_port, ports.folders or info.sshfs_port
        info.status = "R"
        info.username = self.control_session.remote_username()
        self._place()
        _, _, depth = name.rpartition("_dp")
        self.params.depth = depth if depth.isdigit() else self.params.depth
        self.params.session_type = self.get_session_type()
        self._show(self._undo_resume)
        self._resize()
        self._commands.adopt_keyboard()
        self.published_applications = self.is_published_applications_provider()
        return True

    def _resize(self) -> None:
        """A resumed desktop gets the size that was asked for."""
        if self.params.session_type == DESKTOP and self.params.geometry not in ("", FULLSCREEN):
            reply = self.control_session.command(resize_command(self.session_info.display, self.params.geometry))
            if reply.status != 0:
                self.logger(
                    "the server cannot change the size of the desktop: has it xrandr (x11-xserver-utils)?",
                    LOGLEVEL_WARN,
                )

    def _prepare(self) -> None:
        """What has to be right here before the server is asked to do anything."""
        try:
            self.proxy_backend.check_client()
            private_folder(self.sessions_rootdir)
            private_folder(self.params.rootdir)
        except X2GoProxyException as error:
            raise X2GoTerminalSessionException(str(error)) from error
        self._window.settle_geometry()

    def _must_end(self, command: str, seconds: float) -> Reply:
        return self.control_session.command(command, seconds + SLACK_SECONDS)

    def _must_be_resumable(self, name: str) -> None:
        """Raises X2GoTerminalSessionException when x2goresume-session would never end, or cannot work."""
        look = WAIT_WHILE_STARTING.format(tenths=STARTING_PATIENCE * 10, look=state_command(name))
        state = parse_state(self.control_session.command(f"{look}; true", STARTING_PATIENCE + SLACK_SECONDS).output)
        if state == STARTING:
            raise X2GoTerminalSessionException(
                f"session {name} was started, but no client has connected to it; it ends by itself, or terminate it"
            )
        if state in ENDED_STATES or not state:
            raise X2GoTerminalSessionException(f"session {name} has ended")

    def _show(self, undo: Callable[[], None]) -> None:
        """Start the proxy. If that does not work, the server is told, and X2GoTerminalSessionException raised."""
        info = self.session_info
        transport = self.control_session.get_transport()
        if transport is None:
            raise X2GoControlSessionException("the connection to the server has ended; connect again")
        self._gone.clear()
        self.control_session.command(forget_client_command(info.name))
        proxy = self.proxy_backend(
            session_info=info,
            ssh_transport=transport,
            sessions_rootdir=self.sessions_rootdir,
            proxy_options=self.proxy_options,
            session_instance=self.session_instance,
            logger=self.logger,
            on_end=self._proxy_ended,
        )
        self.proxy = proxy
        try:
            proxy.start_proxy()
        except X2GoProxyException as error:
            self.release_proxy()
            undo()
            raise X2GoTerminalSessionException(str(error)) from error
        self.logger(f"session {info.name} is shown", LOGLEVEL_NOTICE)
        if self.get_session_type() in (DESKTOP, SHADOW):
            self.auto_session_window_title()
            self.raise_session_window()

    def _undo_start(self) -> None:
        """A session that cannot be shown would only hold a place."""
        self._tell_server(self.control_session.terminate)
        self._remove_local_folders()

    def _undo_resume(self) -> None:
        self._tell_server(self.control_session.suspend)

    def _tell_server(self, action: Callable[[str], bool]) -> None:
        name = self.session_info.name
        try:
            action(name)
        except X2GoException as error:
            self.logger(f"session {name} is left on the server: {error}", LOGLEVEL_WARN)

    # ------------------------------------------------------------ the end

    def suspend(self) -> bool:
        """Suspend the session; whether the server says that it is. Nothing that shows it is left here then.

        A view of another session cannot be suspended: it ends, and the answer is False.
        Raises X2GoControlSessionException, X2GoTimeOutException.
        """
        return self.control_session.suspend(self.session_info.name)

    def terminate(self) -> bool:
        """End the session; whether the server says so. Nothing of it is left here then.

        Raises X2GoControlSessionException, X2GoTimeOutException.
        """
        return self.control_session.terminate(self.session_info.name)

    def has_been_suspended(self) -> None:
        """The control session has suspended it: end what shows it here."""
        self.session_info.status = "S"
        self._await_proxy()
        self.release_proxy()

    def has_been_terminated(self) -> None:
        """The control session has ended it: end what shows it here, and remove its local files."""
        self.session_info.status = ""
        self._await_proxy()
        self.release_proxy()
        self.post_terminate_cleanup()

    def _await_proxy(self) -> None:
        """The proxy ends by itself, as soon as it is told by the agent. Ending it first would lose its messages."""
        if self.proxy is not None:
            self.proxy.wait(PROXY_SECONDS)

    def _proxy_ended(self) -> None:
        """Called by the proxy, in its thread: somebody else shows the session, it was ended, or the server is gone."""
        self._gone.set()
        self._window.forget()
        self._services.end()

    def release_proxy(self) -> None:
        """End everything that shows the session here: proxy, tunnels, shared folders, queues, threads."""
        proxy, self.proxy = self.proxy, None
        self._gone.set()
        if proxy is not None:
            proxy.stop_thread()
        self._window.forget()
        self._services.end()

    def post_terminate_cleanup(self) -> None:
        """Remove the local files of an ended session. With log level DEBUG they stay. May be called again."""
        if self.session_info.name and not self.logger.loglevel & LOGLEVEL_DEBUG:
            self._remove_local_folders()

    def _remove_local_folders(self) -> None:
        info = self.session_info
        for name in (f"S-{info.name}", f"S-{info.display}"):
            shutil.rmtree(os.path.join(self.params.rootdir, name), ignore_errors=True)

    def __str__(self) -> str:
        return self.session_info.name or "a session that is not started"

    # ------------------------------------------------------------ commands

    def has_command(self, cmd: str) -> bool:
        """Whether the server seems to have this command: names of desktops and kinds of applications, it always has.

        Raises X2GoControlSessionException, X2GoTimeOutException.
        """
        return self._commands.has_command(cmd)

    def run_command(
        self, cmd: str | None = None, env: Mapping[str, str] | None = None
    ) -> tuple[str, str] | bool | None:
        """Run a command in the session, by default that of the session; when it ends, the session ends.

        `env` are further variables of its environment. Returns what was printed while it was started, stdout and
        stderr; False when the server has no such command; None for sessions that have none (XDMCP, views of others).
        Raises X2GoTerminalSessionException for a command that the server cannot take, X2GoControlSessionException,
        X2GoTimeOutException.
        """
        return self._commands.run_command(cmd, env)

    def exec_published_application(
        self, exec_name: str, timeout: float = defaults.COMMAND_SECONDS, env: Mapping[str, str] | None = None
    ) -> None:
        """Start a published application in this session: `exec_name` is its Exec line.

        It is split into words as the desktop entry specification says, and no shell sees it; places for files (%f, %U
        ...) are left out. Raises X2GoTerminalSessionException for what is no command, X2GoControlSessionException,
        X2GoTimeOutException after `timeout` seconds.
        """
        self._commands.exec_published_application(exec_name, timeout, env)

    def set_keyboard(self, layout: str = "null", variant: str = "null") -> bool:
        """Set layout and variant of the keyboard in the running session; `null` leaves one as it is.

        Whether that was possible. Raises X2GoTerminalSessionException for what is no layout,
        X2GoControlSessionException, X2GoTimeOutException.
        """
        return self._commands.set_keyboard(layout, variant)

    # ------------------------------------------------------------ sound, folders, printing, MIME box

    @property
    def sound(self) -> Sound | None:
        """The sound of the session, while it has any."""
        return self._services.sound

    @property
    def sharing(self) -> FolderSharing | None:
        """What shares local folders, while anything does."""
        return self._services.sharing

    @property
    def print_queue(self) -> X2GoPrintQueue | None:
        """What takes print jobs, while anything does."""
        return self._services.print_queue

    @property
    def mimebox_queue(self) -> X2GoMIMEboxQueue | None:
        """What takes files that are to be opened here, while anything does."""
        return self._services.mimebox_queue

    def start_sound(self) -> None:
        """Let the session play on this client. Raises X2GoRevFwTunnelException when the server refuses the tunnel."""
        self._services.start_sound()

    def stop_sound(self) -> None:
        """End the tunnel for sound."""
        self._services.stop_sound()

    def start_sshfs(self) -> None:
        """Make the tunnel for local folders.

        Raises X2GoUserException when the user cannot mount on the server, X2GoRevFwTunnelException when the server
        refuses the tunnel, X2GoControlSessionException, X2GoTimeOutException.
        """
        self._services.start_sshfs()

    def stop_sshfs(self) -> None:
        """Unmount all local folders, and end the tunnel for them."""
        self._services.stop_sshfs()

    def share_local_folder(self, local_path: str | None = None, folder_type: str = DISK) -> bool:
        """Mount a local folder in the session; whether that worked.

        `folder_type` is disk, rm (removable), cdrom (which is read-only), spool or mimebox. Raises what `start_sshfs`
        raises.
        """
        return self._services.share_local_folder(local_path, folder_type)

    def unshare_local_folder(self, local_path: str) -> bool:
        """Unmount one local folder; whether that worked. Raises X2GoControlSessionException, X2GoTimeOutException."""
        return self._services.unshare_local_folder(local_path)

    def unshare_all_local_folders(self, force_all: bool = True) -> bool:
        """Unmount all local folders, by default also those for printing and the MIME box; whether that worked.

        Raises X2GoControlSessionException, X2GoTimeOutException.
        """
        return self._services.unshare_all_local_folders(force_all)

    def start_printing(self) -> None:
        """Take print jobs from the session.

        Raises X2GoPrintQueueException when the folder for them cannot be used, and what `start_sshfs` raises.
        """
        self._services.start_printing()

    def set_print_action(self, print_action: Any, **kwargs: Any) -> None:
        """What is done with the next print jobs: a name or object. Raises X2GoPrintActionException."""
        self._services.set_print_action(print_action, **kwargs)

    def stop_printing(self) -> None:
        """Take no print jobs for now."""
        self._services.stop_printing()

    def get_printing_spooldir(self) -> str:
        """The folder on the server that print jobs are put into."""
        return self._services.get_printing_spooldir()

    def start_mimebox(self, mimebox_extensions: Sequence[str] = (), mimebox_action: Any = None) -> None:
        """Take files from the session that are to be opened here.

        `mimebox_extensions` are those of files that may be; none: those of documents. Programs and what starts them
        never are. Raises X2GoMIMEboxQueueException when the
        folder for them cannot be used, and what `start_sshfs` raises.
        """
        self._services.start_mimebox(mimebox_extensions, mimebox_action)

    def set_mimebox_action(self, mimebox_action: Any, **kwargs: Any) -> None:
        """What is done with the next files: a name or object. Raises X2GoMIMEboxActionException."""
        self._services.set_mimebox_action(mimebox_action, **kwargs)

    def stop_mimebox(self) -> None:
        """Take no files for now."""
        self._services.stop_mimebox()

    def get_mimebox_spooldir(self) -> str:
        """The folder on the server that files to be opened are put into."""
        return self._services.get_mimebox_spooldir()

    # ------------------------------------------------------------ window

    @property
    def session_window(self) -> Any:
        """The session's window, once it was found."""
        return self._window.session_window

    def auto_session_window_title(self, dont_set: bool = False) -> None:
        """Find a title for the session's window, for `session_title`; and set it, unless `dont_set`."""
        self._window.auto_session_window_title(dont_set)

    def find_session_window(self, timeout: float = 60) -> None:
        """Look for the session's window for so many seconds, in the background; `session_window` is it then."""
        self._window.find_session_window(timeout)

    def set_session_window_title(self, title: str, timeout: float = 60) -> None:
        """Give the session's window a title, in the background; the window may take `timeout` seconds to appear."""
        self._window.set_session_window_title(title, timeout)

    def raise_session_window(self, timeout: float = 60) -> None:
        """Bring the session's window to the front, in the background; it may take `timeout` seconds to appear."""
        self._window.raise_session_window(timeout)

    def update_session_window_file(self) -> None:
        """Write the window's ID into a file of the session's local folder; without a window, remove that file."""
        self._window.update_session_window_file()
