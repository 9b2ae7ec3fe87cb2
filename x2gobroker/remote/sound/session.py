"""Sends what a desktop plays to one page, as it is played: what cannot go at once is dropped, silence is not sent."""

from __future__ import annotations

import array
import os
import select
import socket
import sys
import time
from typing import IO

from x2gobroker.privilege import MessageError, read_message
from x2gobroker.remote.sound.messages import CHUNK_BYTES, FROM_PAGE, FULL, LARGEST_DATA, LARGEST_TEXT, REDUCED, TO_PAGE
from x2gobroker.remote.sound.pace import Pace
from x2gobroker.remote.wire import GoneError, Wire

READ_BYTES = 1 << 16
WAIT_SECONDS = 5.0
ASK_SECONDS = 10.0  # how often a page that says nothing is asked whether it is there
QUIET_CHUNKS = 25  # without a sound, after which nothing more is sent: shorter breaks belong to what is played
LATE_CHUNKS = 10  # read at once, of which the older ones are dropped: this process was held up
SILENCE = bytes(CHUNK_BYTES)
NOT_A_MESSAGE = 1008


class Session:
    """One connection. `sound` gives what is recorded: samples of 16 bits, in chunks of any size."""

    def __init__(self, wire: Wire, sound: IO[bytes]) -> None:
        self._wire = wire
        self._sound = sound
        self._pace = Pace()
        self.recorded = False  # whether anything has been, if only silence
        self._rest = b""
        self._silent = QUIET_CHUNKS  # how many chunks without a sound have come, one after another
        self._asked = time.monotonic()

    def serve(self) -> bool:
        """Until the page is gone, or until nothing is recorded any more; whether the page is still there."""
        try:
            while True:
                says, plays = self._wire.wait_with(self._sound, select.POLLIN, WAIT_SECONDS)
                while says and (message := self._wire.receive(0.0)) is not None:
                    self._take(message)
                if plays and not self._play(os.read(self._sound.fileno(), READ_BYTES)):
                    return True
                if time.monotonic() - self._asked > ASK_SECONDS:
                    self._asked = time.monotonic()
                    self._wire.ask()
        except GoneError:
            self._wire.close()
            return False

    def _take(self, message: str | bytes) -> None:
        """Raises GoneError for what is no message: who sends such a thing is no page of ours."""
        try:
            if isinstance(message, bytes):
                raise ValueError("it sends data")
            found = read_message(message.encode("utf-8", "surrogatepass"), FROM_PAGE, LARGEST_TEXT)
            self._pace.taken(found["chunks"], time.monotonic())
        except (MessageError, ValueError) as error:
            self._wire.close(NOT_A_MESSAGE)
            raise GoneError(str(error)) from error

    def _play(self, data: bytes) -> bool:
        """Send what has been recorded; whether there was anything. Raises GoneError."""
        have = self._rest + data
        whole = len(have) // CHUNK_BYTES
        self._rest = have[whole * CHUNK_BYTES :]
        for number in range(max(0, whole - LATE_CHUNKS), whole):
            self._send(have[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES])
        self.recorded = self.recorded or bool(data)
        return bool(data)

    def _send(self, chunk: bytes) -> None:
        if chunk != SILENCE:
            self._silent = 0
        elif self._silent < QUIET_CHUNKS:
            self._silent += 1
            if self._silent == QUIET_CHUNKS:
                self._wire.send("quiet")
        now = time.monotonic()
        if self._silent < QUIET_CHUNKS and self._pace.may_send(now) and self._wire.takes:
            less = self._pace.reduced
            self._pace.sent(now)
            self._wire.send_data(bytes([REDUCED]) + reduced(chunk) if less else bytes([FULL]) + chunk)


def wire_of(channel: socket.socket) -> Wire:
    """What carries messages about sound, at the user's end of a connection."""
    return Wire(channel, TO_PAGE, LARGEST_TEXT, LARGEST_DATA)


def reduced(chunk: bytes) -> bytes:
    """The same sound in a quarter of the bytes: half the samples, of one channel, each a mean of four."""
    have = _samples(chunk)
    fours = zip(have[::4], have[1::4], have[2::4], have[3::4], strict=True)
    made = array.array("h", [sum(four) >> 2 for four in fours])
    return _in_order(made).tobytes()


def _samples(data: bytes) -> array.array[int]:
    return _in_order(array.array("h", data))


def _in_order(samples: array.array[int]) -> array.array[int]:
    """On the way, the low byte comes first."""
    if sys.byteorder == "big":
        samples.byteswap()
    return samples
