"""A command on a connection that goes on saying things, for as long as somebody listens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import paramiko

from x2gobroker.errors import SshError
from x2gobroker.logs import field, printable
from x2gobroker.ssh.deadline import Deadline
from x2gobroker.ssh.execute import answers_until
from x2gobroker.ssh.failures import ConnectionBroken, SshTimeout, why_ended

PIECE = 32768
LONGEST_COMPLAINT = 300


class CommandStream:
    """What a command writes, as it comes. For one thread, but for `stop`.

    The command's standard input stays open until then: it can tell by its end that nobody listens any more. `freed` is
    called once, in the end, with whether the connection itself is in doubt.
    """

    def __init__(self, channel: paramiko.Channel, freed: Callable[[bool], None]) -> None:
        self._channel = channel
        self._freed: Callable[[bool], None] | None = freed
        self._is_doubtful = False

    @classmethod
    def begin(
        cls, channel: paramiko.Channel, command: str, deadline: Deadline, freed: Callable[[bool], None]
    ) -> CommandStream:
        """Start a command on an open channel. Raises SshTimeout, ConnectionBroken; the stream is closed then."""
        stream = cls(channel, freed)
        try:
            with answers_until(channel, deadline):
                channel.exec_command(command.encode())
        except SshTimeout:
            stream._is_doubtful = True
            stream.close()
            raise
        except (paramiko.SSHException, OSError, EOFError) as error:
            stream.close()
            raise ConnectionBroken(f"the server does not run the command: {field(str(error), 100)}") from None
        return stream

    def receive(self, seconds: float) -> bytes:
        """What has come, at least a byte; nothing when the command has ended, or the stream was closed.

        Raises SshTimeout when nothing comes for so long: then the connection is not to be used any more.
        """
        self._channel.settimeout(seconds)
        try:
            return bytes(self._channel.recv(PIECE))
        except TimeoutError:
            self._is_doubtful = True
            raise SshTimeout(f"nothing was heard for {seconds:g} s") from None
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise SshError(f"the connection ended: {field(str(error), 100)}") from None

    def complaint(self) -> str:
        """What a command that has ended said on its standard error stream, or why the connection has; in short."""
        channel = self._channel
        said = b""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            while channel.recv_stderr_ready() and len(said) < LONGEST_COMPLAINT:
                said += channel.recv_stderr(LONGEST_COMPLAINT)
        if said:
            return printable(" ".join(said.decode("utf-8", "replace").split()), LONGEST_COMPLAINT)
        transport = channel.get_transport()
        return "it ended" if transport.is_active() else f"the connection ended: {why_ended(transport)}"

    def stop(self) -> None:
        """For any thread: close the command's channel, so that nothing more is received."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()

    def close(self) -> None:
        """Close the command's channel; the connection can be used for others."""
        self.stop()
        freed, self._freed = self._freed, None
        if freed is not None:
            freed(self._is_doubtful)
