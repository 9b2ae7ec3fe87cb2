"""Sessions that come up by themselves: which one of those that a server has, or a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from x2gobroker.x2go.log import X2GoLogger
from x2gobroker.x2go.session.params import SESSION_PARAMS
from x2gobroker.x2go.session.states import sessions_in
from x2gobroker.x2go.session.whole import Whole
from x2gobroker.x2go.weak import Weak

NOT_SHARED = ("session_name", "connected", "activated", "virgin", "running", "suspended", "terminated", "faulty")
RESUMABLE_TYPES = ("D", "R", "K", None)


class AutoStart:
    """The part of a session that starts or resumes without being told which session."""

    _session = Weak[Whole]()

    def __init__(self, session: Whole) -> None:
        self._session = session

    @property
    def logger(self) -> X2GoLogger:
        """Where messages go."""
        return self._session.logger

    def do_auto_start_or_resume(
        self,
        newest: bool = True,
        oldest: bool = False,
        all_suspended: bool = False,
        start: bool = True,
        redirect_to_client: bool = True,
    ) -> bool:
        """Show the session that this object stands for; else one that the server has; else start one, if `start`."""
        if self._session.client_instance is not None and redirect_to_client:
            # programs override it with the parameters of Python X2Go, which has no `start`
            further = {} if start else {"start": False}
            return bool(
                self._session.client_instance.session_auto_start_or_resume(
                    self._session.get_uuid(), newest=newest, oldest=oldest, all_suspended=all_suspended, **further
                )
            )
        if self._session.session_name is not None and "PUBLISHED" not in self._session.session_name:
            return self._session.resume()
        listed = self._session.list_sessions()
        if listed is None:
            return False
        names = resumable(sessions_in(listed), all_suspended)
        if names and all_suspended:
            done = [self._session.resume(names[0]), *(self._resume_sibling(name) for name in names[1:])]
            return all(done)
        if names and (oldest or newest):
            return self._session.resume(names[0] if oldest else names[-1])
        return bool(start and not self._session.published_applications and self._session.start())

    def _resume_sibling(self, session_name: str) -> bool:
        """Show one more session of the same connection."""
        if self._session.client_instance is not None:
            registry: Any = self._session.client_instance.session_registry
            return bool(registry(registry.register_sibling(self._session, session_name)).resume())
        other = self.sibling(session_name)
        self._session.siblings.append(other)
        return bool(other.resume())

    def sibling(self, session_name: str) -> Any:
        """An object like this one, with the same connection, for another session of the server."""
        make: Any = type(self._session)
        shared = {name: getattr(self._session, name) for name in SESSION_PARAMS if name not in NOT_SHARED}
        params = {**self._session.control_params, **self._session.sshproxy_params, **self._session.terminal_params}
        return make(
            **{**params, **shared},
            session_name=session_name,
            control_session=self._session.control_session,
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
