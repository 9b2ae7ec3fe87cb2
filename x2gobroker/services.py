"""What the brokers of one VirtualHost share: plug-in objects, the store, caches. It knows none of the families."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from x2gobroker.agents.farm import AgentFarm
from x2gobroker.auth.base import AuthMechanism
from x2gobroker.auth.preset import PresetAuthids
from x2gobroker.autologin.keys import Autologin
from x2gobroker.autologin.stock import KeyStock
from x2gobroker.autologin.sweep import Sweep
from x2gobroker.backends.base import Backend
from x2gobroker.nameservices.base import NameService
from x2gobroker.nameservices.hosts import HostNames
from x2gobroker.plugins import AUTH_MECHANISMS, BACKENDS, NAME_SERVICES, Family
from x2gobroker.remote.types import SessionTypeSource
from x2gobroker.scheduling.choice import Scheduler
from x2gobroker.scripts.chain import ScriptChain
from x2gobroker.settings import Settings
from x2gobroker.store import AutologinKeys, Store
from x2gobroker.store.database import database_url

T = TypeVar("T")


class Services:
    """Plug-in objects, the store and caches, made at first use; all of it can be made anew from disk. Safe for threads.

    `key_stock` is where autologin takes keys from, by default a stock that is filled up in the background. `backend`,
    `mechanism` and `name_service` give the plug-in of a name, and raise PluginError.
    """

    def __init__(self, key_stock: KeyStock | None = None) -> None:
        self.host_names = HostNames()
        self.farm = AgentFarm()
        self.session_types = SessionTypeSource()
        self.scheduler = Scheduler(self.farm)
        self.scripts = ScriptChain()
        self.preset_authids = PresetAuthids()
        self._key_stock = key_stock or KeyStock()
        self._sweep: Sweep | None = None
        self._lock = threading.RLock()
        self._backends = Family(BACKENDS, Backend)  # type: ignore[type-abstract]
        self._mechanisms = Family(AUTH_MECHANISMS, AuthMechanism)  # type: ignore[type-abstract]
        self._name_services = Family(NAME_SERVICES, NameService)  # type: ignore[type-abstract]
        self._store: Store | None = None
        self._store_of: Settings | None = None
        self._kept: dict[Callable[[Store], Any], Any] = {}  # what was made of the store

    def backend(self, name: str) -> Backend:
        """The backend of this name. Raises PluginError when it is not installed."""
        return self._backends.named(name, lambda kind: kind(name))

    def mechanism(self, name: str) -> AuthMechanism:
        """The auth mechanism of this name. Raises PluginError when it is not installed."""
        return self._mechanisms.named(name, lambda kind: kind(name))

    def name_service(self, name: str) -> NameService:
        """The name service of this name. Raises PluginError when it is not installed."""
        return self._name_services.named(name, lambda kind: kind())

    def store(self, settings: Settings) -> Store:
        """The store that the settings name. Raises StoreError."""
        if self._store is None or self._store_of is not settings:
            with self._lock:
                url = database_url(settings)
                if self._store is None or self._store.url != url:
                    self._store, self._kept = Store(url), {}
                self._store_of = settings
        return self._store

    def of(self, kind: Callable[[Store], T], settings: Settings) -> T:
        """What a family keeps in the store: `kind` makes it of a store, and it is kept for as long as that one is.

        Raises StoreError.
        """
        with self._lock:
            store, kept = self.store(settings), self._kept
            known: T | None = kept.get(kind)
            if known is None:
                known = kept[kind] = kind(store)
            return known

    def autologin(self, settings: Settings) -> Autologin:
        """What puts autologin keys on servers. Raises StoreError."""
        return Autologin(self.farm, self.of(AutologinKeys, settings), self._key_stock)

    def start_housekeeping(self, settings: Callable[[], Settings]) -> None:
        """Take autologin keys away when they are due, in a thread of this process. To be called after forks.

        The keys are in the store: those of a process that ended are taken away by another one.
        """
        if self._sweep is None:
            self._sweep = Sweep(self.farm, settings, lambda current: self.of(AutologinKeys, current))
        self._sweep.start()
