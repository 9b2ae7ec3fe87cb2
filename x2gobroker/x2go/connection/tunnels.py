"""Tunnels in an SSH connection: to a port of the server (graphics), and from one (sound, folders)."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial

import paramiko

from x2gobroker.logs import field
from x2gobroker.ssh.connect import FORWARDING_FORBIDDEN
from x2gobroker.x2go.connection.streams import Streams, bridge, close_channel, close_socket, relay
from x2gobroker.x2go.errors import X2GoFwTunnelException, X2GoRevFwTunnelException

__all__ = ["LocalForward", "ReverseForward", "relay"]

LOOPBACK = "127.0.0.1"
PORTS_TRIED = 100
HIGHEST_PORT = 65535
OPENING_SECONDS = 20.0
RETRY_SECONDS = 0.4
PATIENCE_SECONDS = 8.0  # Python X2Go tries 20 times, every 0.4 s
ANSWER_SECONDS = 20.0


class LocalForward:
    """Listens on `local_host`; connections go to `remote`, as the server sees it.

    `local_port` 0 is any free port. Another one is where the search begins: if it is taken, the next free one counts.
    `on_refused(reason)` is called when the server does not connect to `remote`, in a thread of the tunnel.
    """

    def __init__(
        self,
        transport: paramiko.Transport,
        remote: tuple[str, int],
        local_port: int = 0,
        on_refused: Callable[[str], None] | None = None,
        patience: float = PATIENCE_SECONDS,
        local_host: str = LOOPBACK,
    ) -> None:
        self.remote = remote
        self._local_host = local_host
        self._transport = transport
        self._local_port = local_port
        self._on_refused = on_refused
        self._patience = patience
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._streams = Streams(f"x2go-tunnel-to-{remote[1]}")
        self._stopped = threading.Event()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens. Raises X2GoFwTunnelException when it does not."""
        if self._listener is None:
            raise X2GoFwTunnelException("the tunnel is not started")
        host, port, *_ = self._listener.getsockname()
        return str(host), int(port)

    @property
    def connections(self) -> int:
        """How many connections go through it now."""
        return self._streams.count

    def start(self) -> None:
        """Listen from now on. Raises X2GoFwTunnelException: no free port, or the SSH connection has ended."""
        if not self._transport.is_active():
            raise X2GoFwTunnelException("the SSH connection to the server has ended; connect again")
        if self._listener is not None or self._stopped.is_set():
            raise X2GoFwTunnelException("the tunnel was started before; make a new one")
        self._listener = _listening(self._local_port, self._local_host)
        self._accepting = threading.Thread(
            target=self._accept, args=(self._listener,), name=f"x2go-tunnel-to-{self.remote[1]}", daemon=True
        )
        self._accepting.start()

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                if self._stopped.wait(RETRY_SECONDS):  # if not, then it is out of file descriptors
                    return
                continue
            self._streams.run(partial(self._serve, connection), partial(close_socket, connection))

    def _serve(self, connection: socket.socket) -> None:
        """One connection, until it ends."""
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            channel = self._opened(connection.getpeername())
        except OSError:
            return
        except X2GoFwTunnelException as error:
            if self._on_refused is not None and not self._stopped.is_set():
                self._on_refused(str(error))
            return
        if self._streams.also_end(partial(close_channel, channel)):
            bridge(channel, connection)

    def _opened(self, origin: tuple[str, int]) -> paramiko.Channel:
        """A channel to the remote address; it may take a moment until somebody listens there.

        Raises X2GoFwTunnelException.
        """
        shown = f"{self.remote[0]} port {self.remote[1]}"
        end = time.monotonic() + self._patience
        while True:
            try:
                return self._transport.open_channel("direct-tcpip", self.remote, origin, timeout=OPENING_SECONDS)
            except paramiko.ChannelException as error:
                if error.code == FORWARDING_FORBIDDEN:
                    why = "see AllowTcpForwarding and PermitOpen of its sshd_config, and authorized_keys"
                    raise X2GoFwTunnelException(f"the server forbids a tunnel to {shown}; {why}") from None
                refused = X2GoFwTunnelException(f"on the server, nobody answers at {shown}: {field(error.text, 100)}")
            except (paramiko.SSHException, OSError, EOFError) as error:
                refused = X2GoFwTunnelException(f"no tunnel to {shown}: {field(str(error), 100)}")
            if not self._transport.is_active() or time.monotonic() > end or self._stopped.wait(RETRY_SECONDS):
                raise refused

    def stop(self) -> None:
        """Listen no more and end all connections; nothing is left when this returns. May be called again."""
        self._stopped.set()
        if self._listener is not None:
            close_socket(self._listener)  # awakes accept()
        self._streams.stop()
        if self._accepting is not None and self._accepting is not threading.current_thread():
            self._accepting.join(ANSWER_SECONDS)


def _listening(wanted: int, host: str = LOOPBACK) -> socket.socket:
    """A listening socket on the first free port. Raises X2GoFwTunnelException."""
    ports = [*range(wanted, min(wanted + PORTS_TRIED, HIGHEST_PORT + 1)), 0] if wanted else [0]
    reason = ""
    for port in ports:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen()
        except OSError as error:
            listener.close()
            reason = error.strerror or str(error)
        else:
            return listener
    raise X2GoFwTunnelException(f"no port of {host} can be used for a tunnel: {reason}")


