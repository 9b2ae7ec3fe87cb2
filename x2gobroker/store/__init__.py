"""State that worker processes and broker hosts must agree on: authids, penalties, second factors, client events."""

from x2gobroker.store.authids import Authids, Standing
from x2gobroker.store.database import Store
from x2gobroker.store.events import ClientEvent, ClientEvents
from x2gobroker.store.penalties import Attempt, Penalties
from x2gobroker.store.totp import Enrolment, Enrolments

__all__ = [
    "Attempt",
    "Authids",
    "ClientEvent",
    "ClientEvents",
    "Enrolment",
    "Enrolments",
    "Penalties",
    "Standing",
    "Store",
]
