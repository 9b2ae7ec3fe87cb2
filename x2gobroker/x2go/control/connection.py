"""The connection of a control session, made with Python X2Go's parameters."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import paramiko

from x2gobroker.errors import SshError
from x2gobroker.model.hosts import DEFAULT_SSH_PORT, Endpoint
from x2gobroker.ssh.failures import Unreachable
from x2gobroker.ssh.routes import Route
from x2gobroker.x2go import defaults
from x2gobroker.x2go.connection.agent_forwarding import AgentForwarding
from x2gobroker.x2go.connection.connecting import (
    KeyFiles,
    Means,
    ProxyTunnel,
    parse_tunnel,
    prepare,
    proxy_endpoint,
    proxy_failure,
    server_endpoint,
    server_failure,
)
from x2gobroker.x2go.connection.host_trust import alias_of
from x2gobroker.x2go.connection.tunnels import LocalForward
from x2gobroker.x2go.control.commands import ControlCommands
from x2gobroker.x2go.errors import (
    X2GoException,
    X2GoFwTunnelException,
    X2GoRemoteHomeException,
    X2GoSSHProxyException,
)
from x2gobroker.x2go.log import LOGLEVEL_DEFAULT, LOGLEVEL_NOTICE, LOGLEVEL_WARN, X2GoLogger, logger_of
from x2gobroker.x2go.terminal import X2GoTerminalSession

CONNECT_SECONDS = 30.0
KEEPALIVE_SECONDS = 5
CLOSING_SECONDS = 2.0


@dataclass(frozen=True)
class ProxyWish:
    """The SSH proxy that a connection goes through. `tunnel` is None where the server is the one of `connect`."""

    endpoint: Endpoint
    means: Means
    tunnel: ProxyTunnel | None


class ControlConnection(ControlCommands):
    """A connection to an X2Go Server. Safe for threads: several may run commands on it at the same time."""

    def __init__(
        self,
        profile_name: str = "UNKNOWN",
        add_to_known_hosts: bool = False,
        known_hosts: str | None = None,
        forward_sshagent: bool = False,
        unique_hostkey_aliases: bool = False,
        terminal_backend: str = defaults.TERMINAL_BACKEND,
        info_backend: str = defaults.INFO_BACKEND,
        list_backend: str = defaults.LIST_BACKEND,
        proxy_backend: str = defaults.PROXY_BACKEND,
        client_rootdir: str = defaults.CLIENT_ROOTDIR,
        sessions_rootdir: str = defaults.SESSIONS_ROOTDIR,
        ssh_rootdir: str = defaults.SSH_ROOTDIR,
        logger: X2GoLogger | None = None,
        loglevel: int = LOGLEVEL_DEFAULT,
        published_applications_no_submenus: int = 0,
        low_latency: bool = False,
        **kwargs: Any,
    ) -> None:
        """`low_latency` doubles all time limits, for slow lines. Parameters that are not known are ignored."""
        super().__init__(profile_name, known_hosts, add_to_known_hosts, unique_hostkey_aliases, low_latency)
        self.forward_sshagent = forward_sshagent
        self._backends = (terminal_backend, info_backend, list_backend, proxy_backend)
        self.client_rootdir = client_rootdir
        self.sessions_rootdir = sessions_rootdir
        self.ssh_rootdir = ssh_rootdir
        self.logger = logger_of(logger, loglevel, "control")
        self.published_applications_no_submenus = published_applications_no_submenus
        self.associated_terminals: dict[str, X2GoTerminalSession] = {}
        self.terminated_terminals: list[str] = []
        self._ended: set[str] = set()  # whose agents the server has seen to end, by our order
        self._connecting = threading.RLock()
        self._proxy_listener: LocalForward | None = None
        self._agent_forwarding: AgentForwarding | None = None

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # __init__ did not get that far
            self._hang_up(wait=False)

    def connect(  # type: ignore[override]  # Python X2Go's parameters are not in the order of paramiko's
        self,
        hostname: str | Sequence[str],
        port: int = DEFAULT_SSH_PORT,
        username: str | None = None,
        password: str | None = None,
        passphrase: str | None = None,
        pkey: paramiko.PKey | str | None = None,
        key_filename: KeyFiles = None,
        timeout: float | None = None,
        allow_agent: bool = False,
        look_for_keys: bool = False,
        use_sshproxy: bool = False,
        sshproxy_host: str | Sequence[str] | None = None,
        sshproxy_port: int = DEFAULT_SSH_PORT,
        sshproxy_user: str | None = None,
        sshproxy_password: str | None = None,
        sshproxy_force_password_auth: bool = False,
        sshproxy_key_filename: KeyFiles = None,
        sshproxy_pkey: paramiko.PKey | str | None = None,
        sshproxy_look_for_keys: bool = False,
        sshproxy_passphrase: str = "",
        sshproxy_allow_agent: bool = False,
        sshproxy_tunnel: str | None = None,
        add_to_known_hosts: bool | None = None,
        forward_sshagent: bool | None = None,
        unique_hostkey_aliases: bool | None = None,
        force_password_auth: bool = False,
        session_instance: Any = None,
    ) -> bool:
        """Connect and log in; True when that is done. A connection that is there is closed before, as by `disconnect`.

        Tried in this order: `pkey` and `key_filename`, the agent's keys, keys of `ssh_rootdir` (`look_for_keys`), the
        password; `passphrase` or else the password unlocks keys. `timeout` (seconds) is for TCP; all of it, questions
        to the user aside, takes CONNECT_SECONDS at most. `sshproxy_tunnel` names the server as the SSH proxy sees it,
        and where other programs on this machine reach it as long as this connection stands.
        A host key that is not known: `add_to_known_hosts`, or the hook of `session_instance`, or what
        `set_missing_host_key_policy` set decides.

        Raises BadHostKeyException, X2GoHostKeyException (an SSHException), AuthenticationException,
        PasswordRequiredException, SSHException, OSError; X2GoSSHProxyException and those derived from it;
        X2GoRemoteHomeException; X2GoControlSessionException when the server goes away after the login.
        """
        user = username or None
        means = Means(user, password, passphrase, pkey, key_filename, allow_agent, look_for_keys, force_password_auth)
        self._set(add_to_known_hosts, forward_sshagent, unique_hostkey_aliases)
        with self._connecting:
            self._release_terminals()
            self._hang_up()
            proxy = None
            endpoint = server_endpoint(hostname, port)
            if use_sshproxy:
                jump = Means(
                    sshproxy_user or username,
                    sshproxy_password,
                    sshproxy_passphrase or None,
                    sshproxy_pkey,
                    sshproxy_key_filename,
                    sshproxy_allow_agent,
                    sshproxy_look_for_keys,
                    sshproxy_force_password_auth,
                )
                tunnel = parse_tunnel(sshproxy_tunnel) if sshproxy_tunnel else None
                proxy = ProxyWish(proxy_endpoint(sshproxy_host, sshproxy_port), jump, tunnel)
                endpoint = tunnel.remote if tunnel else endpoint
            try:
                self._open(endpoint, means, proxy, timeout, session_instance)
            except BaseException:
                self._hang_up()
                raise
        return True

    def _set(self, add_to_known_hosts: bool | None, forward: bool | None, aliases: bool | None) -> None:
        """What `connect` was told counts from now on."""
        if add_to_known_hosts is not None:
            self.add_to_known_hosts = add_to_known_hosts
            policy = paramiko.AutoAddPolicy if add_to_known_hosts else paramiko.RejectPolicy
            self.set_missing_host_key_policy(policy())
        if forward is not None:
            self.forward_sshagent = forward
        if aliases is not None:
            self.unique_hostkey_aliases = aliases

    def _open(
        self, endpoint: Endpoint, means: Means, proxy: ProxyWish | None, timeout: float | None, session_instance: Any
    ) -> None:
        """Everything that `connect` does, in order."""
        self.load_session_host_keys()
        patience = self._seconds(timeout) if timeout else math.inf
        through = self._open_proxy(proxy, patience, session_instance) if proxy else None
        prepared = prepare(means, self.ssh_rootdir, self.logger)
        alias = alias_of(session_instance, endpoint) if self.unique_hostkey_aliases else ""
        route = Route(endpoint, prepared.login, self._trust(endpoint, alias, session_instance))
        self.logger(f"connecting to {route.shown}", LOGLEVEL_NOTICE)
        seconds = max(self._seconds(CONNECT_SECONDS), patience if patience < math.inf else 0.0)
        try:
            transport = self._reach(route, seconds, patience, session_instance, through)
        except SshError as error:
            # with a proxy there is no other way to be unreachable than that the proxy does not get there
            if through is not None and (isinstance(error, Unreachable) or not through.is_active()):
                raise proxy_failure(error, prepared) from None
            raise server_failure(error, prepared) from None
        transport.set_keepalive(KEEPALIVE_SECONDS)
        transport.name = "x2go-connection"
        self._forget()
        self._transport = transport
        self.hostname, self.port = endpoint.name, endpoint.port
        self.session_died = False
        if self.forward_sshagent:
            self._agent_forwarding = AgentForwarding(transport, self.logger)
            self._agent_forwarding.start()
        if not self.home_exists():
            home = self._remote_home or "the home folder"
            raise X2GoRemoteHomeException(f"{route.shown}: {home} does not exist on the server, or cannot be read")

    def _open_proxy(self, wish: ProxyWish, patience: float, session_instance: Any) -> paramiko.Transport:
        """The connection to the SSH proxy, and the listener of `sshproxy_tunnel`. Raises X2GoSSHProxyException."""
        prepared = prepare(wish.means, self.ssh_rootdir, self.logger)
        route = Route(wish.endpoint, prepared.login, self._trust(wish.endpoint, "", session_instance))
        self.logger(f"connecting to the SSH proxy {route.shown}", LOGLEVEL_NOTICE)
        try:
            transport = self._reach(route, self._seconds(CONNECT_SECONDS), patience, session_instance)
        except SshError as error:
            raise proxy_failure(error, prepared) from None
        transport.name = "x2go-sshproxy"
        self._proxy_transport = transport
        transport.set_keepalive(KEEPALIVE_SECONDS)
        if wish.tunnel is not None:
            remote = wish.tunnel.remote
            host, port = wish.tunnel.local
            listener = LocalForward(transport, (remote.address, remote.port), port, local_host=host)
            try:
                listener.start()
            except X2GoFwTunnelException as error:
                raise X2GoSSHProxyException(f"{route.shown}: {error}") from None
            self._proxy_listener = listener
        return transport

    def _release_terminals(self) -> None:
        """Let go of all sessions that are shown here: they are suspended, and their proxies end."""
        for name, terminal in list(self.associated_terminals.items()):
            try:
                if not self.has_session_died():
                    terminal.suspend()
            except X2GoException as error:
                self.logger(f"session {name} cannot be suspended: {error}", LOGLEVEL_WARN)
            finally:
                terminal.release_proxy()
                self.associated_terminals.pop(name, None)

    def disconnect(self) -> bool:
        """Suspend the sessions that are shown, and close the connection. True when it was a living one."""
        self._release_terminals()
        with self._connecting:
            transport = self._transport
            was_alive = transport is not None and transport.is_active()
            self._hang_up()
        return was_alive

    def close(self) -> None:
        """Close the connection, and the one to the SSH proxy. Sessions are not asked."""
        self._hang_up()

    def _hang_up(self, wait: bool = True) -> None:
        forwarding, self._agent_forwarding = self._agent_forwarding, None
        listener, self._proxy_listener = self._proxy_listener, None
        proxy, self._proxy_transport = self._proxy_transport, None
        transport, self._transport = self._transport, None  # before it is closed: nobody takes that for a loss
        self._remote_home = None
        if forwarding is not None:
            forwarding.stop()
        if transport is not None:
            transport.close()
        if listener is not None:
            listener.stop()
        if proxy is not None:
            proxy.close()
        for ended in (transport, proxy):
            if wait and ended is not None and ended is not threading.current_thread():
                ended.join(CLOSING_SECONDS)

    def get_hostname(self) -> str | None:
        """The name of the server, as it was given to `connect`; None before that."""
        return self.hostname

    def get_port(self) -> int | None:
        """The SSH port of the server; None before `connect`."""
        return self.port

    def set_profile_name(self, profile_name: str) -> None:
        """Give it another name, for messages."""
        self.profile_name = profile_name
