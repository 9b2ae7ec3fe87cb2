"""X2GoClient: several sessions, by profiles, under one roof. Their states are followed by a thread of it, if wanted.

with X2GoClient(auto_update_sessionregistry=True) as client:
    session_uuid = client.register_session("server.example.org", username="user")
    client.connect_session(session_uuid, password="password")
    client.start_session(session_uuid, cmd="xterm")
"""

from __future__ import annotations

import getpass
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from x2gobroker.x2go import backends, defaults
from x2gobroker.x2go.client.refresher import Refresher
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.errors import SSHException, X2GoClientException, X2GoControlSessionException, X2GoException
from x2gobroker.x2go.hooks import SessionParent
from x2gobroker.x2go.log import LOGLEVEL_DEFAULT, LOGLEVEL_ERROR, X2GoLogger, logger_of
from x2gobroker.x2go.profiles.file import X2GoSessionProfiles
from x2gobroker.x2go.registry import X2GoSessionRegistry
from x2gobroker.x2go.session import X2GoSession

_WITHOUT_A_PROFILE = (
    *("allow_share_local_folders", "share_local_folders", "allow_mimebox", "mimebox_extensions", "mimebox_action"),
    "forward_sshagent",
)
_BACKENDS = ("control", "terminal", "info", "list", "proxy", "settings", "printing")


