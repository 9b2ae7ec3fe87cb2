"""What a test shows in place of a file or folder of the machine."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

COMMAND_DEADLINE = 20.0


@contextlib.contextmanager
def mounted_over(shown: Path, place: Path) -> Iterator[None]:
    """`shown` is seen at `place`, for the length of a `with` block. Needs root and a mount namespace of one's own."""
    subprocess.run(["mount", "--bind", str(shown), str(place)], check=True, timeout=COMMAND_DEADLINE)
    try:
        yield
    finally:  # sessions that still run there keep what they have open
        subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=COMMAND_DEADLINE)
