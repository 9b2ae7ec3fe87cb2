"""The terminal session: one session on an X2Go Server, and what shows it here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from x2gobroker.x2go.display.proxy import private_folder
from x2gobroker.x2go.errors import (
    X2GoControlSessionException,
    X2GoException,
    X2GoProxyException,
    X2GoTerminalSessionException,
)
from x2gobroker.x2go.log import LOGLEVEL_DEBUG, LOGLEVEL_NOTICE, LOGLEVEL_WARN
from x2gobroker.x2go.terminal.commands import TerminalCommands
from x2gobroker.x2go.terminal.services import TerminalServices
from x2gobroker.x2go.terminal.window import TerminalWindows
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
from x2gobroker.x2go.wire.params import DESKTOP, KDRIVE, SHADOW
from x2gobroker.x2go.wire.reply import Reply

__all__ = ["X2GoTerminalSession"]

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


class X2GoTerminalSession(TerminalCommands, TerminalServices, TerminalWindows):
    """A session on a server, new or to be resumed. Made by `start`, `resume` and `share_desktop` of a control session.

    One thread at a time should start, resume, suspend or terminate it; the rest is safe for threads.
    """

    def start(self) -> bool:
        """Start a new session and show it. False when the server does not have the command (HOOK_no_such_command).

        Raises X2GoTerminalSessionException with the reason, X2GoDesktopSharingDenied when the owner of the desktop
        says no; X2GoControlSessionException, X2GoTimeOutException. Of a failed start nothing is left, here and there,
        as far as the server can be reached.
        """
        self.params.rewrite_session_type()
        if not self.has_command(self.params.server_command() if not self.params.cmd else self.params.cmd):
            self._tell_no_such_command()
            return False
        self._found_command = (self.params.cmd or "TERMINAL").strip()
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
        if self.params.sets_keyboard:
            self.set_keyboard(self.params.kblayout, self.params.kbvariant)
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
        self._settle_geometry()

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
        self._forget_window()
        self._end_services()

    def release_proxy(self) -> None:
        """End everything that shows the session here: proxy, tunnels, shared folders, queues, threads."""
        proxy, self.proxy = self.proxy, None
        self._gone.set()
        if proxy is not None:
            proxy.stop_thread()
        self._forget_window()
        self._end_services()

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
