"""The frontend `pubkeys`: the broker's public SSH keys, ready for authorized_keys on an X2Go Server."""

from __future__ import annotations

import pwd
import socket

from flask import Blueprint, Response, abort
from flask import request as http_request

from x2gobroker.agents.rules import ssh_folder
from x2gobroker.frontends.base import Frontend, answer, context
from x2gobroker.model.origins import Callers
from x2gobroker.settings import ENVIRONMENT, Settings
from x2gobroker.ssh.authorized_keys import broker_line, public_keys


def authorized_keys(settings: Settings) -> str:
    """Lines for authorized_keys that let the broker run its agent, and nothing else."""
    user = settings.environment("X2GOBROKER_DAEMON_USER")
    command = settings.text(ENVIRONMENT, "X2GOBROKER_AGENT_CMD")
    try:
        if not settings.environment("X2GOBROKER_SSH_FOLDER"):
            pwd.getpwnam(user)
        keys = public_keys(ssh_folder(settings))
    except (KeyError, OSError):
        return ""
    where = f"{user}@{socket.gethostname()}"
    return "".join(f"{broker_line(command, kind, key, where)}\n" for kind, key in keys)


class PubkeysFrontend(Frontend):
    """`/pubkeys/`: what `x2gobroker-pubkeyauthorizer` fetches on an X2Go Server."""

    callers = Callers.LINKS

    def _routes(self, blueprint: Blueprint) -> None:
        blueprint.add_url_rule("/pubkeys", view_func=self.serve, methods=("GET", "HEAD", "POST"), strict_slashes=False)
        blueprint.add_url_rule("/pubkeys/", view_func=self.serve, methods=("GET", "HEAD", "POST"))

    def serve(self) -> Response:
        """All public keys, one line each; nothing when the broker has none."""
        if http_request.method == "POST":
            abort(405)
        return answer(authorized_keys(context().source.current()), "text/plain; charset=utf-8")
