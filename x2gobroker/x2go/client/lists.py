"""What a client asks of its registry and of servers: lists of sessions, desktops and mounts, versions and features."""

from __future__ import annotations

import time
from typing import Any

from x2gobroker.x2go.client.sessions import ClientSessions
from x2gobroker.x2go.errors import X2GoClientException
from x2gobroker.x2go.session import X2GoSession


class ClientLists(ClientSessions):
    """Lists. Those of the registry have its forms; they hold UUIDs here, unless told otherwise."""

    def client_registered_sessions(self, return_objects: bool = True, **forms: bool) -> list[Any]:
        """All sessions."""
        return self.session_registry.registered_sessions(return_objects, **forms)

    def client_connected_sessions(self, return_objects: bool = False, **forms: bool) -> list[Any]:
        """Sessions whose server is connected."""
        return self.session_registry.connected_sessions(return_objects, **forms)

    def client_associated_sessions(self, return_objects: bool = False, **forms: bool) -> list[Any]:
        """Sessions that this client shows."""
        return self.session_registry.associated_sessions(return_objects, **forms)

    def client_running_sessions(self, return_objects: bool = False, **forms: bool) -> list[Any]:
        """Sessions that run."""
        return self.session_registry.running_sessions(return_objects, **forms)

    def client_suspended_sessions(self, return_objects: bool = False, **forms: bool) -> list[Any]:
        """Suspended sessions."""
        return self.session_registry.suspended_sessions(return_objects, **forms)

    @property
    def client_has_connected_sessions(self) -> bool:
        """Whether any server is connected."""
        return self.session_registry.has_connected_sessions

    @property
    def client_has_associated_sessions(self) -> bool:
        """Whether this client shows any session."""
        return self.session_registry.has_associated_sessions

    @property
    def client_has_running_sessions(self) -> bool:
        """Whether any session runs."""
        return self.session_registry.has_running_sessions

    @property
    def client_has_suspended_sessions(self) -> bool:
        """Whether any session is suspended."""
        return self.session_registry.has_suspended_sessions

    def client_registered_session_of_name(self, session_name: str, return_object: bool = False) -> Any:
        """UUID or object of the session of this name; None when there is none."""
        return self.session_registry.get_session_of_session_name(session_name, return_object)

    def client_has_registered_session_of_name(self, session_name: str) -> bool:
        """Whether there is a session of this name."""
        return self.session_registry.has_session_of_session_name(session_name)

    def client_registered_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = False, return_session_names: bool = False
    ) -> list[Any]:
        """All sessions of a profile."""
        registry = self.session_registry
        return registry.registered_sessions_of_profile_name(profile_name, return_objects, return_session_names)

    def client_connected_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = False, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's sessions whose server is connected."""
        registry = self.session_registry
        return registry.connected_sessions_of_profile_name(profile_name, return_objects, return_session_names)

    def client_associated_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = False, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's sessions that this client shows."""
        registry = self.session_registry
        return registry.associated_sessions_of_profile_name(profile_name, return_objects, return_session_names)

    def client_pubapp_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = False, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's sessions with published applications."""
        registry = self.session_registry
        return registry.pubapp_sessions_of_profile_name(profile_name, return_objects, return_session_names)

    def client_running_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = False, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's sessions that run."""
        registry = self.session_registry
        return registry.running_sessions_of_profile_name(profile_name, return_objects, return_session_names)

    def client_suspended_sessions_of_profile_name(
        self, profile_name: str, return_objects: bool = False, return_session_names: bool = False
    ) -> list[Any]:
        """The profile's suspended sessions."""
        registry = self.session_registry
        return registry.suspended_sessions_of_profile_name(profile_name, return_objects, return_session_names)

    @property
    def client_control_sessions(self) -> dict[str, Any]:
        """The control sessions by profile ID."""
        return self.session_registry.control_sessions

    def client_control_session_of_profile_name(self, profile_name: str) -> Any:
        """The control session of a profile; None when it has no session."""
        return self.session_registry.control_session_of_profile_name(profile_name)

    def client_connected_profiles(self, return_profile_names: bool = False) -> list[str]:
        """IDs, or names, of the profiles whose server is connected."""
        return self.session_registry.connected_profiles(return_profile_names=return_profile_names)

    def is_profile_connected(self, profile_name: str) -> bool:
        """Whether a profile's server is connected."""
        return bool(self.session_registry.connected_sessions_of_profile_name(profile_name))

    def get_master_session(
        self, profile_name: str, return_object: bool = True, return_session_name: bool = False
    ) -> Any:
        """The session of a profile that has the local folders; None when there is none."""
        return self.session_registry.get_master_session(profile_name, return_object, return_session_name)

    def _connected_session(
        self, session_uuid: str | None, profile_name: str | None, profile_id: str | None
    ) -> X2GoSession:
        """The session, or a connected one of the profile. Raises X2GoClientException when there is none."""
        if session_uuid is not None:
            return self.get_session(session_uuid)
        if profile_name is None and profile_id is None:
            raise X2GoClientException("give the UUID of a session, or a profile")
        for session in self.session_registry.connected_sessions():
            if session.profile_name == profile_name or (profile_id and session.profile_id == profile_id):
                found: X2GoSession = session
                return found
        raise X2GoClientException(f"profile {profile_name or profile_id!r} is not connected")

    def list_sessions(
        self,
        session_uuid: str | None = None,
        profile_name: str | None = None,
        profile_id: str | None = None,
        update_sessionregistry: bool = True,
        register_sessions: bool = False,
        raw: bool = False,
    ) -> Any:
        """The user's sessions on a server: X2GoServerSessionList, or text with `raw`; None when it was lost.

        The registry learns from the list; with `register_sessions` also of sessions that it did not know.
        """
        session = self._connected_session(session_uuid, profile_name, profile_id)
        listed_at = time.monotonic()
        listed = session.list_sessions(raw=raw)
        if raw or listed is None:
            return listed
        about: dict[str, Any] = {"session_list": listed, "listed_at": listed_at}
        if register_sessions:
            self.session_registry.register_available_server_sessions(session.profile_name, **about)
        elif update_sessionregistry:
            self.session_registry.update_status(profile_name=session.profile_name, **about)
        return listed

    def list_desktops(
        self,
        session_uuid: str | None = None,
        profile_name: str | None = None,
        profile_id: str | None = None,
        raw: bool = False,
    ) -> Any:
        """The desktops on a server that could be shared, or text with `raw`."""
        return self._connected_session(session_uuid, profile_name, profile_id).list_desktops(raw=raw)

    def list_mounts(self, session_uuid: str, raw: bool = False) -> Any:
        """The folders of this client that a session has mounted, or text with `raw`."""
        return self.get_session(session_uuid).list_mounts(raw=raw)

    def list_mounts_by_profile_name(self, profile_name: str) -> dict[str, list[str]]:
        """The same for all running sessions of a profile, by session name."""
        running = self.session_registry.running_sessions_of_profile_name(profile_name)
        return {str(session.session_name): session.list_mounts() or [] for session in running}

    def _control_of(self, profile_name: str) -> Any:
        control = self.client_control_session_of_profile_name(profile_name)
        if control is None:
            raise X2GoClientException(f"profile {profile_name!r} has no session")
        return control

    def get_server_versions(self, profile_name: str, component: str | None = None, force: bool = False) -> Any:
        """The X2Go components of a profile's server with their versions; or the version of one.

        Raises X2GoClientException when there is no such component.
        """
        versions = self._control_of(profile_name).get_server_versions(force=force)
        if component is None:
            return versions
        if component not in versions:
            raise X2GoClientException(f"the server of profile {profile_name!r} has no component {component!r}")
        return versions[component]

    get_server_components = get_server_versions

    def get_server_features(self, profile_name: str, force: bool = False) -> list[str]:
        """The features of a profile's server."""
        return list(self._control_of(profile_name).get_server_features(force=force))

    def has_server_feature(self, profile_name: str, feature: str) -> bool:
        """Whether a profile's server has a feature."""
        return feature in self.get_server_features(profile_name)

    def is_x2goserver(self, session_uuid: str, force: bool = False) -> bool:
        """Whether a session's server has X2Go."""
        return "x2goserver" in self.get_server_versions(self.get_session(session_uuid).profile_name, force=force)

    def update_sessionregistry_status_by_profile_name(self, profile_name: str, session_list: Any = None) -> bool:
        """Find out the states of a profile's sessions."""
        return self.session_registry.update_status(profile_name=profile_name, session_list=session_list)

    def update_sessionregistry_status_by_session_uuid(self, session_uuid: str) -> bool:
        """Find out the states of one session."""
        return self.session_registry.update_status(session_uuid=session_uuid)

    def update_sessionregistry_status_all_profiles(self) -> None:
        """Find out the states of all sessions."""
        for profile_name in self.client_connected_profiles(return_profile_names=True):
            self.update_sessionregistry_status_by_profile_name(profile_name)

    def register_available_server_sessions_by_profile_name(
        self, profile_name: str, re_register: bool = False, skip_pubapp_sessions: bool = False
    ) -> None:
        """Register the sessions that a profile's server has."""
        self.session_registry.register_available_server_sessions(
            profile_name, re_register=re_register, skip_pubapp_sessions=skip_pubapp_sessions
        )

    def register_available_server_sessions_by_session_uuid(
        self, session_uuid: str, skip_pubapp_sessions: bool = False
    ) -> None:
        """Register the sessions that a session's server has."""
        self.register_available_server_sessions_by_profile_name(
            self.get_session(session_uuid).profile_name, skip_pubapp_sessions=skip_pubapp_sessions
        )

    def register_available_server_sessions_all_profiles(self, skip_pubapp_sessions: bool = False) -> None:
        """Register the sessions that all connected servers have."""
        for profile_name in self.client_connected_profiles(return_profile_names=True):
            self.register_available_server_sessions_by_profile_name(
                profile_name, skip_pubapp_sessions=skip_pubapp_sessions
            )
