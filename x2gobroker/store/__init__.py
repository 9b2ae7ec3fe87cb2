"""State that worker processes and broker hosts must agree on.

That is: authids, penalties for wrong passwords, second factors, client events, reservations of places on X2Go Servers,
their load reports, which of them are drained, and the autologin keys that are, or may be, on them; who has which
desktop in the browser; and who is signed in at the portal.
"""

from x2gobroker.store.authids import Authids, Standing
from x2gobroker.store.autologin_keys import AutologinKeys, StoredKey
from x2gobroker.store.database import Store
from x2gobroker.store.drains import Drain, Drains
from x2gobroker.store.events import ClientEvent, ClientEvents
from x2gobroker.store.loads import Loads, ServerLoad
from x2gobroker.store.penalties import Admission, Attempt, Penalties
from x2gobroker.store.portal_sessions import PortalSession, PortalSessions
from x2gobroker.store.remote_desktops import Pass, RemoteDesktops, Slot
from x2gobroker.store.reservations import Reservation, Reservations, Seen
from x2gobroker.store.totp import Enrolment, Enrolments

__all__ = [
    "Admission",
    "Attempt",
    "Authids",
    "AutologinKeys",
    "ClientEvent",
    "ClientEvents",
    "Drain",
    "Drains",
    "Enrolment",
    "Enrolments",
    "Loads",
    "Pass",
    "Penalties",
    "PortalSession",
    "PortalSessions",
    "RemoteDesktops",
    "Reservation",
    "Reservations",
    "Seen",
    "ServerLoad",
    "Slot",
    "Standing",
    "Store",
    "StoredKey",
]
