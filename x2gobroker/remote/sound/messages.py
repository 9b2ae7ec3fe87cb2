"""What a page and the process that sends it sound say to each other.

Data are chunks of sound: a byte that says in what form it is, FULL or REDUCED, and the samples, 16 bits each, the low
byte first. Texts are these messages:

    taken  <- how many chunks the page has got in all, so that nothing piles up on the way
    quiet  -> nothing is played now: no chunk comes until there is something
    none   -> the desktop has no sound server (any more); the connection ends
"""

from __future__ import annotations

from x2gobroker.privilege import Form, Number
from x2gobroker.remote.sound.server import CHANNELS, RATE

FULL, REDUCED = 0, 1  # RATE, two channels; half of RATE, one channel
CHUNK_MILLISECONDS = 20
FRAME_BYTES = 2 * CHANNELS
CHUNK_BYTES = RATE * CHUNK_MILLISECONDS // 1000 * FRAME_BYTES
MOST_CHUNKS = 1 << 40
LARGEST_TEXT = LARGEST_DATA = 256  # of one message of a page

FROM_PAGE: dict[str, Form] = {"taken": {"chunks": Number(0, MOST_CHUNKS)}}
TO_PAGE: dict[str, Form] = {"quiet": {}, "none": {}}