class X2GoClient(SessionParent):
    """The parent of sessions and their registry. Override its HOOK methods to hear of what happens.

    `session_profiles`: profile options by profile ID, in place of the file `sessions` in `client_rootdir`. With
    `auto_update_sessionregistry` or `auto_register_sessions` a thread lists the sessions of each connected profile
    every `refresh_interval` seconds; the latter registers sessions that come up on servers. `close` ends everything.
    """

    lang = "en"
    session_registry: X2GoSessionRegistry

    def __init__(
        self,
        control_backend: Any = defaults.CONTROL_BACKEND,
        terminal_backend: Any = defaults.TERMINAL_BACKEND,
        info_backend: Any = defaults.INFO_BACKEND,
        list_backend: Any = defaults.LIST_BACKEND,
        proxy_backend: Any = defaults.PROXY_BACKEND,
        settings_backend: Any = defaults.SETTINGS_BACKEND,
        printing_backend: Any = defaults.PRINTING_BACKEND,
        client_rootdir: str | None = None,
        sessions_rootdir: str | None = None,
        ssh_rootdir: str | None = None,
        auto_update_sessionregistry: bool = False,
        auto_register_sessions: bool = False,
        no_auto_reg_pubapp_sessions: bool = False,
        refresh_interval: float = 5,
        session_profiles: Mapping[str, Mapping[str, Any]] | None = None,
        logger: X2GoLogger | None = None,
        loglevel: int = LOGLEVEL_DEFAULT,
    ) -> None:
        self.logger = logger_of(logger, loglevel, "client")
        given = locals()
        self._backends = {f"{kind}_backend": given[f"{kind}_backend"] for kind in _BACKENDS}
        self.control_backend = backends.backend_class(control_backend, backends.CONTROL, X2GoControlSession)
        self.client_rootdir = os.path.normpath(client_rootdir or defaults.CLIENT_ROOTDIR)
        self.sessions_rootdir = os.path.normpath(sessions_rootdir or defaults.SESSIONS_ROOTDIR)
        self.ssh_rootdir = os.path.normpath(ssh_rootdir or defaults.SSH_ROOTDIR)
        self.has_custom_client_rootdir = client_rootdir is not None
        self.auto_update_sessionregistry = auto_update_sessionregistry
        self.auto_register_sessions = auto_register_sessions
        self.no_auto_reg_pubapp_sessions = no_auto_reg_pubapp_sessions
        self.refresh_interval = refresh_interval
        self.session_profiles = X2GoSessionProfiles([os.path.join(self.client_rootdir, "sessions")], session_profiles)
        if session_profiles is not None:
            self.session_profiles.config_files = ()
        self.session_registry = X2GoSessionRegistry(self, logger=self.logger)
        self._refresher = Refresher(self.session_registry, self.refresh_profile, lambda: self.refresh_interval)
        if auto_update_sessionregistry or auto_register_sessions:
            self.start_refresher()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread, disconnect all sessions and forget them. Those that were shown go on, suspended."""
        self.stop_refresher()
        for session in self.session_registry.registered_sessions():
            session.disconnect()
            self.session_registry.forget(session.get_uuid())

    def get_client_rootdir(self) -> str:
        """The folder with the client's settings."""
        return self.client_rootdir

    def get_sessions_rootdir(self) -> str:
        """The folder for files of sessions."""
        return self.sessions_rootdir

    def get_ssh_rootdir(self) -> str:
        """The folder with SSH keys and known hosts."""
        return self.ssh_rootdir

    def get_client_username(self) -> str:
        """Who runs this program."""
        return getpass.getuser()

    def register_all_session_profiles(self, return_objects: bool = False) -> dict[str, Any]:
        """Register one session for every profile. Returns UUIDs, or objects, by profile name."""
        return {
            self.to_profile_name(profile_id): self.register_session(profile_id=profile_id, return_object=return_objects)
            for profile_id in self.session_profiles.profile_ids
        }

    def register_session(
        self,
        server: str | None = None,
        profile_id: str | None = None,
        profile_name: str | None = None,
        session_name: str | None = None,
        allow_printing: bool = False,
        allow_share_local_folders: bool = False,
        share_local_folders: Sequence[str] | None = (),
        allow_mimebox: bool = False,
        mimebox_extensions: Sequence[str] | None = (),
        mimebox_action: str = "OPEN",
        add_to_known_hosts: bool = False,
        known_hosts: str | None = None,
        forward_sshagent: bool = False,
        proxy_options: Mapping[str, Any] | None = None,
        return_object: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Register a session: of a profile, by its ID or name, or on a server. Returns its UUID, or the object.

        With a profile, only `session_name`, `add_to_known_hosts`, `known_hosts` and `kwargs` count beside it. None
        when there is neither profile nor server. `kwargs` are further parameters of X2GoSession.
        """
        given = {name: value for name, value in locals().items() if name in _WITHOUT_A_PROFILE}
        key = self._known_profile(profile_id, profile_name)
        if key is not None:
            params = {**self.session_profiles.to_session_params(key), **kwargs}
            hosts = params.pop("server")
            server, name = server or (hosts[0] if hosts else None), self.to_profile_name(key)
        else:
            key = profile_id or uuid.uuid4().hex
            name = profile_name or os.path.basename(sys.argv[0]) or "UNKNOWN"
            params = {
                **given,
                "printing": allow_printing,
                "proxy_options": dict(proxy_options or {}),
                **kwargs,
            }
        if not server:
            return None
        params.pop("profile_name", None)
        session_uuid = self.session_registry.register(
            server=server,
            profile_id=key,
            profile_name=name,
            session_name=session_name,
            client_rootdir=self.client_rootdir,
            sessions_rootdir=self.sessions_rootdir,
            ssh_rootdir=self.ssh_rootdir,
            add_to_known_hosts=add_to_known_hosts,
            known_hosts=known_hosts or os.path.join(self.ssh_rootdir, "known_hosts"),
            **self._backends,
            **params,
        )
        return self.session_registry(session_uuid) if return_object else session_uuid

    def _known_profile(self, profile_id: str | None, profile_name: str | None) -> str | None:
        """The ID of the profile of this ID or name; None when there is none."""
        for given in (profile_id, profile_name):
            if given and self.session_profiles.has_profile(given):
                return self.session_profiles.check_profile_id_or_name(given)
        return None

    def get_profiles(self) -> X2GoSessionProfiles:
        """The session profiles."""
        return self.session_profiles

    get_session_profiles = get_profiles

    @property
    def profile_names(self) -> list[str]:
        """The names of all profiles."""
        return self.session_profiles.profile_names

    def is_session_profile(self, profile_id_or_name: str) -> bool:
        """Whether there is a profile of this ID or name."""
        return self.session_profiles.has_profile(profile_id_or_name)

    def get_profile_config(self, profile_id_or_name: str, parameter: str | None = None) -> Any:
        """One option of a profile, or all. Raises X2GoProfileException when there is none."""
        return self.session_profiles.get_profile_config(profile_id_or_name, parameter)

    with_profile_config = get_profile_config

    def set_profile_config(self, profile_id_or_name: str, parameter: str, value: Any) -> None:
        """Set an option of a profile, and store it in the profiles' file. Raises X2GoProfileException."""
        self.session_profiles.update_value(profile_id_or_name, parameter, value)
        self.session_profiles.write()

    def to_profile_id(self, profile_name: str) -> str | None:
        """The ID of the profile of this name."""
        return self.session_profiles.to_profile_id(profile_name)

    def to_profile_name(self, profile_id: str) -> str:
        """The name of the profile of this ID."""
        return self.session_profiles.to_profile_name(profile_id)

    def disconnect_profile(self, profile_name: str) -> bool:
        """Disconnect all sessions of a profile and forget them. Returns whether there was a connection."""
        answers = []
        for session in self.session_registry.registered_sessions_of_profile_name(profile_name):
            answers.append(session.disconnect())
            self.session_registry.forget(session.get_uuid())
        return any(answers)

    def start_refresher(self, interval: float | None = None) -> None:
        """Let a thread follow the states of all sessions, every `interval` seconds (`refresh_interval`)."""
        if not self._refresher.is_running():
            self.refresh_interval = interval or self.refresh_interval
            self._refresher.start()

    def stop_refresher(self) -> None:
        """End that thread, and wait for it."""
        self._refresher.stop()

    def refresh_profile(self, profile_name: str) -> bool:
        """Find out the states of a profile's sessions, with one listing. Returns whether that worked."""
        try:
            if self.auto_register_sessions and self.is_profile_connected(profile_name):
                self.session_registry.register_available_server_sessions(
                    profile_name, skip_pubapp_sessions=self.no_auto_reg_pubapp_sessions
                )
                return True
            return self.session_registry.update_status(profile_name=profile_name)
        except (X2GoException, SSHException, OSError) as error:
            self.logger(f"the states of profile {profile_name!r} are not known: {error}", LOGLEVEL_ERROR)
            return False

    # ------------------------------------------------------------ sessions by UUID

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
        share_mode: int | str = 0,
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

    # ------------------------------------------------------------ lists

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
