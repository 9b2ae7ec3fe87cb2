"""What a page gets of what is played: all of it while it lives, no silence, nothing old, and no harm by its words."""

from __future__ import annotations

import array
import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.files_page import ClosedError, FilesPage
from x2gobroker.remote.sound.messages import CHUNK_BYTES, FULL, REDUCED
from x2gobroker.remote.sound.session import QUIET_CHUNKS, Session, reduced, wire_of

SILENCE = bytes(CHUNK_BYTES)
SOUND = b"\x01\x02" * (CHUNK_BYTES // 2)


@dataclass
class Bench:
    """A page, and what is recorded for it."""

    page: FilesPage
    sound: IO[bytes]
    ended: list[object]

    def play(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.sound.write(chunk)

    def taken(self, count: int) -> None:
        self.page.say("taken", chunks=count)


@contextlib.contextmanager
def begun() -> Iterator[Bench]:
    """A session; it ends with the page, whatever that has said."""
    ours, theirs = socket.socketpair()
    readable, writable = os.pipe()
    ended: list[object] = []

    def serve() -> None:
        try:
            with os.fdopen(readable, "rb", buffering=0) as stream:
                ended.append(Session(wire_of(theirs), stream).serve())
        except BaseException as error:  # noqa: BLE001 - for the test's own thread
            ended.append(error)
        finally:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with os.fdopen(writable, "wb", buffering=0) as sound:
        try:
            yield Bench(FilesPage(ours), sound, ended)
        finally:
            ours.close()
            thread.join(20)
            assert not thread.is_alive()
            assert ended in ([True], [False]), ended


@pytest.fixture
def bench() -> Iterator[Bench]:
    with begun() as made:
        yield made


def test_what_is_played_comes_whole(bench: Bench) -> None:
    chunks = [bytes([1, number]) * (CHUNK_BYTES // 2) for number in range(20)]
    for number, chunk in enumerate(chunks):
        bench.play(chunk[:1000], chunk[1000:])
        assert bench.page.hear() == bytes([FULL]) + chunk
        bench.taken(number + 1)


def test_silence_is_not_sent(bench: Bench) -> None:
    bench.play(*[SILENCE] * 60)
    bench.play(SOUND)
    assert bench.page.hear() == bytes([FULL]) + SOUND
    bench.taken(1)
    for number in range(QUIET_CHUNKS - 1):
        bench.play(SILENCE)
        assert bench.page.hear() == bytes([FULL]) + SILENCE, number
        bench.taken(number + 2)
    bench.play(*[SILENCE] * 60)
    assert bench.page.expect("quiet") == {"do": "quiet"}
    bench.play(SOUND)
    assert bench.page.hear() == bytes([FULL]) + SOUND


def test_a_page_that_takes_nothing_gets_no_more(bench: Bench) -> None:
    """And what it gets when it takes again is what is played then."""
    sent = 100
    for _ in range(sent):
        bench.play(SOUND)
        time.sleep(0.02)
    got = 0
    bench.page.channel.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while bench.page.hear():
            got += 1
    assert 0 < got < sent * 0.7
    bench.page.channel.settimeout(20)
    bench.taken(got)
    time.sleep(0.3)
    bench.play(SOUND)
    found = bench.page.hear()
    assert isinstance(found, bytes)
    assert found[0] == REDUCED
    assert len(found) == 1 + CHUNK_BYTES // 4


def test_what_was_held_up_is_dropped_but_for_the_last_of_it(bench: Bench) -> None:
    chunks = [bytes([1, number]) * (CHUNK_BYTES // 2) for number in range(1, 18)]
    bench.play(b"".join(chunks))
    found = bench.page.hear()
    assert isinstance(found, bytes)
    assert found[1:] in chunks


def test_the_end_of_what_is_recorded(bench: Bench) -> None:
    bench.play(SOUND)
    bench.page.hear()
    bench.sound.close()
    with contextlib.suppress(ClosedError):
        bench.page.hear()
    assert bench.ended == [True]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b'{"do":"taken"}',
        b'{"do":"taken","chunks":1}',  # of which none was sent
        b'{"do":"taken","chunks":-1}',
        b'{"do":"taken","chunks":true}',
        b'{"do":"taken","chunks":0,"more":1}',
        b'{"do":"quiet"}',
        b'{"do":"play"}',
        b"\xff",
        b"x" * 5000,
    ],
)
def test_a_page_that_says_something_else_is_left(bench: Bench, text: bytes) -> None:
    with contextlib.suppress(OSError):
        bench.page.say_text(text)
    with pytest.raises(ClosedError):
        bench.page.hear()


def test_a_page_sends_no_data(bench: Bench) -> None:
    bench.page.say_data(b"x")
    with pytest.raises(ClosedError) as left:
        bench.page.hear()
    assert left.value.code == 1008


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=600))
def test_bytes_that_are_no_websocket_do_no_harm(data: bytes) -> None:
    with begun() as bench, contextlib.suppress(OSError):
        bench.play(SOUND, SILENCE)
        bench.page.say_bytes(data)


def tone(frequency: float, rate: int, frames: int) -> list[float]:
    return [math.sin(2 * math.pi * frequency * frame / rate) for frame in range(frames)]


def test_less_of_a_sound_is_the_same_sound() -> None:
    left, right = (tone(frequency, 48000, CHUNK_BYTES // 4) for frequency in (300.0, 500.0))
    both = array.array("h", [round(20000 * value) for pair in zip(left, right, strict=True) for value in pair])
    found = array.array("h", reduced(both.tobytes()))
    assert len(found) == len(both) // 4
    wanted = [(left[2 * i] + left[2 * i + 1] + right[2 * i] + right[2 * i + 1]) / 4 for i in range(len(found))]
    assert max(abs(have - 20000 * want) for have, want in zip(found, wanted, strict=True)) < 2
