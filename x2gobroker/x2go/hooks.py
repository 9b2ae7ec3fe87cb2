"""The HOOK methods of sessions and clients: what users of the library override to be told, or asked.

By default a session passes each on to its client, if it has one, and a client writes a line to its log. Names and
parameters are Python X2Go's.
"""

# HOOK_... are names that users of Python X2Go know.
# ruff: noqa: N802

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from x2gobroker.x2go.log import LOGLEVEL_ERROR, LOGLEVEL_NOTICE, LOGLEVEL_WARN, X2GoLogger
from x2gobroker.x2go.profiles.file import X2GoSessionProfiles

UNKNOWN = "UNKNOWN"


def call_hook(logger: X2GoLogger, owner: object, name: str, **values: Any) -> None:
    """Call a hook of a session or a client, if there is one; what it raises is only logged."""
    hook = getattr(owner, name, None)
    if hook is None:
        return
    try:
        hook(**values)
    except Exception as error:  # noqa: BLE001 - other people's code
        logger(f"{name} failed: {type(error).__name__}")


class SessionHooks:
    """The HOOKs of a session."""

    logger: X2GoLogger
    client_instance: SessionParent | None
    profile_name: str
    session_name: str | None
    faulty: bool | None

    def _warn(self, text: str) -> None:
        self.logger(f"{text} (profile {self.profile_name!r}, session {self.session_name})", LOGLEVEL_WARN)

    def _of_session(self) -> dict[str, str]:
        return {"profile_name": self.profile_name, "session_name": self.session_name or UNKNOWN}

    def HOOK_on_control_session_death(self) -> None:
        """Called when the connection to the server was lost."""
        if self.client_instance is not None:
            self.client_instance.HOOK_on_control_session_death(profile_name=self.profile_name)
        else:
            self._warn("the connection to the X2Go Server was lost")

    def HOOK_on_failing_SFTP_client(self) -> None:
        """Called when the server does not do SFTP, which folders, printing and the MIME box need."""
        if self.client_instance is not None:
            self.client_instance.HOOK_on_failing_SFTP_client(**self._of_session())
        else:
            self._warn("the server does not do SFTP: no shared folders, printing or MIME box; does its shell print?")

    def HOOK_auto_connect(self) -> None:
        """Called when the session wants to connect by itself, but somebody has to log in."""
        if self.client_instance is not None:
            self.client_instance.HOOK_profile_auto_connect(profile_name=self.profile_name)
        else:
            self._warn("the session wants to connect to its server; connect it with a password or a key")

    def HOOK_session_startup_failed(self) -> None:
        """Called when a session could not be started."""
        if self.client_instance is not None:
            self.client_instance.HOOK_session_startup_failed(profile_name=self.profile_name)
        else:
            self._warn("the session could not be started")

    def HOOK_desktop_sharing_denied(self) -> None:
        """Called when the other user refused to share the desktop."""
        if self.client_instance is not None:
            self.client_instance.HOOK_desktop_sharing_denied(profile_name=self.profile_name)
        else:
            self._warn("the other user refused to share the desktop")

    def HOOK_list_desktops_timeout(self) -> None:
        """Called when the server took too long to list desktops."""
        if self.client_instance is not None:
            self.client_instance.HOOK_list_desktops_timeout(profile_name=self.profile_name)
        else:
            self._warn("the server took too long to list desktops; try again")

    def HOOK_no_such_desktop(self, desktop: str = UNKNOWN) -> None:
        """Called when a desktop that is to be shared is not there, or not any more."""
        if self.client_instance is not None:
            self.client_instance.HOOK_no_such_desktop(profile_name=self.profile_name, desktop=desktop)
        else:
            self._warn(f"desktop {desktop!r} cannot be shared: it is not there")

    def HOOK_rforward_request_denied(self, server_port: int = 0) -> None:
        """Called when the server refuses a tunnel from its port `server_port`."""
        if self.client_instance is not None:
            self.client_instance.HOOK_rforward_request_denied(server_port=server_port, **self._of_session())
        else:
            self._warn(f"the server refuses a tunnel from its port {server_port}")

    def HOOK_forwarding_tunnel_setup_failed(
        self, chain_host: str = UNKNOWN, chain_port: int = 0, subsystem: str | None = None
    ) -> None:
        """Called when a tunnel to `chain_host:chain_port` cannot be set up; `subsystem` is what it was for.

        Without the tunnel for graphics, whose subsystem ends in `Proxy`, the session cannot be shown: it is faulty.
        """
        if subsystem is not None and subsystem.endswith("Proxy"):
            self.faulty = True
        if self.client_instance is not None:
            self.client_instance.HOOK_forwarding_tunnel_setup_failed(
                chain_host=chain_host, chain_port=chain_port, subsystem=subsystem, **self._of_session()
            )
        else:
            self._warn(f"no tunnel to [{chain_host}]:{chain_port} for {subsystem or 'the session'}")

    def HOOK_printing_not_available(self) -> None:
        """Called when print jobs cannot come to this client."""
        if self.client_instance is not None:
            self.client_instance.HOOK_printing_not_available(**self._of_session())
        else:
            self._warn("printing to this client is not available")

    def HOOK_mimebox_not_available(self) -> None:
        """Called when the MIME box cannot be used."""
        if self.client_instance is not None:
            self.client_instance.HOOK_mimebox_not_available(**self._of_session())
        else:
            self._warn("the MIME box is not available")

    def HOOK_foldersharing_not_available(self) -> None:
        """Called when local folders cannot be shared."""
        if self.client_instance is not None:
            self.client_instance.HOOK_foldersharing_not_available(**self._of_session())
        else:
            self._warn("sharing local folders is not available")

    def HOOK_sshfs_not_available(self) -> None:
        """Called when the user may not mount folders on the server."""
        if self.client_instance is not None:
            self.client_instance.HOOK_sshfs_not_available(**self._of_session())
        else:
            self._warn("the server denies SSHFS: no shared folders, printing or MIME box; ask for group fuse")

    def HOOK_check_host_dialog(
        self, host: str, port: int, fingerprint: str = "no fingerprint", fingerprint_type: str = UNKNOWN
    ) -> bool:
        """Asked about a server that is seen for the first time. True (the default) trusts it from now on."""
        if self.client_instance is not None:
            return self.client_instance.HOOK_check_host_dialog(
                profile_name=self.profile_name,
                host=host,
                port=port,
                fingerprint=fingerprint,
                fingerprint_type=fingerprint_type,
            )
        self._warn(f"[{host}]:{port} with {fingerprint_type} fingerprint {fingerprint} is trusted from now on")
        return True


