"""Two ends made one: what arrives on a channel of an SSH connection goes to a local socket, and back."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable

import paramiko

PIECE = 65536
CONNECTING_SECONDS = 10.0
STOPPING_SECONDS = 5.0
LOOKING_SECONDS = 1.0


class Streams:
    """The streams of one tunnel, each in threads of its own, so that all of them can be ended at once.

    Two threads move a stream's bytes: paramiko tells nobody when a channel takes bytes again, so one thread for all
    streams would have to stop them all whenever one side is slow, or to ask again and again. Threads that wait cost
    nothing.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._running: dict[threading.Thread, set[Callable[[], None]]] = {}
        self._is_stopped = False

    @property
    def count(self) -> int:
        """How many streams there are now."""
        with self._lock:
            return len(self._running)

    def run(self, work: Callable[[], None], *ends: Callable[[], None]) -> None:
        """Do `work` in a thread; `ends` make it return. After `stop`, they are only called.

        It does not wait for anything: paramiko calls it in the thread that reads the connection.
        """
        with self._lock:
            thread = threading.Thread(
                target=_call if self._is_stopped else self._work,
                args=(ends,) if self._is_stopped else (work, ends),
                name=self._name,
                daemon=True,
            )
            if not self._is_stopped:
                self._running[thread] = set(ends)
            thread.start()

    def also_end(self, end: Callable[[], None]) -> bool:
        """From within `work`: a further way to make it return. False, and called, if it has to at once."""
        with self._lock:
            if not self._is_stopped:
                self._running[threading.current_thread()].add(end)
                return True
        end()
        return False

    def _work(self, work: Callable[[], None], ends: tuple[Callable[[], None], ...]) -> None:
        try:
            work()
        finally:
            _call(ends)
            with self._lock:
                self._running.pop(threading.current_thread(), None)

    def stop(self) -> None:
        """End all streams and wait for their threads, for STOPPING_SECONDS at most."""
        with self._lock:
            self._is_stopped = True
            threads = {thread: list(ends) for thread, ends in self._running.items()}
        for ends in threads.values():
            _call(ends)
        deadline = time.monotonic() + STOPPING_SECONDS
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))


def _call(ends: Iterable[Callable[[], None]]) -> None:
    for end in ends:
        end()


def close_channel(channel: paramiko.Channel) -> None:
    """Close a channel, whatever became of its connection."""
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        channel.close()


def close_socket(connection: socket.socket) -> None:
    """Close a socket; who waits for it in another thread goes on."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        connection.close()


def bridge(channel: paramiko.Channel, connection: socket.socket) -> None:
    """Move bytes both ways until both have ended, or one end is gone; both ends are closed then."""
    connection.settimeout(None)
    channel.settimeout(None)
    outgoing = threading.Thread(
        target=_outgoing, args=(channel, connection), name=f"{threading.current_thread().name}-out", daemon=True
    )
    try:
        outgoing.start()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            while data := channel.recv(PIECE):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while outgoing.is_alive() and not channel.closed:  # one way has ended, the other one goes on
                outgoing.join(LOOKING_SECONDS)
    finally:
        close_channel(channel)
        close_socket(connection)
        if outgoing.ident is not None:
            outgoing.join(STOPPING_SECONDS)


def _outgoing(channel: paramiko.Channel, connection: socket.socket) -> None:
    """From the socket to the channel."""
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        while data := connection.recv(PIECE):
            channel.sendall(data)
        channel.shutdown_write()
        return
    # reading or writing failed: nothing more can go either way
    close_channel(channel)


def relay(channel: paramiko.Channel, address: tuple[str, int] | str) -> None:
    """Bring a channel together with the server at `address`: host and port, or the path of a Unix socket.

    Returns when the stream has ended. If nobody is at the address, the channel is closed. A handler for ReverseForward:
    `lambda channel: relay(channel, ("127.0.0.1", 4713))`.
    """
    try:
        connection = connected(address)
    except OSError:
        close_channel(channel)
        return
    bridge(channel, connection)


def connected(address: tuple[str, int] | str) -> socket.socket:
    """A connection to a local server. Raises OSError."""
    if not isinstance(address, str):
        connection = socket.create_connection(address, CONNECTING_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECTING_SECONDS)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection
