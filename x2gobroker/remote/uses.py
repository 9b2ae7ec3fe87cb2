"""The folders in which desktops that ship keep their state: a fresh one for each use of a slot, and nobody else's.

Everything in there is the service's own: users own neither a folder nor a file, so nothing that a user does can keep a
folder from being made or removed, or fill the file system that it is on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from x2gobroker.remote.sound.server import NOTE

LARGEST_STATE = 4096
FOLDER_MODE = 0o711  # users go through it to their socket, and cannot list it
STATE = "state.json"
ENDED = "ended"
LOG = "log"
LAST_LOG = ".last-log"
NEEDED = {"pid", "began", "socket", "cgroup"}


class StateFolderError(OSError):
    """The folder for all of them is not ours alone."""


@dataclass(frozen=True)
class Use:
    """One use of a slot, in a folder of its own."""

    folder: Path

    @property
    def socket(self) -> Path:
        """Where its VNC server listens."""
        return self.folder / "vnc"

    @property
    def sound(self) -> Path:
        """Where its sound server listens, if it has one."""
        return self.folder / "sound"

    def sound_source(self) -> dict[str, str] | None:
        """What its user's programs play by: `server`, as PulseAudio has it, and `source`, what is to be recorded there.

        None where it has no sound.
        """
        try:
            with (self.folder / NOTE).open("rb") as stream:
                found = json.loads(stream.read(LARGEST_STATE))
        except (OSError, ValueError):
            return None
        return {name: str(found[name]) for name in ("server", "source")}

    def state(self) -> dict[str, Any] | None:
        """What the process that keeps it has noted; None when it has ended, or never began."""
        try:
            with (self.folder / STATE).open("rb") as stream:
                found = json.loads(stream.read(LARGEST_STATE))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and found.keys() >= NEEDED else None

    def ended(self) -> str:
        """What the process that kept it says of its end; nothing where somebody has ended it."""
        try:
            with (self.folder / ENDED).open("rb") as stream:
                return stream.read(LARGEST_STATE).decode("utf-8", "replace")
        except OSError:
            return ""

    def remove(self) -> None:
        """Remove the folder, but keep the log of what ran in it, as the slot's last one.

        What cannot be removed is tried again at the next use of the slot; nobody waits for it.
        """
        slot = self.folder.name.rpartition(".")[0]
        with contextlib.suppress(OSError):
            os.rename(self.folder / LOG, self.folder.parent / f"{slot}{LAST_LOG}")
        with contextlib.suppress(OSError):
            for entry in os.listdir(self.folder):
                with contextlib.suppress(OSError):
                    os.unlink(self.folder / entry)
            os.rmdir(self.folder)


class Uses:
    """All uses of one slot whose folders are there; most often one or none."""

    def __init__(self, state_folder: Path, name: str, index: int) -> None:
        self._above = state_folder
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        self._prefix = f"{digest}-{index}."

    def all(self) -> list[Use]:
        """Them, in no order."""
        try:
            names = os.listdir(self._above)
        except FileNotFoundError:
            return []
        own = (name for name in names if name.startswith(self._prefix))
        return [Use(self._above / name) for name in own if not name.endswith(LAST_LOG)]

    def fresh(self) -> Use:
        """A new one. Raises OSError, StateFolderError."""
        self._above.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        status = os.lstat(self._above)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise StateFolderError(f"{self._above} must be a folder that only the service's account can write to")
        made = Use(self._above / f"{self._prefix}{secrets.token_hex(6)}")
        made.folder.mkdir(mode=FOLDER_MODE)
        made.folder.chmod(FOLDER_MODE)  # whatever the umask is
        return made
