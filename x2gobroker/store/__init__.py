"""State that worker processes and broker hosts must agree on.

That is: authids, penalties for wrong passwords, second factors, client events, reservations of places on X2Go Servers,
their load reports, which of them are drained, and the autologin keys that are, or may be, on them; who has which
desktop in the browser; who is signed in at the portal; who is locked out; and what is known of sessions on X2Go
Servers.
"""

from x2gobroker.store.authids import Authids, Standing
from x2gobroker.store.autologin_keys import AutologinKeys, StoredKey
from x2gobroker.store.database import Store
from x2gobroker.store.desktop_ends import DesktopEnd, DesktopEnds, Why
from x2gobroker.store.desktop_orders import DesktopOrders
from x2gobroker.store.drains import Drain, Drains
from x2gobroker.store.events import ClientEvent, ClientEvents
from x2gobroker.store.load_checkers import LoadCheckers
from x2gobroker.store.loads import Loads, ServerLoad
from x2gobroker.store.lockouts import Lockouts, TakenAway
from x2gobroker.store.origins import Origins
from x2gobroker.store.penalties import Admission, Attempt, Penalties
from x2gobroker.store.portal_sessions import PortalSession, PortalSessions
from x2gobroker.store.proxy_checks import ProxyChecks
from x2gobroker.store.remote_closing import Closing, DesktopsClosedError
from x2gobroker.store.remote_desktops import Pass, RemoteDesktops, Slot
from x2gobroker.store.reservations import Reservation, Reservations, Seen
from x2gobroker.store.server_sessions import ServerSessions
from x2gobroker.store.sign_in_ties import SignInTie
from x2gobroker.store.totp import Enrolment, Enrolments
from x2gobroker.store.user_locks import UserLock, UserLocks

__all__ = [
    "Admission",
    "Attempt",
    "Authids",
    "AutologinKeys",
    "ClientEvent",
    "ClientEvents",
    "Closing",
    "DesktopEnd",
    "DesktopEnds",
    "DesktopOrders",
    "DesktopsClosedError",
    "Drain",
    "Drains",
    "Enrolment",
    "Enrolments",
    "LoadCheckers",
    "Loads",
    "Lockouts",
    "Origins",
    "Pass",
    "Penalties",
    "PortalSession",
    "PortalSessions",
    "ProxyChecks",
    "RemoteDesktops",
    "Reservation",
    "Reservations",
    "Seen",
    "ServerLoad",
    "ServerSessions",
    "SignInTie",
    "Slot",
    "Standing",
    "Store",
    "StoredKey",
    "TakenAway",
    "UserLock",
    "UserLocks",
    "Why",
]
