"""Connections to VNC servers, made where a script runs: its process may reach what the service itself may not."""

from __future__ import annotations

import os
import pwd
import socket
import struct

from x2gobroker.errors import BrokerError

CONNECT_SECONDS = 5.0
CREDENTIALS = struct.Struct("3i")


class TargetError(BrokerError):
    """There is no VNC server where the script said, or it is somebody else's."""


def connect_to(host: str, port: int, unix_path: str, user: str) -> socket.socket:
    """A connection to the VNC server of a user, by Unix socket or by TCP. Raises TargetError within CONNECT_SECONDS.

    A Unix socket must be listened on by the user, or by our own account: users own the folder of their socket, and
    could put a link there that leads to somebody else's.
    """
    try:
        if not unix_path:
            made = socket.create_connection((host, port), CONNECT_SECONDS)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return made
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(CONNECT_SECONDS)
            made.connect(unix_path)
            _check_owner(made, unix_path, user)
        except BaseException:
            made.close()
            raise
        return made
    except OSError as error:
        place = unix_path or f"{host}:{port}"
        raise TargetError(f"the VNC server at {place} does not answer: {error.strerror or error}") from error


def _check_owner(connected: socket.socket, path: str, user: str) -> None:
    data = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    owner = CREDENTIALS.unpack(data)[1]
    try:
        theirs = pwd.getpwnam(user).pw_uid
    except KeyError:
        theirs = os.geteuid()
    if owner != theirs and (owner != os.geteuid() or os.path.realpath(path) != path):
        raise TargetError(f"the socket {path} belongs to another user, with the number {owner}")
