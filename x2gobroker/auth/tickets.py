"""Kerberos tickets for desktops in the browser, the broker's side: kept for who signs in, forgotten with the sign-in.

The authentication service keeps them, and no ticket ever comes here: a login gets a handle, and the service is told by
it that the user was let in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from x2gobroker.authservice.client import Answer, AuthServiceClient
from x2gobroker.errors import AuthMechanismError
from x2gobroker.logs import error_log, field
from x2gobroker.settings import AUTH_PREFIX, GLOBAL, Settings
from x2gobroker.store import PortalSessions

OPTION = "portal-kerberos-tickets"
SECTION = AUTH_PREFIX + "pam"
NEW_SECONDS = 45  # a sign-in lasts for a minute at least
SECONDS = 10.0  # signing in or out takes no longer for it, whatever the service does


def are_kept(settings: Settings) -> bool:
    """Whether the tickets of who signs in at the portal are kept."""
    return settings.boolean(GLOBAL, OPTION)


def keep(settings: Settings, user: str, handle: str, seconds: float) -> None:
    """Keep the ticket of a login whose user was let in, for so many seconds at most. What fails is logged."""
    if handle:
        _told(settings, user, lambda client, service: client.keep_ticket(service, user, handle, max(1, int(seconds))))


def forget(settings: Settings, user: str, older: int = 0) -> None:
    """Keep no ticket of this user any more, unless it is less than `older` seconds old. What fails is logged."""
    if are_kept(settings):
        _told(settings, user, lambda client, service: client.forget_ticket(service, user, older))


def forget_unless_signed_in(settings: Settings, sessions: PortalSessions, user: str) -> None:
    """Keep no ticket of a user who is signed in nowhere any more. What fails is logged. Raises StoreError."""
    if are_kept(settings) and not sessions.all_of(user, settings.integer(GLOBAL, "portal-idle-minutes") * 60.0):
        forget(settings, user)


def forget_those_who_left(settings: Settings, sessions: PortalSessions, now: float) -> None:
    """Keep no tickets of users whose sign-ins have ended by time; to be called before those are forgotten.

    Nobody waits for it. Who has signed in again meanwhile has a new ticket, which stays. Raises StoreError.
    """
    if not are_kept(settings):
        return
    users = sorted(sessions.leaving(settings.integer(GLOBAL, "portal-idle-minutes") * 60.0, now))

    def forget_all() -> None:
        for user in users:
            forget(settings, user, NEW_SECONDS)

    if users:
        threading.Thread(target=forget_all, name="tickets", daemon=True).start()


def _told(settings: Settings, user: str, tell: Callable[[AuthServiceClient, str], Answer]) -> None:
    client = AuthServiceClient(Path(settings.environment("X2GOBROKER_AUTHSERVICE_SOCKET")), SECONDS)
    try:
        answer = tell(client, settings.text(SECTION, "service"))
    except AuthMechanismError as error:
        error_log.error("Kerberos ticket of %s: %s", field(user), error)
        return
    if not answer.granted:
        error_log.error("Kerberos ticket of %s: %s", field(user), answer.reason)
