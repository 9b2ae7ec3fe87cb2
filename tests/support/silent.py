"""An address on loopback that nobody answers at, as that of a host that is switched off."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

QUEUED = 3


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """The port of a listener whose queue is full: connecting to it goes on and on."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(QUEUED):
            visitor = stack.enter_context(socket.socket())
            visitor.setblocking(False)
            visitor.connect_ex(full.getsockname())
        yield full.getsockname()[1]
