"""Pre-shared authids: what all clients of a site show, from a file that may change while the broker runs."""

from __future__ import annotations

import re
from pathlib import Path

from x2gobroker.settings import GLOBAL, Settings, WatchedFile
from x2gobroker.settings.text_files import read_text

FILE, FORMER_FILE = "my-cookie-file", "my-cookie-old-file"
LONGEST_FILE = 65536
PLACEHOLDER = re.compile(r"[xX]{8}(-[xX]{4}){3}-[xX]{12}")


class PresetAuthids:
    """Watches the files. Safe for threads."""

    def __init__(self) -> None:
        self._files: dict[str, WatchedFile[str]] = {}

    def present(self, settings: Settings) -> str:
        """The pre-shared authid of `my-cookie-file`, else of `my-cookie`; empty when there is none."""
        return self._in_file(settings, FILE) or usable_authid(settings.text(GLOBAL, "my-cookie").strip())

    def former(self, settings: Settings) -> str:
        """The one before, of `my-cookie-old-file`; empty when none counts any longer."""
        return self._in_file(settings, FORMER_FILE) if settings.text(GLOBAL, FORMER_FILE) else ""

    def _in_file(self, settings: Settings, option: str) -> str:
        path = settings.path(GLOBAL, option)
        watched = self._files.get(option)
        if watched is None or watched.path != path:
            watched = self._files[option] = WatchedFile(path, read_preset_authid, "")
        return watched.current().value


def read_preset_authid(path: Path) -> str:
    """The first word of the first line that is no comment; none for the placeholder that packages ship.

    Raises ConfigurationError when the file cannot be read.
    """
    lines = read_text(path, LONGEST_FILE).split("\n")
    words = (line.split() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return usable_authid(next(words, [""])[0])


def usable_authid(text: str) -> str:
    """A pre-shared authid; none for what stands in its place until somebody sets one."""
    return "" if PLACEHOLDER.fullmatch(text) else text
