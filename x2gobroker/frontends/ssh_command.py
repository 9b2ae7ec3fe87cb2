"""The broker over SSH: X2Go Client runs a command on the broker's host; its output is the answer of `/plain/`.

Nothing here imports Flask: every call is a new process.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from x2gobroker.broker import Broker, Request
from x2gobroker.errors import PluginError
from x2gobroker.frontends.fields import clean
from x2gobroker.frontends.outcome import TEST, log_in, perform
from x2gobroker.frontends.plain_text import TEST_ANSWER, ProfileTexts, denied, plain_text
from x2gobroker.logs import broker_log
from x2gobroker.logs import field as log_field
from x2gobroker.model.acl import parse_client
from x2gobroker.plugins import BACKENDS, registered
from x2gobroker.services import Services
from x2gobroker.settings import ENVIRONMENT, Settings

# what scripts of a site are given for a password, as by the reference
NO_PASSWORD = "SSH"  # noqa: S105
SET_PASSWORD = "setpass"  # noqa: S105
NO_ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Command:
    """One call. `user` is known for certain, by `reason`; `fields` are what a client would send in a form."""

    user: str
    reason: str
    fields: Mapping[str, str]
    address: str = NO_ADDRESS
    backend: str = ""


@dataclass(frozen=True)
class Reply:
    """What to write to standard output, what to tell the caller on the error stream, and the exit status."""

    text: str = ""
    complaint: str = ""
    status: int = 0


def client_address(ssh_client: str) -> str | None:
    """The address in a value of SSH_CLIENT (`address port port`, sshd(8)); None where there is none in it."""
    word = ssh_client.split(maxsplit=1)[0] if ssh_client.strip() else ""
    address = parse_client(word)
    return None if address is None else str(address)


def answer_command(settings: Settings, services: Services, command: Command) -> Reply:
    """Perform the task of a command as over HTTP, without asking for a password. Raises StoreError.

    A refused authid and a backend that is not enabled leave the exit status 0, as with the reference.
    """
    name = command.backend or settings.text(ENVIRONMENT, "X2GOBROKER_DEFAULT_BACKEND")
    if not settings.usable:
        return Reply(complaint="the broker's configuration cannot be used; its log says why", status=1)
    if name not in registered(BACKENDS):
        return Reply(complaint=f"there is no backend {log_field(name)}", status=1)
    if not settings.backend_enabled(name):
        broker_log.warning("%s refused: no backend %s is enabled", "ssh", log_field(name))
        return Reply(complaint=f"the backend {name} is not enabled")
    try:
        broker = Broker(services.backend(name), services)
    except PluginError as error:
        broker_log.error("backend: %s", error)
        return Reply(complaint=f"the backend {name} does not load; the broker's log says why", status=1)
    return _answer(settings, broker, command)


def _answer(settings: Settings, broker: Broker, command: Command) -> Reply:
    given = clean(command.fields)
    login_name = given.get("login", "") or command.user
    request = Request(command.user, NO_PASSWORD, given.get("authid", ""), login_name, command.address, time.time())
    fields, request, login = log_in(settings, broker, given, request, command.reason)
    if not login.granted:
        return Reply(denied(login.told))
    if fields.get("task") == TEST:
        return Reply(TEST_ANSWER)
    if fields.get("task") == SET_PASSWORD and request.password == NO_PASSWORD:
        request = replace(request, password="")
    outcome = perform(settings, broker, fields, request, login)
    if outcome.selection is not None and outcome.selection.told:
        return Reply(complaint=outcome.selection.told, status=1)
    return Reply(plain_text(settings, outcome, broker.next_authid(settings, login), ProfileTexts()))
