"""Links by which guests see a desktop. The secret stands behind the `#`, which browsers send to nobody."""

from __future__ import annotations

from flask import Response, url_for
from flask import request as http_request

from x2gobroker.logs import broker_log, field
from x2gobroker.model.json_text import JsonError, read_object
from x2gobroker.portal import desktop as desktops
from x2gobroker.portal import static
from x2gobroker.portal.decorator import find_sign_in, signed_in
from x2gobroker.portal.desktop_texts import page_texts
from x2gobroker.portal.languages import _
from x2gobroker.portal.page import json_answer, page
from x2gobroker.portal.session import SignIn, here
from x2gobroker.remote.told import PASSING
from x2gobroker.store import RemoteDesktops
from x2gobroker.store.authids import digest_of
from x2gobroker.store.remote_desktops import MINE

GUEST = "guest"
MOST_LINKS = 20
LONGEST_BODY = 4096
MOST_HOURS = 24 * 31
SCRIPT = "portal/view.js"


@signed_in
def share(sign_in: SignIn, desktop: str) -> Response:
    """A new link to the desktop, as JSON: for how many `hours` it counts (0: as long as the desktop runs), and whether
    guests may `work`.
    """
    hours, work = _wanted()
    if hours is None or work is None:
        return json_answer({"error": _("Something went wrong. Try again.")}, 400)
    slot = desktops.find_mine(sign_in, desktop)
    if slot is None or slot.state not in MINE:
        return json_answer({"error": _("This desktop has ended.")}, 409)
    store = sign_in.services.of(RemoteDesktops, sign_in.settings)
    if len(store.shares([slot.id])) >= MOST_LINKS:
        return json_answer({"error": _("There are too many links. Stop sharing, then create a new link.")}, 409)
    token = store.share(slot, hours * 3600 if hours else None, work)
    broker_log.info(
        "portal: %s shares %s/%d with whoever has the link, to %s, %s",
        field(sign_in.user),
        field(slot.type),
        slot.number,
        "control" if work else "view",
        f"for {hours} h" if hours else "until it ends",
    )
    return json_answer({"link": f"{url_for('portal.view')}#{token}"})


def _wanted() -> tuple[int | None, bool | None]:
    """Hours and whether guests may work, from the body of the request; None for what is neither."""
    try:
        found = read_object(http_request.get_data(cache=False) or b"{}", LONGEST_BODY)
    except JsonError:
        return None, None
    hours, work = found.get("hours", 0), found.get("work", False)
    good = isinstance(hours, int) and not isinstance(hours, bool) and 0 <= hours <= MOST_HOURS
    return hours if good else None, work if isinstance(work, bool) else None


@signed_in
def unshare(sign_in: SignIn, desktop: str) -> Response:
    """Take all links of a desktop back."""
    slot = desktops.find_mine(sign_in, desktop)
    count = 0
    if slot is not None:
        count = sign_in.services.of(RemoteDesktops, sign_in.settings).revoke(slot)
        broker_log.info("portal: %s takes the links to %s/%d back", field(sign_in.user), field(slot.type), slot.number)
    return json_answer({"taken_back": count})


def view() -> Response:
    """The page of guests; they need not be signed in. Its script finds the secret in the address."""
    if not static.has_novnc():
        return desktops.without_novnc(None)
    return page(
        "view.html",
        policy=desktops.policy(here().settings),
        texts=page_texts(),
        passing=PASSING,
        script=SCRIPT,
        modules=static.modules_of(SCRIPT),
    )


def view_token() -> Response:
    """A token for a guest, for the secret of a link."""
    portal = here()
    try:
        secret = read_object(http_request.get_data(cache=False), LONGEST_BODY).get("share")
    except JsonError:
        return json_answer({"error": _("This link is no longer valid. Ask for a new one.")}, 400)
    secret = secret if isinstance(secret, str) else ""
    store = portal.services.of(RemoteDesktops, portal.settings)
    slot = store.shared(secret)
    if slot is None:
        return json_answer({"error": _("This link is no longer valid. Ask for a new one.")}, 404)
    sign_in = find_sign_in(portal, touch=False)
    made = store.token(slot, sign_in.user if sign_in else GUEST, portal.address, share=secret)
    works = store.shares([slot.id]).get(digest_of(secret), False)
    return json_answer({**desktops.ticket(portal.settings, made), "name": slot.type, "works": works})
