"""The frontend `plain`: the text protocol of X2Go Client (docs/reference/protocol.md)."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

from flask import Blueprint, Response
from flask import request as http_request

from x2gobroker.broker import Broker, Login, Offer, Request
from x2gobroker.frontends.base import Frontend, answer, context, read_event, read_request
from x2gobroker.frontends.forms import read_fields
from x2gobroker.frontends.ini_text import ini_text, value_text
from x2gobroker.frontends.told import told_values
from x2gobroker.model.profile import BROKER_USER, SessionProfile
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


class PlainFrontend(Frontend):
    """`/plain/<backend>/`: what X2Go Client speaks."""

    enabled_by = "enable-plain-output"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._texts = ProfileTexts()

    def _routes(self, blueprint: Blueprint) -> None:
        self.route_backends(blueprint, "/plain", self.serve)

    def serve(self, backend: str | None = None) -> Response:
        """Answer X2Go Client: log in, list session profiles, select one, change a password, take a report."""
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
            return self._refuse(settings)
        body = self._perform(settings, broker, task, fields, request, login)
        authid = broker.next_authid(settings, login)
        lead = GRANTED if authid is None else f"AUTHID:{authid}\n{GRANTED}"
        return answer(lead + body, CONTENT_TYPE)

    def _test(self, settings: Settings, broker: Broker, request: Request) -> Response:
        """The connection test: X2Go Client's comes without a user and wants to be granted; none leaves a trace."""
        if request.user or request.password or request.authid:
            login = broker.login(settings, request)
            if not login.granted:
                return self._refuse(settings)
        return answer(TEST_ANSWER, CONTENT_TYPE)

    @staticmethod
    def _refuse(settings: Settings) -> Response:
        """X2Go Client ends itself on a 401, and shows its form again on a 200 without `Access granted`."""
        status = 401 if settings.text(GLOBAL, "plain-refusal") == "status" else 200
        return answer(DENIED, CONTENT_TYPE, status)

    def _perform(
        self,
        settings: Settings,
        broker: Broker,
        task: str,
        fields: dict[str, str],
        request: Request,
        login: Login,
    ) -> str:
        match task:
            case "listsessions" | "listprofiles":
                return self._list(settings, broker, login)
            case "selectsession":
                return self._select(settings, broker, login, fields.get("sid", ""))
            case "setpass":
                change = broker.change_password(settings, login, request, fields.get("newpass", ""))
                return f"PASSWORD CHANGED: {'OK' if change.changed else 'NO: ' + change.reason}\n"
            case "clientevent":
                # the answer to an event is the grant itself; orders to the client would stand behind it
                broker.record_event(settings, read_event(fields, login.user, request.login))
        return ""

    def _list(self, settings: Settings, broker: Broker, login: Login) -> str:
        offers = broker.list_profiles(settings, login)
        if not offers:
            return ""
        profiles = "".join(map(self._texts.text_of, offers))
        return f"START_USER_SESSIONS\n\n{profiles}END_USER_SESSIONS\n{client_configuration(settings)}"

    @staticmethod
    def _select(settings: Settings, broker: Broker, login: Login, profile_id: str) -> str:
        if not profile_id:
            return ""
        selection = broker.select_session(settings, login, profile_id)
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
