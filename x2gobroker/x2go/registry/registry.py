"""X2GoSessionRegistry: what a client knows of all its sessions."""

from __future__ import annotations

import threading
import time
from typing import Any

from x2gobroker.x2go import defaults
from x2gobroker.x2go.errors import (
    X2GoControlSessionException,
    X2GoProfileException,
    X2GoSessionRegistryException,
    X2GoTimeOutException,
)
from x2gobroker.x2go.hooks import SessionParent
from x2gobroker.x2go.log import LOGLEVEL_DEBUG, LOGLEVEL_DEFAULT, LOGLEVEL_NOTICE, X2GoLogger, logger_of
from x2gobroker.x2go.profiles.options import session_params
from x2gobroker.x2go.registry.events import Events
from x2gobroker.x2go.registry.lists import Lists
from x2gobroker.x2go.session import X2GoSession
from x2gobroker.x2go.session.params import SECRETS
from x2gobroker.x2go.session.states import STATUS_SECONDS, sessions_in

REGISTRATION_SECONDS = 2.0
REGISTERING_SECONDS = 120.0
PASSED_ON = frozenset(
    (
        *("control_backend", "terminal_backend", "info_backend", "list_backend", "proxy_backend"),
        *("settings_backend", "printing_backend", "client_rootdir", "sessions_rootdir", "ssh_rootdir"),
        *("keep_controlsession_alive", "add_to_known_hosts", "known_hosts"),
    )
)
PUBLISHED = "_stRPUBLISHED_"
UNSHOWN = SECRETS | {"pkey", "sshproxy_pkey"}


