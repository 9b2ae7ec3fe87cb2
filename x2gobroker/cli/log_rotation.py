"""Whether logrotate has log files of the broker twice: it rotates none of a file whose entries it has seen before."""

from __future__ import annotations

import shlex
from fnmatch import fnmatchcase
from pathlib import Path

from x2gobroker.settings import Problem

FOLDER = Path("/etc/logrotate.d")
OURS = "x2gobroker"
LOGS = "/var/log/x2gobroker/"


def rotation_problems(folder: Path = FOLDER) -> list[Problem]:
    """Warnings for files beside ours, such as those of Debian's packages, that name the same log files."""
    mine = rotated(folder / OURS)
    found = []
    for path in sorted(folder.glob(f"{OURS}-*")) if mine else ():
        twice = sorted({log for log in rotated(path) if any(_same(log, other) for other in mine)})
        if twice:
            message = f"names {', '.join(twice)}, as {folder / OURS} does: logrotate fails upon that; remove {path}"
            found.append(Problem(str(path), 0, message, error=False))
    return found


def rotated(path: Path) -> list[str]:
    """The log files of the broker that a file of logrotate names; none where it is not there or cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return []
    found: list[str] = []
    depth = 0
    for line in lines:
        text = line.strip()
        if not depth and text.startswith(("/", '"', "'")):
            found += [word for word in _words(text.partition("{")[0]) if word.startswith(LOGS)]
        if not text.startswith("#"):
            depth += text.count("{") - text.count("}")
    return found


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _same(one: str, other: str) -> bool:
    return fnmatchcase(one, other) or fnmatchcase(other, one)
