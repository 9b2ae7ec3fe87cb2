"""Channels of SSH connections that never write behind their own end, and keep no more than they have asked for.

paramiko looks at a channel's state, makes a message, and sends it, and nothing keeps another thread from closing the
channel in between: the one that reads the connection, when a command has ended quickly, or one that wants to stop. What
comes to OpenSSH for a channel that is gone ends the whole connection, and every command on it. (`Disconnecting: ieof
packet referred to nonexistent channel`.)

Nor does paramiko look whether a server keeps to the window: one that does not would fill the memory.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import paramiko
from paramiko.common import MSG_CHANNEL_CLOSE, MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA, MSG_CHANNEL_REQUEST
from paramiko.transport import ChannelMap

BEYOND_WINDOW_BYTES = 1 << 16  # in case somebody counts differently


def _in_order(name: str) -> Callable[..., Any]:
    """paramiko's method of this name, during which the channel's end is not told to the server."""
    method = getattr(paramiko.Channel, name)

    @functools.wraps(method)
    def call(self: OrderedChannel, *words: Any, **named: Any) -> Any:
        with self._going_on():
            return method(self, *words, **named)

    return call


def _bounded(name: str) -> Callable[[OrderedChannel, paramiko.Message], None]:
    """paramiko's method of this name, which keeps what comes; raises SSHException for more than the window allows."""
    method = getattr(paramiko.Channel, name)

    @functools.wraps(method)
    def call(self: OrderedChannel, message: paramiko.Message) -> None:
        method(self, message)
        if len(self.in_buffer) + len(self.in_stderr_buffer) > self.in_window_size + BEYOND_WINDOW_BYTES:
            raise paramiko.SSHException("the server sends more than it may")

    return call


class OrderedChannel(paramiko.Channel):
    """A channel whose last message is its end, whoever else is about to send one.

    Who sends is counted before the channel's state is looked at, and the state is changed before the count is: so
    either the sender sees that the channel is closed, or whoever closes it leaves the last message to the sender.
    """

    transport: Any
    in_window_size: int
    _pipe: Any
    _close_internal: Callable[[], tuple[paramiko.Message | None, ...]]
    _order: threading.Lock
    _senders: int
    _late: list[paramiko.Message]

    def begin(self) -> None:
        """For a channel that has just been made."""
        self._order = threading.Lock()
        self._senders = 0
        self._late = []

    get_pty = _in_order("get_pty")
    invoke_shell = _in_order("invoke_shell")
    exec_command = _in_order("exec_command")
    invoke_subsystem = _in_order("invoke_subsystem")
    resize_pty = _in_order("resize_pty")
    set_environment_variable = _in_order("set_environment_variable")
    request_x11 = _in_order("request_x11")
    request_forward_agent = _in_order("request_forward_agent")
    recv = _in_order("recv")
    recv_stderr = _in_order("recv_stderr")
    send = _in_order("send")
    send_stderr = _in_order("send_stderr")
    shutdown = _in_order("shutdown")
    _handle_request = _in_order("_handle_request")
    _feed = _bounded("_feed")
    _feed_extended = _bounded("_feed_extended")

    @contextlib.contextmanager
    def _going_on(self) -> Iterator[None]:
        with self._order:
            self._senders += 1
        try:
            yield
        finally:
            with self._order:
                self._senders -= 1
                late, self._late = ([], self._late) if self._senders else (self._late, [])
            self._send_all(late)

    def close(self) -> None:
        """As paramiko's."""
        with self.lock:
            if self._pipe is not None:
                self._pipe.close()
                self._pipe = None
            if not self.active or self.closed:
                return
            messages = self._close_internal()
        self._send_last(messages)

    def _handle_close(self, _message: paramiko.Message) -> None:
        with self.lock:
            messages = self._close_internal()
            self.transport._unlink_channel(self.chanid)
        self._send_last(messages)

    def _send_last(self, messages: tuple[paramiko.Message | None, ...]) -> None:
        last = [message for message in messages if message is not None]
        with self._order:
            if self._senders:
                self._late += last
                return
        self._send_all(last)

    def _send_all(self, messages: list[paramiko.Message]) -> None:
        for message in messages:
            self.transport._send_user_message(message)


class OrderedChannels(ChannelMap):
    """The channels of one connection: paramiko puts each that it makes in here before anybody has it."""

    def put(self, chanid: int, chan: paramiko.Channel) -> None:
        """A new channel."""
        chan.__class__ = OrderedChannel
        assert isinstance(chan, OrderedChannel)  # noqa: S101 - for the type checker
        chan.begin()
        super().put(chanid, chan)


def handlers_of(transport: type[paramiko.Transport]) -> dict[int, Callable[..., Any]]:
    """What a transport calls for messages about channels: by itself it knows paramiko's own methods only."""
    known: dict[int, Callable[..., Any]] = dict(transport._channel_handler_table)  # type: ignore[attr-defined]
    return {
        **known,
        MSG_CHANNEL_CLOSE: OrderedChannel._handle_close,
        MSG_CHANNEL_REQUEST: OrderedChannel._handle_request,
        MSG_CHANNEL_DATA: OrderedChannel._feed,
        MSG_CHANNEL_EXTENDED_DATA: OrderedChannel._feed_extended,
    }
