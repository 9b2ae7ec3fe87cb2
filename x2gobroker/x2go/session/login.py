"""How a session gets to its server."""

from __future__ import annotations

import os
from typing import Any

import paramiko

from x2gobroker.x2go.backends import CONTROL, backend_class
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.errors import (
    AuthenticationException,
    SSHException,
    X2GoControlSessionException,
    X2GoException,
    X2GoRemoteHomeException,
    X2GoSessionException,
)
from x2gobroker.x2go.log import LOGLEVEL_DEBUG, LOGLEVEL_WARN, X2GoLogger
from x2gobroker.x2go.session.whole import Whole
from x2gobroker.x2go.weak import Weak

DISCOVERABLE_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa", "id_dsa")


def present(given: dict[str, Any]) -> dict[str, Any]:
    """The parameters that were given: None stands for what is set already."""
    return {name: value for name, value in given.items() if value is not None}


class Login:
    """The part of a session that connects it, automatically or not."""

    _session = Weak[Whole]()

    def __init__(self, session: Whole) -> None:
        self._session = session

    @property
    def logger(self) -> X2GoLogger:
        """Where messages go."""
        return self._session.logger

    def init_control_session(self) -> None:
        """Make the object for the connection, if there is none. It does not connect."""
        low_latency = str(self._session.terminal_params.get("link", "")).lower() in ("modem", "isdn")
        if self._session.control_session is not None:
            self._session.control_session.low_latency = low_latency
            return
        self._session.control_session = backend_class(self._session.control_backend, CONTROL, X2GoControlSession)(
            profile_name=self._session.profile_name,
            add_to_known_hosts=self._session.add_to_known_hosts,
            known_hosts=self._session.known_hosts,
            forward_sshagent=self._session.forward_sshagent,
            unique_hostkey_aliases=bool(self._session.control_params.get("unique_hostkey_aliases", False)),
            terminal_backend=self._session.terminal_backend,
            info_backend=self._session.info_backend,
            list_backend=self._session.list_backend,
            proxy_backend=self._session.proxy_backend,
            client_rootdir=self._session.client_rootdir,
            sessions_rootdir=self._session.sessions_rootdir,
            ssh_rootdir=self._session.ssh_rootdir,
            low_latency=low_latency,
            logger=self.logger,
        )

    def check_host(self) -> bool:
        """Whether the server is to be trusted: its key is known, or HOOK_check_host_dialog says so."""
        if self._session.is_connected():
            return True
        control = self._session._control()
        if control.check_host(self._server(), port=self._session.port):
            return True
        if control.shown_host_key is None:  # nobody answered
            return False
        fingerprint, kind = control.shown_host_key
        return bool(self._session._hooks.HOOK_check_host_dialog(self._server(), self._session.port, fingerprint, kind))

    def _server(self) -> str:
        """The host to connect to. Raises X2GoSessionException when there is none."""
        if not self._session.server:
            raise X2GoSessionException("this session has no server; set_server names one")
        return self._session.server

    def can_sshproxy_auto_connect(self) -> bool | None:
        """Whether the SSH proxy host lets the session in without a password. None when there is no proxy host."""
        if not self._session.use_sshproxy:
            return None
        params = {name.removeprefix("sshproxy_"): value for name, value in self._session.sshproxy_params.items()}
        reused = self._session.sshproxy_reuse_authinfo and self._has_key(self._session.control_params)
        return bool(reused or self._has_key(params))

    def can_auto_connect(self) -> bool | None:
        """Whether the session can connect without a password. None when there is no control session."""
        if self._session.control_session is None:
            return None
        return self._has_key(self._session.control_params) and self._session.can_sshproxy_auto_connect() in (None, True)

    def _has_key(self, params: dict[str, Any]) -> bool:
        """Whether there is a key file, a key, one in the SSH folder or one in the agent, as far as it may be used."""
        files = params.get("key_filename") or ()
        files = [files] if isinstance(files, str) else files
        if any(os.path.exists(os.path.expanduser(path)) for path in files) or params.get("pkey"):
            return True
        if params.get("look_for_keys") and any(
            os.path.exists(os.path.join(self._session.ssh_rootdir, name)) for name in DISCOVERABLE_KEYS
        ):
            return True
        return bool(params.get("allow_agent")) and _agent_has_keys()

    def do_auto_connect(self, redirect_to_client: bool = True) -> bool:
        """Connect, if the session's profile wants that and no password is needed; else HOOK_auto_connect is called."""
        if self._session.is_connected():
            return True
        if self._session.client_instance is not None and redirect_to_client:
            return bool(self._session.client_instance.session_auto_connect(self._session.get_uuid()))
        if not self._session.auto_connect:
            return False
        if not self._session.can_auto_connect():
            self._session._hooks.HOOK_auto_connect()
            return False
        try:
            return self._session.connect()
        except AuthenticationException:
            self._session._hooks.HOOK_auto_connect()
        except (X2GoException, SSHException, OSError) as error:
            self.logger(f"profile {self._session.profile_name!r} cannot connect: {error}", LOGLEVEL_WARN)
        return False

    def connect(
        self,
        username: str | None = None,
        password: str | None = None,
        passphrase: str | None = None,
        add_to_known_hosts: bool | None = None,
        force_password_auth: bool | None = None,
        look_for_keys: bool | None = None,
        allow_agent: bool | None = None,
        use_sshproxy: bool | None = None,
        sshproxy_user: str | None = None,
        sshproxy_password: str | None = None,
        sshproxy_passphrase: str | None = None,
        sshproxy_force_password_auth: bool | None = None,
        sshproxy_reuse_authinfo: bool | None = None,
    ) -> bool:
        """Connect to the server and log in; what is None stays as the session has it. Returns True."""
        if self._session._control().is_connected():
            self.logger("the control session is connected already", LOGLEVEL_DEBUG)
        else:
            self._session.update_params(present({"use_sshproxy": use_sshproxy}))
            self._session.update_params(present({"sshproxy_reuse_authinfo": sshproxy_reuse_authinfo}))
            if add_to_known_hosts is not None:
                self._session.add_to_known_hosts = add_to_known_hosts
                self._session.control_params["add_to_known_hosts"] = add_to_known_hosts
            changed = {
                "username": username or None,
                "force_password_auth": force_password_auth,
                "look_for_keys": look_for_keys,
                "allow_agent": allow_agent,
                "sshproxy_user": sshproxy_user or None,
                "sshproxy_force_password_auth": sshproxy_force_password_auth,
            }
            self._session.update_params(present(changed))
            secrets = {
                "password": password,
                "passphrase": passphrase,
                "sshproxy_password": sshproxy_password,
                "sshproxy_passphrase": sshproxy_passphrase,
            }
            self._log_in({**self._session._secrets, **present(secrets)})
        return self._connected()

    def _log_in(self, secrets: dict[str, Any]) -> None:
        """Connect the control session. The secrets go there, and the password stays for `get_password`."""
        control = self._session._control()
        if self._session.sshproxy_reuse_authinfo:
            for name in ("password", "passphrase"):
                secrets.setdefault(f"sshproxy_{name}", secrets.get(name))
        parameters = {
            "port": self._session.port,
            **self._session.control_params,
            **self._session.sshproxy_params,
            **present(secrets),
        }
        try:
            self._session.connected = control.connect(
                self._server(),
                use_sshproxy=self._session.use_sshproxy,
                session_instance=self._session,
                forward_sshagent=self._session.forward_sshagent,
                **parameters,
            )
        except X2GoControlSessionException as error:
            self._session.disconnect()
            raise X2GoSessionException(str(error)) from error
        except X2GoRemoteHomeException:
            self._session.disconnect()
            raise
        self._session._secrets = present({"password": secrets.get("password")})

    def _connected(self) -> bool:
        """What follows a connect."""
        if not self._session.is_connected():
            self._session.disconnect()
            return False
        self._session._lives = True
        self._session._jobs.restart()
        self._session.update_status(force_update=True)
        self._session.retrieve_server_features()
        if self._session.auto_start_or_resume:
            self._session._jobs.spawn("auto-start", self._session.do_auto_start_or_resume)
        return self._session.connected


def _agent_has_keys() -> bool:
    """Whether the SSH agent of this program's environment offers keys."""
    agent = paramiko.Agent()
    try:
        return bool(agent.get_keys())
    except SSHException:
        return False
    finally:
        agent.close()
