"""What a script has said of a running desktop, in a file that only the account of the scripts can write.

A worker that is made anew goes on from there. Nothing of it ever comes from the service or from the store.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from x2gobroker.privilege import safe_folder
from x2gobroker.remote.script import RemoteServiceScript


@dataclass(frozen=True)
class Place:
    """Where a desktop's VNC server is, whose desktop it is, and by which token this use of the slot goes."""

    token: str
    username: str
    host: str = ""
    port: int = 0
    unix: str = ""
    password: str | None = field(default=None, repr=False)

    @classmethod
    def said_by(cls, script: RemoteServiceScript, token: str, username: str) -> Place:
        """What a script has said, now."""
        host = script._hostname if script._port else ""
        return cls(token, username, host, script._port, script._unix_socket, script._password)

    def tell(self, script: RemoteServiceScript) -> None:
        """Tell it a script that another process has started. Raises ValueError for what is no place."""
        if self.unix:
            script.set_unix_socket(self.unix)
        elif self.port:
            script.set_host_port(self.host, self.port)
        script.set_password(self.password)


class PlaceFile:
    """The file of one slot in the folder of the scripts' state. All methods raise OSError."""

    def __init__(self, folder: Path, type_name: str, index: int) -> None:
        digest = hashlib.sha256(type_name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        self._folder = folder
        self._name = f"place-{digest}-{index}.json"

    def read(self) -> Place | None:
        """What is noted; None where nothing is, or what it is cannot be used."""
        with safe_folder(self._folder, os.geteuid(), os.getegid()) as folder:
            data = folder.read(self._name)
            if data is None or not folder.is_right(self._name, 0o600):
                return None
        try:
            return Place(**json.loads(data))
        except (ValueError, TypeError):
            return None

    def write(self, place: Place) -> None:
        """Note it."""
        with safe_folder(self._folder, os.geteuid(), os.getegid()) as folder:
            folder.write(self._name, json.dumps(asdict(place)).encode("ascii"), 0o600)

    def remove(self) -> None:
        """Forget it."""
        with safe_folder(self._folder, os.geteuid(), os.getegid()) as folder:
            folder.remove(self._name)
