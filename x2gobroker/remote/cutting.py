"""Cuts a stream of messages as it comes, and keeps nothing of it but the head of one message.

A grammar is a generator that says what comes next: so many bytes that it wants to see (few), that go through, or that
are dropped. It gets what it wanted to see, and nothing else can change what it takes the next byte for.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

TAKE, PASS, DROP, GIVE = range(4)
STEPS = 500  # about 2 ms; after so many somebody else has a turn
MOST_TAKEN = 1 << 13

# (TAKE, size), (PASS, size), (DROP, size), or (GIVE, bytes that are sent as if they had come)
Step = tuple[int, int | bytes]
Grammar = Generator[Step, bytes, None]


class Cutter:
    """Drives one grammar."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._taken = bytearray()
        self._step = TAKE
        self._left = 0
        self._given = b""
        self._set(next(grammar))

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What of this goes through, in parts, which may be empty. Between two of them others may have a turn.

        Raises what the grammar raises.
        """
        view, at, out, steps = memoryview(data), 0, [], 0
        while at < len(view) or not self._left:
            size = min(self._left, len(view) - at)
            piece = view[at : at + size]
            at += size
            self._left -= size
            if self._step == PASS:
                out.append(bytes(piece))
            elif self._step == TAKE:
                self._taken += piece
            elif self._step == GIVE:
                out.append(self._given)
            if not self._left:
                self._set(self._grammar.send(self._all_taken()))
                steps += 1
                if steps == STEPS:
                    yield b"".join(out)
                    out, steps = [], 0
        yield b"".join(out)

    @property
    def held_bytes(self) -> int:
        """How much is kept until more comes."""
        return len(self._taken)

    def _all_taken(self) -> bytes:
        taken = bytes(self._taken)
        self._taken.clear()
        return taken

    def _set(self, step: Step) -> None:
        self._step, value = step
        if isinstance(value, bytes):
            self._left, self._given = 0, value
        else:
            self._left = value
            if self._step == TAKE and value > MOST_TAKEN:
                raise ValueError(f"a grammar that wants to keep {value} bytes")
