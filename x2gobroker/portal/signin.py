"""Sign in, sign out, and the choice of the language."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flask import Response
from flask import request as http_request

from x2gobroker.auth import tickets
from x2gobroker.broker import Login, Request
from x2gobroker.logs import broker_log
from x2gobroker.logs import field as log_field
from x2gobroker.portal import guard
from x2gobroker.portal.decorator import find_sign_in, signed_in
from x2gobroker.portal.languages import COOKIE as LANGUAGE_COOKIE
from x2gobroker.portal.languages import NAMES, _, _n
from x2gobroker.portal.page import field, go_to, go_to_path, page
from x2gobroker.portal.passwords import asks_for_code, named_by_server, needs_code, needs_password, without_code
from x2gobroker.portal.session import Portal, SignIn, here
from x2gobroker.remote.types import SessionType
from x2gobroker.settings import GLOBAL
from x2gobroker.store import PortalSessions, RemoteDesktops

LONGEST_PASSWORD_FIELD = 2048
LONGEST_CODE = 64
YEAR_SECONDS = 366 * 86400
LONGEST_TARGET = 2000
OWN_PATH = re.compile(r"/portal/[A-Za-z0-9/_.-]*")
QUERY = re.compile(r"[A-Za-z0-9/_.~%&=+,:;@!$'()*-]*")
LOGOUT = "logout"
PROBE_COOKIE = "__Host-x2gobroker-probe"
PROBE_SECONDS = 300
AGAIN = "again"
KEPT = "kept"
BANNED = "penalty ban"
CHECK_AGAIN_SECONDS = 60


@dataclass(frozen=True)
class Refusal:
    """Why somebody was not let in: what the page says, its status, and seconds to wait before another try."""

    text: str
    status: int = 403
    retry_after: int = 0


def sign_in() -> Response:
    """The page with the form; POST signs in. Whom the web server knows needs no form, unless it is for a code."""
    portal = here()
    target = own_path(http_request.values.get("next", ""))
    if http_request.method == "POST":
        return _sign_in_by_form(portal, target)
    if find_sign_in(portal, touch=False) is not None:
        return go_to_path(target)
    if KEPT in http_request.args:
        return form(portal, target, refusal=Refusal(_no_cookies(), 400))
    known = ""
    if not needs_password(portal) and http_request.environ.get("REMOTE_USER") and guard.keeps_cookies(http_request):
        known = named_by_server(portal, http_request.environ)
        # without its code a login would be refused, and counted as a guess
        if not (needs_code(portal, known) if known else asks_for_code(portal)):
            return _let_in_without_form(portal, target)
    lost = _("You were already signed out, so your last action was not carried out. Sign in and try again.")
    return form(portal, target, known, notice=lost if "lost" in http_request.args else "")


def _let_in_without_form(portal: Portal, target: str) -> Response:
    """Sign somebody in whom the web server knows, once the browser has shown that it keeps cookies.

    Else it would be sent back and forth for ever.
    """
    if PROBE_COOKIE in http_request.cookies:
        return _let_in(portal, target, "", "", "")
    if AGAIN in http_request.args:
        return form(portal, target, refusal=Refusal(_no_cookies(), 400))
    response = go_to("portal.sign_in", next=target, **{AGAIN: "1"})
    guard.set_cookie(response, PROBE_COOKIE, "1", PROBE_SECONDS)
    return response


def form(portal: Portal, target: str, user: str = "", refusal: Refusal | None = None, notice: str = "") -> Response:
    """The form, with what is wrong above it, or a `notice`."""
    response = page(
        "sign-in.html",
        status=refusal.status if refusal else 200,
        target=target,
        user=user,
        error=refusal.text if refusal else "",
        notice=notice,
        needs_password=needs_password(portal),
        asks_for_code=asks_for_code(portal),
        insecure=not guard.keeps_cookies(http_request),
    )
    if refusal and refusal.retry_after:
        response.headers["Retry-After"] = str(refusal.retry_after)
    if guard.keeps_cookies(http_request):
        guard.set_cookie(response, PROBE_COOKIE, "1", PROBE_SECONDS)
    return response


def own_path(text: str) -> str:
    """The page to go to after signing in; home, for what is no page of the portal."""
    path, _mark, query = text.partition("?")
    if len(text) > LONGEST_TARGET or not OWN_PATH.fullmatch(path) or "//" in path or ".." in path:
        return "/portal/"
    return text if QUERY.fullmatch(query) else "/portal/"


def _sign_in_by_form(portal: Portal, target: str) -> Response:
    user = field("user", LONGEST_PASSWORD_FIELD)
    if not guard.keeps_cookies(http_request):
        text = _("Open the portal with https:// in the address, or your browser will not stay signed in.")
        return form(portal, target, user, Refusal(text, 400))
    password = http_request.form.get("password", "")[:LONGEST_PASSWORD_FIELD]
    return _let_in(portal, target, user, password, field("code", LONGEST_CODE).replace(" ", ""))


def _let_in(portal: Portal, target: str, user: str, password: str, code: str) -> Response:
    """Check a login; the way to `target` with the cookie, or the form with what is wrong."""
    settings, broker = portal.settings, portal.broker
    if not settings.boolean(GLOBAL, "require-password"):
        broker_log.error("portal: nobody can sign in while require-password is off")
        return form(portal, target, user, Refusal(_("Nobody can sign in right now. Contact your administrator."), 503))
    authid = portal.services.preset_authids.present(settings) if settings.boolean(GLOBAL, "require-cookie") else ""
    wants_ticket = tickets.are_kept(settings)
    request = Request(
        user, password + code, authid, user, portal.address, portal.now, http_request.environ, wants_ticket=wants_ticket
    )
    _fields, request, login = portal.log_in(settings, broker, {}, request)
    sessions = portal.services.of(PortalSessions, settings)
    if not login.granted:
        if login.reason == BANNED:
            _close_block(portal, login.user)
        return form(portal, target, user, _refusal(login))
    keep = needs_password(portal) and settings.boolean(GLOBAL, "portal-keep-password")
    kept = None
    if keep:
        kept = request.password.removesuffix(code)  # the site's scripts may have changed it
        if not code:
            kept = without_code(portal, login.user, kept)
    tickets.forget_those_who_left(settings, sessions, portal.now)
    sessions.sweep(portal.idle_seconds, portal.now)
    sessions.close(http_request.cookies.get(guard.COOKIE, ""))
    token = sessions.open(
        login.user, broker.backend.name, portal.address, portal.lifetime, login.vouched, kept, portal.now
    )
    tickets.keep(settings, login.user, login.ticket, portal.lifetime)
    # a browser that has shown a cookie keeps them; of another one, the next request tells
    keeps = PROBE_COOKIE in http_request.cookies or guard.COOKIE in http_request.cookies
    response = go_to_path(target) if keeps else go_to("portal.sign_in", next=target, **{KEPT: "1"})
    guard.set_cookie(response, guard.COOKIE, token)
    return response


def _no_cookies() -> str:
    return _("Your browser does not keep cookies from this page. Allow cookies, then open the page again.")


def _close_block(portal: Portal, user: str) -> None:
    """Sign a user out in the browsers at the address that is banned."""
    sessions = portal.services.of(PortalSessions, portal.settings)
    if sessions.close_block(user, portal.address):
        portal.services.of(RemoteDesktops, portal.settings).ask_cut(user)
        tickets.forget_unless_signed_in(portal.settings, sessions, user)


def _refusal(login: Login) -> Refusal:
    if login.lock is not None:
        locked = _("Your account is locked. Contact your administrator.")
        return Refusal(f"{locked} {login.lock.for_user}".strip())
    if login.cannot_tell:
        text = _(
            "Passwords cannot be checked right now. This does not mean that yours is wrong. Try again in a few minutes."
        )
        return Refusal(text, 503, CHECK_AGAIN_SECONDS)
    if login.retry_after:
        wait = _("Too many wrong passwords. Wait %(time)s, then try again.", time=_time(login.retry_after))
        return Refusal(wait, 429, login.retry_after)
    return Refusal(_("The user name, password or code is wrong, or you are not allowed to sign in here. Try again."))


def _time(seconds: int) -> str:
    """A short time, not rounded down: who comes back too early has to wait again."""
    if seconds < 100:
        return _n("%(number)s second", "%(number)s seconds", seconds)
    return _n("%(number)s minute", "%(number)s minutes", -(-seconds // 60))


@signed_in
def sign_out(sign_in: SignIn) -> Response:
    """Sign this browser out."""
    sign_in.services.of(PortalSessions, sign_in.settings).close(sign_in.token)
    return _signed_out(sign_in, _("You are signed out."))


@signed_in
def sign_out_everywhere(sign_in: SignIn) -> Response:
    """Sign the user out in all browsers."""
    sign_in.services.of(PortalSessions, sign_in.settings).close_all(sign_in.user)
    return _signed_out(sign_in, _("You are signed out of all browsers."))


def _signed_out(sign_in: SignIn, text: str) -> Response:
    """What is left to do for a user who was signed out, and the page with `text`."""
    _stop_desktops(sign_in)
    sessions = sign_in.services.of(PortalSessions, sign_in.settings)
    tickets.forget_unless_signed_in(sign_in.settings, sessions, sign_in.user)
    broker_log.info("portal: %s signed out, from %s", log_field(sign_in.user), log_field(sign_in.address))
    response = page("message.html", title=_("Signed out"), text=text)
    guard.drop_cookie(response, guard.COOKIE)
    return response


def _stop_desktops(sign_in: SignIn) -> None:
    """Stop the user's desktops whose session type says so (`stop-at-logout`), and cut connections to the others.

    Browsers in which the user is still signed in connect again by themselves.
    """
    types = sign_in.services.session_types.current(sign_in.settings).types
    desktops = sign_in.services.of(RemoteDesktops, sign_in.settings)
    for slot in desktops.of_user(sign_in.user):
        session_type: SessionType | None = types.get(slot.type)
        if session_type is not None and session_type.stop_at_logout:
            desktops.ask_stop(slot, LOGOUT)
    desktops.ask_cut(sign_in.user)


def language() -> Response:
    """Choose the language; kept in a cookie for a year."""
    response = go_to_path(own_path(field("next", LONGEST_TARGET)))
    code = field("language")
    if code in NAMES:
        guard.set_cookie(response, LANGUAGE_COOKIE, code, YEAR_SECONDS)
    return response
