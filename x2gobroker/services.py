"""What the brokers of one VirtualHost share: plug-in objects, the store, caches."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

from x2gobroker.agents.farm import AgentFarm
from x2gobroker.auth.base import AuthMechanism
from x2gobroker.autologin.keys import Autologin
from x2gobroker.autologin.stock import KeyStock
from x2gobroker.autologin.sweep import Sweep
from x2gobroker.backends.base import Backend
from x2gobroker.inventory.record import Inventory
from x2gobroker.inventory.selections import SelectionNotes
from x2gobroker.nameservices.base import NameService
from x2gobroker.nameservices.hosts import HostNames
from x2gobroker.plugins import AUTH_MECHANISMS, BACKENDS, NAME_SERVICES, load
from x2gobroker.remote.types import SessionTypeSource
from x2gobroker.scheduling.choice import Scheduler, Stores
from x2gobroker.scripts.chain import ScriptChain
from x2gobroker.settings import GLOBAL, Settings, WatchedFile
from x2gobroker.settings.text_files import read_text
from x2gobroker.store import (
    Authids,
    AutologinKeys,
    ClientEvents,
    DesktopOrders,
    Drains,
    Enrolments,
    Loads,
    Origins,
    Penalties,
    PortalSessions,
    RemoteDesktops,
    Reservations,
    Store,
    UserLocks,
)
from x2gobroker.store.database import database_url

LONGEST_COOKIE_FILE = 65536
OLD_FILE = "my-cookie-old-file"
PLACEHOLDER = re.compile(r"[xX]{8}(-[xX]{4}){3}-[xX]{12}")


class Services:
    """Plug-in objects, the store and caches, made at first use; all of it can be made anew from disk.

    `key_stock` is where autologin takes keys from, by default a stock that is filled up in the background.
    """

    def __init__(self, key_stock: KeyStock | None = None) -> None:
        self.host_names = HostNames()
        self.farm = AgentFarm()
        self.session_types = SessionTypeSource()
        self.scheduler = Scheduler(self.farm)
        self._key_stock = key_stock or KeyStock()
        self._sweep: Sweep | None = None
        self.scripts = ScriptChain()
        self._lock = threading.RLock()
        self._backends: dict[str, Backend] = {}
        self._mechanisms: dict[str, AuthMechanism] = {}
        self._name_services: dict[str, NameService] = {}
        self._store: Store | None = None
        self._authids: Authids | None = None
        self._penalties: Penalties | None = None
        self._stores: Stores | None = None
        self._inventory: Inventory | None = None
        self._store_of: Settings | None = None
        self._preset: WatchedFile[str] | None = None
        self._old_preset: WatchedFile[str] | None = None

    def backend(self, name: str) -> Backend:
        """The backend of this name. Raises PluginError when it is not installed."""
        known = self._backends.get(name)
        if known is None:
            with self._lock:
                made = load(BACKENDS, name, Backend)(name)  # type: ignore[type-abstract]
                known = self._backends.setdefault(name, made)
        return known

    def mechanism(self, name: str) -> AuthMechanism:
        """The auth mechanism of this name. Raises PluginError when it is not installed."""
        known = self._mechanisms.get(name)
        if known is None:
            with self._lock:
                made = load(AUTH_MECHANISMS, name, AuthMechanism)(name)  # type: ignore[type-abstract]
                known = self._mechanisms.setdefault(name, made)
        return known

    def name_service(self, name: str) -> NameService:
        """The name service of this name. Raises PluginError when it is not installed."""
        known = self._name_services.get(name)
        if known is None:
            with self._lock:
                made = load(NAME_SERVICES, name, NameService)()  # type: ignore[type-abstract]
                known = self._name_services.setdefault(name, made)
        return known

    def store(self, settings: Settings) -> Store:
        """The store that the settings name. Raises StoreError."""
        if self._store is None or self._store_of is not settings:
            with self._lock:
                url = database_url(settings)
                if self._store is None or self._store.url != url:
                    self._store = Store(url)
                    self._authids = Authids(self._store)
                    self._penalties = Penalties(self._store)
                    self._stores = self._stores_of(self._store)
                self._store_of = settings
        return self._store

    def authids(self, settings: Settings) -> Authids:
        """The authids of the store. Raises StoreError."""
        store = self.store(settings)
        authids = self._authids
        return authids if authids is not None and authids.store is store else Authids(store)

    def penalties(self, settings: Settings) -> Penalties:
        """The penalties of the store. Raises StoreError."""
        store = self.store(settings)
        penalties = self._penalties
        return penalties if penalties is not None and penalties.store is store else Penalties(store)

    def stores(self, settings: Settings) -> Stores:
        """What the scheduler keeps in the store. Raises StoreError."""
        store = self.store(settings)
        stores = self._stores
        return stores if stores is not None and stores.loads.store is store else self._stores_of(store)

    def _stores_of(self, store: Store) -> Stores:
        notes = SelectionNotes(self._inventory_of(store))
        return Stores(Reservations(store), Loads(store), Drains(store), notes)

    def inventory(self, settings: Settings) -> Inventory:
        """What is known of sessions on X2Go Servers, to be written. Raises StoreError."""
        return self._inventory_of(self.store(settings))

    def _inventory_of(self, store: Store) -> Inventory:
        known = self._inventory
        if known is None or known.store is not store:
            known = self._inventory = Inventory(store)
        return known

    def autologin(self, settings: Settings) -> Autologin:
        """What puts autologin keys on servers. Raises StoreError."""
        return Autologin(self.farm, AutologinKeys(self.store(settings)), self._key_stock)

    def start_housekeeping(self, settings: Callable[[], Settings]) -> None:
        """Take autologin keys away when they are due, in a thread of this process. To be called after forks.

        The keys are in the store: those of a process that ended are taken away by another one.
        """
        if self._sweep is None:
            self._sweep = Sweep(self.farm, settings, lambda current: AutologinKeys(self.store(current)))
        self._sweep.start()

    def events(self, settings: Settings) -> ClientEvents:
        """The client events of the store. Raises StoreError."""
        return ClientEvents(self.store(settings))

    def origins(self, settings: Settings) -> Origins:
        """From which profiles sessions were begun, from the store. Raises StoreError."""
        return Origins(self.store(settings))

    def enrolments(self, settings: Settings) -> Enrolments:
        """The second factors of the store. Raises StoreError."""
        return Enrolments(self.store(settings))

    def desktops(self, settings: Settings) -> RemoteDesktops:
        """The desktops in the browser of the store. Raises StoreError."""
        return RemoteDesktops(self.store(settings))

    def desktop_orders(self, settings: Settings) -> DesktopOrders:
        """What administrators have ordered for the desktops of the store. Raises StoreError."""
        return DesktopOrders(self.store(settings))

    def user_locks(self, settings: Settings) -> UserLocks:
        """Who is locked out, from the store. Raises StoreError."""
        return UserLocks(self.store(settings))

    def portal_sessions(self, settings: Settings) -> PortalSessions:
        """Who is signed in at the portal, from the store. Raises StoreError."""
        return PortalSessions(self.store(settings))

    def preset_authid(self, settings: Settings) -> str:
        """The pre-shared authid of `my-cookie-file`, else of `my-cookie`; empty when there is none."""
        path = settings.path(GLOBAL, "my-cookie-file")
        watched = self._preset
        if watched is None or watched.path != path:
            watched = self._preset = WatchedFile(path, read_preset_authid, "")
        return watched.current().value or usable_authid(settings.text(GLOBAL, "my-cookie").strip())

    def old_preset_authid(self, settings: Settings) -> str:
        """The one before, of `my-cookie-old-file`; empty when none counts any longer."""
        if not settings.text(GLOBAL, OLD_FILE):
            return ""
        path = settings.path(GLOBAL, OLD_FILE)
        watched = self._old_preset
        if watched is None or watched.path != path:
            watched = self._old_preset = WatchedFile(path, read_preset_authid, "")
        return watched.current().value


def read_preset_authid(path: Path) -> str:
    """The first word of the first line that is no comment; none for the placeholder that packages ship.

    Raises ConfigurationError when the file cannot be read.
    """
    lines = read_text(path, LONGEST_COOKIE_FILE).split("\n")
    words = (line.split() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return usable_authid(next(words, [""])[0])


def usable_authid(text: str) -> str:
    """A pre-shared authid; none for what stands in its place until somebody sets one."""
    return "" if PLACEHOLDER.fullmatch(text) else text
