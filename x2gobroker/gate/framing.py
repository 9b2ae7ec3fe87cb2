"""Where one HTTP/1 request ends in what a client sends (RFC 9112, 6 and 7.1).

Nothing is decided here about what the request says: the HTTP parser behind gets exactly these bytes, and refuses what
is wrong with them. Where a length can be read in two ways, the request ends with its header, and so does the
connection: nobody behind takes the rest for a request of its own.
"""

from __future__ import annotations

import re

from x2gobroker.gate.limits import Limits

END_OF_LINE, END_OF_HEAD = b"\r\n", b"\r\n\r\n"
LENGTH = re.compile(rb"[0-9]{1,15}")
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")
LONGEST_CHUNK_LINE = 1024
CHUNK_OVERHEAD = 1 << 20  # of size lines and trailers, for the smallest of chunks
CONTINUE = b"100-continue"
TOO_LARGE, HEAD_TOO_LARGE, BAD = 413, 431, 400


class Framing:
    """Reads the bytes of one request as they come, each of them once.

    `has_head`: the header is whole. `end`: where the request ends, once `look` is True. `is_last`: nothing after it
    can be read. `waits`: the client waits for a word before it sends the body. `refusal`: a status where the request
    is not even worth parsing.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._at = 0
        self._head_end = 0
        self._chunked = False
        self._body_bytes = 0
        self._in_trailer = False
        self.has_head = False
        self.end = 0
        self.is_last = False
        self.waits = False
        self.refusal = 0

    def look(self, held: bytearray) -> bool:
        """Whether the request is whole, or refused; `held` is what has come, from its first byte on."""
        if not self.has_head:
            self._find_head(held)
        if not self.has_head or self.refusal:
            return bool(self.refusal)
        if self._chunked and not self.is_last:
            return self._chunks(held)
        return len(held) >= self.end

    def _find_head(self, held: bytearray) -> None:
        at = held.find(END_OF_HEAD, max(0, self._at - len(END_OF_HEAD) + 1))
        self._at = len(held)
        if (at < 0 and len(held) > self._limits.head_bytes) or at > self._limits.head_bytes:
            self.refusal = HEAD_TOO_LARGE
        elif at >= 0:
            self.has_head = True
            self._head_end = self._at = self.end = at + len(END_OF_HEAD)
            self._read_head(bytes(held[:at]))

    def _read_head(self, head: bytes) -> None:
        found: dict[bytes, list[bytes]] = {}
        first, *lines = head.split(END_OF_LINE)
        for line in lines:
            name, _, value = line.partition(b":")
            found.setdefault(name.strip().lower(), []).append(value.strip())
        lengths, codings = found.get(b"content-length", []), found.get(b"transfer-encoding", [])
        # HTTP/1.0 knows no words before the answer
        asks = [value.lower() for value in found.get(b"expect", [])] == [CONTINUE]
        self.waits = asks and not first.endswith(b"HTTP/1.0")
        if codings:
            self._chunked = not lengths and [value.lower() for value in codings] == [b"chunked"]
            self.is_last = not self._chunked
        elif lengths:
            clear = len(lengths) == 1 and LENGTH.fullmatch(lengths[0]) is not None
            size = int(lengths[0]) if clear else 0
            # too large: whoever answers sees the length, and reads nothing
            self.is_last = not clear or size > self._limits.body_bytes
            self.end += 0 if self.is_last else size
        self.waits = self.waits and not self.is_last

    def _chunks(self, held: bytearray) -> bool:
        """Go from chunk to chunk; True at the end of the last one's trailer, and for what is refused."""
        while not self._in_trailer:
            if self._at > len(held):
                return self._over(held)
            stop = held.find(END_OF_LINE, self._at, self._at + LONGEST_CHUNK_LINE)
            if stop < 0:
                if len(held) - self._at >= LONGEST_CHUNK_LINE:
                    self.refusal = BAD
                return self._over(held)
            size = bytes(held[self._at : stop]).partition(b";")[0].strip()
            if not CHUNK_SIZE.fullmatch(size):
                self.refusal = BAD
                return True
            self._at = stop + len(END_OF_LINE)
            self._body_bytes += int(size, 16)
            if self._body_bytes > self._limits.body_bytes:
                self.refusal = TOO_LARGE
                return True
            if int(size, 16):
                self._at += int(size, 16) + len(END_OF_LINE)
            else:
                self._in_trailer = True
        return self._trailer(held)

    def _trailer(self, held: bytearray) -> bool:
        # the trailer's first line may be the empty one; the end of the size line stands before it
        at = held.find(END_OF_HEAD, self._at - len(END_OF_LINE), self._at + self._limits.head_bytes)
        if at >= 0:
            self.end = at + len(END_OF_HEAD)
            return True
        if len(held) - self._at >= self._limits.head_bytes:
            self.refusal = HEAD_TOO_LARGE
        return self._over(held)

    def _over(self, held: bytearray) -> bool:
        if len(held) > self._head_end + self._limits.body_bytes + CHUNK_OVERHEAD:
            self.refusal = TOO_LARGE
        return bool(self.refusal)
