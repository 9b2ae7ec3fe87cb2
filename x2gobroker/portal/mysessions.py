"""The page of a user's sessions: desktops in the browser, and sessions on X2Go Servers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response
from flask import request as http_request

from x2gobroker.broker import Offer
from x2gobroker.errors import SessionError, StoreError
from x2gobroker.inventory.record import Inventory
from x2gobroker.inventory.selections import SelectionNotes
from x2gobroker.logs import error_log
from x2gobroker.model.inventory import ENDED
from x2gobroker.model.sessions import SUSPENDED
from x2gobroker.portal.catalogue import is_held
from x2gobroker.portal.decorator import signed_in
from x2gobroker.portal.languages import _, _n
from x2gobroker.portal.page import field, go_to, message, page
from x2gobroker.portal.session import SignIn
from x2gobroker.portal.texts import desktop_age, desktop_name, duration, profile_name, time_left
from x2gobroker.portal.x2go_sessions import Found, FoundSession, find_sessions, own_profiles
from x2gobroker.remote.desktop import GRACE, IDLE
from x2gobroker.store import RemoteDesktops, Slot
from x2gobroker.user_sessions import UserLogin, UserSessions
from x2gobroker.user_sessions.values import GONE, HOST_KEY, LOGIN, TIMEOUT, UNREACHABLE

SHOWN_NAMES = 5
LONGEST_SESSION = 250


@dataclass(frozen=True)
class Failure:
    """Servers that could not be asked: what is wrong, and what to do."""

    servers: str
    text: str


@signed_in
def sessions(sign_in: SignIn) -> Response:
    """All that the user has open. What X2Go Servers have to be asked for comes later, by a script, or with `?servers`:
    nobody waits for the slowest of them to see what is known already.
    """
    now = time.time()
    slots = [
        slot
        for slot in sign_in.services.of(RemoteDesktops, sign_in.settings).of_user(sign_in.user)
        if is_held(slot, now)
    ]
    types = sign_in.services.session_types.current(sign_in.settings).types
    offers = sign_in.broker.list_profiles(sign_in.settings, sign_in.login)
    login = _login(sign_in)
    asks = login is not None and "servers" in http_request.args
    return page(
        "sessions.html",
        sign_in,
        slots=slots,
        asks_later=login is not None and not asks,
        told=tuple(offer for offer in offers if offer.status),
        has_profiles=bool(offers),
        names={slot.id: desktop_name(slot, types.get(slot.type)) for slot in slots},
        ages={slot.id: desktop_age(slot, now) for slot in slots},
        ends={slot.id: _ends(slot, now) for slot in slots if slot.ends is not None},
        **_of_servers(sign_in, offers if asks else None),
    )


@signed_in
def sessions_servers(sign_in: SignIn) -> Response:
    """The part of that page that X2Go Servers have to be asked for."""
    offers = sign_in.broker.list_profiles(sign_in.settings, sign_in.login)
    return page("sessions-servers.html", sign_in, **_of_servers(sign_in, offers))


def _ends(slot: Slot, now: float) -> str:
    """When a desktop ends, and why: somebody who is in it need not be afraid of a limit for those who are not."""
    left = time_left((slot.ends or now) - now)
    if slot.ends_why == GRACE:
        return _("ends in %(time)s because nobody is connected", time=left)
    if slot.ends_why == IDLE:
        return _("ends in %(time)s if it is not used", time=left)
    return _("ends in %(time)s", time=left)


def _of_servers(sign_in: SignIn, offers: list[Offer] | None) -> dict[str, Any]:
    """What the template shows of X2Go Servers; nobody is asked without `offers`."""
    found = None if offers is None else _found(sign_in, offers)
    return {
        "found": found,
        "failures": [] if found is None else [_failure(reason, names) for reason, names in found.failed.items()],
        "profile_name": profile_name,
        "duration": duration,
        "kind_name": _kind_name,
    }


def _found(sign_in: SignIn, offers: list[Offer]) -> Found | None:
    """The user's sessions on X2Go Servers; None where the portal has nothing to log in with there."""
    login = _login(sign_in)
    if login is None:
        return None
    profiles = [offer.profile for offer in offers]
    skip = sign_in.broker.empty_servers(sign_in.settings, profiles, login.account)
    return find_sessions(sign_in.settings, sign_in.broker.backend.name, profiles, login, skip=skip)


def _login(sign_in: SignIn) -> UserLogin | None:
    """How the user logs in on X2Go Servers. Nobody tries passwords there who could not sign in here with one."""
    if sign_in.vouched is None or not sign_in.password:
        return None
    return UserLogin(sign_in.user, sign_in.password)


def _kind_name(found: FoundSession) -> str:
    names = {
        "D": _("Desktop"),
        "R": _("Application"),
        "P": _("Published applications"),
        "S": _("Desktop sharing"),
    }
    return names.get(found.session.kind, _("Session"))


def _failure(reason: str, names: tuple[str, ...]) -> Failure:
    servers = ", ".join(names[:SHOWN_NAMES])
    if len(names) > SHOWN_NAMES:
        more = len(names) - SHOWN_NAMES
        servers = _n("%(servers)s and %(number)s more", "%(servers)s and %(number)s more", more, servers=servers)
    return Failure(servers, reason_text(reason))


def reason_text(reason: str) -> str:
    """What is wrong with the way to a server, and what to do, for the user. `reason` is that of a SessionError."""
    texts = {
        UNREACHABLE: _(
            "The server cannot be reached. Try again later. If this keeps happening, contact your administrator."
        ),
        TIMEOUT: _("The server did not answer in time. Try again."),
        HOST_KEY: _(
            "The portal does not know this server’s key, so it does not send your password. Contact your administrator."
        ),
        LOGIN: _("The server does not accept the password you signed in with. If you changed it, sign in again."),
        GONE: _("This session no longer exists. It may have ended in the meantime."),
    }
    return texts.get(
        reason,
        _("The server did not complete the request. Try again. If this keeps happening, contact your administrator."),
    )


@signed_in
def suspend(sign_in: SignIn) -> Response:
    """Suspend a session on an X2Go Server: its programs run on, and wait."""
    return _act(sign_in, UserSessions(sign_in.broker.backend.name).suspend, SUSPENDED, _("Session not suspended"))


@signed_in
def terminate(sign_in: SignIn) -> Response:
    """End a session on an X2Go Server, and all its programs."""
    return _act(sign_in, UserSessions(sign_in.broker.backend.name).terminate, ENDED, _("Session not terminated"))


def _act(sign_in: SignIn, action: Callable[..., None], state: str, title: str) -> Response:
    """Do something to the session that was posted, which is in this state then.

    Only the user's own profiles, servers and sessions count.
    """
    settings = sign_in.settings
    profile = sign_in.broker.backend.select(settings, field("profile"), sign_in.requester)
    if profile is None or not own_profiles([profile], sign_in.user):
        return message(title, reason_text(GONE), 404, sign_in)
    login = _login(sign_in)
    if login is None:
        return message(title, _("The portal does not have your password. Use X2Go Client."), 409, sign_in)
    try:
        action(settings, profile, login, field("server"), field("name", LONGEST_SESSION))
    except SessionError as error:
        return message(title, reason_text(error.reason), 404 if error.reason == GONE else 502, sign_in)
    try:
        inventory = sign_in.broker.services.of(Inventory, settings)
        SelectionNotes(inventory).acted(login.account, [field("name", LONGEST_SESSION)], state)
    except StoreError as error:
        error_log.error("what became of a session is not noted: %s", error)
    return go_to("portal.sessions")
