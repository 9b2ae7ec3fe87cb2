"""The frontend `uccs`: what login greeters (Arctica Greeter, Unity Greeter) speak, versions 4 and 5.

Sources: the UCCS answers of the reference, see docs/reference/protocol.md.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, abort
from flask import request as http_request

from x2gobroker.broker import Broker, Login, Offer
from x2gobroker.frontends.base import Frontend, answer, context, read_request, unavailable
from x2gobroker.frontends.outcome import CANNOT_CHECK
from x2gobroker.model.profile import BROKER_USER
from x2gobroker.settings import GLOBAL, Settings

CONTENT_TYPE = "application/json"
LONGEST_CREDENTIALS = 16384
MANAGEMENT_NAME = "X2Go Session Broker"
ANONYMOUS = "anonymous"
RDP_DOMAIN = "LOCAL"


def basic_credentials(header: str) -> tuple[str, str] | None:
    """User and password of an `Authorization: Basic` header; None for anything else. Passwords may hold colons."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "basic" or len(token) > LONGEST_CREDENTIALS:
        return None
    try:
        data = base64.b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    user, colon, password = text.partition(":")
    return (user, password) if colon else None


class UccsFrontend(Frontend):
    """`/uccs/<backend>/` tells the time as a sign of life; `/uccs/<backend>/api/<4|5>/` lists servers."""

    enabled_by = "enable-uccs-output"

    def _routes(self, blueprint: Blueprint) -> None:
        self.route_backends(blueprint, "/uccs", self.alive)
        self.route_backends(blueprint, "/uccs", self.serve, "/api/<int:version>")

    def alive(self, backend: str | None = None) -> Response:
        """The time; for HEAD always, for GET in debug mode."""
        settings = context().source.current()
        if http_request.method == "POST" or (http_request.method == "GET" and not settings.debug()):
            abort(405)
        self.broker_for(settings, backend)
        return answer(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}", "text/plain; charset=utf-8")

    def serve(self, version: int, backend: str | None = None) -> Response:
        """The servers that a user may log in to."""
        if http_request.method == "POST":
            abort(405)
        settings = context().source.current()
        broker = self.broker_for(settings, backend)
        if version not in (4, 5):
            abort(404)
        login = self._login(settings, broker)
        if login is not None and login.cannot_tell:
            return unavailable(CANNOT_CHECK, f"{CANNOT_CHECK}.\n", "text/plain; charset=utf-8")
        if login is None or not login.granted:
            retry_after = login.retry_after if login else 0
            told = login.told if login else ""
            refusal = answer(f"{told or 'Authentication required'}\n", "text/plain; charset=utf-8", 401, retry_after)
            refusal.headers["WWW-Authenticate"] = 'Basic realm="X2Go Session Broker", charset="UTF-8"'
            return refusal
        base = settings.text(GLOBAL, "my-uccs-url-base").rstrip("/")
        servers = [_server(settings, broker, offer, version) for offer in broker.list_profiles(settings, login)]
        payload: dict[str, Any] = {
            "AdditionalManagementServers": [],
            "Name": MANAGEMENT_NAME,
            "RemoteDesktopServers": servers,
            "URL": f"{base}/uccs/{broker.backend.name}/",
        }
        if servers:
            payload["DefaultServer"] = servers[-1]["Name"]
        return answer(json.dumps(payload, indent=2, sort_keys=True) + "\n", CONTENT_TYPE)

    @staticmethod
    def _login(settings: Settings, broker: Broker) -> Login | None:
        """Who asks, by HTTP Basic authentication; `anonymous` at an open broker; None without credentials."""
        credentials = basic_credentials(http_request.headers.get("Authorization", ""))
        user, password = credentials or ("", "")
        open_to_all = not settings.boolean(GLOBAL, "require-password") and not settings.boolean(
            GLOBAL, "require-cookie"
        )
        fields = {"user": ANONYMOUS} if open_to_all else {"user": user, "password": password}
        if credentials is None and not open_to_all and not http_request.environ.get("REMOTE_USER"):
            return None
        return broker.login(settings, read_request(fields))


def _server(settings: Settings, broker: Broker, offer: Offer, version: int) -> dict[str, Any]:
    profile = offer.profile
    options = profile.options
    user = offer.user if options.get("user") == BROKER_USER else str(options.get("user", ""))
    server: dict[str, Any] = {"Name": str(options["name"]), "Username": user, "Password": ""}
    if options.get("directrdp"):
        target = profile.hosts[0].target if profile.hosts else ""
        server.update(Protocol="rdp", URL=f"http://{_in_url(target)}/", DomainRequired=True, WindowsDomain=RDP_DOMAIN)
        return server
    selection = broker.server_of(settings, profile)
    server.update(Protocol="x2go", URL=f"http://{_in_url(selection.server)}:{selection.port}/")
    command = str(options.get("command", ""))
    if version == 4:
        server.update(SessionType=command, SessionTypeRequired=True)
    else:
        server.update(Command=command, CommandRequired=True)
    return server


def _in_url(host: str) -> str:
    """A name or an address as URLs have it."""
    return f"[{host}]" if ":" in host else host
