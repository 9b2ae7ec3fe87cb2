"""What came of a task, and how tasks are performed: the same over HTTP and over SSH. Nothing here needs Flask."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from x2gobroker.auth.base import PasswordChange
from x2gobroker.broker import EVENT_GRACE, Broker, Login, Offer, Request
from x2gobroker.model.sessions import moved_line
from x2gobroker.scheduling.choice import NO_SERVER, Selection
from x2gobroker.scripts.base import ScriptValues
from x2gobroker.settings import Settings
from x2gobroker.store import ClientEvent

# what clients are told when nobody can tell whether a password is right
CANNOT_CHECK = "Passwords cannot be checked at present; try again later"
TEST = "testcon"
SELECT = "selectsession"
EVENT = "clientevent"
LONGEST_EVENT_FIELD = 500


@dataclass(frozen=True)
class Outcome:
    """What came of a task of somebody who is logged in; None for what the task is not about."""

    task: str
    offers: list[Offer] | None = None
    selection: Selection | None = None
    change: PasswordChange | None = None
    recorded: bool | None = None


def profile_id_of(fields: Mapping[str, str]) -> str:
    """The session profile that a form names: `sid` (X2Go Client) before `profile-id` (Python X2Go)."""
    return fields.get("sid", fields.get("profile-id", ""))


def script_values(
    fields: Mapping[str, str], request: Request, user: str = "", authed: bool | None = None, server: str | None = None
) -> ScriptValues:
    """What a site's scripts are told of a request; of `user` where it is known who asks."""
    return ScriptValues(
        user or request.user,
        request.password,
        fields.get("task", ""),
        profile_id_of(fields),
        request.address,
        request.authid,
        authed,
        server,
    )


def log_in(
    settings: Settings, broker: Broker, fields: Mapping[str, str], request: Request, vouched_by: str = ""
) -> tuple[Mapping[str, str], Request, Login]:
    """Log in, with the site's scripts before and after it; the fields and the request to go on with, as they left them.

    A login that a script refuses is not checked by the broker (before), or counts as refused (after). `vouched_by` says
    how it is known who asks, where that is known without a password.
    """
    scripts = broker.services.scripts
    if fields.get("task") == EVENT:
        request = replace(request, grace=EVENT_GRACE)
    before = script_values(fields, request)
    ruling = scripts.before_login(settings, before)
    if ruling.refused_by:
        return fields, request, Login.refused(request.user, "script", request.address)
    if ruling.values != before:
        fields, request = _changed_fields(fields, ruling.values), _changed_request(request, ruling.values)
    login = broker.vouched_login(settings, request, vouched_by) if vouched_by else broker.login(settings, request)
    before = script_values(fields, request, login.user, login.granted)
    ruling = scripts.after_login(settings, before)
    if ruling.refused_by and not login.cannot_tell:
        login = Login.refused(login.user, "script", login.address)
    return _changed_fields(fields, ruling.values) if ruling.values != before else fields, request, login


def _changed_fields(fields: Mapping[str, str], values: ScriptValues) -> Mapping[str, str]:
    return {**fields, "task": values.task, "sid": values.profile_id}


def _changed_request(request: Request, values: ScriptValues) -> Request:
    """The request in the name of another user; the account on the server is still the user's own, if it was before."""
    login = values.username if request.login == request.user else request.login
    return replace(request, user=values.username, password=values.password, authid=values.cookie, login=login)


def perform(settings: Settings, broker: Broker, fields: Mapping[str, str], request: Request, login: Login) -> Outcome:
    """Perform the task that a form names; none or an unknown one is a login and no more."""
    task = fields.get("task", "")
    match task:
        case "listsessions" | "listprofiles":
            return Outcome(task, offers=broker.list_profiles(settings, login))
        case "selectsession":
            profile_id = profile_id_of(fields)
            if not profile_id:
                return Outcome(task)
            pubkey = fields.get("pubkey", "")
            selection = broker.select_session(settings, login, profile_id, pubkey, request.login)
            return Outcome(task, selection=_scripted(settings, broker, fields, request, login, selection))
        case "setpass":
            change = broker.change_password(settings, login, request, fields.get("newpass", ""))
            return Outcome(task, change=change)
        case "clientevent":
            event = read_event(fields, login.user, request)
            return Outcome(task, recorded=broker.record_event(settings, event))
    return Outcome(task)


def _scripted(
    settings: Settings, broker: Broker, fields: Mapping[str, str], request: Request, login: Login, selection: Selection
) -> Selection:
    """The selection with the server's name as the site's scripts want it."""
    if selection.server == NO_SERVER or selection.told:
        return selection
    told = spoken_server(selection)
    values = script_values(fields, request, login.user, True, told)
    server = broker.services.scripts.after_selection(settings, values)
    return selection if server == told else renamed(selection, server)


def spoken_server(selection: Selection) -> str:
    """The server as the plain protocol can carry it."""
    return selection.host.speakable if selection.host else selection.server


def renamed(selection: Selection, server: str) -> Selection:
    """The same selection with another name for its server; sessions on it are found under that name, too."""
    told = spoken_server(selection)
    lines = tuple(moved_line(line, told, server) for line in selection.session_lines)
    return replace(selection, server=server, host=None, session_lines=lines)


def read_event(fields: Mapping[str, str], user: str, request: Request) -> ClientEvent:
    """The fields of a client event."""

    def text(name: str) -> str:
        return fields.get(name, "")[:LONGEST_EVENT_FIELD]

    elapsed = text("elapsed")
    return ClientEvent(
        username=user,
        session=text("sid"),
        event=text("event").upper(),
        login=request.login[:LONGEST_EVENT_FIELD],
        server=text("server"),
        client=text("client"),
        address=request.address,
        command=text("cmd"),
        display=text("display"),
        started=text("start"),
        elapsed=int(elapsed) if elapsed.isascii() and elapsed.isdigit() and len(elapsed) < 10 else 0,
        version=text("version"),
        system=text("os"),
        reported=time.time(),
    )
