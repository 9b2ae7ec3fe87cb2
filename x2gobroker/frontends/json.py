"""The frontend `json`: what PyHoca and Python X2Go speak (docs/reference/protocol.md)."""

from __future__ import annotations

import json
from typing import Any

from flask import Response

from x2gobroker.broker import Login, Offer
from x2gobroker.frontends.base import answer, unavailable
from x2gobroker.frontends.outcome import SELECT, TEST, Outcome
from x2gobroker.frontends.tasks import TaskFrontend
from x2gobroker.frontends.told import told_values
from x2gobroker.model.exports import parse_exports
from x2gobroker.model.options import Value, parse_boolean, parse_integer
from x2gobroker.model.profile import BROKER_USER
from x2gobroker.model.profile_options import PYHOCA_BOOLEANS, PYHOCA_INTEGERS, PYHOCA_KNOWS
from x2gobroker.scheduling.choice import Selection
from x2gobroker.settings import Settings

JsonValue = Value | dict[str, bool]

GRANTED = "Access granted"
# no registered type, but Python X2Go reads no list of profiles that calls itself anything else
CONTENT_TYPE = "text/json; charset=utf-8"


def json_value(name: str, value: Value) -> JsonValue | None:
    """A profile value in the type that Python X2Go expects; None for what it must not be sent.

    It ends with a traceback on a text option that it does not know and on shared folders that are no object, and
    takes the text "false" for true.
    """
    if not isinstance(value, str):
        return value
    if name == "export":
        return parse_exports(value)
    try:
        if name in PYHOCA_BOOLEANS:
            return parse_boolean(value)
        if name in PYHOCA_INTEGERS:
            return parse_integer(value)
    except ValueError:
        return None
    return value if name in PYHOCA_KNOWS else None


def profile_values(offer: Offer) -> dict[str, JsonValue]:
    """What a client is told of one session profile."""
    values = {
        name: typed for name, value in told_values(offer).items() if (typed := json_value(name, value)) is not None
    }
    if values.get("user") == BROKER_USER:
        values["user"] = offer.user
    return values


class JsonFrontend(TaskFrontend):
    """`/json/<backend>/`: what PyHoca and Python X2Go speak."""

    path = "/json"
    enabled_by = "enable-json-output"

    def serve(self, backend: str | None = None) -> Response:
        """Answer one request of PyHoca or Python X2Go: the same tasks as `/plain`, in JSON."""
        return self.answer_request(backend)

    def _tested(self) -> Response:
        return _render({"auth-status": GRANTED, "task": TEST})

    def _refused(self, settings: Settings, task: str, login: Login) -> Response:
        payload = {"auth-status": "Access denied", "task": task}
        if login.told:
            payload["reason"] = login.told
        return _render(payload, 401, login.retry_after)

    def _unavailable(self, task: str, told: str) -> Response:
        payload = {"auth-status": "Unavailable", "task": task, "reason": told}
        return unavailable(told, json.dumps(payload, indent=4, sort_keys=True) + "\n", CONTENT_TYPE)

    def _answered(self, settings: Settings, outcome: Outcome, authid: str | None) -> Response:
        payload: dict[str, Any] = {"auth-status": GRANTED, "task": outcome.task}
        if authid is not None:
            payload["next-authid"] = authid
        if outcome.offers is not None:
            payload["task"] = "listprofiles"
            payload["profiles"] = {offer.profile.id: profile_values(offer) for offer in outcome.offers}
        if outcome.task == SELECT:
            payload["selected_session"] = selected_session(outcome.selection)
        if outcome.change is not None:
            payload["password-changed"] = outcome.change.changed
            payload["reason"] = outcome.change.reason
        if outcome.recorded is not None:
            payload["recorded"] = outcome.recorded
        return _render(payload)


def selected_session(selection: Selection | None) -> dict[str, str]:
    """The server to go to, the key for it, and the session to resume first; nothing when no profile was named.

    Python X2Go takes one line for `session_info`, and a key of its own for accepted only by this word.
    """
    if selection is None:
        return {}
    selected = {"server": selection.server, "port": str(selection.port)}
    if selection.key_accepted:
        selected["authentication_pubkey"] = "ACCEPTED"
    if selection.private_key:
        selected["key"] = selection.private_key
    if selection.session_lines:
        selected["session_info"] = selection.session_lines[0]
    return selected


def _render(payload: dict[str, Any], status: int = 200, retry_after: int = 0) -> Response:
    return answer(json.dumps(payload, indent=4, sort_keys=True) + "\n", CONTENT_TYPE, status, retry_after)
