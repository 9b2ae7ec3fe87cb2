"""The frontend `portal`: the routes of the portal's pages. What they do is in `x2gobroker/portal/`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from flask import Blueprint, Response, abort, g, url_for
from flask import request as http_request
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import HTTPException

from x2gobroker.errors import StoreError
from x2gobroker.frontends.base import Frontend, client_address, context
from x2gobroker.frontends.outcome import log_in
from x2gobroker.logs import error_log
from x2gobroker.logs import field as log_field
from x2gobroker.model.origins import Callers
from x2gobroker.portal import (
    catalogue,
    client_file,
    desktop,
    guard,
    home,
    languages,
    looks,
    mysessions,
    share,
    signin,
    start,
    static,
)
from x2gobroker.portal.languages import _
from x2gobroker.portal.page import message, see
from x2gobroker.portal.session import Portal
from x2gobroker.settings import GLOBAL

GET, POST = ("GET", "HEAD"), ("POST",)
OF_QUERIES = "!$%&'()*+,/:;=?@[]~"  # beside letters, digits and `-._`; what is quoted stays as it is


@dataclass(frozen=True)
class Route:
    """One address below /portal/, its methods and its view."""

    path: str
    name: str
    view: Callable[..., Response]
    methods: tuple[str, ...] = GET


def nowhere(rest: str) -> Response:
    """A page that is none, or that only takes forms: says so, as a page."""
    abort(404)


ROUTES = (
    Route("/", "home", home.home),
    Route("/sign-in", "sign_in", signin.sign_in, GET + POST),
    Route("/sign-out", "sign_out", signin.sign_out, POST),
    Route("/sign-out-everywhere", "sign_out_everywhere", signin.sign_out_everywhere, POST),
    Route("/language", "language", signin.language, POST),
    Route("/sessions", "sessions", mysessions.sessions),
    Route("/sessions/servers", "sessions_servers", mysessions.sessions_servers),
    Route("/start", "start", start.start, POST),
    Route("/wait", "wait", start.wait),
    Route("/picture", "picture", catalogue.picture),
    Route("/logo", "logo", looks.logo),
    Route("/colour.css", "colour", looks.colour),
    Route("/client", "client", client_file.client),
    Route("/client-file", "client_file", client_file.client_file),
    Route("/x2go/suspend", "x2go_suspend", mysessions.suspend, POST),
    Route("/x2go/terminate", "x2go_terminate", mysessions.terminate, POST),
    Route("/desktop/<string:desktop>", "desktop", desktop.desktop),
    Route("/desktop/<string:desktop>/state", "desktop_state", desktop.state),
    Route("/desktop/<string:desktop>/token", "desktop_token", desktop.token, POST),
    Route("/desktop/<string:desktop>/stop", "desktop_stop", desktop.stop, POST),
    Route("/desktop/<string:desktop>/share", "desktop_share", share.share, POST),
    Route("/desktop/<string:desktop>/unshare", "desktop_unshare", share.unshare, POST),
    Route("/sound-worker.js", "sound_worker", desktop.sound_worker),
    Route("/view", "view", share.view),
    Route("/view/token", "view_token", share.view_token, POST),
    Route("/static/<path:path>", "static", static.serve),
    Route("/<path:rest>", "nowhere", nowhere),
)


class PortalFrontend(Frontend):
    """`/portal/`: users sign in with a web browser, and open sessions in it."""

    enabled_by = "enable-portal"
    callers = Callers.FORMS

    def _routes(self, blueprint: Blueprint) -> None:
        languages.read_all()
        blueprint.url_prefix = "/portal"
        for route in ROUTES:
            blueprint.add_url_rule(
                route.path,
                route.name,
                route.view,
                methods=route.methods,
                provide_automatic_options=False,
                strict_slashes=False,
            )
        blueprint.before_request(self._enter)
        blueprint.before_request(_lead_to_its_address)
        blueprint.after_request(guard.protect)
        blueprint.register_error_handler(HTTPException, _http_error)
        blueprint.register_error_handler(StoreError, _store_failed)
        blueprint.register_error_handler(Exception, _unexpected)
        blueprint.record_once(_prepare_templates)

    def _enter(self) -> None:
        """Refuse what is switched off; put the Portal at hand for everything else."""
        settings = context().source.current()
        broker = self.broker_for(settings, settings.text(GLOBAL, "portal-backend") or None)
        g.portal = Portal(settings, broker, client_address(), log_in)

    def _foreign(self) -> Response:
        self._enter()
        return message(
            _("Request blocked"), _("This request came from another page. Open the portal and try again there."), 403
        )


def _lead_to_its_address() -> Response | None:
    """The way to the page for who has asked for it without its last slash, or with one that it has not.

    Links on pages may be relative: with another address, they would lead elsewhere.
    """
    rule = http_request.url_rule
    if rule is None or http_request.endpoint is None or "<path:" in rule.rule or http_request.method not in GET:
        return None
    if rule.rule.endswith("/") == http_request.path.endswith("/"):
        return None
    query = quote(http_request.query_string, safe=OF_QUERIES)
    address = url_for(http_request.endpoint, **(http_request.view_args or {}))
    return see(f"{address}?{query}" if query else address)


def _prepare_templates(state: BlueprintSetupState) -> None:
    """Texts of templates in the user's language: `_("text")` and `{% trans %}`."""
    environment = state.app.jinja_env
    environment.add_extension("jinja2.ext.i18n")
    install = environment.install_gettext_callables  # type: ignore[attr-defined] # the extension adds it
    install(languages.gettext, languages.ngettext, newstyle=True)
    environment.policies["ext.i18n.trimmed"] = True


def _http_error(error: HTTPException) -> Response:
    code = error.code or 500
    if "portal" not in g:  # switched off, or without a backend: as if there were no portal
        return Response(f"{code} {error.name}\n", code, content_type="text/plain; charset=utf-8")
    if code == 404:
        return message(
            _("Page not found"),
            _("This page does not exist, or you do not have access to it. Go back to the home page."),
            code,
        )
    if code == 413:
        return message(_("Request too large"), _("You sent too much data at once. Send less."), code)
    return message(_("Something went wrong"), _("Your request could not be completed. Go back to the home page."), code)


def _store_failed(error: StoreError) -> Response:
    error_log.error("%s", error)
    return message(
        _("Temporarily unavailable"),
        _("The portal is temporarily unavailable. Try again in a minute."),
        503,
        retry_after=60,
    )


def _unexpected(error: Exception) -> Response:
    error_log.error("%s %s failed", http_request.method, log_field(http_request.path), exc_info=error)
    return message(
        _("Something went wrong"),
        _("Try again. If this keeps happening, contact your administrator. The log has details."),
        500,
    )
