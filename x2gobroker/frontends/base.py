"""What every frontend is, and what all of them do alike: find the backend, read the request, refuse."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, final

from flask import Blueprint, Response, abort, current_app
from flask import request as http_request

from x2gobroker.broker import Broker, Request
from x2gobroker.errors import PluginError
from x2gobroker.frontends.asked import asked_of
from x2gobroker.frontends.readiness import ReadinessCheck
from x2gobroker.logs import broker_log
from x2gobroker.logs import field as log_field
from x2gobroker.model.origins import Callers, may_come
from x2gobroker.plugins import BACKENDS, registered
from x2gobroker.services import Services
from x2gobroker.settings import ENVIRONMENT, GLOBAL, Settings, SettingsSource

EXTENSION = "x2gobroker"
CHECK_AGAIN_SECONDS = 60
ALL_METHODS = ("GET", "HEAD", "POST")


@dataclass(frozen=True, eq=False)
class Context:
    """What an application of one VirtualHost has: where its settings come from, and its services."""

    source: SettingsSource
    services: Services = field(default_factory=Services)
    brokers: dict[str, Broker] = field(default_factory=dict)
    readiness: ReadinessCheck = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "readiness", ReadinessCheck(self.source, self.services))

    def broker(self, settings: Settings, backend: str) -> Broker | None:
        """The broker of a backend that is installed and enabled, else None."""
        if backend not in registered(BACKENDS):
            return None
        if not settings.backend_enabled(backend):
            return None
        known = self.brokers.get(backend)
        if known is None:
            try:
                known = self.brokers.setdefault(backend, Broker(self.services.backend(backend), self.services))
            except PluginError as error:
                broker_log.error("backend: %s", error)
        return known


def context() -> Context:
    """The context of the application that handles the present request."""
    found = current_app.extensions[EXTENSION]
    assert isinstance(found, Context)  # noqa: S101 - for the type checker
    return found


def client_address() -> str:
    """The client's address as `model/forwarded.py` reads it, UNKNOWN_ADDRESS where a trusted web server names none.

    Empty where not even the web server in this process says where the connection comes from.
    """
    return asked_of(http_request).address


class Frontend(ABC):
    """One way to talk to the broker. A plug-in derives from this class and writes `_routes`.

    Registered under the entry-point group `x2gobroker.frontends`; the entry point's name becomes `name`. Nothing that a
    page of another site sends gets to a view; `callers` may open a frontend where a GET changes nothing to links.
    """

    enabled_by: ClassVar[str] = ""
    callers: ClassVar[Callers] = Callers.PROGRAMS

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def _routes(self, blueprint: Blueprint) -> None:
        """Add this frontend's URL rules to its blueprint."""

    @final
    def blueprint(self) -> Blueprint:
        """The blueprint to register with the application."""
        blueprint = Blueprint(self.name, __name__)
        blueprint.before_request(self._keep_out)
        self._routes(blueprint)
        return blueprint

    @final
    def _keep_out(self) -> Response | None:
        """Refuse what a page of another site sends: its browser may log its user in by itself."""
        asked, headers = asked_of(http_request), http_request.headers
        if may_come(self.callers, http_request.method, dict(headers), asked.scheme, asked.host):
            return None
        broker_log.warning(
            "%s from %s refused: another site sent it (Sec-Fetch-Site %s, Origin %s, Referer %s)",
            log_field(http_request.path),
            log_field(asked.address),
            log_field(headers.get("Sec-Fetch-Site", "")),
            log_field(headers.get("Origin", "")),
            log_field(headers.get("Referer", "")),
        )
        return self._foreign()

    def _foreign(self) -> Response:
        """The answer to what another site has sent; may be overridden to look better."""
        return answer("403 Forbidden: a page of another site has sent this.\n", "text/plain; charset=utf-8", 403)

    @final
    def route_backends(self, blueprint: Blueprint, path: str, view: object, *tails: str) -> None:
        """Add `path`, `path/<backend>` and both with each of `tails`, all with and without a slash at the end.

        Behind a backend there may be two slashes: clients that are given an address with one at its end add another.
        """
        named = f"{path}/<string:backend>"
        for rule in (path, named):
            for tail in tails or ("",):
                if rule == named:
                    blueprint.add_url_rule(
                        f"{rule}/{tail}/",
                        view_func=view,  # type: ignore[arg-type]
                        methods=ALL_METHODS,
                        strict_slashes=not tail,
                        provide_automatic_options=False,
                    )
                blueprint.add_url_rule(
                    rule + tail,
                    view_func=view,  # type: ignore[arg-type]
                    methods=ALL_METHODS,
                    strict_slashes=False,
                    provide_automatic_options=False,
                )
                blueprint.add_url_rule(
                    rule + tail + "/",
                    view_func=view,  # type: ignore[arg-type]
                    methods=ALL_METHODS,
                    provide_automatic_options=False,
                )

    @final
    def broker_for(self, settings: Settings, backend: str | None) -> Broker:
        """The broker of the URL's backend, the default one where the URL names none; a 404 when there is none."""
        name = backend or settings.text(ENVIRONMENT, "X2GOBROKER_DEFAULT_BACKEND")
        if self.enabled_by and not settings.boolean(GLOBAL, self.enabled_by):
            broker_log.warning("%s refused: %s is off", log_field(http_request.path), self.enabled_by)
            abort(404)
        broker = context().broker(settings, name)
        if broker is None:
            broker_log.warning("%s refused: no backend %s is enabled", log_field(http_request.path), log_field(name))
            abort(404)
        return broker

    @staticmethod
    def check_method(settings: Settings) -> None:
        """A 405 for everything but POST, unless the broker is in debug mode."""
        if http_request.method != "POST" and not settings.debug():
            abort(405)


def read_request(fields: dict[str, str]) -> Request:
    """The fields of a login as the broker wants them. A 404 when the client's address is unknown."""
    address = client_address()
    if not address:
        broker_log.error("request refused: the web server does not say which address it comes from")
        abort(404)
    user = fields.get("user", "")
    return Request(
        user,
        fields.get("password", ""),
        fields.get("authid", ""),
        fields.get("login", "") or user,
        address,
        time.time(),
        http_request.environ,
    )


def unavailable(told: str, body: str, content_type: str) -> Response:
    """The answer where something cannot be done at present: not a refusal, so that nobody types another password.

    X2Go Client shows nothing of such an answer but the words behind the status: `told`, in ASCII.
    """
    response = answer(body, content_type, 503)
    response.status = f"503 {told}"
    response.headers["Retry-After"] = str(CHECK_AGAIN_SECONDS)
    return response


def answer(body: str, content_type: str, status: int = 200, retry_after: int = 0) -> Response:
    """A response that no cache keeps: it may hold an authid. With seconds to wait, an error becomes a 429."""
    late = retry_after and status >= 400
    response = Response(body, 429 if late else status, content_type=content_type)
    response.headers["Cache-Control"] = "no-store"
    if late:
        response.headers["Retry-After"] = str(retry_after)
    return response