class X2GoSessionRegistry:
    """The sessions of one client. Safe for threads. A profile has one connection, which its sessions share."""

    def __init__(
        self, client_instance: SessionParent, logger: X2GoLogger | None = None, loglevel: int = LOGLEVEL_DEFAULT
    ) -> None:
        self.logger = logger_of(logger, loglevel, "registry")
        self.client_instance = client_instance
        self._lists = Lists()
        self._events = Events(client_instance, self._lists)
        self.registry = self._lists.registry
        self.control_sessions = self._lists.control_sessions
        self.master_sessions = self._events.master_sessions
        self._skip_auto_registration = False
        self._registered_at: dict[str, float] = {}
        self._listed_at: dict[str, float] = {}
        self._known_profiles: set[str] = set()
        self._registering = threading.RLock()

    def __call__(self, session_uuid: str) -> X2GoSession:
        """The session of this UUID. Raises X2GoSessionRegistryException when there is none."""
        return self._lists.session(session_uuid)

    def __repr__(self) -> str:
        return f"<X2GoSessionRegistry of {len(self.registry)} sessions>"

    def disable_session_auto_registration(self) -> None:
        """Do not register what comes up on servers, for a while: a session is being started."""
        self._skip_auto_registration = True

    def enable_session_auto_registration(self) -> None:
        """Register again what comes up on servers."""
        self._skip_auto_registration = False

    def get_profile_id(self, session_uuid: str) -> str | None:
        """The profile ID of a session. Raises X2GoSessionRegistryException when there is no such session."""
        return self(session_uuid).get_profile_id()

    def get_profile_name(self, session_uuid: str) -> str:
        """The profile name of a session. Raises X2GoSessionRegistryException when there is no such session."""
        return self(session_uuid).get_profile_name()

    def session_summary(self, session_uuid: str, status_only: bool = False) -> dict[str, Any]:
        """What is known of a session, or only its states; all empty when there is no such session. No secrets."""
        session = self.registry.get(session_uuid)
        states = ("virgin", "connected", "running", "suspended", "terminated")
        status = {name: getattr(session, name, None) for name in states}
        if status_only:
            return status
        backends = ("control", "terminal", "info", "list", "proxy")
        summary: dict[str, Any] = {
            "uuid": session and session_uuid,
            "profile_id": (session and session.profile_id) or "",
            "profile_name": (session and session.profile_name) or "",
            "session_name": (session and session.session_name) or "",
            "control_session": session and session.control_session,
            "control_params": _shown(session.control_params) if session else {},
            "terminal_session": session and session.terminal_session,
            "terminal_params": dict(session.terminal_params) if session else {},
            "active_threads": session._jobs.names() if session else [],
            "backends": {name: getattr(session, f"{name}_backend", None) for name in backends},
        }
        return {**summary, **status}

    def update_status(
        self,
        session_uuid: str | None = None,
        profile_name: str | None = None,
        profile_id: str | None = None,
        session_list: Any = None,
        force_update: bool = False,
        newly_connected: bool = False,
        listed_at: float | None = None,
    ) -> bool:
        """Find out the states of one session, or of a profile's, and call the HOOKs that follow.

        A profile's sessions cost one listing, and none within a second of the last one (unless `force_update`).
        Returns False when nothing was asked, because of that or because nothing is connected. Raises
        X2GoSessionRegistryException unless exactly one of the first three is given; X2GoControlSessionException when
        the connection is lost.
        """
        if len([given for given in (session_uuid, profile_name, profile_id) if given]) != 1:
            raise X2GoSessionRegistryException("give one of session_uuid, profile_name and profile_id, and only one")
        sessions = self._connected_of(session_uuid, profile_name, profile_id)
        if not sessions:
            return False
        if session_list is None:
            listed_at = time.monotonic()
            session_list = self._listing(sessions[0], force_update)
            if session_list is None:
                return False
        for session in sessions:
            if session.update_status(session_list, force_update=True, listed_at=listed_at):
                self.react(session, newly_connected)
        self._events.choose_masters()
        self._events.sweep()
        return True

    def _connected_of(
        self, session_uuid: str | None, profile_name: str | None, profile_id: str | None
    ) -> list[X2GoSession]:
        """The session, or those of the profile, as far as they are connected. Tells of connections that are lost."""
        if session_uuid:
            sessions = [self(session_uuid)]
        else:
            name, key = profile_name, profile_id
            sessions = [
                each
                for each in self._lists.sessions()
                if (each.profile_name == name if name else each.profile_id == key)
            ]
        for session in sessions:
            if session.lives and not session.is_connected():
                session.is_alive()  # which tells of the loss
        return [session for session in sessions if session.connected and session.is_connected()]

    def _listing(self, session: X2GoSession, force: bool) -> Any:
        """One list for all sessions of a connection; None within a second of the last one."""
        key = session.profile_id or session.get_uuid()
        now = time.monotonic()
        if not force and now - self._listed_at.get(key, -STATUS_SECONDS) < STATUS_SECONDS:
            return None
        self._listed_at[key] = now
        session_list = session.list_sessions()
        if session_list is None:
            raise X2GoControlSessionException(f"the connection of profile {session.profile_name!r} is lost")
        return session_list

    def register_available_server_sessions(
        self,
        profile_name: str,
        session_list: Any = None,
        newly_connected: bool = False,
        re_register: bool = False,
        skip_pubapp_sessions: bool = False,
        listed_at: float | None = None,
    ) -> None:
        """Register the sessions that the profile's server has and the registry has not, and update all others.

        At most every two seconds, unless the profile has `newly_connected` (as it has the first time) or `re_register`
        is set, which also gives the sessions the profile's parameters again.
        """
        if not self._registering.acquire(timeout=REGISTERING_SECONDS):
            raise X2GoTimeOutException("another thread does not end registering sessions")
        try:
            now = time.monotonic()
            recent = now - self._registered_at.get(profile_name, -REGISTRATION_SECONDS) < REGISTRATION_SECONDS
            connected = self.connected_sessions_of_profile_name(profile_name)
            if not connected:
                self._known_profiles.discard(profile_name)
                return
            newly_connected = newly_connected or profile_name not in self._known_profiles
            if recent and not newly_connected and not re_register:
                self.logger(f"no registration for profile {profile_name!r} now", LOGLEVEL_DEBUG)
                return
            self._known_profiles.add(profile_name)
            self._registered_at[profile_name] = now
            if session_list is None:
                listed_at = now
                session_list = self._listing(connected[0], force=True)
            about = {"session_list": session_list, "listed_at": listed_at, "newly_connected": newly_connected}
            self.update_status(profile_name=profile_name, **about)
            names = [name for name in sessions_in(session_list) if not (skip_pubapp_sessions and PUBLISHED in name)]
            for name in names:
                self._register_listed(name, connected, re_register, about)
        finally:
            self._registering.release()

    def _register_listed(
        self, name: str, connected: list[X2GoSession], re_register: bool, about: dict[str, Any]
    ) -> None:
        """Register one session that the server lists; one that is known gets its parameters again, if wanted."""
        known = self.registered_session(name, connected[0].profile_name)
        if known is not None and re_register:
            known.update_params(self._profile_params(known.profile_id))
        elif known is None and self._may_register(connected):
            self.update_status(session_uuid=self.register_sibling(connected[0], name), **about)

    def _may_register(self, sessions: list[X2GoSession]) -> bool:
        """Whether what is new on a server cannot be what this client is just starting."""
        return not self._skip_auto_registration and not any(session.is_locked() for session in sessions)

    def register_sibling(self, session: X2GoSession, session_name: str) -> str:
        """Register another session of the server that `session` is connected to. Returns its UUID."""
        with self._lists.guard:
            known = self.registered_session(session_name, session.profile_name)
            if known is None:
                known = session._sibling(session_name)
                known.unset_master_session()
                self.registry[known.get_uuid()] = known
        return str(known.get_uuid())

    def registered_session(self, session_name: str, profile_name: str) -> Any:
        """The session of this name in a profile, best the one that is shown; None when it is not registered."""
        found = [s for s in self.registered_sessions_of_profile_name(profile_name) if s.session_name == session_name]
        return max(found, key=lambda session: session.has_terminal_session(), default=None)

    def _profile_params(self, profile_id: str | None) -> dict[str, Any]:
        """The session parameters of a client's profile; those of an empty one where there is no such profile."""
        try:
            return self.client_instance.session_profiles.to_session_params(str(profile_id))
        except X2GoProfileException:
            return session_params({})

    def register(
        self,
        server: str,
        profile_id: str,
        profile_name: str,
        session_name: str | None = None,
        control_backend: Any = defaults.CONTROL_BACKEND,
        terminal_backend: Any = defaults.TERMINAL_BACKEND,
        info_backend: Any = defaults.INFO_BACKEND,
        list_backend: Any = defaults.LIST_BACKEND,
        proxy_backend: Any = defaults.PROXY_BACKEND,
        settings_backend: Any = defaults.SETTINGS_BACKEND,
        printing_backend: Any = defaults.PRINTING_BACKEND,
        client_rootdir: str = defaults.CLIENT_ROOTDIR,
        sessions_rootdir: str = defaults.SESSIONS_ROOTDIR,
        ssh_rootdir: str = defaults.SSH_ROOTDIR,
        keep_controlsession_alive: bool = True,
        add_to_known_hosts: bool = False,
        known_hosts: str | None = None,
        **kwargs: Any,
    ) -> str:
        """Register a session of a profile. Returns its UUID.

        One that was registered but not used yet is taken, and so is the one of this `session_name`. `kwargs` go before
        the parameters that the client's profile of this ID has; they are those of X2GoSession.
        """
        passed = {name: value for name, value in locals().items() if name in PASSED_ON}
        params = {**self._profile_params(profile_id), **kwargs}
        for name in ("server", "profile_id", "profile_name", "client_instance"):
            params.pop(name, None)
        with self._lists.guard:
            known = self._reusable(profile_name, session_name)
            if known is not None:
                known.activated = True
                known.update_params(params)
                known.set_server(server)
                self.logger(f"session {known.get_uuid()} of profile {profile_name!r} is used again", LOGLEVEL_DEBUG)
                return known.get_uuid()
            control_session = self.control_sessions.get(profile_id)
            session = X2GoSession(
                server=server,
                profile_id=profile_id,
                profile_name=profile_name,
                session_name=session_name,
                control_session=control_session,
                client_instance=self.client_instance,
                logger=self.logger,
                **passed,
                **params,
            )
            session.unset_master_session()
            self.registry[session.get_uuid()] = session
            self.control_sessions.setdefault(profile_id, session.get_control_session())
        self.logger(f"session {session.get_uuid()} of profile {profile_name!r} is registered", LOGLEVEL_NOTICE)
        if control_session is None and session.auto_connect:
            session._jobs.spawn("auto-connect", session.do_auto_connect)
        return session.get_uuid()

    def _reusable(self, profile_name: str, session_name: str | None) -> X2GoSession | None:
        if session_name:
            known: X2GoSession | None = self.registered_session(session_name, profile_name)
            return known
        virgin = self.virgin_sessions_of_profile_name(profile_name)
        return next((each for each in virgin if not each.activated and not each.is_locked()), None)

    def has_session_of_session_name(self, session_name: str, match_profile_name: str | None = None) -> bool:
        """Whether a session of this name is registered, in this profile if that is given."""
        return self.get_session_of_session_name(session_name, match_profile_name=match_profile_name) is not None

    def get_session_of_session_name(
        self, session_name: str, return_object: bool = False, match_profile_name: str | None = None
    ) -> Any:
        """UUID or object of the session with this name; None when there is none.

        Raises X2GoSessionRegistryException when there are several: give the profile.
        """
        found = [
            session
            for session in self._lists.sessions()
            if session_name and session.session_name == session_name
            if match_profile_name in (None, session.profile_name)
        ]
        if len(found) > 1:
            raise X2GoSessionRegistryException(f"there are {len(found)} sessions of name {session_name!r}")
        if not found:
            return None
        return found[0] if return_object else found[0].get_uuid()

    def get_master_session(
        self, profile_name: str, return_object: bool = True, return_session_name: bool = False
    ) -> Any:
        """The session of a profile that has the local folders: object, session name or UUID; None without one."""
        with self._lists.guard:
            session = self.master_sessions.get(profile_name)
        if session is None or not session.connected or not session.is_master_session():
            return None
        if return_session_name:
            return session.get_session_name()
        return session if return_object else session.get_uuid()

    # ------------------------------------------------------------ changes of sessions

    def react(self, session: X2GoSession, newly_connected: bool = False) -> None:
        """Compare a session's states with those at the last call, and call the HOOKs that follow."""
        self._events.react(session, newly_connected)

    def forget(self, session_uuid: str) -> None:
        """Take a session out of the registry. Its connection stays as it is."""
        self._events.forget(session_uuid)

    # ------------------------------------------------------------ lists

    def keys(self) -> list[str]:
        """The UUIDs of all sessions."""
        return self._lists.keys()

    def registered_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """All sessions."""
        return self._lists.registered_sessions(
            return_objects, return_profile_names, return_profile_ids, return_session_names
        )

    def connected_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """Sessions whose server is connected."""
        return self._lists.connected_sessions(
            return_objects, return_profile_names, return_profile_ids, return_session_names
        )

    def associated_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """Sessions that this client shows."""
        return self._lists.associated_sessions(
            return_objects, return_profile_names, return_profile_ids, return_session_names
        )

    def virgin_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """Sessions that were not started yet."""
        return self._lists.virgin_sessions(
            return_objects, return_profile_names, return_profile_ids, return_session_names
        )

    def running_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """Sessions that run, here or in front of another client."""
        return self._lists.running_sessions(
            return_objects, return_profile_names, return_profile_ids, return_session_names
        )

    def non_running_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """Sessions that do not run; as names or IDs, those of which no session runs."""
        return self._lists.non_running_sessions(
            return_objects, return_profile_names, return_profile_ids, return_session_names
        )

    def suspended_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """Suspended sessions."""
        return self._lists.suspended_sessions(
            return_objects, return_profile_names, return_profile_ids, return_session_names
        )

    def terminated_sessions(
        self,
        return_objects: bool = True,
        return_profile_names: bool = False,
        return_profile_ids: bool = False,
        return_session_names: bool = False,
    ) -> list[Any]:
        """Sessions that have ended within the last minute."""
        return self._lists.terminated_sessions(
            return_objects, return_profile_names, return_profile_ids, return_session_names
        )

    @property
    def has_connected_sessions(self) -> bool:
        """Whether any server is connected."""
        return self._lists.has_connected_sessions

    @property
    def has_associated_sessions(self) -> bool:
        """Whether this client shows any session."""
        return self._lists.has_associated_sessions

    @property
    def has_running_sessions(self) -> bool:
        """Whether any session runs."""
        return self._lists.has_running_sessions

    @property
    def has_suspended_sessions(self) -> bool:
        """Whether any session is suspended."""
        return self._lists.has_suspended_sessions

    def registered_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = True, return_session_names: bool = False
    ) -> list[Any]:
        """All sessions of a profile."""
        return self._lists.registered_sessions_of_profile_name(profile_name, return_objects, return_session_names)

    def connected_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = True, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's sessions whose server is connected."""
        return self._lists.connected_sessions_of_profile_name(profile_name, return_objects, return_session_names)

    def associated_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = True, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's sessions that this client shows."""
        return self._lists.associated_sessions_of_profile_name(profile_name, return_objects, return_session_names)

    def pubapp_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = True, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's sessions that this client shows and that offer published applications."""
        return self._lists.pubapp_sessions_of_profile_name(profile_name, return_objects, return_session_names)

    def virgin_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = True, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's sessions that were not started yet."""
        return self._lists.virgin_sessions_of_profile_name(profile_name, return_objects, return_session_names)

    def running_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = True, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's sessions that run."""
        return self._lists.running_sessions_of_profile_name(profile_name, return_objects, return_session_names)

    def suspended_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = True, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's suspended sessions."""
        return self._lists.suspended_sessions_of_profile_name(profile_name, return_objects, return_session_names)

    def connected_profiles(
        self, use_paramiko: bool = False, return_profile_ids: bool = True, return_profile_names: bool = False
    ) -> list[str]:
        """IDs of the profiles whose server is connected; or names. With `use_paramiko` SSH itself is asked."""
        return self._lists.connected_profiles(use_paramiko, return_profile_ids, return_profile_names)

    def living_profiles(self) -> list[str]:
        """Names of the profiles that were connected and not disconnected; the connection may be lost."""
        return self._lists.living_profiles()

    @property
    def connected_control_sessions(self) -> list[Any]:
        """The control sessions that are connected."""
        return self._lists.connected_control_sessions

    def control_session_of_profile_name(self, profile_name: str) -> Any:
        """The control session of a profile; None when it has no session."""
        return self._lists.control_session_of_profile_name(profile_name)


def _shown(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name not in UNSHOWN}
