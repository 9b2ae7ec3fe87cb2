"""The home page: session types with their places, and session profiles for X2Go Client."""

from __future__ import annotations

import time
from functools import lru_cache, partial
from urllib.parse import quote
from weakref import WeakKeyDictionary

from flask import Response, url_for
from markupsafe import Markup, escape

from x2gobroker.auth import tickets
from x2gobroker.broker import Offer
from x2gobroker.model.profile import SessionProfile
from x2gobroker.portal import catalogue
from x2gobroker.portal.decorator import signed_in
from x2gobroker.portal.end_texts import end_text
from x2gobroker.portal.languages import _, present
from x2gobroker.portal.page import page
from x2gobroker.portal.passwords import needs_password
from x2gobroker.portal.session import SignIn
from x2gobroker.portal.texts import command_name, desktop_age, profile_name
from x2gobroker.store import DesktopOrders

Row = tuple[tuple[str, str], Markup]  # what rows are sorted by, and the row
ROW = Markup('<a href="client?profile={}">{}</a>')  # relative, as the page may be below a path
# rows are made once for each profile and language: most of the page would be making them
_ROWS: dict[str, WeakKeyDictionary[SessionProfile, Row]] = {}


@signed_in
def home(sign_in: SignIn) -> Response:
    """What the user may open, and what is open."""
    settings = sign_in.settings
    closing = sign_in.services.of(DesktopOrders, settings).closing()
    desks = []
    if sign_in.vouched is not None:  # desktops run in the user's name: only for somebody whose name was checked
        desks = catalogue.desks(settings, sign_in.services, sign_in.requester, closing is not None)
    return page(
        "home.html",
        sign_in,
        desks=desks,
        closing=closing,
        profiles=profile_rows(sign_in.broker.list_profiles(settings, sign_in.login)),
        is_ending=catalogue.is_ending,
        end_text=partial(end_text, now=time.time()),
        age=partial(desktop_age, now=time.time()),
        picture=url_for("portal.picture"),
        has_pictures=any(desk.kind.picture for desk in desks),
        picture_version=catalogue.picture_version,
        size_options=size_options,
        without_ticket=tickets.are_kept(settings) and not needs_password(sign_in.portal),
    )


def profile_rows(offers: list[Offer]) -> list[Markup]:
    """The session profiles as rows of the page, by their names."""
    known = _ROWS.setdefault(present().code, WeakKeyDictionary())
    badges = {
        "R": Markup(' <b class="badge good">{}</b>').format(_("Running")),
        "S": Markup(' <b class="badge">{}</b>').format(_("Suspended")),
    }
    rows: list[Row] = []
    for offer in offers:
        row = known.get(offer.profile)
        if row is None:
            row = known[offer.profile] = _row(offer.profile)
        rows.append((row[0], row[1] + badges[offer.status]) if offer.status in badges else row)
    return [row for _key, row in sorted(rows)]


def _row(profile: SessionProfile) -> Row:
    name, command = profile_name(profile), command_name(profile)
    text = ROW.format(quote(profile.id, safe=""), name)
    if command:
        text += Markup(" <span>{}</span>").format(command)
    return (name.casefold(), profile.id), text


@lru_cache(256)
def size_options(sizes: tuple[str, ...]) -> Markup:
    """The sizes of a session type as options of a form."""
    return Markup("").join(Markup("<option>{}</option>").format(escape(size)) for size in sizes)
