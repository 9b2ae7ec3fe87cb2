"""The frontend `plain`: the text protocol of X2Go Client (docs/reference/protocol.md)."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

from flask import Response

from x2gobroker.broker import Offer
from x2gobroker.frontends.base import answer
from x2gobroker.frontends.ini_text import ini_text, value_text
from x2gobroker.frontends.tasks import Outcome, TaskFrontend
from x2gobroker.frontends.told import told_values
from x2gobroker.model.profile import BROKER_USER, SessionProfile
from x2gobroker.scheduling.choice import Selection
from x2gobroker.settings import GLOBAL, Settings

CONTENT_TYPE = "text/plain; charset=utf-8"
GRANTED = "Access granted\n"
DENIED = "Access denied\nThe user name, the password or the login before was not accepted.\n"
TEST_ANSWER = "OK\n" + GRANTED


class ProfileTexts:
    """The rendered text of session profiles, made once for each: two halves, with the user between them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[bool, WeakKeyDictionary[SessionProfile, tuple[str, str | None]]] = {
            False: WeakKeyDictionary(),
            True: WeakKeyDictionary(),
        }

    def text_of(self, offer: Offer) -> str:
        """The section of one profile on offer, ending in an empty line."""
        made = self._made[offer.autologin]
        halves = made.get(offer.profile)
        if halves is None:
            halves = self._halves(offer)
            with self._lock:
                made[offer.profile] = halves
        before, behind = halves
        return before if behind is None else f"{before}{ini_text(offer.user)}{behind}"

    @staticmethod
    def _halves(offer: Offer) -> tuple[str, str | None]:
        text = [f"[{offer.profile.id}]\n"]
        before: str | None = None
        for name, value in told_values(offer).items():
            if name == "user" and value == BROKER_USER:
                before = "".join(text) + "user="
                text = ["\n"]
            else:
                text.append(f"{name}={value_text(name, value)}\n")
        text.append("\n")
        return ("".join(text), None) if before is None else (before, "".join(text))


class PlainFrontend(TaskFrontend):
    """`/plain/<backend>/`: what X2Go Client speaks."""

    path = "/plain"
    enabled_by = "enable-plain-output"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._texts = ProfileTexts()

    def serve(self, backend: str | None = None) -> Response:
        """Answer X2Go Client: log in, list session profiles, select one, change a password, take a report."""
        return self.answer_request(backend)

    def _tested(self) -> Response:
        return answer(TEST_ANSWER, CONTENT_TYPE)

    def _refused(self, settings: Settings, task: str, retry_after: int) -> Response:
        """X2Go Client ends itself on a 401 or 429, and shows its form again on a 200 without `Access granted`."""
        status = 401 if settings.text(GLOBAL, "plain-refusal") == "status" else 200
        return answer(DENIED, CONTENT_TYPE, status, retry_after)

    def _answered(self, settings: Settings, outcome: Outcome, authid: str | None) -> Response:
        text = GRANTED if authid is None else f"AUTHID:{authid}\n{GRANTED}"
        if outcome.offers:
            profiles = "".join(map(self._texts.text_of, outcome.offers))
            text += f"START_USER_SESSIONS\n\n{profiles}END_USER_SESSIONS\n{client_configuration(settings)}"
        if outcome.selection:
            text += server_line(outcome.selection)
        if outcome.change:
            text += f"PASSWORD CHANGED: {'OK' if outcome.change.changed else 'NO: ' + outcome.change.reason}\n"
        # the answer to a client event is the grant itself; orders to the client would stand behind it
        return answer(text, CONTENT_TYPE)


def server_line(selection: Selection) -> str:
    """The line with the server to go to."""
    server = selection.host.speakable if selection.host else selection.server
    return f"SERVER:{server}:{selection.port}\n"


def client_configuration(settings: Settings) -> str:
    """The block that tells X2Go Client (4.1.2.2 and later) to send events; nothing while they are off."""
    if not settings.boolean(GLOBAL, "client-events"):
        return ""
    return (
        "START_CLIENT_CONFIG\n"
        "events=true\n"
        f"liveevent={settings.integer(GLOBAL, 'client-live-event')}\n"
        f"syncinterval={settings.integer(GLOBAL, 'client-sync-interval')}\n"
        "END_CLIENT_CONFIG\n"
    )
