"""What a terminal session needs of the connection to its server."""

from __future__ import annotations

from typing import Protocol

import paramiko

from x2gobroker.ssh.execute import MOST_BYTES
from x2gobroker.x2go import defaults
from x2gobroker.x2go.wire.reply import Reply


class Server(Protocol):
    """The connection, as X2GoControlSession is one."""

    @property
    def remote_home(self) -> str:
        """The path of the home folder on the server."""

    def command(
        self, command: str, seconds: float = defaults.COMMAND_SECONDS, max_bytes: int = MOST_BYTES, input: bytes = b""
    ) -> Reply:
        """Run a command on the server."""

    def forget_sessions(self) -> None:
        """Something was just done to a session."""

    def get_hostname(self) -> str | None:
        """The name of the server."""

    def get_server_features(self, force: bool = False) -> list[str]:
        """The features that the server names."""

    def get_transport(self) -> paramiko.Transport | None:
        """The SSH connection; None when there is none."""

    def is_connected(self) -> bool:
        """Whether there is a connection, logged in."""

    def is_sshfs_available(self) -> bool:
        """Whether folders of the client can be mounted."""

    def remote_peername(self) -> tuple[object, ...]:
        """Address and port of the server."""

    def remote_username(self) -> str:
        """Who is logged in on the server."""

    def suspend(self, session_name: str) -> bool:
        """Suspend a session; whether the server says that it is suspended."""

    def terminate(self, session_name: str) -> bool:
        """End a session; whether the server says that it has ended."""
