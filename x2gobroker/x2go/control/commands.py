"""Commands over the connection of a control session, and what can be known of it without X2Go."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import paramiko

from x2gobroker.errors import SshError
from x2gobroker.ssh.deadline import Deadline
from x2gobroker.ssh.execute import MOST_BYTES, answers_until, open_session
from x2gobroker.ssh.failures import why_ended
from x2gobroker.x2go import defaults
from x2gobroker.x2go.connection.host_trust import HostTrust
from x2gobroker.x2go.connection.remote import ConnectionLost, ServerBusy, run_remote
from x2gobroker.x2go.errors import (
    X2GoControlSessionException,
    X2GoRemoteHomeException,
    X2GoSFTPClientException,
    X2GoTimeOutException,
)
from x2gobroker.x2go.log import LOGLEVEL_DEBUG, LOGLEVEL_WARN
from x2gobroker.x2go.wire.reply import Reply

ALIVE_SECONDS = 10.0
COMMANDS_AT_ONCE = 7  # sshd allows ten sessions on one connection; agent forwarding and file transfers need some
BUSY_PAUSE = 0.05
LOSS_SECONDS = 1.0
SFTP_SECONDS = 20.0
LONGEST_PATH = 4096
HOME_QUERY = 'printf "%s\\n" "$HOME"; [ -d "$HOME" ] && [ -r "$HOME" ] && [ -x "$HOME" ] && echo there'


class ControlCommands(HostTrust):
    """The part of a control session that runs commands. Safe for threads."""

    def __init__(
        self,
        profile_name: str,
        known_hosts: str | None,
        add_to_known_hosts: bool,
        unique_hostkey_aliases: bool,
        low_latency: bool,
    ) -> None:
        super().__init__(known_hosts, add_to_known_hosts, unique_hostkey_aliases)
        self.profile_name = profile_name
        self.low_latency = low_latency
        self.hostname: str | None = None
        self.port: int | None = None
        self.session_died = False
        self._commands = threading.BoundedSemaphore(COMMANDS_AT_ONCE)
        self._proxy_transport: paramiko.Transport | None = None
        self._forget()

    def _forget(self) -> None:
        """What was learned over a connection counts for that one only."""
        self._remote_home: str | None = None
        self._remote_username: str | None = None
        self._remote_peername: tuple[Any, ...] | None = None

    def _seconds(self, seconds: float) -> float:
        return seconds * 2 if self.low_latency else seconds

    def command(
        self, command: str, seconds: float = defaults.COMMAND_SECONDS, max_bytes: int = MOST_BYTES, input: bytes = b""
    ) -> Reply:
        """Run a command on the server, with `input` as its standard input. Its words are quoted with `commands.word`.

        Raises X2GoTimeOutException after `seconds`; X2GoControlSessionException when the connection is lost, and
        `session_died` says so from then on; and when there is none, or the command writes more than `max_bytes`.
        """
        seconds = self._seconds(seconds)
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
        seconds = self._seconds(seconds)
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


def _sftp_client(channel: paramiko.Channel, seconds: float) -> paramiko.SFTPClient:
    """The client over an open channel. Raises X2GoSFTPClientException."""
    try:
        with answers_until(channel, Deadline(seconds, "starting a file transfer")):
            channel.invoke_subsystem("sftp")
        return paramiko.SFTPClient(channel)
    except (SshError, paramiko.SSHException, OSError, EOFError):
        raise X2GoSFTPClientException(
            "the server offers no SFTP; see `Subsystem sftp` of its sshd_config, and what its login shell prints"
        ) from None
