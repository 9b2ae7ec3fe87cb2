"""What a client does with one of its sessions, which it knows by UUID."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from x2gobroker.x2go import defaults
from x2gobroker.x2go.errors import X2GoClientException, X2GoControlSessionException
from x2gobroker.x2go.hooks import SessionParent
from x2gobroker.x2go.registry import X2GoSessionRegistry
from x2gobroker.x2go.session import X2GoSession


class ClientSessions(SessionParent):
    """Sessions by UUID. Every method raises X2GoSessionRegistryException when there is no such session."""

    session_registry: X2GoSessionRegistry
    auto_register_sessions: bool
    no_auto_reg_pubapp_sessions: bool
    auto_update_sessionregistry: bool

    def get_session(self, session_uuid: str) -> X2GoSession:
        """The session itself."""
        return self.session_registry(session_uuid)

    with_session = get_session

    def _of(self, session_uuid: str | None, profile_name: str | None) -> X2GoSession:
        """The session, or the master session of the profile. Raises X2GoClientException without either."""
        if session_uuid:
            return self.get_session(session_uuid)
        master = self.session_registry.get_master_session(profile_name) if profile_name else None
        if master is None:
            raise X2GoClientException(f"profile {profile_name!r} has no session that is shown here")
        session: X2GoSession = master
        return session

    def get_session_summary(self, session_uuid: str) -> dict[str, Any]:
        """What is known of a session."""
        return self.session_registry.session_summary(session_uuid)

    def get_session_of_session_name(
        self, session_name: str, return_object: bool = False, match_profile_name: str | None = None
    ) -> Any:
        """UUID or object of the session of this name; None when there is none."""
        return self.session_registry.get_session_of_session_name(session_name, return_object, match_profile_name)

    def get_session_name(self, session_uuid: str) -> str | None:
        """The name of a session on its server."""
        return self.get_session(session_uuid).get_session_name()

    def get_session_info(self, session_uuid: str) -> Any:
        """What the server last said of a session."""
        return self.get_session(session_uuid).get_session_info()

    def get_session_profile_name(self, session_uuid: str) -> str:
        """The name of a session's profile."""
        return self.get_session(session_uuid).get_profile_name()

    def get_session_profile_id(self, session_uuid: str) -> str | None:
        """The ID of a session's profile."""
        return self.get_session(session_uuid).get_profile_id()

    def get_session_username(self, session_uuid: str) -> str | None:
        """The user of a session on its server."""
        return self.get_session(session_uuid).get_username()

    def set_session_username(self, session_uuid: str, username: str) -> None:
        """Who is to log in at the next connect."""
        self.get_session(session_uuid).update_params({"username": username})

    def get_session_server_peername(self, session_uuid: str) -> tuple[Any, ...]:
        """Address and port of a session's server."""
        return self.get_session(session_uuid).get_server_peername()

    def get_session_server_hostname(self, session_uuid: str) -> str | None:
        """The host of a session's server."""
        return self.get_session(session_uuid).get_server_hostname()

    def check_session_host(self, session_uuid: str) -> bool:
        """Whether a session's server is to be trusted."""
        return self.get_session(session_uuid).check_host()

    def session_uses_sshproxy(self, session_uuid: str) -> bool:
        """Whether a session goes through an SSH proxy host."""
        return self.get_session(session_uuid).uses_sshproxy()

    def session_reuses_sshproxy_authinfo(self, session_uuid: str) -> bool:
        """Whether the SSH proxy host gets the same key and password as the server."""
        return self.get_session(session_uuid).reuses_sshproxy_authinfo()

    def session_can_sshproxy_auto_connect(self, session_uuid: str) -> bool | None:
        """Whether the SSH proxy host lets a session in without a password."""
        return self.get_session(session_uuid).can_sshproxy_auto_connect()

    def session_can_auto_connect(self, session_uuid: str) -> bool | None:
        """Whether a session can connect without a password."""
        return self.get_session(session_uuid).can_auto_connect()

    def session_auto_connect(self, session_uuid: str) -> bool:
        """Connect a session that wants to, and can without a password. Returns whether it is connected."""
        return self.get_session(session_uuid).do_auto_connect(redirect_to_client=False)

    def session_auto_start_or_resume(
        self,
        session_uuid: str,
        newest: bool = True,
        oldest: bool = False,
        all_suspended: bool = False,
        start: bool = True,
    ) -> bool:
        """Show what X2GoSession.do_auto_start_or_resume chooses. Returns success."""
        return self.get_session(session_uuid).do_auto_start_or_resume(
            newest=newest, oldest=oldest, all_suspended=all_suspended, start=start, redirect_to_client=False
        )

    def connect_session(
        self, session_uuid: str, username: str | None = None, password: str | None = None, **parameters: Any
    ) -> bool:
        """Connect a session: parameters and errors as of X2GoSession.connect.

        A client that registers sessions by itself registers those that the server has.
        """
        session = self.get_session(session_uuid)
        connected = session.connect(username=username, password=password, **parameters)
        for peer in self.session_registry.registered_sessions_of_profile_name(session.profile_name):
            peer.is_connected()
        if connected and self.auto_register_sessions:
            self.session_registry.register_available_server_sessions(
                session.profile_name, newly_connected=True, skip_pubapp_sessions=self.no_auto_reg_pubapp_sessions
            )
        return connected

    def disconnect_session(self, session_uuid: str) -> bool:
        """Disconnect a session, and with it all that share its connection."""
        return self.get_session(session_uuid).disconnect()

    def start_session(
        self, session_uuid: str, cmd: str | None = None, progress_event: threading.Event | None = None
    ) -> bool:
        """Start a session. Returns success."""
        return self.get_session(session_uuid).start(cmd=cmd, progress_event=progress_event)

    def resume_session(
        self,
        session_uuid: str | None = None,
        session_name: str | None = None,
        match_profile_name: str | None = None,
        **sessionopts: Any,
    ) -> bool:
        """Resume a session by UUID or by name. Returns success. Raises X2GoClientException without either."""
        if session_uuid is None:
            if session_name is None:
                raise X2GoClientException("to resume a session, give its UUID or its name")
            session_uuid = self.get_session_of_session_name(session_name, match_profile_name=match_profile_name)
        session = self.get_session(str(session_uuid))
        if session_name is None and session.session_name is None:
            raise X2GoClientException("this session has no name yet: start it, or name one to resume")
        return session.resume(session_name=session_name, **sessionopts)

    def share_desktop_session(
        self,
        session_uuid: str,
        desktop: str | None = None,
        user: str | None = None,
        display: str | None = None,
        share_mode: int = 0,
        check_desktop_list: bool = True,
        **sessionopts: Any,
    ) -> bool:
        """Show a desktop that is running already, as X2GoSession.share_desktop does."""
        return self.get_session(session_uuid).share_desktop(
            desktop, user, display, share_mode, check_desktop_list, **sessionopts
        )

    def suspend_session(
        self, session_uuid: str, session_name: str | None = None, match_profile_name: str | None = None
    ) -> bool:
        """Suspend a session; or the one of this name that the same server has. Returns success."""
        return self._end(session_uuid, session_name, match_profile_name, "suspend")

    def terminate_session(
        self, session_uuid: str, session_name: str | None = None, match_profile_name: str | None = None
    ) -> bool:
        """End a session; or the one of this name that the same server has. Returns success."""
        return self._end(session_uuid, session_name, match_profile_name, "terminate")

    def _end(self, session_uuid: str, session_name: str | None, profile_name: str | None, action: str) -> bool:
        session = self.get_session(session_uuid)
        if session_name is not None and session_name != session.session_name:
            named = self.get_session_of_session_name(session_name, True, profile_name or session.profile_name)
            if named is None:
                end: Callable[..., bool] = getattr(session.get_control_session(), action)
                return bool(end(session_name=session_name))
            session = named
        return session.suspend() if action == "suspend" else session.terminate()

    def clean_sessions(self, session_uuid: str, published_applications: bool = False) -> None:
        """End all sessions of the user on a session's server."""
        session = self.get_session(session_uuid)
        session.clean_sessions(published_applications=published_applications)
        self.session_registry.update_status(profile_name=session.profile_name, force_update=True)

    def session_ok(self, session_uuid: str) -> bool:
        """Whether a session is shown here and in good health."""
        return self.get_session(session_uuid).session_ok()

    def is_session_connected(self, session_uuid: str) -> bool:
        """Whether a session's server is connected."""
        return self.get_session(session_uuid).is_connected()

    def is_session_running(self, session_uuid: str, session_name: str | None = None) -> bool:
        """Whether a session runs; or the one of this name that the same server has."""
        if session_name is None:
            return bool(self.get_session(session_uuid).is_running())
        return session_name in self.server_running_sessions(session_uuid)

    def is_session_suspended(self, session_uuid: str, session_name: str | None = None) -> bool:
        """Whether a session is suspended; or the one of this name that the same server has."""
        if session_name is None:
            return bool(self.get_session(session_uuid).is_suspended())
        return session_name in self.server_suspended_sessions(session_uuid)

    def has_session_terminated(self, session_uuid: str, session_name: str | None = None) -> bool:
        """Whether a session has ended; or the server has none of this name."""
        if session_name is None:
            return bool(self.get_session(session_uuid).has_terminated())
        listed = self.server_running_sessions(session_uuid) + self.server_suspended_sessions(session_uuid)
        return session_name not in listed

    def _listed(self, session_uuid: str) -> dict[str, Any]:
        """The sessions of a server by name. Raises X2GoClientException when it is not connected."""
        session = self.get_session(session_uuid)
        if not session.is_connected():
            raise X2GoClientException(f"session {session_uuid} is not connected")
        listed = session.list_sessions()
        if listed is None:
            raise X2GoControlSessionException(f"the connection of profile {session.profile_name!r} is lost")
        return dict(listed)

    def server_running_sessions(self, session_uuid: str) -> list[str]:
        """Names of the user's sessions that run on a session's server."""
        return [name for name, info in self._listed(session_uuid).items() if info.is_running()]

    def server_suspended_sessions(self, session_uuid: str) -> list[str]:
        """Names of the user's suspended sessions on a session's server."""
        return [name for name, info in self._listed(session_uuid).items() if info.is_suspended()]

    def server_has_running_sessions(self, session_uuid: str) -> bool:
        """Whether a session of the user runs on a session's server."""
        return bool(self.server_running_sessions(session_uuid))

    def server_has_suspended_sessions(self, session_uuid: str) -> bool:
        """Whether the user has suspended sessions on a session's server."""
        return bool(self.server_suspended_sessions(session_uuid))

    def server_is_alive(self, session_uuid: str) -> bool:
        """Whether a session's server answers."""
        return self.get_session(session_uuid).is_alive()

    def all_servers_are_alive(self) -> bool:
        """Whether all servers answer that are connected."""
        answers = [session.is_alive() for session in self.session_registry.connected_sessions()]
        return all(answers)

    def server_valid_x2gouser(self, session_uuid: str, username: str | None = None) -> bool:
        """Whether a user may start sessions on a session's server."""
        return self.get_session(session_uuid).user_is_x2gouser(username)

    def set_session_print_action(self, session_uuid: str, print_action: Any, **kwargs: Any) -> None:
        """What to do with a session's print jobs."""
        self.get_session(session_uuid).set_print_action(print_action, **kwargs)

    def set_session_window_title(self, session_uuid: str, title: str = "") -> None:
        """Set the title of a session's window."""
        self.get_session(session_uuid).set_session_window_title(title)

    def raise_session_window(self, session_uuid: str) -> None:
        """Put a session's window before all others."""
        self.get_session(session_uuid).raise_session_window()

    def get_published_applications(
        self,
        session_uuid: str | None = None,
        profile_name: str | None = None,
        lang: str | None = None,
        refresh: bool = False,
        raw: bool = False,
        very_raw: bool = False,
        max_no_submenus: int = defaults.PUBAPP_MAX_NO_SUBMENUS,
    ) -> Any:
        """The menu of the applications that a session, or one of a profile, provides; None when none does."""
        if session_uuid is None and profile_name:
            found = self.session_registry.pubapp_sessions_of_profile_name(profile_name, return_objects=False)
            session_uuid = found[0] if found else None
        if session_uuid is None or not self.get_session(session_uuid).is_published_applications_provider():
            return None
        return self.get_session(session_uuid).get_published_applications(lang, refresh, raw, very_raw, max_no_submenus)

    def is_folder_sharing_available(self, session_uuid: str | None = None, profile_name: str | None = None) -> bool:
        """Whether a session, or the master of a profile, can have local folders."""
        return self._of(session_uuid, profile_name).is_folder_sharing_available()

    def share_local_folder(
        self,
        session_uuid: str | None = None,
        local_path: str | None = None,
        profile_name: str | None = None,
        folder_name: str | None = None,
    ) -> bool:
        """Mount a local folder in a session, or in the master session of a profile. Returns success."""
        return self._of(session_uuid, profile_name).share_local_folder(local_path, folder_name)

    def unshare_local_folder(
        self, session_uuid: str | None = None, profile_name: str | None = None, local_path: str | None = None
    ) -> bool:
        """Unmount a local folder. Returns success."""
        return self._of(session_uuid, profile_name).unshare_local_folder(local_path)

    def unshare_all_local_folders(self, session_uuid: str | None = None, profile_name: str | None = None) -> bool:
        """Unmount all local folders. Returns success."""
        return self._of(session_uuid, profile_name).unshare_all_local_folders()

    def get_shared_folders(
        self, session_uuid: str | None = None, profile_name: str | None = None, check_list_mounts: bool = False
    ) -> list[str]:
        """The local folders in a session, or in the master session of a profile."""
        return self._of(session_uuid, profile_name).get_shared_folders(check_list_mounts)
