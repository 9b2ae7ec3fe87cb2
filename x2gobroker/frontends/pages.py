"""The frontend `pages`: what a person sees at `/`, and what a monitor asks at `/health`."""

from __future__ import annotations

import json

from flask import Blueprint, Response, render_template, url_for
from flask import request as http_request

from x2gobroker import __version__
from x2gobroker.frontends.base import Frontend, answer, context
from x2gobroker.logs import SaidOnce, error_log, field
from x2gobroker.model.origins import Callers
from x2gobroker.plugins import BACKENDS, registered
from x2gobroker.settings import ENVIRONMENT, GLOBAL, Settings

TEXT = "text/plain; charset=utf-8"
POLICY = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"


class PagesFrontend(Frontend):
    """`/` says what this is and how to use it; `/health` whether all is well."""

    callers = Callers.LINKS

    def _routes(self, blueprint: Blueprint) -> None:
        blueprint.add_url_rule("/", view_func=self.home, methods=("GET", "HEAD"))
        blueprint.add_url_rule("/style.css", view_func=self.style, methods=("GET", "HEAD"))
        blueprint.add_url_rule("/health", view_func=self.health, methods=("GET", "HEAD"), strict_slashes=False)
        blueprint.add_url_rule("/health/", view_func=self.health, methods=("GET", "HEAD"))
        for path, view in (("/health/live", self.live), ("/health/ready", self.ready)):
            blueprint.add_url_rule(path, view_func=view, methods=("GET", "HEAD"), strict_slashes=False)
        blueprint.add_url_rule("/websockify", view_func=self.websockify, methods=("GET", "HEAD"), strict_slashes=False)
        self._said = SaidOnce()

    def websockify(self) -> Response:
        """A browser that wants a desktop has come to the broker, because the web server does not pass this path on."""
        if context().source.current().boolean(GLOBAL, "enable-portal") and self._said.is_new(http_request.host):
            error_log.error(
                "portal: a browser asks the broker for %s at %s, and gets no desktop: the web server has to pass that "
                "path on to x2gobroker-remote; x2gobroker remote print-config prints how",
                field(f"{http_request.script_root}/websockify"),
                field(http_request.host),
            )
        return answer(
            "websockets are for x2gobroker-remote: the web server has to pass this path on to it\n", TEXT, 404
        )

    def home(self) -> Response:
        """The page for people."""
        settings = context().source.current()
        root = http_request.url_root.rstrip("/")
        page = render_template(
            "home.html",
            version=__version__,
            root=root,
            services=self._services(settings, root),
            default_backend=settings.environment("X2GOBROKER_DEFAULT_BACKEND"),
            plain_url=self._plain_url(settings, root),
            portal_url=f"{root}/portal/" if settings.boolean(GLOBAL, "enable-portal") else "",
            debug=settings.debug(),
            style=url_for(".style"),
        )
        response = answer(page, "text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = POLICY
        return response

    def style(self) -> Response:
        """The page's looks."""
        response = Response(render_template("style.css"), content_type="text/css; charset=utf-8")
        response.headers["Cache-Control"] = "max-age=3600"
        return response

    def health(self) -> Response:
        """Whether the configuration on disk is the one in service; details stand in the log, not here."""
        ctx = context()
        ctx.source.current()
        good = not ctx.source.faults
        payload = {"status": "ok", "version": __version__, "configuration": "ok" if good else "broken"}
        return answer(json.dumps(payload) + "\n", "application/json")

    def live(self) -> Response:
        """Whether this process answers; to be started again when it does not."""
        return answer(json.dumps({"status": "live", "version": __version__}) + "\n", "application/json")

    def ready(self) -> Response:
        """Whether users can log in now: 200, or 503 with the names of what fails."""
        found = context().readiness.current()
        payload: dict[str, object] = {"status": "not ready" if found.failing else "ready", "failing": found.failing}
        if found.certificate_days is not None:
            payload["certificate_days"] = found.certificate_days
        return answer(json.dumps(payload) + "\n", "application/json", 503 if found.failing else 200)

    @staticmethod
    def _backends(settings: Settings) -> list[str]:
        return [name for name in sorted(registered(BACKENDS)) if settings.backend_enabled(name)]

    def _services(self, settings: Settings, root: str) -> list[tuple[str, str]]:
        rows: list[tuple[str, str]] = []
        for path, option, text in (
            ("plain", "enable-plain-output", "X2Go Client"),
            ("json", "enable-json-output", "PyHoca, Python X2Go"),
            ("uccs", "enable-uccs-output", "login greeters"),
        ):
            if settings.boolean(GLOBAL, option):
                rows.extend((f"{root}/{path}/{backend}/", text) for backend in self._backends(settings))
        if settings.boolean(GLOBAL, "enable-portal"):
            rows.append((f"{root}/portal/", "web browsers: the portal"))
        rows.append((f"{root}/pubkeys/", "X2Go Servers: the broker's public SSH keys"))
        rows.append((f"{root}/health", "monitoring"))
        return rows

    def _plain_url(self, settings: Settings, root: str) -> str:
        backends = self._backends(settings)
        if not backends or not settings.boolean(GLOBAL, "enable-plain-output"):
            return ""
        default = settings.text(ENVIRONMENT, "X2GOBROKER_DEFAULT_BACKEND")
        return f"{root}/plain/{default if default in backends else backends[0]}/"
