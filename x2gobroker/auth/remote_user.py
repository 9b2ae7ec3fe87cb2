"""The auth mechanism `remote_user`: believes the web server, which has authenticated the user itself.

Apache sets REMOTE_USER for the WSGI application (Kerberos, OpenID Connect, client certificates, Basic). Only that
variable counts, never a header that a client could send.
"""

from __future__ import annotations

from x2gobroker.auth.base import AuthMechanism, Credentials, Verdict, granted, refused
from x2gobroker.settings import Settings


class RemoteUserMechanism(AuthMechanism):
    """Lets in whom the web server names; a different user name in the form is refused."""

    needs_password = False
    checks_password = False
    vouches = "web server"

    def user_of(self, settings: Settings, credentials: Credentials) -> str:
        """Whom the web server names; whom the form names, where that is nobody."""
        return self._user(settings, _named(credentials)) or credentials.user

    def _user(self, settings: Settings, named: str) -> str:
        """The user of what the web server says; empty where that cannot be used."""
        user = named.partition("@")[0] if settings.boolean(self.section, "strip-realm") else named
        return user if user.isprintable() else ""

    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        named = _named(credentials)
        if not named:
            return refused(credentials.user, "the web server has authenticated nobody", looked=False)
        user = self._user(settings, named)
        if not user:
            return refused(credentials.user, "the web server's user name cannot be used", looked=False)
        if credentials.user not in ("", user, named):
            return refused(credentials.user, "the web server has authenticated another user", looked=False)
        return granted(user, "authenticated by the web server")


def _named(credentials: Credentials) -> str:
    named = credentials.server_variables.get("REMOTE_USER")
    return named if isinstance(named, str) else ""
