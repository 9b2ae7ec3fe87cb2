"""The application factory: one Flask application serves one VirtualHost's set of `X2GOBROKER_*` values."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask, Response, request
from jinja2 import PackageLoader
from werkzeug.exceptions import HTTPException

from x2gobroker.errors import PluginError, RequestError, StoreError
from x2gobroker.frontends.asked import AskedReader
from x2gobroker.frontends.base import EXTENSION, Context, Frontend, answer, client_address
from x2gobroker.frontends.forms import MAX_BODY
from x2gobroker.logs import broker_log, error_log, field
from x2gobroker.plugins import BACKENDS, FRONTENDS, load, registered
from x2gobroker.settings import SettingsSource

TEXT = "text/plain; charset=utf-8"


def create_app(*variables: Mapping[str, str], source: SettingsSource | None = None) -> Flask:
    """The WSGI application.

    `variables` override the process's environment, weakest first (a VirtualHost's SetEnv, the command line). A broken
    configuration does not raise: what is not usable is not served, and the log says so.
    """
    app = Flask("x2gobroker", static_folder=None)
    app.jinja_loader = PackageLoader("x2gobroker", "templates")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.url_map.merge_slashes = False
    app.extensions[EXTENSION] = Context(source or SettingsSource.of_process(*variables))
    for name in sorted(registered(FRONTENDS)):
        try:
            app.register_blueprint(load(FRONTENDS, name, Frontend)(name).blueprint())  # type: ignore[type-abstract]
        except PluginError as error:
            error_log.error("frontend not served: %s", error)
    app.register_error_handler(RequestError, _bad_request)
    app.register_error_handler(StoreError, _store_failed)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)
    warm_up(app.extensions[EXTENSION])
    app.wsgi_app = AskedReader(app.wsgi_app, app.extensions[EXTENSION].source.current)  # type: ignore[method-assign]
    return app


def start_housekeeping(app: Flask) -> None:
    """Do what is due even if nobody asks anything; to be called once in each process that serves `app`."""
    context: Context = app.extensions[EXTENSION]
    context.services.start_housekeeping(context.source.current)


def warm_up(context: Context) -> None:
    """Load what requests will need: warnings about the configuration belong to the start, not to a first request.

    Worker processes that are forked afterwards share the memory of it.
    """
    settings = context.source.current()
    for name in sorted(registered(BACKENDS)):
        broker = context.broker(settings, name)
        if broker is None:
            continue
        broker.backend.problems(settings)
        try:
            context.services.mechanism(settings.for_backend(name, "auth-mech").lower())
            context.services.name_service(settings.for_backend(name, "group-db").lower())
        except PluginError as error:
            error_log.error("backend %s: %s", name, error)


def _bad_request(error: RequestError) -> Response:
    broker_log.warning("%s from %s: %s", field(request.path), field(client_address()), error)
    return answer(f"{error}\n", TEXT, error.status)


def _store_failed(error: StoreError) -> Response:
    error_log.error("%s", error)
    return answer("The broker cannot answer at present. Its log says why.\n", TEXT, 503)


def _http_error(error: HTTPException) -> Response:
    response = answer(f"{error.code} {error.name}\n", TEXT, error.code or 500)
    valid_methods = getattr(error, "valid_methods", None)
    if valid_methods:
        response.headers["Allow"] = ", ".join(valid_methods)
    return response


def _unexpected(error: Exception) -> Response:
    error_log.error("%s %s failed", request.method, field(request.path), exc_info=error)
    return answer("Something went wrong in the broker. Its log says what.\n", TEXT, 500)
