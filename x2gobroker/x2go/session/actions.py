"""Starting, resuming, sharing, suspending and ending a session."""

from __future__ import annotations

import threading
from typing import Any

from x2gobroker.x2go.control.acts import desktop_name
from x2gobroker.x2go.errors import (
    X2GoControlSessionException,
    X2GoDesktopSharingDenied,
    X2GoDesktopSharingException,
    X2GoSessionException,
    X2GoTerminalSessionException,
    X2GoTimeOutException,
)
from x2gobroker.x2go.log import LOGLEVEL_ERROR, LOGLEVEL_NOTICE, LOGLEVEL_WARN, X2GoLogger
from x2gobroker.x2go.session.folders import Folders
from x2gobroker.x2go.session.progress import DONE, FAILED
from x2gobroker.x2go.session.services import Services
from x2gobroker.x2go.session.states import States
from x2gobroker.x2go.session.turns import Turns
from x2gobroker.x2go.session.whole import Whole
from x2gobroker.x2go.weak import Weak
from x2gobroker.x2go.wire.command_lines import SETTLED_SECONDS, settled_command

FULL_STATES = {"running": False, "suspended": False, "terminated": False, "faulty": False}


class Actions:
    """The part of a session that acts. An action holds the session's lock, and the client's registry hears of it."""

    _session = Weak[Whole]()

    def __init__(self, session: Whole, turns: Turns, states: States, folders: Folders, services: Services) -> None:
        self._session = session
        self._turns = turns
        self._states = states
        self._folders = folders
        self._services = services
        self._progress_status = 0

    @property
    def logger(self) -> X2GoLogger:
        """Where messages go."""
        return self._session.logger

    def reset_progress_status(self) -> None:
        """Set the progress back to 0."""
        self._progress_status = 0

    def get_progress_status(self) -> int:
        """How far the start has come: 0 to 100; -1 after it failed."""
        return self._progress_status

    def _advance(self, percent: int, event: threading.Event | None) -> None:
        self._progress_status = percent
        if event is not None:
            event.set()

    def start(self, cmd: str | None = None, progress_event: threading.Event | None = None) -> bool:
        """Start a new session with command `cmd`, or the one it was made for. Returns success."""
        with self._turns.exclusively(self._session.session_name, begins=True) as waited:
            if waited and self._session.running and self._session.has_terminal_session():
                return True
            done = self._begin(None, None, cmd, progress_event, new=True)
        self._tell_registry()
        return done

    def resume(
        self,
        session_name: str | None = None,
        session_list: Any = None,
        cmd: str | None = None,
        progress_event: threading.Event | None = None,
    ) -> bool:
        """Show a suspended session, or one that runs elsewhere, on this client; without a session a new one starts."""
        with self._turns.exclusively(self._session.session_name, begins=True) as waited:
            wanted = session_name in (None, self._session.session_name)
            if waited and wanted and self._session.running and self._session.has_terminal_session():
                return True
            done = self._begin(self._session.session_name or session_name, session_list, cmd, progress_event)
        self._tell_registry()
        return done

    def _begin(
        self,
        session_name: str | None,
        session_list: Any,
        cmd: str | None,
        event: threading.Event | None,
        new: bool = False,
    ) -> bool:
        """Start or resume, with the progress set to what comes of it. The lock is held."""
        self._advance(1, event)
        self._session.last_error = None
        done = False
        try:
            if not self._session.is_alive():
                return False
            self._advance(7, event)
            self._leave_current_session(session_name, new)
            self._session.session_name = session_name
            self._advance(20, event)
            if self._session.published_applications:
                self._session.published_applications_menu = self._session.get_published_applications()
            if cmd is not None:
                self._session.update_params({"cmd": cmd, "published_applications": cmd == "PUBLISHED"})
            done = self._show(session_list, event)
            return done
        finally:
            self._advance(DONE if done else FAILED, event)

    def _leave_current_session(self, session_name: str | None, new: bool) -> None:
        """What this object shows now is suspended: it is to come up anew, or another one is to come."""
        if self._session.has_terminal_session():
            self._suspend()
        elif new or session_name != self._session.session_name:
            self._session.shared_folders.clear()
        self._session.faulty = False

    def _show(self, session_list: Any, event: threading.Event | None) -> bool:
        """Let the control session start or resume the session, then add what belongs to it."""
        is_new = self._session.session_name is None
        try:
            self._session.terminal_session = (
                self._session._control().resume(
                    session_name=self._session.session_name,
                    session_instance=self._session,
                    session_list=session_list,
                    logger=self.logger,
                    **self._session.terminal_params,
                )
                or None
            )
            self._advance(30, event)
            if self._session.terminal_session is None or self._session.faulty:
                return self._startup_failed(self._failure())
            self._session.session_name = self._session.terminal_session.get_session_name()
            self._services.start(self._session.terminal_session, lambda percent: self._advance(percent, event))
            if is_new:
                self._session.terminal_session.run_command(env=self._session.session_environment)
                self._await_agent(self._session.session_name)
        except X2GoControlSessionException as error:
            return self._died(error)
        except self._session.STARTUP_ERRORS as error:
            return self._startup_failed(error)
        self._advance(90, event)
        self._states.set(**{**FULL_STATES, "running": True, "virgin": False})
        self._folders.share_in_background()
        return True

    def _await_agent(self, session_name: str) -> None:
        """Wait until the session's agent says that it runs: one that is left before that cannot be resumed."""
        try:
            self._session._control().command(settled_command(session_name), SETTLED_SECONDS)
        except X2GoTimeOutException as error:
            self.logger(f"session {session_name} takes long to come up: {error}", LOGLEVEL_WARN)

    def _died(self, error: Exception) -> bool:
        self._session.last_error = error
        self.logger(str(error), LOGLEVEL_ERROR)
        self._session._connection_lost()
        return False

    def _failure(self) -> X2GoTerminalSessionException:
        """Why the control session gave no terminal session."""
        return X2GoTerminalSessionException(self._session._control().last_failure or "the session does not come up")

    def _startup_failed(self, error: Exception) -> bool:
        """Tell, and leave no half of a session behind. Returns False."""
        self._session.last_error = error
        self.logger(f"the session cannot be shown: {error}", LOGLEVEL_ERROR)
        self._session.session_cleanup()
        self._session._hooks.HOOK_session_startup_failed()
        return False

    def share_desktop(
        self,
        desktop: str | None = None,
        user: str | None = None,
        display: str | int | None = None,
        share_mode: int | str = 0,
        check_desktop_list: bool = True,
        progress_event: threading.Event | None = None,
    ) -> bool:
        """Show a desktop that is running already: `<user>@<display>`, or both apart. Returns success."""
        wanted = desktop_name(desktop or f"{user or ''}@{'' if display is None else display}")
        with self._turns.exclusively(self._session.session_name, begins=True):
            self._advance(5, progress_event)
            done = False
            try:
                done = self._share_desktop(wanted, share_mode, check_desktop_list, progress_event)
            finally:
                self._advance(DONE if done else FAILED, progress_event)
        self._tell_registry()
        return done

    def _share_desktop(self, desktop: str, share_mode: int | str, check: bool, event: threading.Event | None) -> bool:
        listed = list(self._session.list_desktops() or ()) if check else [desktop]
        if desktop not in {name.partition(".")[0] for name in listed}:  # with a screen number it is the same one
            self._session._hooks.HOOK_no_such_desktop(desktop=desktop)
            raise X2GoDesktopSharingException(f"{desktop} is no desktop that could be shared")
        self._advance(33, event)
        if not self._session.is_alive():
            return False
        if self._session.has_terminal_session():
            self._suspend()
        owner = desktop.partition("@")[0]
        if owner != self._session.get_username():
            self.logger(
                f"waiting for {owner!r} to allow the view of the desktop; this may take a while", LOGLEVEL_NOTICE
            )
        self._advance(50, event)
        self._session.last_error = None
        return self._view(desktop, share_mode, listed, event)

    def _view(self, desktop: str, share_mode: int | str, listed: list[str], event: threading.Event | None) -> bool:
        """Let the control session show the desktop."""
        try:
            self._session.terminal_session = (
                self._session._control().share_desktop(
                    desktop=desktop,
                    share_mode=share_mode,
                    desktops=listed,
                    session_instance=self._session,
                    logger=self.logger,
                    **self._shadow_params(),
                )
                or None
            )
            self._advance(80, event)
            if self._session.terminal_session is None or self._session.faulty:
                return self._startup_failed(self._failure())
            self._session.session_name = self._session.terminal_session.get_session_name()
            self._session.terminal_session.run_command(env=self._session.session_environment)
        except ValueError as error:
            raise X2GoSessionException(f"desktop {desktop} seems to be dead") from error
        except X2GoDesktopSharingDenied as error:
            self._session.last_error = error
            self._session._hooks.HOOK_desktop_sharing_denied()
            return False
        except X2GoControlSessionException as error:
            return self._died(error)
        except X2GoDesktopSharingException:
            raise
        except self._session.STARTUP_ERRORS as error:
            return self._startup_failed(error)
        self._states.set(**{**FULL_STATES, "running": True, "virgin": False})
        return True

    def _shadow_params(self) -> dict[str, Any]:
        return {
            name: value for name, value in self._session.terminal_params.items() if name not in ("cmd", "session_type")
        }

    def suspend(self) -> bool:
        """Suspend the session: it goes on without a client. Returns whether the server says so."""
        with self._turns.exclusively(self._session.session_name):
            done = self._suspend()
        self._tell_registry()
        return done

    def _suspend(self) -> bool:
        return self._end("suspend", "suspended")

    def terminate(self) -> bool:
        """End the session. Returns whether the server says so."""
        with self._turns.exclusively(self._session.session_name):
            done = self._end("terminate", "terminated")
        self._tell_registry()
        return done

    def _end(self, action: str, state: str) -> bool:
        """Suspend or terminate, through what shows the session here or through the control session."""
        if not self._session.is_alive():
            return False
        if self._session.terminal_session is None and not self._session.session_name:
            raise X2GoSessionException(f"cannot {action}: there is no session; start or resume one first")
        terminal = self._session.terminal_session
        try:
            if terminal is not None:
                self._services.withdraw(terminal)
                done = bool(getattr(terminal, action)())
            else:
                done = bool(getattr(self._session._control(), action)(session_name=self._session.session_name))
        except X2GoControlSessionException as error:
            return self._died(error)
        if done:
            self._states.set(**{**FULL_STATES, state: True, "virgin": False})
            self._session.session_cleanup()
        return done

    def clean_sessions(self, destroy_terminals: bool = True, published_applications: bool = False) -> None:
        """End all sessions of the user on the server; with `published_applications` also those that provide these."""
        if not self._session.is_alive():
            return
        if self._session.terminal_session is not None:
            self._services.withdraw(self._session.terminal_session)
        self._session._control().clean_sessions(
            destroy_terminals=destroy_terminals, published_applications=published_applications
        )
        if self._session.session_name:
            self._session.update_status(force_update=True)

    def _tell_registry(self) -> None:
        """Let the client's registry react to what has just been done."""
        if self._session.client_instance is not None:
            registry: Any = self._session.client_instance.session_registry
            registry.react(self._session)
