"""`@signed_in`: a view that is only for those who are signed in, and is told who it is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec

from flask import Response, url_for
from flask import request as http_request

from x2gobroker.portal import guard
from x2gobroker.portal.languages import _
from x2gobroker.portal.page import go_to, json_answer, own_address
from x2gobroker.portal.recheck import still_welcome
from x2gobroker.portal.session import Portal, SignIn, here
from x2gobroker.store import PortalSessions

P = ParamSpec("P")
View = Callable[P, Response]


def find_sign_in(portal: Portal, touch: bool = True) -> SignIn | None:
    """Who is signed in, by the cookie; None for nobody. With `touch` the request counts as a sign of life.

    Raises StoreError.
    """
    token = http_request.cookies.get(guard.COOKIE, "")
    if not token:
        return None
    sessions = portal.services.of(PortalSessions, portal.settings)
    session = sessions.find(token, portal.idle_seconds, portal.now)
    if session is None or session.backend != portal.broker.backend.name:
        return None
    if not still_welcome(portal, session, token):
        return None
    if touch:
        sessions.seen(session, portal.idle_seconds, portal.now)
    return SignIn(portal, session, token)


def signed_in(view: Callable[Concatenate[SignIn, P], Response]) -> View[P]:
    """A view that gets the SignIn as its first argument. Everybody else goes to the sign-in page, scripts get a 401."""
    return _guarded(view, touch=True)


def signed_in_quietly(view: Callable[Concatenate[SignIn, P], Response]) -> View[P]:
    """The same for what a page asks by itself, which is no sign of life: see `SignIn.seen`."""
    return _guarded(view, touch=False)


def _guarded(view: Callable[Concatenate[SignIn, P], Response], touch: bool) -> View[P]:
    @functools.wraps(view)
    def guarded(*args: P.args, **named: P.kwargs) -> Response:
        sign_in = find_sign_in(here(), touch)
        if sign_in is not None:
            return view(sign_in, *args, **named)
        if guard.wants_json():
            where = url_for("portal.sign_in")
            return json_answer({"error": _("You are signed out. Sign in again."), "sign_in": where}, 401)
        if http_request.method != "GET":
            return go_to("portal.sign_in", lost="1")
        if http_request.path != "/portal/":
            return go_to("portal.sign_in", next=own_address())
        return go_to("portal.sign_in")

    return guarded
