"""The control session: one connection to an X2Go Server, and everything that is done over it."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import paramiko

from x2gobroker.errors import SshError
from x2gobroker.model.hosts import DEFAULT_SSH_PORT, Endpoint
from x2gobroker.ssh.deadline import Deadline
from x2gobroker.ssh.execute import MOST_BYTES, answers_until, open_session
from x2gobroker.ssh.failures import Unreachable, why_ended
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
from x2gobroker.x2go.connection.host_trust import HostTrust, alias_of
from x2gobroker.x2go.connection.remote import ConnectionLost, ServerBusy, run_remote
from x2gobroker.x2go.connection.tunnels import LocalForward
from x2gobroker.x2go.control.acts import VIEW_ONLY, Acts
from x2gobroker.x2go.control.queries import Queries
from x2gobroker.x2go.errors import (
    X2GoControlSessionException,
    X2GoException,
    X2GoFwTunnelException,
    X2GoRemoteHomeException,
    X2GoSFTPClientException,
    X2GoSSHProxyException,
    X2GoTimeOutException,
)
from x2gobroker.x2go.log import (
    LOGLEVEL_DEBUG,
    LOGLEVEL_DEFAULT,
    LOGLEVEL_NOTICE,
    LOGLEVEL_WARN,
    X2GoLogger,
    logger_of,
)
from x2gobroker.x2go.terminal import X2GoTerminalSession
from x2gobroker.x2go.wire.listing import X2GoServerSessionList
from x2gobroker.x2go.wire.pubapp import Menu, RawApplication
from x2gobroker.x2go.wire.reply import Reply

CONNECT_SECONDS = 30.0
KEEPALIVE_SECONDS = 5
CLOSING_SECONDS = 2.0
ALIVE_SECONDS = 10.0
COMMANDS_AT_ONCE = 7  # sshd allows ten sessions on one connection; agent forwarding and file transfers need some
BUSY_PAUSE = 0.05
LOSS_SECONDS = 1.0
SFTP_SECONDS = 20.0
LONGEST_PATH = 4096
HOME_QUERY = 'printf "%s\\n" "$HOME"; [ -d "$HOME" ] && [ -r "$HOME" ] && [ -x "$HOME" ] && echo there'


@dataclass(frozen=True)
class ProxyWish:
    """The SSH proxy that a connection goes through. `tunnel` is None where the server is the one of `connect`."""

    endpoint: Endpoint
    means: Means
    tunnel: ProxyTunnel | None


class X2GoControlSession(HostTrust):
    """A connection to an X2Go Server, and what X2Go does over it. With Python X2Go's methods and parameters.

    Safe for threads: several may run commands on it at the same time, and one at a time does something to one session.
    """

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
        super().__init__(known_hosts, add_to_known_hosts, unique_hostkey_aliases)
        self.profile_name = profile_name
        self.low_latency = low_latency
        self.hostname: str | None = None
        self.port: int | None = None
        self.session_died = False
        self.last_failure = ""  # why the last session did not come up
        self.forward_sshagent = forward_sshagent
        self.client_rootdir = client_rootdir
        self.sessions_rootdir = sessions_rootdir
        self.ssh_rootdir = ssh_rootdir
        self.logger = logger_of(logger, loglevel, "control")
        self.published_applications_no_submenus = published_applications_no_submenus
        self.associated_terminals: dict[str, X2GoTerminalSession] = {}
        self.terminated_terminals: list[str] = []
        self._connecting = threading.RLock()
        self._proxy_listener: LocalForward | None = None
        self._agent_forwarding: AgentForwarding | None = None
        self._proxy_transport: paramiko.Transport | None = None
        self._commands = threading.BoundedSemaphore(COMMANDS_AT_ONCE)
        self._queries = Queries(self)
        self._acts = Acts(self, self._queries, (terminal_backend, info_backend, list_backend, proxy_backend))
        self._forget()

    def _forget(self) -> None:
        """What was learned over a connection counts for that one only."""
        self._remote_home: str | None = None
        self._remote_username: str | None = None
        self._remote_peername: tuple[Any, ...] | None = None
        self._queries.forget()
        self._acts.forget()

    # ------------------------------------------------------------ the connection

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
        patience = self.patience(timeout) if timeout else math.inf
        through = self._open_proxy(proxy, patience, session_instance) if proxy else None
        prepared = prepare(means, self.ssh_rootdir, self.logger)
        alias = alias_of(session_instance, endpoint) if self.unique_hostkey_aliases else ""
        route = Route(endpoint, prepared.login, self._trust(endpoint, alias, session_instance))
        self.logger(f"connecting to {route.shown}", LOGLEVEL_NOTICE)
        seconds = max(self.patience(CONNECT_SECONDS), patience if patience < math.inf else 0.0)
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
            transport = self._reach(route, self.patience(CONNECT_SECONDS), patience, session_instance)
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

    # ------------------------------------------------------------ commands

    def patience(self, seconds: float) -> float:
        """So many seconds; twice as many with `low_latency`."""
        return seconds * 2 if self.low_latency else seconds

    def command(
        self, command: str, seconds: float = defaults.COMMAND_SECONDS, max_bytes: int = MOST_BYTES, input: bytes = b""
    ) -> Reply:
        """Run a command on the server, with `input` as its standard input. Its words are quoted with `commands.word`.

        Raises X2GoTimeOutException after `seconds`; X2GoControlSessionException when the connection is lost, and
        `session_died` says so from then on; and when there is none, or the command writes more than `max_bytes`.
        """
        seconds = self.patience(seconds)
        end = time.monotonic() + seconds
        if not self._commands.acquire(timeout=seconds):
            raise X2GoTimeOutException(f"other commands on the server did not end within {seconds:g} s")
        try:
            while True:
                transport = self._live_transport()
                try:
                    return run_remote(transport, command, max(0.01, end - time.monotonic()), max_bytes, input)
                except ServerBusy:
                    if time.monotonic() > end:
                        raise
                    time.sleep(BUSY_PAUSE)
                except ConnectionLost:
                    transport.join(LOSS_SECONDS)  # its thread ends after its channels do
                    self._note_loss(transport)
                    raise
        finally:
            self._commands.release()

    @contextlib.contextmanager
    def sftp(self, seconds: float = SFTP_SECONDS) -> Iterator[paramiko.SFTPClient]:
        """A file transfer for the length of a `with` block, each step of which may take `seconds`.

        Raises X2GoSFTPClientException when the server offers none, X2GoControlSessionException when the connection is
        lost; and what SFTPClient's methods raise, OSError mostly.
        """
        seconds = self.patience(seconds)
        transport = self._live_transport()
        try:
            channel = open_session(transport, seconds)
        except SshError as error:
            self._note_loss(transport)
            raise X2GoSFTPClientException(f"no files can be exchanged with the server: {error}") from None
        try:
            channel.settimeout(seconds)
            yield _sftp_client(channel, seconds)
        finally:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                channel.close()

    def test_sftpclient(self) -> None:
        """Whether files can be exchanged with the server. Raises X2GoSFTPClientException when not."""
        with self.sftp():
            pass

    def _live_transport(self) -> paramiko.Transport:
        """The connection. Raises X2GoControlSessionException when there is none any more."""
        transport = self._transport
        if transport is None:
            raise X2GoControlSessionException(f"the session {self.profile_name!r} is not connected")
        self._note_loss(transport)
        if self.session_died:
            raise X2GoControlSessionException(f"the connection to {self.hostname} is lost; connect again")
        return transport

    def _note_loss(self, transport: paramiko.Transport) -> None:
        if transport is self._transport and not transport.is_active() and not self.session_died:
            self.session_died = True
            self.logger(f"the connection to {self.hostname} is lost: {why_ended(transport)}", LOGLEVEL_WARN)

    def home_exists(self) -> bool:
        """Whether the user's home folder is there, on the server, and may be read."""
        lines = self.command(HOME_QUERY).output.splitlines()
        home = lines[0] if lines else ""
        is_path = home.startswith("/") and home.isprintable() and len(home) <= LONGEST_PATH
        self._remote_home = home if is_path else None
        return self._remote_home is not None and lines[-1] == "there"

    @property
    def remote_home(self) -> str:
        """The path of the home folder on the server. Raises X2GoRemoteHomeException, and what `command` raises."""
        if self._remote_home is None and not self.home_exists():
            raise X2GoRemoteHomeException("the home folder does not exist on the server, or cannot be read")
        return self._remote_home or ""

    def is_connected(self) -> bool:
        """Whether there is a connection, logged in."""
        transport = self._transport
        return transport is not None and transport.is_active() and transport.is_authenticated()

    def is_alive(self) -> bool:
        """Whether the server answers now, within ALIVE_SECONDS."""
        try:
            return self.command(":", ALIVE_SECONDS).status == 0
        except (X2GoControlSessionException, X2GoTimeOutException) as error:
            self.logger(f"the server does not answer: {error}", LOGLEVEL_DEBUG)
            return False

    def has_session_died(self) -> bool:
        """Whether the connection was lost, without `disconnect`."""
        if self._transport is not None:
            self._note_loss(self._transport)
        return self.session_died

    def remote_username(self) -> str:
        """Who is logged in on the server. Raises X2GoControlSessionException when the connection is lost."""
        if self._remote_username is None:
            self._remote_username = str(self._live_transport().get_username())
        return self._remote_username

    def remote_peername(self) -> tuple[Any, ...]:
        """Address and port of the server; behind an SSH proxy those that the proxy was told.

        Raises X2GoControlSessionException when the connection is lost.
        """
        if self._remote_peername is None:
            transport = self._live_transport()
            try:
                behind = self._proxy_transport is not None
                self._remote_peername = (self.hostname, self.port) if behind else tuple(transport.getpeername())
            except OSError:
                self._note_loss(transport)
                raise X2GoControlSessionException(f"the connection to {self.hostname} is lost") from None
        return self._remote_peername

    # ------------------------------------------------------------ questions

    def is_x2gouser(self, username: str) -> bool:
        """Whether this user may start sessions: X2Go is installed, has no limit of 0 for the user, and lists sessions.

        That tells whether the session database lets the user in; PostgreSQL does not know everybody. The server is
        asked as the user who is logged in; of anybody else the answer is False.
        Raises X2GoControlSessionException, also when the session database is locked, and X2GoTimeOutException.
        """
        return self._queries.is_x2gouser(username)

    def is_sshfs_available(self) -> bool:
        """Whether folders of the client can be mounted: sshfs and fusermount are there, and /dev/fuse may be used.

        Raises X2GoControlSessionException, X2GoTimeOutException.
        """
        return self._queries.is_sshfs_available()

    def query_server_features(self, force: bool = False) -> list[str]:
        """The features that the server names (`X2GO_LIST_DESKTOPS` ...), sorted; empty where X2Go is not installed.

        Asked once, and again with `force`. Raises X2GoControlSessionException, X2GoTimeOutException.
        """
        return self._queries.query_server_features(force)

    get_server_features = query_server_features

    def query_server_versions(self, force: bool = False) -> dict[str, str]:
        """The components of X2Go on the server (`x2goserver` ...) and their versions; empty where there are none.

        Asked once, and again with `force`. Raises X2GoControlSessionException, X2GoTimeOutException.
        """
        return self._queries.query_server_versions(force)

    get_server_versions = query_server_versions

    @overload
    def list_sessions(self, raw: Literal[False] = False, refresh: bool = False) -> X2GoServerSessionList: ...

    @overload
    def list_sessions(self, raw: Literal[True], refresh: bool = False) -> str: ...

    @overload
    def list_sessions(self, raw: bool, refresh: bool = False) -> X2GoServerSessionList | str: ...

    def list_sessions(self, raw: bool = False, refresh: bool = False) -> X2GoServerSessionList | str:
        """The user's sessions on the server, also views of others' sessions; a mapping of names, not shared.

        With `raw`, what x2golistsessions and x2golistshadowsessions print; it holds cookies. Where the server can be
        seen to be as it was at the last listing, that is returned again, for some seconds (session_probe tells when);
        with `raw` or `refresh`, never.

        Raises X2GoControlSessionException: after a time-out, which is taken for a lost connection; when X2Go is not
        installed; and when the session database does not answer, as long as other commands work.
        """
        return self._queries.list_sessions(raw, refresh)

    def forget_sessions(self) -> None:
        """Ask the server for all of the list next time: something was just done to a session."""
        self._queries.forget_sessions()

    def is_running(self, session_name: str) -> bool | None:
        """Whether this session runs; None when it is not listed. Raises what `list_sessions` raises."""
        return self._queries.is_running(session_name)

    def is_suspended(self, session_name: str) -> bool | None:
        """Whether this session is suspended; None when it is not listed. Raises what `list_sessions` raises."""
        return self._queries.is_suspended(session_name)

    def has_terminated(self, session_name: str) -> bool | None:
        """Whether this session, once seen by this control session, is no more; None when it was never seen.

        Raises what `list_sessions` raises.
        """
        return self._queries.has_terminated(session_name)

    @overload
    def list_desktops(self, raw: Literal[False] = False, maxwait: float = 20) -> list[str]: ...

    @overload
    def list_desktops(self, raw: Literal[True], maxwait: float = 20) -> str: ...

    @overload
    def list_desktops(self, raw: bool, maxwait: float = 20) -> list[str] | str: ...

    def list_desktops(self, raw: bool = False, maxwait: float = 20) -> list[str] | str:
        """Desktops that can be shared, as `user@:50`: the user's own, and those that other users offer.

        Servers also name the user's sessions of single applications; these are left out. With `raw`, what
        x2golistdesktops prints. Raises X2GoTimeOutException after `maxwait` seconds, X2GoControlSessionException.
        """
        return self._queries.list_desktops(raw, maxwait)

    @overload
    def list_mounts(self, session_name: str, raw: Literal[False] = False, maxwait: float = 20) -> list[str]: ...

    @overload
    def list_mounts(self, session_name: str, raw: Literal[True], maxwait: float = 20) -> str: ...

    @overload
    def list_mounts(self, session_name: str, raw: bool, maxwait: float = 20) -> list[str] | str: ...

    def list_mounts(self, session_name: str, raw: bool = False, maxwait: float = 20) -> list[str] | str:
        """Folders of the client that are mounted in this session, as `client|path on the server`.

        With `raw`, what x2golistmounts prints. Raises X2GoTimeOutException after `maxwait` seconds, also when the
        session database was locked all the time; X2GoControlSessionException.
        """
        return self._queries.list_mounts(session_name, raw, maxwait)

    def get_published_applications(
        self,
        lang: str | None = None,
        refresh: bool = False,
        raw: bool = False,
        very_raw: bool = False,
        max_no_submenus: int = defaults.PUBAPP_MAX_NO_SUBMENUS,
    ) -> Menu | list[RawApplication] | str:
        """The menu of the applications that the server publishes; pubapp.menu_tree tells its form.

        `lang` (`de_DE`) is by default this process's; menus of languages asked for before are in it, too. The server
        is asked once, and again with `refresh`, `raw` or `very_raw`. With `raw`, the applications as
        pubapp.raw_applications gives them; with `very_raw`, what x2gogetapps prints. All three are empty where the
        server publishes no applications. Raises X2GoControlSessionException, X2GoTimeOutException.
        """
        return self._queries.get_published_applications(lang, refresh, raw, very_raw, max_no_submenus)

    # ------------------------------------------------------------ sessions

    def start(self, **kwargs: Any) -> X2GoTerminalSession | None:
        """Start a session and show it; the parameters are those of X2GoTerminalSession. Returns as `resume` does."""
        return self._acts.start(**kwargs)

    def resume(
        self,
        session_name: str | None = None,
        session_instance: Any = None,
        session_list: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> X2GoTerminalSession | None:
        """Show a session here: a suspended one, or one that another client shows; without `session_name` a new one.

        Returns the terminal session, which counts as True, or None when it does not come up; then the reason is
        logged and in `last_failure`. `session_list` is from `list_sessions`, and saves asking again. Further
        parameters are those of X2GoTerminalSession.

        Raises X2GoUserException when the user may not start sessions, X2GoDesktopSharingDenied,
        X2GoControlSessionException when the connection is lost, X2GoTimeOutException when the server does not answer.
        """
        return self._acts.resume(session_name, session_instance, session_list, **kwargs)

    def share_desktop(
        self,
        desktop: str | None = None,
        user: str | None = None,
        display: str | int | None = None,
        share_mode: int | str = VIEW_ONLY,
        desktops: Collection[str] | None = None,
        **kwargs: Any,
    ) -> X2GoTerminalSession | None:
        """Show a desktop that runs already, one's own or that of a user who shares it: `desktop` is `user@:display`.

        `share_mode` 0 is view only, 1 for full access. `desktops` is from `list_desktops`, and saves asking
        again, which takes the server a second for each display that does not answer. Returns as `resume` does. Raises
        X2GoDesktopSharingException when there is no such desktop to share, X2GoDesktopSharingDenied when its owner
        says no, and what `resume` raises.
        """
        return self._acts.share_desktop(desktop, user, display, share_mode, desktops, **kwargs)

    def suspend(self, session_name: str) -> bool:
        """Suspend a session and wait for it; whether the server says that it is suspended.

        False also for a session that there is not, and for a view of another session: that ends. Raises
        X2GoControlSessionException, X2GoTimeOutException.
        """
        return self._acts.suspend(session_name)

    def terminate(self, session_name: str, destroy_terminals: bool = True) -> bool:
        """End a session and wait for it; whether the server says that it has ended.

        False also for a session that there is not. Without `destroy_terminals` the terminal session object that shows
        it stays associated. Nothing of the session is left on this machine; with log level DEBUG its files stay. Raises
        X2GoControlSessionException, X2GoTimeOutException.
        """
        return self._acts.terminate(session_name, destroy_terminals)

    def clean_sessions(self, destroy_terminals: bool = True, published_applications: bool = False) -> None:
        """End all sessions of the user on this server; those for published applications only if that is asked for.

        Raises X2GoControlSessionException, X2GoTimeOutException.
        """
        self._acts.clean_sessions(destroy_terminals, published_applications)

    def dissociate(self, terminal_session: X2GoTerminalSession) -> None:
        """Let a terminal session go: it is not suspended with this control session any more."""
        self._acts.dissociate(terminal_session)


def _sftp_client(channel: paramiko.Channel, seconds: float) -> paramiko.SFTPClient:
    """The client over an open channel. Raises X2GoSFTPClientException."""
    try:
        with answers_until(channel, Deadline(seconds, "starting a file transfer")):
            channel.invoke_subsystem("sftp")
        return paramiko.SFTPClient(channel)
    except (SshError, paramiko.SSHException, paramiko.SFTPError, OSError, EOFError):
        raise X2GoSFTPClientException(
            "the server offers no SFTP; see `Subsystem sftp` of its sshd_config, and what its login shell prints"
        ) from None
