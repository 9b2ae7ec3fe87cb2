"""The backend `zeroconf`: one session profile, a desktop on this very host; to try a broker with nothing set up."""

from __future__ import annotations

import threading

from x2gobroker.backends.base import Backend
from x2gobroker.model.profile import build_profile
from x2gobroker.model.profile_set import ProfileSet
from x2gobroker.settings import BACKEND_PREFIX, Settings

PROFILE_ID = "localhost"


def _ignore(_option: str, _message: str) -> None:
    """Nothing an administrator wrote can be wrong here: the profile's text stands below."""


class ZeroconfBackend(Backend):
    """Offers everybody the desktop named by `desktop-shell`, on localhost."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._lock = threading.Lock()
        self._made: dict[str, ProfileSet] = {}

    def _profiles(self, settings: Settings) -> ProfileSet:
        desktop = settings.text(BACKEND_PREFIX + self.name, "desktop-shell")
        made = self._made.get(desktop)
        if made is None:
            text = {
                "command": desktop.upper(),
                "rootless": "false",
                "user": "",
                "host": "localhost",
                "name": "LOCALHOST",
            }
            made = ProfileSet.build([build_profile(PROFILE_ID, text, {}, _ignore)])
            with self._lock:
                self._made = {desktop: made}
        return made
