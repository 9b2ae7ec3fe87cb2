"""A socket in a folder of the service's that is listened on in a user's name. Of the standard library only.

The user needs no folder to make it in, and everybody can see whose it is.
"""

from __future__ import annotations

import os
import socket
from typing import Any

MOST_CONNECTIONS = 64


def listen(listener: socket.socket, path: str, user: dict[str, Any] | None) -> None:
    """Bind it there, for this user (None: who we are) alone, and listen. Raises OSError."""
    listener.bind(path)
    os.chmod(path, 0o600)
    if user:
        os.chown(path, user["uid"], user["gid"], follow_symlinks=False)
        os.seteuid(user["uid"])  # whom connect(2)'s side sees as the peer is who called listen(2)
    try:
        listener.listen(MOST_CONNECTIONS)
    finally:
        if user:
            os.seteuid(0)
