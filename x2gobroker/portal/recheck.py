"""Whether those who are signed in would still get in: accounts are locked, and passwords changed, meanwhile."""

from __future__ import annotations

from x2gobroker.auth import tickets
from x2gobroker.logs import broker_log
from x2gobroker.logs import field as log_field
from x2gobroker.model.inventory import CLOCK_SECONDS
from x2gobroker.portal.passwords import check_again
from x2gobroker.portal.session import Portal
from x2gobroker.store import PortalSession, PortalSessions, RemoteDesktops

CHECK_SECONDS = 600.0


def still_welcome(portal: Portal, session: PortalSession, token: str) -> bool:
    """Ask the auth mechanism again, every CHECK_SECONDS: about the password where it is at hand, else the account.

    False when it says no: then the user is signed out everywhere, connections to the user's desktops are cut, and links
    for guests are taken back. The desktops end after their grace time, unless the user signs in with the new password.
    Raises StoreError.
    """
    if -CLOCK_SECONDS <= portal.now - session.checked < CHECK_SECONDS:  # else a clock was ahead at the last one
        return True
    sessions = portal.services.of(PortalSessions, portal.settings)
    if not sessions.checked(session, portal.now):
        return True
    refusal = check_again(portal, session.username, session.password(token))
    if not refusal:
        return True
    many = sessions.close_all(session.username)
    portal.services.of(RemoteDesktops, portal.settings).ask_cut(session.username, links=True)
    tickets.forget(portal.settings, session.username)
    broker_log.warning(
        "portal: %s is signed out of %d browsers: the login no longer counts (%s)",
        log_field(session.username),
        many,
        refusal,
    )
    return False
