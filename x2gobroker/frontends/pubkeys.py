"""The frontend `pubkeys`: the broker's public SSH keys, ready for authorized_keys on an X2Go Server."""

from __future__ import annotations

import base64
import binascii
import pwd
import re
import socket
from pathlib import Path

from flask import Blueprint, Response, abort
from flask import request as http_request

from x2gobroker.frontends.base import Frontend, answer, context
from x2gobroker.settings import ENVIRONMENT, Settings

RESTRICTIONS = "no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty"
KEY_TYPE = re.compile(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]{3,60}")
MAX_KEY_SIZE = 16384


def public_keys(folder: Path) -> list[tuple[str, str]]:
    """Type and base64 text of every public key `id_*.pub` of a folder; what is no key is left out."""
    keys = []
    for path in sorted(folder.glob("id_*.pub")):
        try:
            with path.open(encoding="ascii") as stream:
                words = stream.read(MAX_KEY_SIZE).split()
            if len(words) >= 2 and KEY_TYPE.fullmatch(words[0]):
                base64.b64decode(words[1], validate=True)
                keys.append((words[0], words[1]))
        except (OSError, UnicodeDecodeError, binascii.Error):
            continue
    return keys


def authorized_keys(settings: Settings) -> str:
    """Lines for authorized_keys that let the broker run its agent, and nothing else."""
    user = settings.environment("X2GOBROKER_DAEMON_USER")
    command = "".join(
        character
        for character in settings.text(ENVIRONMENT, "X2GOBROKER_AGENT_CMD")
        if character.isprintable() and character != '"'
    )
    try:
        folder = Path(pwd.getpwnam(user).pw_dir) / ".ssh"
        keys = public_keys(folder)
    except (KeyError, OSError):
        return ""
    where = f"{user}@{socket.gethostname()}"
    return "".join(f'command="{command}",{RESTRICTIONS} {kind} {key} {where}\n' for kind, key in keys)


class PubkeysFrontend(Frontend):
    """`/pubkeys/`: what `x2gobroker-pubkeyauthorizer` fetches on an X2Go Server."""

    def _routes(self, blueprint: Blueprint) -> None:
        blueprint.add_url_rule("/pubkeys", view_func=self.serve, methods=("GET", "HEAD", "POST"), strict_slashes=False)
        blueprint.add_url_rule("/pubkeys/", view_func=self.serve, methods=("GET", "HEAD", "POST"))

    def serve(self) -> Response:
        """All public keys, one line each; nothing when the broker has none."""
        if http_request.method == "POST":
            abort(405)
        return answer(authorized_keys(context().source.current()), "text/plain; charset=utf-8")
