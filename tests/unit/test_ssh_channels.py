"""A channel's last message is its end, whatever threads do at the same moment; and it keeps what it has asked for."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable

import paramiko
import pytest
from paramiko.common import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EOF,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_SUCCESS,
)

from x2gobroker.ssh.channels import OrderedChannel, OrderedChannels, handlers_of

NUMBER = 7
WAIT = 20.0


class Line:
    """A transport as channels see it: what they send, in its order. `held` stops the senders of one kind of message."""

    server_object = None

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.hold: int | None = None
        self.held = threading.Event()
        self.go = threading.Event()
        self._lock = threading.Lock()

    def _send_user_message(self, message: paramiko.Message) -> None:
        kind = message.asbytes()[0]
        if kind == self.hold:
            self.held.set()
            assert self.go.wait(WAIT)
        with self._lock:
            self.sent.append(kind)

    def _unlink_channel(self, number: int) -> None:
        assert number == NUMBER

    def get_log_channel(self) -> str:
        """Where paramiko logs."""
        return "paramiko"

    def get_hexdump(self) -> bool:
        """Not that much."""
        return False

    def _sanitize_window_size(self, size: int) -> int:
        return size

    def _sanitize_packet_size(self, size: int) -> int:
        return size

    def get_exception(self) -> None:
        """Nothing went wrong."""


def opened(line: Line) -> OrderedChannel:
    """A channel that is open, as paramiko makes one."""
    channels, made = OrderedChannels(), paramiko.Channel(NUMBER)
    channels.put(NUMBER, made)
    found = channels.get(NUMBER)
    assert isinstance(found, OrderedChannel)
    found._set_transport(line)  # type: ignore[attr-defined]
    found._set_window(1 << 20, 1 << 15)  # type: ignore[attr-defined]
    found._set_remote_channel(NUMBER, 1 << 20, 1 << 15)  # type: ignore[attr-defined]
    return found


def server_closes(channel: OrderedChannel) -> None:
    """The reading thread takes the server's end of the channel."""
    handlers_of(paramiko.Transport)[MSG_CHANNEL_CLOSE](channel, paramiko.Message())


@pytest.mark.parametrize(
    ("kind", "work"),
    [
        (MSG_CHANNEL_EOF, lambda channel: channel.shutdown_write()),
        (MSG_CHANNEL_DATA, lambda channel: channel.sendall(b"input")),
        (MSG_CHANNEL_REQUEST, lambda channel: channel.resize_pty()),
    ],
)
@pytest.mark.parametrize("end", [server_closes, lambda channel: channel.close()])
def test_who_is_about_to_send_does_so_before_the_end(
    kind: int, work: Callable[[OrderedChannel], None], end: Callable[[OrderedChannel], None]
) -> None:
    """OpenSSH ends the whole connection for a message behind the end."""
    line = Line()
    channel = opened(line)
    line.hold = kind
    sender = threading.Thread(target=work, args=(channel,), daemon=True)
    sender.start()
    assert line.held.wait(WAIT)
    line.hold = None
    end(channel)  # it does not wait for the sender: the reading thread has others to serve
    assert channel.closed
    assert MSG_CHANNEL_CLOSE not in line.sent
    line.go.set()
    sender.join(WAIT)
    assert line.sent[0] == kind
    assert line.sent[-1] == MSG_CHANNEL_CLOSE
    assert line.sent.count(MSG_CHANNEL_CLOSE) == 1
    assert line.sent.count(MSG_CHANNEL_EOF) == 1


def test_nothing_is_sent_after_the_end() -> None:
    line = Line()
    channel = opened(line)
    server_closes(channel)
    channel.close()
    channel.shutdown_write()
    with pytest.raises(OSError, match="closed"):
        channel.send(b"late")
    assert line.sent == [MSG_CHANNEL_EOF, MSG_CHANNEL_CLOSE]


def test_a_request_of_the_server_is_answered_in_its_place() -> None:
    line = Line()
    channel = opened(line)
    request = paramiko.Message()
    request.add_string("keepalive@openssh.com")
    request.add_boolean(True)
    request.rewind()
    handlers_of(paramiko.Transport)[MSG_CHANNEL_REQUEST](channel, request)
    assert len(line.sent) == 1
    assert MSG_CHANNEL_SUCCESS not in line.sent, "it is one that nobody knows"


def test_many_threads_that_send_and_close() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        line = Line()
        channel = opened(line)
        works: list[Callable[[], object]] = [
            channel.shutdown_write,
            lambda channel=channel: server_closes(channel),  # type: ignore[misc]
            channel.close,
            lambda channel=channel: _send_quietly(channel),  # type: ignore[misc]
        ]
        threads = [threading.Thread(target=chance.choice(works), daemon=True) for _ in range(6)]
        threads.append(threading.Thread(target=works[1], daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert line.sent.count(MSG_CHANNEL_CLOSE) == 1
        assert line.sent[-1] == MSG_CHANNEL_CLOSE, (seed, line.sent)


def _send_quietly(channel: OrderedChannel) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        channel.send(b"x")


WINDOW = 1 << 20


def server_sends(channel: OrderedChannel, kind: int, size: int) -> None:
    """The reading thread takes data for the channel: output, or what the command says of errors."""
    message = paramiko.Message()
    if kind == MSG_CHANNEL_EXTENDED_DATA:
        message.add_int(1)
    message.add_string(bytes(size))
    message.rewind()
    handlers_of(paramiko.Transport)[kind](channel, message)


@pytest.mark.parametrize(
    "kinds", [[MSG_CHANNEL_DATA], [MSG_CHANNEL_EXTENDED_DATA], [MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA]]
)
@pytest.mark.parametrize("combine", [False, True])
@pytest.mark.parametrize("ended", [False, True])
def test_a_server_that_ignores_the_window_fills_no_memory(kinds: list[int], combine: bool, ended: bool) -> None:
    channel = opened(Line())
    channel.set_combine_stderr(combine)
    if ended:
        channel._handle_eof(paramiko.Message())  # type: ignore[attr-defined]
    for number in range(WINDOW // 32768):
        server_sends(channel, kinds[number % len(kinds)], 32768)
    with pytest.raises(paramiko.SSHException, match="more than it may"):
        for number in range(8):
            server_sends(channel, kinds[number % len(kinds)], 32768)
    assert len(channel.in_buffer) + len(channel.in_stderr_buffer) < WINDOW + (1 << 17)


def test_what_is_read_makes_room_for_more() -> None:
    channel = opened(Line())
    for _ in range(4 * WINDOW // 32768):
        server_sends(channel, MSG_CHANNEL_DATA, 32768)
        assert len(channel.recv(32768)) == 32768
