"""What makes X2Go Client open a session profile: a session file for `--session-conf`, and command lines to paste.

The file is what X2Go Client itself writes to `~/.x2goclient/sessions`: an INI file of Qt (QSettings) with a section for
each session, `name`, `host` and so on in it. Source: the manual page x2goclient(1); tried on version 4.1.2.2.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from flask import Response, abort
from flask import request as http_request

from x2gobroker.broker import Broker
from x2gobroker.model.hosts import Host
from x2gobroker.model.ini_text import ini_name, value_text
from x2gobroker.model.options import Value
from x2gobroker.model.profile import BROKER_USER, SessionProfile
from x2gobroker.portal.decorator import signed_in
from x2gobroker.portal.languages import _
from x2gobroker.portal.page import message, page
from x2gobroker.portal.session import SignIn
from x2gobroker.portal.texts import profile_name
from x2gobroker.settings import GLOBAL, Settings

SUFFIX = ".x2go"
CONTENT_TYPE = "application/x-x2go"
LONGEST_FILE_NAME = 60
# written by us, or about a client that asks a broker
LEFT_OUT = frozenset(("name", "host", "sshport", "usebrokerpass", "status"))


@dataclass(frozen=True)
class CommandLine:
    """A command to paste, and what it is for: `client` (X2Go Client with the file), `broker`, `pyhoca`."""

    purpose: str
    text: str


def session_file(profile: SessionProfile, user: str, host: Host) -> str:
    """The text of the session file of one profile, for one of its servers. It holds no secret."""
    values: dict[str, Value] = {
        "name": profile_name(profile),
        "host": host.target,
        "sshport": host.port_or(profile.sshport),
        **{name: value for name, value in profile.options.items() if name not in LEFT_OUT},
    }
    lines = [f"[{section_name(profile.id)}]"]
    for name, value in values.items():
        lines.append(f"{ini_name(name)}={value_text(name, user if value == BROKER_USER else value)}")
    return "\n".join(lines) + "\n"


def section_name(profile_id: str) -> str:
    """The name of the file's section: QSettings takes `/` for folders, and escapes what is no letter or digit."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", profile_id) or "_"


def file_name(profile: SessionProfile) -> str:
    """A name for the file that every system can have."""
    plain = unicodedata.normalize("NFKD", profile_name(profile)).encode("ascii", "ignore").decode("ascii")
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", plain).strip("-.")[:LONGEST_FILE_NAME].rstrip("-.")
    return (stem or section_name(profile.id).strip("-")[:LONGEST_FILE_NAME] or "session") + SUFFIX


def server_for(settings: Settings, broker: Broker, profile: SessionProfile, wanted: str = "") -> Host | None:
    """The server to write into the file: the one that is wanted, where the profile has it; else one that answers.

    None where the profile has none.
    """
    for host in profile.hosts:
        if wanted and host.name == wanted:
            return host
    return broker.server_of(settings, profile).host or next(iter(profile.hosts), None)


def command_lines(settings: Settings, backend: str, root: str, profile: SessionProfile) -> Iterator[CommandLine]:
    """Commands for the file of a profile, and for all of the user's profiles by the broker at the URL `root`."""
    words = ["x2goclient", f"--session-conf={file_name(profile)}", f"--sessionid={section_name(profile.id)}"]
    yield CommandLine("client", shlex.join(words))
    for option, program, path, purpose in (
        ("enable-plain-output", "x2goclient", "plain", "broker"),
        ("enable-json-output", "pyhoca-gui", "json", "pyhoca"),
    ):
        if settings.boolean(GLOBAL, option):
            yield CommandLine(purpose, shlex.join([program, f"--broker-url={root.rstrip('/')}/{path}/{backend}/"]))


@signed_in
def client(sign_in: SignIn) -> Response:
    """How to open a profile in X2Go Client: the file to download, and commands."""
    profile = _asked_for(sign_in)
    return page(
        "client.html",
        sign_in,
        profile=profile,
        name=profile_name(profile),
        server=http_request.args.get("server", ""),
        file_name=file_name(profile),
        commands=list(command_lines(sign_in.settings, sign_in.broker.backend.name, http_request.url_root, profile)),
    )


@signed_in
def client_file(sign_in: SignIn) -> Response:
    """The session file of a profile, to be saved."""
    profile = _asked_for(sign_in)
    host = server_for(sign_in.settings, sign_in.broker, profile, http_request.args.get("server", ""))
    if host is None:
        text = _("The session profile has no server. Contact your administrator.")
        return message(_("No server"), text, 404, sign_in)
    response = Response(session_file(profile, sign_in.user, host), content_type=CONTENT_TYPE)
    response.headers["Content-Disposition"] = f'attachment; filename="{file_name(profile)}"'
    return response


def _asked_for(sign_in: SignIn) -> SessionProfile:
    """The profile that the address names. A 404 for one that the user may not have, as for one that is not there."""
    wanted = http_request.args.get("profile", "")
    profile = sign_in.broker.backend.select(sign_in.settings, wanted, sign_in.requester)
    if profile is None:
        abort(404)
    return profile
