"""Start a desktop in the browser, or go back to it; and what to do when there is none to be had."""

from __future__ import annotations

import time

from flask import Response
from flask import request as http_request

from x2gobroker.logs import broker_log
from x2gobroker.logs import field as log_field
from x2gobroker.portal.catalogue import ENOUGH, crowd, desk, find_type
from x2gobroker.portal.decorator import signed_in, signed_in_quietly
from x2gobroker.portal.languages import _
from x2gobroker.portal.page import field, go_to, message, page
from x2gobroker.portal.session import SignIn
from x2gobroker.portal.texts import time_left
from x2gobroker.remote.keys import WINDOW
from x2gobroker.remote.types import SessionType, fitting_size
from x2gobroker.store import DesktopOrders, DesktopsClosedError, RemoteDesktops

WAIT_SECONDS = 10  # between two looks for a free place


@signed_in
def start(sign_in: SignIn) -> Response:
    """A place of the session type that was posted: the user's own where the user has one and may have no other.

    The size is one of the type's list, or that of the user's window, as far as the type has desktops so large.
    """
    kind = _kind(sign_in, field("type"))
    if isinstance(kind, Response):
        return kind
    options, size = _size(kind, field("size"), field("window"))
    if not options:
        return message(
            _("Size not available"), _("Go back to the home page and choose a size from the list."), 400, sign_in
        )
    store = sign_in.services.of(RemoteDesktops, sign_in.settings)
    try:
        slot = store.reserve(kind.name, kind.count, sign_in.user, options, sign_in.address, per_user=kind.per_user)
    except DesktopsClosedError as error:
        broker_log.info("portal: %s gets no new %s: %s", log_field(sign_in.user), log_field(kind.name), error)
        slot = None
    if slot is None:
        return go_to("portal.wait", type=kind.name, size=size)
    return go_to("portal.desktop", desktop=slot.id)


def _size(kind: SessionType, chosen: str, window: str) -> tuple[dict[str, object], str]:
    """The options of a desktop of this size, and the size as it was chosen. No options: there is no such size.

    `window` is how large the user's window is, by the page's script; without one, a desktop has the type's first size.
    """
    if chosen in kind.sizes:
        return {"size": chosen}, chosen
    if chosen not in ("", WINDOW):
        return {}, ""
    fitting = fitting_size(kind, window) if len(kind.sizes) > 1 else ""  # one size is meant to be that one
    return ({"size": fitting, "follows": True}, WINDOW) if fitting else ({"size": kind.sizes[0]}, kind.sizes[0])


@signed_in_quietly
def wait(sign_in: SignIn) -> Response:
    """Who has the places of a session type, or that there are no new desktops, or that the user may have no more; and a
    page that looks again by itself for somebody who waits.
    """
    kind = _kind(sign_in, http_request.args.get("type", ""))
    if isinstance(kind, Response):
        return kind
    size = http_request.args.get("size", "")
    store = sign_in.services.of(RemoteDesktops, sign_in.settings)
    closing = sign_in.services.of(DesktopOrders, sign_in.settings).closing()
    mine = desk(store, kind, sign_in.user, closing is not None)
    is_enough = mine.another == ENOUGH
    waits = "wait" in http_request.args and not is_enough  # that changes when the user stops one
    who = crowd(store, kind)
    response = page(
        "full.html",
        sign_in,
        kind=kind,
        size=size if size in kind.sizes else WINDOW,
        crowd=who,
        soonest="" if who.ends is None else time_left(who.ends - time.time()),
        is_free=mine.can_start,
        is_enough=is_enough,
        closing=closing,
        waits=waits,
        wait_seconds=WAIT_SECONDS,
    )
    if waits and not mine.can_start:
        response.headers["Refresh"] = str(WAIT_SECONDS)
    return response


def _kind(sign_in: SignIn, name: str) -> SessionType | Response:
    """The session type of this name, or what to answer where the user cannot have it."""
    if sign_in.vouched is None:
        text = _("This portal does not verify who its users are. Desktops in the browser are only for verified users.")
        return message(_("Not available here"), text, 403, sign_in)
    kind = find_type(sign_in.settings, sign_in.services, sign_in.requester, name)
    if kind is None:
        text = _(
            "It may be out of service, or you may not have access to it. The home page shows what is available to you."
        )
        return message(_("Desktop not found"), text, 404, sign_in)
    return kind
