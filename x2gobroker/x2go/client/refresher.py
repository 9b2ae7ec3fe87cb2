"""The thread of a client that follows the states of its sessions."""

from __future__ import annotations

import threading
from collections.abc import Callable

from x2gobroker.x2go.registry import X2GoSessionRegistry

STOP_SECONDS = 30.0


class Refresher:
    """Calls `refresh` with the name of each profile that is connected, every `interval()` seconds."""

    def __init__(
        self, registry: X2GoSessionRegistry, refresh: Callable[[str], object], interval: Callable[[], float]
    ) -> None:
        self._registry = registry
        self._refresh = refresh
        self._interval = interval
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def is_running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="x2go-client-refresher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it unless this is it."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(self._interval()):
            for name in self._registry.living_profiles():
                if not self._stop.is_set():
                    self._refresh(name)
