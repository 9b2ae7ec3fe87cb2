"""Whether users can log in now: what `/health/ready` says, and monitors and load balancers ask.

Each part is looked at in a thread of its own, which may hang as long as it likes: whoever asks gets an answer in time.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from x2gobroker.errors import BrokerError
from x2gobroker.loadchecker.targets import Watch
from x2gobroker.logs import broker_log
from x2gobroker.placement import scheduling_stores
from x2gobroker.plugins import BACKENDS, registered
from x2gobroker.portal import languages, static
from x2gobroker.services import Services
from x2gobroker.settings import ENVIRONMENT, GLOBAL, Settings, SettingsSource
from x2gobroker.store.probe import probe

KEEP_SECONDS = 1.0  # for which an answer counts, however often somebody asks
DEADLINE_SECONDS = 1.0
PATIENCE_SECONDS = 1.4  # for whoever asks while somebody else's question is looked into
SECONDS_OF_DAY = 86400


@dataclass(frozen=True)
class Readiness:
    """What fails, by name; nothing where all is well. `certificate_days`: None where the daemon has no certificate."""

    failing: tuple[str, ...]
    certificate_days: int | None = None


class Probe:
    """One part, looked at in a thread; there is never more than one such thread for it."""

    def __init__(self, name: str, check: Callable[[], bool]) -> None:
        self.name = name
        self._check = check
        self._lock = threading.Lock()
        self._running: threading.Event | None = None
        self._good = False

    def start(self) -> threading.Event:
        """Look at it, unless that is being done; the event of its end."""
        with self._lock:
            if self._running is None:
                self._running = threading.Event()
                threading.Thread(
                    target=self._run, args=(self._running,), name=f"ready {self.name}", daemon=True
                ).start()
            return self._running

    def _run(self, done: threading.Event) -> None:
        good = False
        try:
            good = self._check()
        except (BrokerError, OSError, ValueError) as error:
            broker_log.debug("not ready: %s: %s", self.name, error)
        finally:
            with self._lock:
                self._good, self._running = good, None
            done.set()

    def is_good(self, done: threading.Event, end: float) -> bool:
        """What came of it, if anything comes before `end`, by the monotonic clock."""
        return done.wait(max(0.0, end - time.monotonic())) and self._good


class ReadinessCheck:
    """Looks at everything that a login needs. Safe for threads, and does next to nothing when asked often.

    `served_certificate` is the PEM text of a certificate that is in service whatever its files are; None: they are.
    """

    def __init__(self, source: SettingsSource, services: Services) -> None:
        self.served_certificate: bytes | None = None
        self._source = source
        self._services = services
        self._watch = Watch(source, services.backend, tells=False)
        self._turn = threading.Lock()
        self._known: tuple[float, Readiness] | None = None
        checks: Mapping[str, Callable[[], bool]] = {
            "configuration": self._configuration,
            "session-profiles": self._profiles,
            "store": self._store,
            "authentication": self._authentication,
            "pre-shared-authid": self._preset_authid,
            "load-reports": self._load_reports,
            "certificate": self._certificate,
            "novnc": self._novnc,
            "languages": self._languages,
        }
        self._probes = [Probe(name, check) for name, check in checks.items()]

    def current(self) -> Readiness:
        """How things stand, a second ago at most; it takes PATIENCE_SECONDS and DEADLINE_SECONDS at most."""
        known = self._known
        if known is not None and time.monotonic() - known[0] < KEEP_SECONDS:
            return known[1]
        if not self._turn.acquire(timeout=PATIENCE_SECONDS):
            return known[1] if known is not None else Readiness(("health",))
        try:
            known = self._known
            if known is None or time.monotonic() - known[0] >= KEEP_SECONDS:
                found = self._look()
                self._tell(known[1] if known else None, found)
                self._known = time.monotonic(), found
                return found
            return known[1]
        finally:
            self._turn.release()

    def _look(self) -> Readiness:
        end = time.monotonic() + DEADLINE_SECONDS
        started = [(one, one.start()) for one in self._probes]
        failing = tuple(one.name for one, done in started if not one.is_good(done, end))
        days = self._certificate_days() if "certificate" not in failing else None
        return Readiness(failing, days)

    @staticmethod
    def _tell(before: Readiness | None, now: Readiness) -> None:
        if now.failing and (before is None or before.failing != now.failing):
            broker_log.warning("not ready: %s", ", ".join(now.failing))
        elif before is not None and before.failing and not now.failing:
            broker_log.warning("ready again")

    # --- what is looked at

    def _backends(self, settings: Settings) -> list[str]:
        return [name for name in sorted(registered(BACKENDS)) if settings.backend_enabled(name)]

    def _configuration(self) -> bool:
        settings = self._source.current()
        return settings.usable and not self._source.faults and bool(self._backends(settings))

    def _profiles(self) -> bool:
        settings = self._source.current()
        return all(self._services.backend(name).is_ready(settings) for name in self._backends(settings))

    def _store(self) -> bool:
        probe(self._services.store(self._source.current()))
        return True

    def _authentication(self) -> bool:
        """What passwords are checked by: a service, a file, a web server."""
        settings = self._source.current()
        if not settings.boolean(GLOBAL, "require-password"):
            return True
        names = {settings.for_backend(name, "auth-mech").lower() for name in self._backends(settings)}
        return all(self._services.mechanism(name).is_ready(settings, DEADLINE_SECONDS) for name in names)

    def _preset_authid(self) -> bool:
        """What clients have to show at first contact, where they have to."""
        settings, authids = self._source.current(), self._services.preset_authids
        return not settings.boolean(GLOBAL, "require-cookie") or bool(
            authids.present(settings) or authids.former(settings)
        )

    def _load_reports(self) -> bool:
        """Whether the load checker goes round, where session profiles go by load."""
        watched = self._watch.current()
        if not watched.by_load:
            return True
        loads = self._services.of(scheduling_stores, self._source.current()).loads.of(watched.by_load)
        now = time.time()
        return any(load.was_asked_of_late(watched.interval, now) for load in loads.values())

    def _certificate(self) -> bool:
        days = self._certificate_days()
        return days is None or days >= 0

    def _certificate_days(self) -> int | None:
        """Days that the daemon's certificate is still valid; negative for one that is not."""
        text = self.served_certificate
        if text is None:
            settings = self._source.current()
            path = settings.text(ENVIRONMENT, "X2GOBROKER_SSL_CERTFILE")
            if not path:
                return None
            text = Path(path).read_bytes()
            if not os.access(settings.environment("X2GOBROKER_SSL_KEYFILE"), os.R_OK):
                return -1
        certificate = x509.load_pem_x509_certificate(text)
        now = datetime.now(UTC)
        if now < certificate.not_valid_before_utc:
            return -1
        return int((certificate.not_valid_after_utc - now).total_seconds() // SECONDS_OF_DAY)

    def _novnc(self) -> bool:
        return not self._source.current().boolean(GLOBAL, "enable-portal") or static.has_novnc()

    def _languages(self) -> bool:
        """The portal's texts: without them it is not served."""
        return not self._source.current().boolean(GLOBAL, "enable-portal") or not languages.faults()
