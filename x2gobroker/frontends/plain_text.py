"""The text protocol of X2Go Client (docs/reference/protocol.md), the same over HTTP and over SSH."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

from x2gobroker.broker import Offer
from x2gobroker.frontends.outcome import Outcome, spoken_server
from x2gobroker.frontends.told import told_values
from x2gobroker.model.ini_text import ini_name, ini_text, value_text
from x2gobroker.model.profile import BROKER_USER, SessionProfile
from x2gobroker.scheduling.choice import Selection
from x2gobroker.settings import GLOBAL, Settings

GRANTED = "Access granted\n"
DENIED = "Access denied\nThe user name, the password or the login before was not accepted.\n"
TEST_ANSWER = "OK\n" + GRANTED


def denied(told: str = "") -> str:
    """The answer to a login that failed, with what else its user is told.

    X2Go Client takes an answer for granted that has these two words anywhere.
    """
    return f"Access denied\n{told}\n" if told and GRANTED.strip() not in told else DENIED


Halves = tuple[str, str | None]


class ProfileTexts:
    """The rendered text of session profiles, made once for each: two halves, with the user between them.

    Where a session of the user is running or suspended, the text is this user's own, and is made each time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[bool, WeakKeyDictionary[SessionProfile, Halves]] = {
            False: WeakKeyDictionary(),
            True: WeakKeyDictionary(),
        }

    def text_of(self, offer: Offer) -> str:
        """The section of one profile on offer, ending in an empty line."""
        before, behind = self._halves(offer) if offer.is_own else self._kept_halves(offer)
        return before if behind is None else f"{before}{ini_text(offer.user)}{behind}"

    def _kept_halves(self, offer: Offer) -> Halves:
        made = self._made[offer.autologin]
        halves = made.get(offer.profile)
        if halves is None:
            halves = self._halves(offer)
            with self._lock:
                made[offer.profile] = halves
        return halves

    @staticmethod
    def _halves(offer: Offer) -> Halves:
        text = [f"[{ini_name(offer.profile.id, is_section=True)}]\n"]
        before: str | None = None
        counts = {"running": offer.running, "suspended": offer.suspended}
        # X2Go Client 4.1.2.2 and later shows them beside `status`, which can tell of one session only
        values = {**told_values(offer), **{name: number for name, number in counts.items() if number}}
        for name, value in values.items():
            if name == "user" and value == BROKER_USER:
                before = "".join(text) + "user="
                text = ["\n"]
            else:
                text.append(f"{ini_name(name)}={value_text(name, value)}\n")
        text.append("\n")
        return ("".join(text), None) if before is None else (before, "".join(text))


def plain_text(settings: Settings, outcome: Outcome, authid: str | None, texts: ProfileTexts) -> str:
    """The whole answer to somebody who is logged in.

    `authid` is the next one, None where there is none to show. With autologin the text holds a private key.
    """
    text = GRANTED if authid is None else f"AUTHID:{authid}\n{GRANTED}"
    if outcome.offers:
        profiles = "".join(map(texts.text_of, outcome.offers))
        text += f"START_USER_SESSIONS\n\n{profiles}END_USER_SESSIONS\n{client_configuration(settings)}"
    if outcome.selection:
        text += selection_text(outcome.selection)
    if outcome.change:
        text += f"PASSWORD CHANGED: {'OK' if outcome.change.changed else 'NO: ' + outcome.change.reason}\n"
    # the answer to a client event is the grant itself; orders to the client would stand behind it
    return text


def selection_text(selection: Selection) -> str:
    """The server to go to, the one-off key to log in there with, and the sessions to resume.

    X2Go Client takes everything behind `SESSION_INFO:` for sessions, one on each line: nothing may follow.
    """
    text = f"SERVER:{spoken_server(selection)}:{selection.port}\n"
    if selection.private_key:
        text += selection.private_key.rstrip("\n") + "\n"
    if selection.session_lines:
        text += "SESSION_INFO:" + "\n".join(selection.session_lines) + "\n"
    return text


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
