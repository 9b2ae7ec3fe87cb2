"""What belongs to a session that is shown here: sound, folders, printing, MIME box, window, applications."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from x2gobroker.x2go import defaults
from x2gobroker.x2go.display import windows
from x2gobroker.x2go.errors import (
    SSHException,
    X2GoControlSessionException,
    X2GoException,
    X2GoFwTunnelException,
    X2GoProxyException,
    X2GoRevFwTunnelException,
    X2GoSFTPClientException,
    X2GoTerminalSessionException,
    X2GoTimeOutException,
    X2GoUserException,
)
from x2gobroker.x2go.log import LOGLEVEL_INFO, LOGLEVEL_NOTICE, LOGLEVEL_WARN
from x2gobroker.x2go.session.folders import SessionMaster
from x2gobroker.x2go.terminal import X2GoTerminalSession

# What a service of a session may fail with; the session itself goes on without it.
SERVICE_ERRORS = (X2GoException, SSHException, OSError)


class SessionServices(SessionMaster):
    """Starting and stopping the services, and what is asked of the window."""

    # What keeps a session from being shown, so that its start ends with False.
    STARTUP_ERRORS = (
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

    def _start_services(self, terminal: X2GoTerminalSession, advance: Callable[[int], None]) -> None:
        """Start what the session is configured with. What fails is told by its HOOK, and left out.

        Raises X2GoControlSessionException when the connection is lost.
        """
        self._SUPPORTED_SOUND = self._SUPPORTED_PRINTING = self._SUPPORTED_MIMEBOX = True
        self._SUPPORTED_FOLDERSHARING = True
        if self.terminal_params.get("snd_system", "pulse") != "none":
            self._SUPPORTED_SOUND = self._started("sound", terminal.start_sound, None)
        advance(40)
        if self.printing or self.allow_mimebox or self.allow_share_local_folders:
            self._start_sshfs(terminal)
        advance(60)
        if self.printing and self._SUPPORTED_PRINTING:
            self._SUPPORTED_PRINTING = self._started(
                "printing", lambda: self._start_printing(terminal), self.HOOK_printing_not_available
            )
        advance(70)
        if self.allow_mimebox and self._SUPPORTED_MIMEBOX:
            self._SUPPORTED_MIMEBOX = self._started(
                "the MIME box", lambda: self._start_mimebox(terminal), self.HOOK_mimebox_not_available
            )
        advance(80)

    def _start_sshfs(self, terminal: X2GoTerminalSession) -> None:
        """Get ready for mounted folders; without that there is no printing and no MIME box either."""
        try:
            terminal.start_sshfs()
            return
        except X2GoControlSessionException:
            raise
        except X2GoSFTPClientException as error:
            self.logger(str(error), LOGLEVEL_WARN)
            self.HOOK_on_failing_SFTP_client()
        except X2GoUserException as error:
            self.logger(str(error), LOGLEVEL_WARN)
            self.HOOK_sshfs_not_available()
        except SERVICE_ERRORS as error:
            self.logger(f"folders cannot be shared: {error}", LOGLEVEL_WARN)
            self.HOOK_foldersharing_not_available()
        self._SUPPORTED_PRINTING = self._SUPPORTED_MIMEBOX = self._SUPPORTED_FOLDERSHARING = False

    def _started(self, what: str, start: Callable[[], object], hook: Callable[[], None] | None) -> bool:
        """Start one service; whether it did. If not, its hook is called."""
        try:
            start()
        except X2GoControlSessionException:
            raise
        except X2GoRevFwTunnelException as error:  # the terminal session has called HOOK_rforward_request_denied
            self.logger(f"{what} is not available: {error}", LOGLEVEL_WARN)
        except SERVICE_ERRORS as error:
            self.logger(f"{what} is not available: {error}", LOGLEVEL_WARN)
        else:
            return True
        if hook is not None:
            hook()
        return False

    def _start_printing(self, terminal: X2GoTerminalSession) -> None:
        terminal.start_printing()
        self.session_environment["X2GO_SPOOLDIR"] = terminal.get_printing_spooldir()

    def _start_mimebox(self, terminal: X2GoTerminalSession) -> None:
        terminal.start_mimebox(mimebox_extensions=self.mimebox_extensions, mimebox_action=self.mimebox_action)
        self.session_environment["X2GO_MIMEBOX"] = terminal.get_mimebox_spooldir()

    def _withdraw_services(self, terminal: X2GoTerminalSession) -> None:
        """Unmount everything before the session is suspended or ended, as far as that is possible."""
        if self.shared_folders or self.printing or self.allow_mimebox:
            try:
                terminal.unshare_all_local_folders()
            except X2GoControlSessionException:
                raise
            except SERVICE_ERRORS as error:
                self.logger(f"folders stay mounted: {error}", LOGLEVEL_WARN)
        self.shared_folders.clear()
        self.master_session = None if self.client_instance is None else False

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
