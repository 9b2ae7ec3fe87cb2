"""The auth mechanism `pam`: the system's own way of checking passwords, by the authentication service.

A process that is not root can check other users' passwords only with modules that need no privileges (LDAP, SSSD,
Kerberos); pam_unix is not among them, and says that a right password is wrong. So PAM is asked without the service only
by root, or where the configuration says that the modules can do without.
"""

from __future__ import annotations

import os
import pwd
import threading
from pathlib import Path

from x2gobroker.auth.base import (
    WRONG_PRESENT,
    AuthMechanism,
    Credentials,
    PasswordChange,
    Verdict,
    granted,
    refused,
)
from x2gobroker.authservice import direct
from x2gobroker.authservice.client import AuthServiceClient, Sign, sign_of_life
from x2gobroker.authservice.pamfiles import service_exists
from x2gobroker.errors import AuthMechanismError
from x2gobroker.settings import Settings


class PamMechanism(AuthMechanism):
    """Checks passwords with the PAM service of the option `service`, authentication and account phase."""

    vouches = "password"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._lock = threading.Lock()
        self._client: AuthServiceClient | None = None

    def _service_client(self, settings: Settings) -> AuthServiceClient | None:
        """The authentication service; None where PAM is to be asked without it."""
        path = Path(settings.environment("X2GOBROKER_AUTHSERVICE_SOCKET"))
        try:
            is_there = path.exists()
        except OSError as error:
            raise AuthMechanismError(
                f"{path} cannot be reached: {error.strerror}; let the broker's user enter its folder", looked=False
            ) from None
        if not is_there:
            if os.geteuid() == 0 or settings.boolean(self.section, "without-authservice"):
                return None
            raise AuthMechanismError(
                f"there is no {path}, and this process, which is not root, cannot check passwords itself; start "
                "x2gobroker-authservice",
                looked=False,
            )
        with self._lock:
            if self._client is None or self._client.path != path:
                self._client = AuthServiceClient(path)
            return self._client

    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        service = settings.text(self.section, "service")
        password, code = self._split(settings, credentials.password)
        client = self._service_client(settings)
        user, address = credentials.user, credentials.address
        if client is None:
            answer = direct.authenticate(service, user, password, code, address)
        else:
            answer = client.authenticate(service, user, password, code, address, credentials.wants_ticket)
        return granted(user, answer.reason, answer.ticket) if answer.granted else refused(user, answer.reason)

    def _account(self, settings: Settings, user: str, address: str) -> Verdict:
        service = settings.text(self.section, "service")
        client = self._service_client(settings)
        answer = (direct.account if client is None else client.account)(service, user, address)
        if answer is None:  # the reference's service: what can be seen without it is whether the account is still there
            try:
                pwd.getpwnam(user)
            except KeyError:
                return refused(user, "there is no such account any more", looked=False)
            return granted(user, "the account is there")
        return granted(user, answer.reason) if answer.granted else refused(user, answer.reason, looked=False)

    def takes_codes(self, settings: Settings) -> bool:
        """Whether a code stands behind the password."""
        return settings.integer(self.section, "code-digits") > 0

    def is_ready(self, settings: Settings, seconds: float) -> bool:
        """Whether the authentication service answers, or PAM can be asked without it; and whether there is the PAM
        service, unless the authentication service runs in another container.
        """
        try:
            client = self._service_client(settings)
        except AuthMechanismError:
            return False
        sign = Sign.HERE if client is None else sign_of_life(client.path, seconds)
        return sign is Sign.ELSEWHERE or (sign is Sign.HERE and service_exists(settings.text(self.section, "service")))

    def _split(self, settings: Settings, password: str) -> tuple[str, str | None]:
        """Password and one-time code of the one string that a client sends; no code where none is asked for."""
        digits = settings.integer(self.section, "code-digits")
        return (password[:-digits], password[-digits:]) if digits else (password, None)

    def _change_password(self, settings: Settings, credentials: Credentials, new: str) -> PasswordChange:
        service = settings.text(self.section, "service")
        old, _ = self._split(settings, credentials.password)
        client = self._service_client(settings)
        if client is None:
            raise AuthMechanismError(
                "passwords are changed by x2gobroker-authservice, which does not run", looked=False
            )
        answer = client.change_password(service, credentials.user, old, new)
        if answer.wrong_present:
            return WRONG_PRESENT
        return PasswordChange(answer.granted, "" if answer.granted else "the system refuses the new password")