class ClientHooks:
    """The HOOKs of a client."""

    logger: X2GoLogger

    def _say(self, text: str, loglevel: int = LOGLEVEL_WARN, **about: Any) -> None:
        words = ", ".join(f"{name.replace('_', ' ')} {value!r}" for name, value in about.items())
        self.logger(f"{text} ({words})" if words else text, loglevel)

    def HOOK_profile_auto_connect(self, profile_name: str = UNKNOWN) -> None:
        """Called when a profile wants to connect by itself, but somebody has to log in."""
        self._say("a profile wants to connect to its server", profile=profile_name)

    def HOOK_session_startup_failed(self, profile_name: str = UNKNOWN) -> None:
        """Called when a session could not be started."""
        self._say("a session could not be started", profile=profile_name)

    def HOOK_desktop_sharing_denied(self, profile_name: str = UNKNOWN) -> None:
        """Called when the other user refused to share the desktop."""
        self._say("the other user refused to share the desktop", profile=profile_name)

    def HOOK_list_desktops_timeout(self, profile_name: str = UNKNOWN) -> None:
        """Called when the server took too long to list desktops."""
        self._say("the server took too long to list desktops; try again", profile=profile_name)

    def HOOK_no_such_desktop(self, profile_name: str = UNKNOWN, desktop: str = UNKNOWN) -> None:
        """Called when a desktop that is to be shared is not there."""
        self._say("a desktop cannot be shared: it is not there", profile=profile_name, desktop=desktop)

    def HOOK_open_print_dialog(self, profile_name: str = UNKNOWN, session_name: str = UNKNOWN) -> Any:
        """Called for a print job whose print action is DIALOG. Returns the action to use, or None."""
        self._say("a print job came", profile=profile_name, session=session_name)

    def HOOK_no_such_command(self, cmd: str, profile_name: str = UNKNOWN, session_name: str = UNKNOWN) -> None:
        """Called when the server has no command `cmd`."""
        self._say("the server has no such command", command=cmd, profile=profile_name, session=session_name)

    def HOOK_open_mimebox_saveas_dialog(
        self, filename: str, profile_name: str = UNKNOWN, session_name: str = UNKNOWN
    ) -> Any:
        """Called for a file in the MIME box whose action is SAVEAS. Returns where to save it, or None."""
        self._say("a file came by the MIME box", file=filename, profile=profile_name, session=session_name)

    def HOOK_printaction_error(
        self,
        filename: str,
        profile_name: str = UNKNOWN,
        session_name: str = UNKNOWN,
        err_msg: str = "GENERIC_ERROR",
        printer: str | None = None,
    ) -> None:
        """Called when a print action failed for a file."""
        about = {"file": filename, "printer": printer, "profile": profile_name, "session": session_name}
        self._say(f"printing failed: {err_msg}", LOGLEVEL_ERROR, **about)

    def HOOK_mimeboxaction_error(
        self,
        filename: str,
        profile_name: str = UNKNOWN,
        session_name: str = UNKNOWN,
        err_msg: str = "GENERIC_ERROR",
    ) -> None:
        """Called when a file of the MIME box could not be opened."""
        about = {"file": filename, "profile": profile_name, "session": session_name}
        self._say(f"opening a file of the MIME box failed: {err_msg}", LOGLEVEL_ERROR, **about)

    def HOOK_check_host_dialog(
        self,
        profile_name: str = UNKNOWN,
        host: str = UNKNOWN,
        port: int = 22,
        fingerprint: str = "no fingerprint",
        fingerprint_type: str = UNKNOWN,
    ) -> bool:
        """Asked about a server that is seen for the first time. True (the default) trusts it from now on."""
        self._say(f"[{host}]:{port} with {fingerprint_type} fingerprint {fingerprint} is trusted", profile=profile_name)
        return True

    def HOOK_on_control_session_death(self, profile_name: str = UNKNOWN) -> None:
        """Called when the connection to a server was lost."""
        self._say("the connection to the X2Go Server was lost", profile=profile_name)

    def HOOK_on_failing_SFTP_client(self, profile_name: str = UNKNOWN, session_name: str = UNKNOWN) -> None:
        """Called when a server does not do SFTP."""
        self._say("the server does not do SFTP", LOGLEVEL_ERROR, profile=profile_name, session=session_name)

    def HOOK_pulseaudio_server_startup_failed(self) -> None:
        """Called when this client's sound server cannot be started."""
        self._say("PulseAudio could not be started", LOGLEVEL_ERROR)

    def HOOK_pulseaudio_server_died(self) -> None:
        """Called when this client's sound server has ended."""
        self._say("PulseAudio has ended", LOGLEVEL_ERROR)

    def HOOK_on_sound_tunnel_failed(self, profile_name: str = UNKNOWN, session_name: str = UNKNOWN) -> None:
        """Called when a session gets no sound."""
        self._say("there is no tunnel for sound", profile=profile_name, session=session_name)

    def HOOK_rforward_request_denied(
        self, profile_name: str = UNKNOWN, session_name: str = UNKNOWN, server_port: int = 0
    ) -> None:
        """Called when a server refuses a tunnel from its port."""
        self._say("the server refuses a tunnel from its port", port=server_port, session=session_name)

    def HOOK_forwarding_tunnel_setup_failed(
        self,
        profile_name: str = UNKNOWN,
        session_name: str = UNKNOWN,
        chain_host: str = UNKNOWN,
        chain_port: int = 0,
        subsystem: str | None = None,
    ) -> None:
        """Called when a tunnel to a server cannot be set up."""
        text = f"no tunnel to [{chain_host}]:{chain_port} for {subsystem or 'a session'}"
        self._say(text, LOGLEVEL_ERROR, profile=profile_name, session=session_name)

    def HOOK_printing_not_available(self, profile_name: str = UNKNOWN, session_name: str = UNKNOWN) -> None:
        """Called when print jobs of a session cannot come to this client."""
        self._say("printing is not available", profile=profile_name, session=session_name)

    def HOOK_mimebox_not_available(self, profile_name: str = UNKNOWN, session_name: str = UNKNOWN) -> None:
        """Called when the MIME box cannot be used."""
        self._say("the MIME box is not available", profile=profile_name, session=session_name)

    def HOOK_foldersharing_not_available(self, profile_name: str = UNKNOWN, session_name: str = UNKNOWN) -> None:
        """Called when local folders cannot be shared."""
        self._say("sharing local folders is not available", profile=profile_name, session=session_name)

    def HOOK_sshfs_not_available(self, profile_name: str = UNKNOWN, session_name: str = UNKNOWN) -> None:
        """Called when the user may not mount folders on the server."""
        self._say("the server denies SSHFS", profile=profile_name, session=session_name)

    def _session_event(self, text: str, session_uuid: str, profile_name: str, session_name: str) -> None:
        self._say(text, LOGLEVEL_NOTICE, uuid=session_uuid, profile=profile_name, session=session_name)

    def HOOK_on_session_has_started_by_me(
        self, session_uuid: str = UNKNOWN, profile_name: str = UNKNOWN, session_name: str = UNKNOWN
    ) -> None:
        """Called after this client started a session."""
        self._session_event("a session was started by this client", session_uuid, profile_name, session_name)

    def HOOK_on_session_has_started_by_other(
        self, session_uuid: str = UNKNOWN, profile_name: str = UNKNOWN, session_name: str = UNKNOWN
    ) -> None:
        """Called when another client has started a session."""
        self._session_event("a session was started by another client", session_uuid, profile_name, session_name)

    def HOOK_on_session_has_resumed_by_me(
        self, session_uuid: str = UNKNOWN, profile_name: str = UNKNOWN, session_name: str = UNKNOWN
    ) -> None:
        """Called after this client resumed a session."""
        self._session_event("a session was resumed by this client", session_uuid, profile_name, session_name)

    def HOOK_on_session_has_resumed_by_other(
        self, session_uuid: str = UNKNOWN, profile_name: str = UNKNOWN, session_name: str = UNKNOWN
    ) -> None:
        """Called when another client has resumed a session, or taken it over."""
        self._session_event("a session was resumed by another client", session_uuid, profile_name, session_name)

    def HOOK_on_found_session_running_after_connect(
        self, session_uuid: str = UNKNOWN, profile_name: str = UNKNOWN, session_name: str = UNKNOWN
    ) -> None:
        """Called for every session that was already running when the client connected."""
        self._session_event("a running session was found", session_uuid, profile_name, session_name)

    def HOOK_on_session_has_been_suspended(
        self, session_uuid: str = UNKNOWN, profile_name: str = UNKNOWN, session_name: str = UNKNOWN
    ) -> None:
        """Called when a session is suspended now, whoever did it."""
        self._session_event("a session has been suspended", session_uuid, profile_name, session_name)

    def HOOK_on_session_has_terminated(
        self, session_uuid: str = UNKNOWN, profile_name: str = UNKNOWN, session_name: str = UNKNOWN
    ) -> None:
        """Called when a session has ended, whoever did it."""
        self._session_event("a session has ended", session_uuid, profile_name, session_name)


class SessionParent(ClientHooks, ABC):
    """What sessions and their registry use of the client that they belong to, beside its HOOKs."""

    lang: str
    session_registry: Any
    session_profiles: X2GoSessionProfiles

    @abstractmethod
    def get_profile_config(self, profile_id_or_name: str, parameter: str | None = None) -> Any:
        """One option of a profile, or all. Raises X2GoProfileException when there is none."""

    @abstractmethod
    def set_profile_config(self, profile_id_or_name: str, parameter: str, value: Any) -> None:
        """Set an option of a profile, and store it in the profiles' file. Raises X2GoProfileException."""

    @abstractmethod
    def session_auto_connect(self, session_uuid: str) -> bool:
        """Connect a session that wants to, and can without a password. Returns whether it is connected."""

    @abstractmethod
    def session_auto_start_or_resume(
        self,
        session_uuid: str,
        newest: bool = True,
        oldest: bool = False,
        all_suspended: bool = False,
        start: bool = True,
    ) -> bool:
        """Show what X2GoSession.do_auto_start_or_resume chooses. Returns success."""
