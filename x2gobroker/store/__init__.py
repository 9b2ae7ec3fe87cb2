"""State that worker processes and broker hosts must agree on: authids and client events, in one database."""

from x2gobroker.store.authids import Authids, Standing
from x2gobroker.store.database import Store
from x2gobroker.store.events import ClientEvent, ClientEvents

__all__ = ["Authids", "ClientEvent", "ClientEvents", "Standing", "Store"]
