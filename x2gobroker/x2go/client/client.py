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
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Self

from x2gobroker.x2go import backends, defaults
from x2gobroker.x2go.client.lists import ClientLists
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.errors import SSHException, X2GoException
from x2gobroker.x2go.log import LOGLEVEL_DEFAULT, LOGLEVEL_ERROR, X2GoLogger, logger_of
from x2gobroker.x2go.profiles.file import X2GoSessionProfiles
from x2gobroker.x2go.registry import X2GoSessionRegistry

STOP_SECONDS = 30.0
_WITHOUT_A_PROFILE = (
    *("allow_share_local_folders", "share_local_folders", "allow_mimebox", "mimebox_extensions", "mimebox_action"),
    "forward_sshagent",
)
_BACKENDS = ("control", "terminal", "info", "list", "proxy", "settings", "printing")


class X2GoClient(ClientLists):
    """The parent of sessions and their registry. Override its HOOK methods to hear of what happens.

    `session_profiles`: profile options by profile ID, in place of the file `sessions` in `client_rootdir`. With
    `auto_update_sessionregistry` or `auto_register_sessions` a thread lists the sessions of each connected profile
    every `refresh_interval` seconds; the latter registers sessions that come up on servers. `close` ends everything.
    """

    lang = "en"

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
        self._refresher: threading.Thread | None = None
        self._stop = threading.Event()
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
        share_local_folders: Sequence[str] = (),
        allow_mimebox: bool = False,
        mimebox_extensions: Sequence[str] = (),
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
        if self._refresher is not None and self._refresher.is_alive():
            return
        self.refresh_interval = interval or self.refresh_interval
        self._stop.clear()
        self._refresher = threading.Thread(target=self._refresh, name="x2go-client-refresher", daemon=True)
        self._refresher.start()

    def stop_refresher(self) -> None:
        """End that thread, and wait for it."""
        self._stop.set()
        refresher, self._refresher = self._refresher, None
        if refresher is not None and refresher is not threading.current_thread():
            refresher.join(STOP_SECONDS)

    def _refresh(self) -> None:
        while not self._stop.wait(self.refresh_interval):
            for name in self.session_registry.living_profiles():
                if not self._stop.is_set():
                    self.refresh_profile(name)

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
