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
from x2gobroker.x2go.log import LOGLEVEL_ERROR, LOGLEVEL_NOTICE, LOGLEVEL_WARN
from x2gobroker.x2go.session.progress import DONE, FAILED
from x2gobroker.x2go.session.services import SessionServices
from x2gobroker.x2go.wire.command_lines import state_command

# Also under a load that makes the agent slow.
AGENT_SECONDS = 20.0
AWAIT_AGENT = (
    'i=0; while [ $i -lt 300 ]; do {look}; case "$s" in STARTING) sleep 0.05; i=$((i + 1)) ;; *) break ;; esac; done'
)
FULL_STATES = {"running": False, "suspended": False, "terminated": False, "faulty": False}


class SessionActions(SessionServices):
    """The actions. Each holds the session's lock; the client's registry hears of the result."""

    _progress_status = 0

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
        """Start a new session with command `cmd`, or the one it was made for. Returns success.

        While another thread starts this session, this waits for that, and does not start a second one. What went wrong
        is in `last_error`.
        """
        with self._exclusively(begins=True) as waited:
            if waited and self.running and self.has_terminal_session():
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
        """Show a suspended session, or one that runs elsewhere, on this client; without a session a new one starts.

        Returns success. `session_name` counts for an object that stands for no session yet. `session_list` spares a
        question to the server. Raises what fetching the menu of published applications raises.
        """
        with self._exclusively(begins=True) as waited:
            wanted = session_name in (None, self.session_name)
            if waited and wanted and self.running and self.has_terminal_session():
                return True
            done = self._begin(self.session_name or session_name, session_list, cmd, progress_event)
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
        self.last_error = None
        done = False
        try:
            if not self.is_alive():
                return False
            self._advance(7, event)
            self._leave_current_session(session_name, new)
            self.session_name = session_name
            self._advance(20, event)
            if self.published_applications:
                self.published_applications_menu = self.get_published_applications()
            if cmd is not None:
                self.update_params({"cmd": cmd, "published_applications": cmd == "PUBLISHED"})
            done = self._show(session_list, event)
            return done
        finally:
            self._advance(DONE if done else FAILED, event)

    def _leave_current_session(self, session_name: str | None, new: bool) -> None:
        """What this object shows now is suspended: it is to come up anew, or another one is to come."""
        if self.has_terminal_session():
            self._suspend()
        elif new or session_name != self.session_name:
            self.shared_folders.clear()
        self.faulty = False

    def _show(self, session_list: Any, event: threading.Event | None) -> bool:
        """Let the control session start or resume the session, then add what belongs to it."""
        is_new = self.session_name is None
        try:
            self.terminal_session = (
                self._control().resume(
                    session_name=self.session_name,
                    session_instance=self,
                    session_list=session_list,
                    logger=self.logger,
                    **self.terminal_params,
                )
                or None
            )
            self._advance(30, event)
            if self.terminal_session is None or self.faulty:
                return self._startup_failed(self._failure())
            self.session_name = self.terminal_session.get_session_name()
            self._start_services(self.terminal_session, lambda percent: self._advance(percent, event))
            if is_new:
                self.terminal_session.run_command(env=self.session_environment)
                self._await_agent(self.session_name)
        except X2GoControlSessionException as error:
            return self._died(error)
        except self.STARTUP_ERRORS as error:
            return self._startup_failed(error)
        self._advance(90, event)
        self._set_states(**{**FULL_STATES, "running": True, "virgin": False})
        self._share_in_background()
        return True

    def _await_agent(self, session_name: str) -> None:
        """Wait until the session's agent says that it runs: one that is left before that cannot be resumed."""
        settled = AWAIT_AGENT.format(look=state_command(session_name))
        try:
            self._control().command(settled, AGENT_SECONDS)
        except X2GoTimeOutException as error:
            self.logger(f"session {session_name} takes long to come up: {error}", LOGLEVEL_WARN)

    def _died(self, error: Exception) -> bool:
        self.last_error = error
        self.logger(str(error), LOGLEVEL_ERROR)
        self._connection_lost()
        return False

    def _failure(self) -> X2GoTerminalSessionException:
        """Why the control session gave no terminal session."""
        return X2GoTerminalSessionException(self._control().last_failure or "the session does not come up")

    def _startup_failed(self, error: Exception) -> bool:
        """Tell, and leave no half of a session behind. Returns False."""
        self.last_error = error
        self.logger(f"the session cannot be shown: {error}", LOGLEVEL_ERROR)
        self.session_cleanup()
        self.HOOK_session_startup_failed()
        return False

    def share_desktop(
        self,
        desktop: str | None = None,
        user: str | None = None,
        display: str | int | None = None,
        share_mode: int = 0,
        check_desktop_list: bool = True,
        progress_event: threading.Event | None = None,
    ) -> bool:
        """Show a desktop that is running already: `<user>@<display>`, or both apart. Returns success.

        `share_mode` 0 only looks, 1 takes part. HOOK_desktop_sharing_denied tells that the owner
        said no. Raises X2GoDesktopSharingException when there is no such desktop (after HOOK_no_such_desktop, where the
        list is checked), X2GoSessionException when it is dead.
        """
        wanted = desktop_name(desktop or f"{user or ''}@{'' if display is None else display}")
        with self._exclusively(begins=True):
            self._advance(5, progress_event)
            done = False
            try:
                done = self._share_desktop(wanted, share_mode, check_desktop_list, progress_event)
            finally:
                self._advance(DONE if done else FAILED, progress_event)
        self._tell_registry()
        return done

    def _share_desktop(self, desktop: str, share_mode: int, check: bool, event: threading.Event | None) -> bool:
        listed = list(self.list_desktops() or ()) if check else [desktop]
        if desktop not in {name.partition(".")[0] for name in listed}:  # with a screen number it is the same one
            self.HOOK_no_such_desktop(desktop=desktop)
            raise X2GoDesktopSharingException(f"{desktop} is no desktop that could be shared")
        self._advance(33, event)
        if not self.is_alive():
            return False
        if self.has_terminal_session():
            self._suspend()
        owner = desktop.partition("@")[0]
        if owner != self.get_username():
            self.logger(
                f"waiting for {owner!r} to allow the view of the desktop; this may take a while", LOGLEVEL_NOTICE
            )
        self._advance(50, event)
        self.last_error = None
        return self._view(desktop, share_mode, listed, event)

    def _view(self, desktop: str, share_mode: int, listed: list[str], event: threading.Event | None) -> bool:
        """Let the control session show the desktop."""
        try:
            self.terminal_session = (
                self._control().share_desktop(
                    desktop=desktop,
                    share_mode=share_mode,
                    desktops=listed,
                    session_instance=self,
                    logger=self.logger,
                    **self._shadow_params(),
                )
                or None
            )
            self._advance(80, event)
            if self.terminal_session is None or self.faulty:
                return self._startup_failed(self._failure())
            self.session_name = self.terminal_session.get_session_name()
            self.terminal_session.run_command(env=self.session_environment)
        except ValueError as error:
            raise X2GoSessionException(f"desktop {desktop} seems to be dead") from error
        except X2GoDesktopSharingDenied as error:
            self.last_error = error
            self.HOOK_desktop_sharing_denied()
            return False
        except X2GoControlSessionException as error:
            return self._died(error)
        except X2GoDesktopSharingException:
            raise
        except self.STARTUP_ERRORS as error:
            return self._startup_failed(error)
        self._set_states(**{**FULL_STATES, "running": True, "virgin": False})
        return True

    def _shadow_params(self) -> dict[str, Any]:
        return {name: value for name, value in self.terminal_params.items() if name not in ("cmd", "session_type")}

    def suspend(self) -> bool:
        """Suspend the session: it goes on without a client. Returns whether the server says so.

        Raises X2GoSessionException when there is no session to suspend.
        """
        with self._exclusively():
            done = self._suspend()
        self._tell_registry()
        return done

    def _suspend(self) -> bool:
        return self._end("suspend", "suspended")

    def terminate(self) -> bool:
        """End the session. Returns whether the server says so.

        Raises X2GoSessionException when there is no session to end.
        """
        with self._exclusively():
            done = self._end("terminate", "terminated")
        self._tell_registry()
        return done

    def _end(self, action: str, state: str) -> bool:
        """Suspend or terminate, through what shows the session here or through the control session."""
        if not self.is_alive():
            return False
        if self.terminal_session is None and not self.session_name:
            raise X2GoSessionException(f"cannot {action}: there is no session; start or resume one first")
        terminal = self.terminal_session
        try:
            if terminal is not None:
                self._withdraw_services(terminal)
                done = bool(getattr(terminal, action)())
            else:
                done = bool(getattr(self._control(), action)(session_name=self.session_name))
        except X2GoControlSessionException as error:
            return self._died(error)
        if done:
            self._set_states(**{**FULL_STATES, state: True, "virgin": False})
            self.session_cleanup()
        return done

    def clean_sessions(self, destroy_terminals: bool = True, published_applications: bool = False) -> None:
        """End all sessions of the user on the server; with `published_applications` also those that provide these."""
        if not self.is_alive():
            return
        if self.terminal_session is not None:
            self._withdraw_services(self.terminal_session)
        self._control().clean_sessions(
            destroy_terminals=destroy_terminals, published_applications=published_applications
        )
        if self.session_name:
            self.update_status(force_update=True)

    def _tell_registry(self) -> None:
        """Let the client's registry react to what has just been done."""
        if self.client_instance is not None:
            registry: Any = self.client_instance.session_registry
            registry.react(self)
