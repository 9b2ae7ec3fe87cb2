"""What belongs to a session that is shown here: sound, folders, printing, MIME box."""

from __future__ import annotations

from collections.abc import Callable

from x2gobroker.x2go.errors import (
    SSHException,
    X2GoControlSessionException,
    X2GoException,
    X2GoRevFwTunnelException,
    X2GoSFTPClientException,
    X2GoUserException,
)
from x2gobroker.x2go.log import LOGLEVEL_WARN, X2GoLogger
from x2gobroker.x2go.session.whole import Whole
from x2gobroker.x2go.terminal import X2GoTerminalSession
from x2gobroker.x2go.weak import Weak

# What a service of a session may fail with; the session itself goes on without it.
SERVICE_ERRORS = (X2GoException, SSHException, OSError)


class Services:
    """The part of a session that starts and stops its services."""

    _session = Weak[Whole]()

    def __init__(self, session: Whole) -> None:
        self._session = session

    @property
    def logger(self) -> X2GoLogger:
        """Where messages go."""
        return self._session.logger

    def start(self, terminal: X2GoTerminalSession, advance: Callable[[int], None]) -> None:
        """Start what the session is configured with. What fails is told by its HOOK, and left out.

        Raises X2GoControlSessionException when the connection is lost.
        """
        self._session._SUPPORTED_SOUND = self._session._SUPPORTED_PRINTING = self._session._SUPPORTED_MIMEBOX = True
        self._session._SUPPORTED_FOLDERSHARING = True
        if self._session.terminal_params.get("snd_system", "pulse") != "none":
            self._session._SUPPORTED_SOUND = self._started("sound", terminal.start_sound, None)
        advance(40)
        if self._session.printing or self._session.allow_mimebox or self._session.allow_share_local_folders:
            self._start_sshfs(terminal)
        advance(60)
        if self._session.printing and self._session._SUPPORTED_PRINTING:
            self._session._SUPPORTED_PRINTING = self._started(
                "printing", lambda: self._start_printing(terminal), self._session._hooks.HOOK_printing_not_available
            )
        advance(70)
        if self._session.allow_mimebox and self._session._SUPPORTED_MIMEBOX:
            self._session._SUPPORTED_MIMEBOX = self._started(
                "the MIME box", lambda: self._start_mimebox(terminal), self._session._hooks.HOOK_mimebox_not_available
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
            self._session._hooks.HOOK_on_failing_SFTP_client()
        except X2GoUserException as error:
            self.logger(str(error), LOGLEVEL_WARN)
            self._session._hooks.HOOK_sshfs_not_available()
        except SERVICE_ERRORS as error:
            self.logger(f"folders cannot be shared: {error}", LOGLEVEL_WARN)
            self._session._hooks.HOOK_foldersharing_not_available()
        self._session._SUPPORTED_PRINTING = self._session._SUPPORTED_MIMEBOX = (
            self._session._SUPPORTED_FOLDERSHARING
        ) = False

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
        self._session.session_environment["X2GO_SPOOLDIR"] = terminal.get_printing_spooldir()

    def _start_mimebox(self, terminal: X2GoTerminalSession) -> None:
        terminal.start_mimebox(
            mimebox_extensions=self._session.mimebox_extensions, mimebox_action=self._session.mimebox_action
        )
        self._session.session_environment["X2GO_MIMEBOX"] = terminal.get_mimebox_spooldir()

    def withdraw(self, terminal: X2GoTerminalSession) -> None:
        """Unmount everything before the session is suspended or ended, as far as that is possible."""
        if self._session.shared_folders or self._session.printing or self._session.allow_mimebox:
            try:
                terminal.unshare_all_local_folders()
            except X2GoControlSessionException:
                raise
            except SERVICE_ERRORS as error:
                self.logger(f"folders stay mounted: {error}", LOGLEVEL_WARN)
        self._session.shared_folders.clear()
        self._session.master_session = None if self._session.client_instance is None else False
