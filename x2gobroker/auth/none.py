"""The auth mechanism `none`: lets every user name in with any password. For trials and closed networks."""

from __future__ import annotations

from x2gobroker.auth.base import AuthMechanism, Credentials, Verdict, granted
from x2gobroker.settings import Settings


class NoneMechanism(AuthMechanism):
    """Believes every user name."""

    checks_password = False
    vouches = ""

    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        return granted(credentials.user, "nothing is checked")
