"""Nothing may be left of a connection: no thread, no socket, no child process."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import wait_until

LEFT_SECONDS = 15.0


def sockets() -> set[str]:
    """The open sockets of this process."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed this moment
            target = os.readlink(entry)
            if target.startswith("socket:"):
                found.add(target)
    return found


def own_children() -> set[int]:
    """The processes that this process started; not what these started, as servers of other tests do."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended this moment
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                    found.add(int(entry.name))
    return found


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """At the end of the `with` block there are no threads, sockets and child processes that were not there before."""
    threads, before, children = set(threading.enumerate()), sockets(), own_children()
    yield

    def left() -> list[str]:
        return [
            *(f"thread {thread.name}" for thread in threading.enumerate() if thread not in threads),
            *(name for name in sockets() if name not in before),
            *(f"process {pid}" for pid in own_children() if pid not in children),
        ]

    try:
        wait_until(lambda: not left(), "the end of what a connection needs", LEFT_SECONDS)
    except AssertionError as error:
        stacks = [
            "".join(traceback.format_stack(sys._current_frames()[thread.ident]))
            for thread in threading.enumerate()
            if thread not in threads and thread.ident in sys._current_frames()
        ]
        raise AssertionError(f"{error}: {left()}\n{''.join(stacks)}") from None
