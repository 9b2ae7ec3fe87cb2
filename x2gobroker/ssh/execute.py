"""Commands on a connection, within limits of time and bytes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import paramiko

from x2gobroker.errors import SshError
from x2gobroker.logs import field
from x2gobroker.ssh.deadline import Deadline
from x2gobroker.ssh.failures import ConnectionBroken, NoSession, why_ended
from x2gobroker.ssh.wire import Wire

MOST_BYTES = 1 << 20
PIECE = 32768
FEEDING_SECONDS = 0.02
LOOKING_SECONDS = 0.25
# sshd sends the exit status before the rest of the output. For how long nothing comes until all has come: where the
# output is known to be whole, where nobody can know, and where it is known not to be. A slow line needs its time.
LINGER_SECONDS = 0.5
UNKNOWN_SECONDS = 2.0
MISSING_SECONDS = 10.0


@dataclass(frozen=True)
class Executed:
    """What a command wrote to its two streams, and its exit status; None where a signal ended it."""

    output: bytes
    errors: bytes
    status: int | None


def execute(
    transport: paramiko.Transport,
    command: str,
    seconds: float,
    max_bytes: int = MOST_BYTES,
    input: bytes = b"",
    mark: bytes = b"",
) -> Executed:
    """Run `command` in the login shell of the server's user; `input` is its standard input.

    `mark`: what the command writes last of all to its standard output, if there is such a thing.

    Raises SshTimeout after `seconds`, ConnectionBroken, NoSession when it was certainly not started, and SshError when
    it writes more than `max_bytes`. The channel is closed then; the server may let the command run on.
    """
    deadline = Deadline(seconds, "a command")
    channel = open_session(transport, deadline.left())
    return run(channel, command, deadline, max_bytes, input, mark)


def open_session(transport: paramiko.Transport, seconds: float) -> paramiko.Channel:
    """A channel for one command. Raises SshTimeout, NoSession."""
    deadline = Deadline(seconds, "opening a session")
    try:
        with _writing_until(transport, deadline):
            return transport.open_session(timeout=seconds)
    except paramiko.ChannelException as error:
        raise NoSession(f"the server opens no session: {field(error.text, 100)}", busy=True) from None
    except (paramiko.SSHException, OSError, EOFError):
        deadline.left()
        if transport.is_active():  # refused: paramiko tells only one of several threads the reason
            raise NoSession("the server opens no session", busy=True) from None
        raise NoSession("the connection has ended") from None


def run(
    channel: paramiko.Channel,
    command: str,
    deadline: Deadline,
    max_bytes: int = MOST_BYTES,
    input: bytes = b"",
    mark: bytes = b"",
) -> Executed:
    """As `execute`, on an open channel, which is closed in the end."""
    transport = channel.get_transport()
    try:
        with _writing_until(transport, deadline):
            return _Command(channel, deadline, max_bytes, input, mark).run(command)
    except (paramiko.SSHException, OSError, EOFError) as error:
        deadline.left()
        if transport.is_active():
            raise ConnectionBroken(f"the server does not run the command: {field(str(error), 100)}") from None
        raise _ended(transport) from None
    finally:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            channel.close()


def _ended(transport: paramiko.Transport) -> ConnectionBroken:
    """The failure of a command whose connection has ended, with what is known of the reason."""
    return ConnectionBroken(f"the connection ended while a command was running: {why_ended(transport)}")


@contextlib.contextmanager
def _writing_until(transport: paramiko.Transport, deadline: Deadline) -> Iterator[None]:
    wire = transport.sock
    if isinstance(wire, Wire):
        with wire.deadline(deadline.end):
            yield
    else:
        yield


class _PatientEvent(threading.Event):
    """paramiko waits for the answer to a request without limit; here the deadline counts."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None and not super().wait(self._deadline.left()):
            raise self._deadline.passed()
        return super().wait(timeout) if timeout is not None else True


@contextlib.contextmanager
def answers_until(channel: paramiko.Channel, deadline: Deadline) -> Iterator[None]:
    """In the `with` block, answers to requests on this channel are waited for until the deadline: then SshTimeout."""
    channel.event = _PatientEvent(deadline)
    with _writing_until(channel.get_transport(), deadline):
        yield


class _News(threading.Event):
    """Set when either stream has something; what one stream clears would hide the other's."""

    def clear(self) -> None:
        return

    def take(self, seconds: float) -> None:
        """Wait for something new."""
        self.wait(seconds)
        super().clear()


class _Command:
    def __init__(
        self, channel: paramiko.Channel, deadline: Deadline, max_bytes: int, input: bytes, mark: bytes
    ) -> None:
        self._channel = channel
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._input = memoryview(input)
        self._mark = mark
        self._output = bytearray()
        self._errors = bytearray()
        self._news = _News()

    def run(self, command: str) -> Executed:
        channel = self._channel
        channel.event = _PatientEvent(self._deadline)
        channel.in_buffer.set_event(self._news)
        channel.in_stderr_buffer.set_event(self._news)
        channel.exec_command(command.encode())
        if not self._input:
            channel.shutdown_write()
        self._exchange()
        if not channel.status_event.wait(self._deadline.left()):
            raise self._deadline.passed()
        status = channel.recv_exit_status()
        # sshd may send the exit status before the last output: without the end of that, something may be missing
        is_whole = channel.eof_received or (status >= 0 and channel.get_transport().is_active())
        if not is_whole or (status < 0 and not channel.get_transport().is_active()):
            raise _ended(channel.get_transport())
        return Executed(bytes(self._output), bytes(self._errors), status if status >= 0 else None)

    def _exchange(self) -> None:
        """Until the command's streams have ended, or it has and nothing comes any more.

        The latter: something that it left behind in the background holds its streams open.
        """
        channel = self._channel
        last = time.monotonic()
        while True:
            ended = channel.eof_received or channel.closed
            if self._read() or self._feed():
                last = time.monotonic()
            elif ended or (channel.exit_status_ready() and time.monotonic() - last > self._patience()):
                return
            else:
                pause = FEEDING_SECONDS if self._input else LOOKING_SECONDS
                self._news.take(min(pause, self._deadline.left()))

    def _patience(self) -> float:
        """For how many seconds nothing comes until everything has come, of a command that has ended."""
        if not self._mark:
            return UNKNOWN_SECONDS
        return LINGER_SECONDS if self._mark in self._output else MISSING_SECONDS

    def _read(self) -> bool:
        """Take what is there. Raises SshError when it is too much."""
        channel, before = self._channel, len(self._output) + len(self._errors)
        if channel.recv_ready():
            self._output += channel.recv(PIECE)
        if channel.recv_stderr_ready():
            self._errors += channel.recv_stderr(PIECE)
        now = len(self._output) + len(self._errors)
        if now > self._max_bytes:
            raise SshError(f"a command wrote more than {self._max_bytes} bytes")
        self._deadline.left()
        return now > before

    def _feed(self) -> bool:
        """Give the command some of its input, if there is any and the server takes it."""
        if not self._input or self._channel.closed or not self._channel.send_ready():
            return False
        self._input = self._input[self._channel.send(bytes(self._input[:PIECE])) :]
        if not self._input:
            self._channel.shutdown_write()
        return True
