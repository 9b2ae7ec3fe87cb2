"""The frontend `json`: what PyHoca and Python X2Go speak (docs/reference/protocol.md)."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response
from flask import request as http_request

from x2gobroker.broker import Broker, Login, Offer, Request
from x2gobroker.frontends.base import Frontend, answer, context, read_event, read_request
from x2gobroker.frontends.forms import read_fields
from x2gobroker.frontends.told import told_values
from x2gobroker.model.options import Value, parse_boolean, parse_integer
from x2gobroker.model.profile import BROKER_USER
from x2gobroker.model.profile_options import PYHOCA_BOOLEANS, PYHOCA_INTEGERS, PYHOCA_KNOWS
from x2gobroker.settings import Settings

# no registered type, but Python X2Go reads no list of profiles that calls itself anything else
CONTENT_TYPE = "text/json; charset=utf-8"


def json_value(name: str, value: Value) -> Value | None:
    """A profile value in the type that Python X2Go expects; None for what it must not be sent.

    It ends with a traceback on a text option that it does not know, and takes the text "false" for true.
    """
    if not isinstance(value, str):
        return value
    try:
        if name in PYHOCA_BOOLEANS:
            return parse_boolean(value)
        if name in PYHOCA_INTEGERS:
            return parse_integer(value)
    except ValueError:
        return None
    return value if name in PYHOCA_KNOWS else None


def profile_values(offer: Offer) -> dict[str, Value]:
    """What a client is told of one session profile."""
    values = {
        name: typed for name, value in told_values(offer).items() if (typed := json_value(name, value)) is not None
    }
    if values.get("user") == BROKER_USER:
        values["user"] = offer.user
    return values


class JsonFrontend(Frontend):
    """`/json/<backend>/`: what PyHoca and Python X2Go speak."""

    enabled_by = "enable-json-output"

    def _routes(self, blueprint: Blueprint) -> None:
        self.route_backends(blueprint, "/json", self.serve)

    def serve(self, backend: str | None = None) -> Response:
        """Answer one request of PyHoca or Python X2Go: the same tasks as `/plain`, in JSON."""
        settings = context().source.current()
        self.check_method(settings)
        broker = self.broker_for(settings, backend)
        fields = read_fields(http_request)
        request = read_request(fields)
        task = fields.get("task", "")
        if task == "testcon":
            return self._test(settings, broker, request)
        login = broker.login(settings, request)
        if not login.granted:
            return _render({"auth-status": "Access denied", "task": task}, 401)
        task = "listprofiles" if task == "listsessions" else task
        payload: dict[str, Any] = {"auth-status": "Access granted", "task": task}
        payload.update(self._perform(settings, broker, task, fields, request, login))
        authid = broker.next_authid(settings, login)
        if authid is not None:
            payload["next-authid"] = authid
        return _render(payload)

    @staticmethod
    def _test(settings: Settings, broker: Broker, request: Request) -> Response:
        """The connection test; without a user it only says that the broker is there."""
        if request.user or request.password or request.authid:
            login = broker.login(settings, request)
            if not login.granted:
                return _render({"auth-status": "Access denied", "task": "testcon"}, 401)
        return _render({"auth-status": "Access granted", "task": "testcon"})

    @staticmethod
    def _perform(
        settings: Settings,
        broker: Broker,
        task: str,
        fields: dict[str, str],
        request: Request,
        login: Login,
    ) -> dict[str, Any]:
        match task:
            case "listprofiles":
                offers = broker.list_profiles(settings, login)
                return {"profiles": {offer.profile.id: profile_values(offer) for offer in offers}}
            case "selectsession":
                profile_id = fields.get("sid", fields.get("profile-id", ""))
                return {"selected_session": _select(settings, broker, login, profile_id)}
            case "setpass":
                change = broker.change_password(settings, login, request, fields.get("newpass", ""))
                return {"password-changed": change.changed, "reason": change.reason}
            case "clientevent":
                event = read_event(fields, login.user, request.login)
                return {"recorded": broker.record_event(settings, event)}
        return {}


def _select(settings: Settings, broker: Broker, login: Login, profile_id: str) -> dict[str, str]:
    if not profile_id:
        return {}
    selection = broker.select_session(settings, login, profile_id)
    return {"server": selection.server, "port": str(selection.port)}


def _render(payload: dict[str, Any], status: int = 200) -> Response:
    return answer(json.dumps(payload, indent=4, sort_keys=True) + "\n", CONTENT_TYPE, status)