class ReverseForward:
    """Makes the server listen on `server_port`, 0 for any free one; `handler` gets each connection's channel.

    The handler runs in a thread of its own; the channel is closed when it returns, and at `stop`.
    """

    def __init__(
        self,
        transport: paramiko.Transport,
        server_port: int,
        handler: Callable[[paramiko.Channel], None],
        server_host: str = LOOPBACK,
    ) -> None:
        self.port = server_port
        self._transport = transport
        self._handler = handler
        self._host = server_host
        self._streams = Streams(f"x2go-tunnel-from-{server_port}")
        self._dispatcher: _Dispatcher | None = None

    @property
    def connections(self) -> int:
        """How many connections go through it now."""
        return self._streams.count

    def start(self) -> None:
        """The server listens when this returns, on `port`. Raises X2GoRevFwTunnelException: it refuses."""
        if self._dispatcher is not None:
            return
        dispatcher = _Dispatcher.of(self._transport)
        self.port = dispatcher.listen(self._host, self.port, self._take)
        self._dispatcher = dispatcher

    def _take(self, channel: paramiko.Channel) -> None:
        self._streams.run(partial(self._handler, channel), partial(close_channel, channel))

    def stop(self) -> None:
        """The server listens no more, all connections end; nothing is left when this returns. May be called again."""
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            dispatcher.forget(self._host, self.port)
        self._streams.stop()


class _Dispatcher:
    """What comes from the server on one SSH connection, by port. paramiko knows one handler per connection only."""

    # it lives as long as its tunnels, and as paramiko needs it as a handler
    _all: weakref.WeakKeyDictionary[paramiko.Transport, weakref.ref[_Dispatcher]] = weakref.WeakKeyDictionary()
    _all_lock = threading.Lock()

    def __init__(self, transport: paramiko.Transport) -> None:
        self._transport = weakref.ref(transport)
        self._asking = threading.Lock()  # the answers to requests have no number: one at a time
        self._takers: dict[int, Callable[[paramiko.Channel], None]] = {}

    @classmethod
    def of(cls, transport: paramiko.Transport) -> _Dispatcher:
        """The one of this connection."""
        with cls._all_lock:
            known = cls._all.get(transport)
            dispatcher = known() if known is not None else None
            if dispatcher is None:
                dispatcher = cls(transport)
                cls._all[transport] = weakref.ref(dispatcher)
            return dispatcher

    def listen(self, host: str, port: int, take: Callable[[paramiko.Channel], None]) -> int:
        """Ask the server to listen; the port where it does. Raises X2GoRevFwTunnelException."""
        if port in self._takers:
            raise X2GoRevFwTunnelException(f"there is a tunnel from the server's port {port} already")
        if port:
            self._takers[port] = take  # before the answer: a connection may come right behind it
        try:
            got = self._ask(lambda transport: transport.request_port_forward(host, port, self._dispatch))
        except X2GoRevFwTunnelException:
            self._takers.pop(port, None)
            raise
        self._takers[got] = take
        return got

    def forget(self, host: str, port: int) -> None:
        """Ask the server to listen no more."""
        self._takers.pop(port, None)

        def cancel(transport: paramiko.Transport) -> int:
            # not cancel_port_forward, which takes the handler away from the other tunnels
            transport.global_request("cancel-tcpip-forward", (host, port))
            return port

        with contextlib.suppress(X2GoRevFwTunnelException):  # then the connection has ended, and the tunnel with it
            self._ask(cancel)

    def _dispatch(self, channel: paramiko.Channel, _origin: tuple[str, int], server: tuple[str, int]) -> None:
        """Called by paramiko, in the thread that reads the connection."""
        take = self._takers.get(server[1])
        if take is None:
            # closing waits for a packet to be written; that must not happen in the thread that reads
            threading.Thread(target=close_channel, args=(channel,), name="x2go-tunnel-unwanted", daemon=True).start()
        else:
            take(channel)

    def _ask(self, question: Callable[[paramiko.Transport], int]) -> int:
        """Send a request and wait for the answer: paramiko sets no limit, so that it waits in a thread.

        Raises X2GoRevFwTunnelException.
        """
        transport = self._transport()
        answers: list[int | str] = []

        def ask() -> None:
            try:
                with self._asking:
                    answers.append(question(transport) if transport is not None else "it has ended")
            except (paramiko.SSHException, OSError, EOFError) as error:
                answers.append(field(str(error), 100))

        thread = threading.Thread(target=ask, name="x2go-tunnel-request", daemon=True)
        thread.start()
        thread.join(ANSWER_SECONDS)
        if answers and isinstance(answers[0], int):
            return answers[0]
        if transport is None or not transport.is_active():
            raise X2GoRevFwTunnelException("the SSH connection to the server has ended; connect again")
        if not answers:
            raise X2GoRevFwTunnelException(f"the server does not answer within {ANSWER_SECONDS:g} s")
        why = "see AllowTcpForwarding and PermitListen of its sshd_config, and whether the port is in use there"
        raise X2GoRevFwTunnelException(f"the server refuses to make a tunnel ({answers[0]}); {why}")
