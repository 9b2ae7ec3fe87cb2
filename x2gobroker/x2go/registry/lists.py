"""The sessions of a client by state and profile, in every form: objects, UUIDs, names, profiles."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from x2gobroker.x2go.errors import X2GoSessionRegistryException
from x2gobroker.x2go.session import X2GoSession


def _distinct(values: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))


def in_form(
    sessions: list[X2GoSession],
    return_objects: bool,
    return_profile_names: bool = False,
    return_profile_ids: bool = False,
    return_session_names: bool = False,
) -> list[Any]:
    """Sessions in the form that is asked for. Names and IDs are each given once, and go before objects."""
    if return_profile_names:
        return _distinct(session.profile_name for session in sessions)
    if return_profile_ids:
        return _distinct(session.profile_id for session in sessions)
    if return_session_names:
        return _distinct(session.session_name for session in sessions)
    return list(sessions) if return_objects else [session.get_uuid() for session in sessions]


class Lists:
    """The sessions and control sessions of a client, and the lists of them. Who changes them holds `guard`.

    Without any of `return_...` lists hold UUIDs; names and IDs go before objects.
    """

    def __init__(self) -> None:
        self.registry: dict[str, X2GoSession] = {}
        self.control_sessions: dict[str, Any] = {}
        self.guard = threading.RLock()

    def sessions(self) -> list[X2GoSession]:
        """All of them, as they are now."""
        with self.guard:
            return list(self.registry.values())

    def _which(self, holds: Callable[[X2GoSession], object], forms: tuple[bool, bool, bool, bool]) -> list[Any]:
        return in_form([session for session in self.sessions() if holds(session)], *forms)

    def _of_profile(
        self,
        profile_name: str,
        holds: Callable[[X2GoSession], object],
        return_objects: bool,
        return_session_names: bool,
    ) -> list[Any]:
        found = [session for session in self.sessions() if session.profile_name == profile_name and holds(session)]
        return in_form(found, return_objects, return_session_names=return_session_names)

    def session(self, session_uuid: str) -> X2GoSession:
        """The session of this UUID. Raises X2GoSessionRegistryException when there is none."""
        session = self.registry.get(session_uuid)
        if session is None:
            raise X2GoSessionRegistryException(f"there is no session of UUID {session_uuid}")
        return session

    def keys(self) -> list[str]:
        """The UUIDs of all sessions."""
        with self.guard:
            return list(self.registry)

    def registered_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """All sessions."""
        return self._which(_any, (return_objects, return_profile_names, return_profile_ids, return_session_names))

    def connected_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """Sessions whose server is connected."""
        return self._which(_connected, (return_objects, return_profile_names, return_profile_ids, return_session_names))

    def associated_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """Sessions that this client shows."""
        return self._which(
            _associated, (return_objects, return_profile_names, return_profile_ids, return_session_names)
        )

    def virgin_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """Sessions that were not started yet."""
        return self._which(_virgin, (return_objects, return_profile_names, return_profile_ids, return_session_names))

    def running_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """Sessions that run, here or in front of another client."""
        return self._which(_running, (return_objects, return_profile_names, return_profile_ids, return_session_names))

    def non_running_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """Sessions that do not run; as names or IDs, those of which no session runs."""
        forms = (return_objects, return_profile_names, return_profile_ids, return_session_names)
        running = self._which(_running, forms)
        return [session for session in self._which(_any, forms) if session not in running]

    def suspended_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """Suspended sessions."""
        return self._which(_suspended, (return_objects, return_profile_names, return_profile_ids, return_session_names))

    def terminated_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """Sessions that have ended within the last minute."""
        return self._which(
            _terminated, (return_objects, return_profile_names, return_profile_ids, return_session_names)
        )

    @property
    def has_connected_sessions(self) -> bool:
        """Whether any server is connected."""
        return bool(self.connected_sessions())

    @property
    def has_associated_sessions(self) -> bool:
        """Whether this client shows any session."""
        return bool(self.associated_sessions())

    @property
    def has_running_sessions(self) -> bool:
        """Whether any session runs."""
        return bool(self.running_sessions())

    @property
    def has_suspended_sessions(self) -> bool:
        """Whether any session is suspended."""
        return bool(self.suspended_sessions())

    def registered_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = True, return_session_names: bool = False
    ) -> list[Any]:
        """All sessions of a profile."""
        return self._of_profile(profile_name, _any, return_objects, return_session_names)

    def connected_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = True, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's sessions whose server is connected."""
        return self._of_profile(profile_name, _connected, return_objects, return_session_names)

    def associated_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = True, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's sessions that this client shows."""
        return self._of_profile(profile_name, _associated, return_objects, return_session_names)

    def pubapp_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = True, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's sessions that this client shows and that offer published applications."""
        return self._of_profile(profile_name, _provider, return_objects, return_session_names)

    def virgin_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = True, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's sessions that were not started yet."""
        return self._of_profile(profile_name, _virgin, return_objects, return_session_names)

    def running_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = True, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's sessions that run."""
        return self._of_profile(profile_name, _running, return_objects, return_session_names)

    def suspended_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = True, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's suspended sessions."""
        return self._of_profile(profile_name, _suspended, return_objects, return_session_names)

    def connected_profiles(
        self, use_paramiko: bool = False, return_profile_ids: bool = True, return_profile_names: bool = False
    ) -> list[str]:
        """IDs of the profiles whose server is connected; or names. With `use_paramiko` SSH itself is asked."""
        sessions = self.sessions()
        if use_paramiko:
            sessions = [session for session in sessions if session.is_connected()]
        return in_form(
            [session for session in sessions if session.connected],
            return_objects=False,
            return_profile_names=return_profile_names,
            return_profile_ids=return_profile_ids,
        )

    def living_profiles(self) -> list[str]:
        """Names of the profiles that were connected and not disconnected; the connection may be lost."""
        return _distinct(session.profile_name for session in self.sessions() if session.lives)

    @property
    def connected_control_sessions(self) -> list[Any]:
        """The control sessions that are connected."""
        with self.guard:
            controls = list(self.control_sessions.values())
        return [control for control in controls if control.is_connected()]

    def control_session_of_profile_name(self, profile_name: str) -> Any:
        """The control session of a profile; None when it has no session."""
        sessions = self.registered_sessions_of_profile_name(profile_name)
        return sessions[0].control_session if sessions else None


def _any(session: X2GoSession) -> bool:
    return True


def _connected(session: X2GoSession) -> object:
    return session.connected


def _associated(session: X2GoSession) -> object:
    return session.has_terminal_session()


def _virgin(session: X2GoSession) -> object:
    return session.virgin


def _running(session: X2GoSession) -> object:
    return session.running


def _suspended(session: X2GoSession) -> object:
    return session.suspended


def _terminated(session: X2GoSession) -> object:
    return session.terminated


def _provider(session: X2GoSession) -> object:
    return session.has_terminal_session() and session.is_published_applications_provider()
