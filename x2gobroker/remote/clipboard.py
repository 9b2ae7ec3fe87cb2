"""Which way a session's clipboard works, and which messages of the clipboard may pass for that.

Beside plain texts there is the extended clipboard of rfbproto.rst: its messages say what they are by flags. Where one
way is closed, those still pass that only ask, or say what one side knows: without them the other way would not work.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from x2gobroker.remote.keys import BOTH, IN, OUT

EXTENDED_CLIPBOARD = -1063131698
CAPS, NOTIFY, PROVIDE = 1 << 24, 1 << 27, 1 << 28  # a message of capabilities lists the others


@dataclass(frozen=True)
class Clipboard:
    """Whether texts go in to the session, and out of it."""

    goes_in: bool
    goes_out: bool

    @classmethod
    def of(cls, word: str) -> Clipboard:
        """By the key `clipboard` of a session type."""
        return cls(word in (BOTH, IN), word in (BOTH, OUT))

    def lets_in(self, head: bytes) -> bool:
        """Whether a ClientCutText message may go to the VNC server. `head` has its flags, where it is extended."""
        return self.goes_in or (self.goes_out and _carries_nothing(head))

    def lets_out(self, head: bytes) -> bool:
        """Whether a ServerCutText message may go to the browser. `head` as above."""
        return self.goes_out or (self.goes_in and _carries_nothing(head))


NO_CLIPBOARD = Clipboard(goes_in=False, goes_out=False)


def is_extended(head: bytes) -> bool:
    """Whether four bytes of flags follow the first eight of a message of the clipboard."""
    size = int(struct.unpack_from(">i", head, 4)[0])
    return size <= -4


def _carries_nothing(head: bytes) -> bool:
    if not is_extended(head) or len(head) < 12:
        return False
    (flags,) = struct.unpack_from(">I", head, 8)
    return bool(flags & CAPS or not flags & (NOTIFY | PROVIDE))
