"""The files of PAM services: which there are, and which modules they name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

SERVICE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
SERVICE_FOLDERS = ("/etc/pam.d", "/usr/lib/pam.d")
INCLUDES = ("include", "substack")
LONGEST_FILE = 65536
MOST_FILES = 32


def service_exists(service: str) -> bool:
    """Whether there is a PAM service of this name; libpam would silently take the service `other` for it."""
    return bool(SERVICE_NAME.fullmatch(service)) and _path_of(service) is not None


def names_module(service: str, module: str) -> bool:
    """Whether the service names a module (`pam_exec.so`), itself or in what it includes."""
    return any(os.path.basename(word) == module for words in _lines_of(service) for word in words)


def read_service(service: str) -> list[str] | None:
    """The lines of a service's own file, without comments and as libpam puts them together; None: there is no file."""
    path = _path_of(service)
    if path is None:
        return None
    with open(path, encoding="utf-8", errors="replace") as stream:
        lines = stream.read(LONGEST_FILE).replace("\\\n", " ").split("\n")
    return [line.partition("#")[0] for line in lines]


def _lines_of(service: str) -> Iterator[list[str]]:
    """The words of each line of a service and of what it includes."""
    left, seen = [service], set[str]()
    while left and len(seen) < MOST_FILES:
        name = left.pop()
        if name in seen or (lines := read_service(name)) is None:
            continue
        seen.add(name)
        for line in lines:
            words = line.split()
            yield words
            if included := _included(words):
                left.append(included)


def _included(words: list[str]) -> str:
    """The service that a line includes; nothing where it is another line."""
    return words[-1] if words[:1] == ["@include"] or (words[1:2] and words[1] in INCLUDES) else ""


def _path_of(service: str) -> str | None:
    paths = (os.path.join(folder, service) for folder in SERVICE_FOLDERS)
    return next((path for path in paths if os.path.isfile(path)), None)
