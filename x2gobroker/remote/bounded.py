"""What a script prints goes to the service's log, up to a limit for each thing that it is asked to do."""

from __future__ import annotations

import io
from typing import TextIO

MOST_BYTES = 1 << 16
DROPPED = "\n[what the script printed beyond this was dropped]\n"


class BoundedOutput(io.TextIOBase):
    """A text stream that passes MOST_BYTES on, and says once that it drops the rest."""

    def __init__(self, inner: TextIO, most: int = MOST_BYTES) -> None:
        self._inner = inner
        self._most = most
        self._left = most

    def begin(self) -> None:
        """From here on it may pass the whole limit on again."""
        self._left = self._most

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Pass a text on, or what of it still fits."""
        if self._left <= 0:
            return len(text)
        data = text.encode("utf-8", "replace")
        passed = data[: self._left].decode("utf-8", "ignore")
        self._left -= len(data)
        self._inner.write(passed if self._left > 0 else passed + DROPPED)
        self._inner.flush()
        return len(text)

    def flush(self) -> None:
        """Each write is passed on at once."""
        self._inner.flush()

    def fileno(self) -> int:
        """Where it goes: programs that a script starts write there themselves."""
        return self._inner.fileno()
