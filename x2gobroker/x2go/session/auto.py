"""Sessions that come up by themselves: which one of those that a server has, or a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from x2gobroker.x2go.session.actions import SessionActions
from x2gobroker.x2go.session.params import SESSION_PARAMS
from x2gobroker.x2go.session.status import sessions_in

NOT_SHARED = ("session_name", "connected", "activated", "virgin", "running", "suspended", "terminated", "faulty")
RESUMABLE_TYPES = ("D", "R", "K", None)


class SessionAuto(SessionActions):
    """Starting or resuming without being told which session."""

    # Further sessions of the server, which this one has resumed.
    siblings: list[Any]

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
        if self.client_instance is not None and redirect_to_client:
            return bool(
                self.client_instance.session_auto_start_or_resume(
                    self.get_uuid(), newest=newest, oldest=oldest, all_suspended=all_suspended, start=start
                )
            )
        if self.session_name is not None and "PUBLISHED" not in self.session_name:
            return self.resume()
        listed = self.list_sessions()
        if listed is None:
            return False
        names = resumable(sessions_in(listed), all_suspended)
        if names and all_suspended:
            done = [self.resume(names[0]), *(self._resume_sibling(name) for name in names[1:])]
            return all(done)
        if names and (oldest or newest):
            return self.resume(names[0] if oldest else names[-1])
        return bool(start and not self.published_applications and self.start())

    def _resume_sibling(self, session_name: str) -> bool:
        """Show one more session of the same connection."""
        if self.client_instance is not None:
            registry: Any = self.client_instance.session_registry
            return bool(registry(registry.register_sibling(self, session_name)).resume())
        sibling = self._sibling(session_name)
        self.siblings.append(sibling)
        return bool(sibling.resume())

    def _sibling(self, session_name: str) -> Any:
        """An object like this one, with the same connection, for another session of the server."""
        make: Any = type(self)
        shared = {name: getattr(self, name) for name in SESSION_PARAMS if name not in NOT_SHARED}
        params = {**self.control_params, **self.sshproxy_params, **self.terminal_params}
        return make(
            **{**params, **shared},
            session_name=session_name,
            control_session=self.control_session,
            virgin=False,
            logger=self.logger,
        )


def resumable(sessions: Mapping[str, Any], only_suspended: bool) -> list[str]:
    """Names of the sessions that may be resumed by themselves, the oldest first."""
    infos = [
        info
        for info in sessions.values()
        if info.get_session_type() in RESUMABLE_TYPES
        and (info.is_suspended() or (info.is_running() and not only_suspended))
    ]
    return [info.name for info in sorted(infos, key=lambda info: (info.date_created, info.name))]
