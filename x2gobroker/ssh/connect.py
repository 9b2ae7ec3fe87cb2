"""Connections to SSH servers, with one deadline over all that happens until somebody is logged in."""

from __future__ import annotations

import logging
import math
import threading

import paramiko

from x2gobroker.model.hosts import ascii_name
from x2gobroker.model.public_key import PublicKey
from x2gobroker.ssh.channels import OrderedChannels, handlers_of
from x2gobroker.ssh.deadline import Deadline
from x2gobroker.ssh.failures import ConnectionBroken, Unreachable, why_ended
from x2gobroker.ssh.host_keys import check_host_key, known_types
from x2gobroker.ssh.login import log_in
from x2gobroker.ssh.reach import WAYS, reach
from x2gobroker.ssh.routes import Route
from x2gobroker.ssh.wire import Wire

KEEPALIVE_SECONDS = 30
LATER_SECONDS = 5.0
FORWARDING_FORBIDDEN = 1  # RFC 4254, 5.1
RSA_ALGORITHMS = ("rsa-sha2-512", "rsa-sha2-256")

# what goes wrong is told by the exceptions of this room; paramiko would write tracebacks to the standard error stream
if logging.getLogger("paramiko").level == logging.NOTSET:
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)


def connect(
    route: Route, seconds: float, through: paramiko.Transport | None = None, tcp_seconds: float = math.inf
) -> paramiko.Transport:
    """A connection that is logged in, within `seconds`; whoever gets it closes it.

    The server has to take the connection within `tcp_seconds`. `through` is the connection to the route's proxy, made
    here when it is not given, and then closed with this one.
    Raises Unreachable, SshTimeout, HostKeyRefused, LoginRefused, ConnectionBroken.
    """
    deadline = Deadline(seconds, f"{route.shown}: connecting")
    own_proxy = None
    if route.proxy is not None and through is None:
        through = own_proxy = connect(route.proxy, seconds)
    try:
        wire = Wire(reach(route, deadline, tcp_seconds) if through is None else _tunnel(route, through, deadline))
        transport = _OurTransport(wire, own_proxy)
    except BaseException:
        if own_proxy is not None:
            own_proxy.close()
        raise
    try:
        with wire.deadline(deadline.end):
            _shake_hands(transport, route, deadline)
            log_in(transport, route, deadline)
    except BaseException:
        transport.close()
        raise
    wire.logged_in()
    transport.set_keepalive(KEEPALIVE_SECONDS)
    return transport


class _OurTransport(paramiko.Transport):
    """A transport that closes the connection to its proxy with itself, and its wire always."""

    _channel_handler_table = handlers_of(paramiko.Transport)
    wire: Wire

    def __init__(self, wire: Wire, proxy: paramiko.Transport | None) -> None:
        self._ended_by: Exception | None = None
        super().__init__(wire)  # type: ignore[arg-type]  # paramiko takes whatever has the methods of a socket
        self._channels = OrderedChannels()
        self.wire = wire
        self._proxy = proxy

    @property
    def ended_by(self) -> Exception | None:
        """Why the connection has ended, for all who ask; None when the server has ended it."""
        return self._ended_by or self.wire.failure

    @property
    def clear_to_send_timeout(self) -> float:
        """For how many seconds the thread that asks waits while keys are exchanged."""
        return self.wire.patience()

    @clear_to_send_timeout.setter
    def clear_to_send_timeout(self, seconds: float) -> None:
        """paramiko sets the same for all threads, which does not count."""

    @property
    def saved_exception(self) -> Exception | None:
        """Why the connection has ended, for the one of paramiko's callers that asks first."""
        return self._saved

    @saved_exception.setter
    def saved_exception(self, error: Exception | None) -> None:
        self._saved = error
        if error is not None:
            self._ended_by = error  # for all others

    def close(self) -> None:
        """Close this connection; nothing on it goes on."""
        super().close()
        self.packetizer.complete_handshake()  # otherwise its timer, a thread, outlives a handshake that failed
        self.wire.close()
        if self._proxy is not None:
            self._proxy.close()


def _shake_hands(transport: paramiko.Transport, route: Route, deadline: Deadline) -> None:
    """Agree on keys, and check the server's. Raises SshTimeout, ConnectionBroken, HostKeyRefused."""
    _prefer_known_types(transport, route)
    # paramiko's own limits come later than ours, which says what took so long
    limit = deadline.left() + LATER_SECONDS
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = limit
    done = threading.Event()
    transport.start_client(event=done)
    if not done.wait(deadline.left()):
        raise deadline.passed()
    if not transport.is_active():
        raise ConnectionBroken(f"{route.shown}: no SSH connection comes about: {why_ended(transport)}")
    key = transport.get_remote_server_key()
    check_host_key(route.endpoint, PublicKey(key.get_name(), key.get_base64()), route.trust)


def _prefer_known_types(transport: paramiko.Transport, route: Route) -> None:
    """Ask for the types of host key that are known of this server first, as OpenSSH does."""
    algorithms: list[str] = []
    for kind in known_types(route.endpoint, route.trust):
        algorithms += RSA_ALGORITHMS if kind == "ssh-rsa" else (kind,)
    options = transport.get_security_options()
    offered = tuple(options.key_types)
    first = [name for name in algorithms if name in offered]
    options.key_types = (*first, *(name for name in offered if name not in first))


def _tunnel(route: Route, through: paramiko.Transport, deadline: Deadline) -> paramiko.Channel:
    """A connection from the proxy to the server, by the name or the address that the proxy reaches.

    Raises Unreachable, SshTimeout, ConnectionBroken.
    """
    proxy, by = (route.proxy.shown, route.proxy.endpoint.key) if route.proxy is not None else ("the proxy", "-")
    ways = WAYS.order(route.endpoint, by)
    for number, way in enumerate(ways, 1):
        try:
            channel = through.open_channel(
                "direct-tcpip",
                (ascii_name(way), route.endpoint.port),
                ("127.0.0.1", 0),
                timeout=deadline.left() / (len(ways) + 1 - number),
            )
        except paramiko.ChannelException as error:
            if number == len(ways):
                raise _proxy_refuses(route, proxy, error) from None
        except (paramiko.SSHException, OSError, EOFError):
            deadline.left()
            if number == len(ways) or not through.is_active():
                raise ConnectionBroken(f"{route.shown} through {proxy}: the connection to the proxy broke") from None
        else:
            WAYS.note(route.endpoint, way, by)
            return channel
    raise AssertionError("every server has a way")


def _proxy_refuses(route: Route, proxy: str, error: paramiko.ChannelException) -> Unreachable:
    if error.code == FORWARDING_FORBIDDEN:
        why = "the proxy forbids it; see AllowTcpForwarding and PermitOpen of its sshd_config, and authorized_keys"
    else:
        why = "the proxy cannot reach it"
    return Unreachable(f"{route.shown} through {proxy}: {why}")
