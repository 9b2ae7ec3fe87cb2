"""The auth mechanism `pam`: the system's own way of checking passwords, by the authentication service where it runs.

A process that is not root can check other users' passwords only with modules that need no privileges (LDAP, SSSD,
Kerberos); pam_unix is not among them. So the service is asked when its socket is there, and PAM itself when not.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pamela

from x2gobroker.auth.base import WRONG_PRESENT, AuthMechanism, Credentials, PasswordChange, Verdict
from x2gobroker.authservice import pamcall
from x2gobroker.authservice.client import Answer, AuthServiceClient, answers
from x2gobroker.errors import AuthMechanismError
from x2gobroker.logs import error_log
from x2gobroker.settings import Settings


class PamMechanism(AuthMechanism):
    """Checks passwords with the PAM service of the option `service`, authentication and account phase."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._lock = threading.Lock()
        self._client: AuthServiceClient | None = None
        self._said_missing = False

    def _service_client(self, settings: Settings) -> AuthServiceClient | None:
        """The authentication service, when its socket is there."""
        path = Path(settings.environment("X2GOBROKER_AUTHSERVICE_SOCKET"))
        try:
            is_there = path.exists()
        except OSError as error:
            raise AuthMechanismError(
                f"{path} cannot be reached: {error.strerror}; let the broker's user enter its folder"
            ) from None
        if not is_there:
            self._say_missing(path)
            return None
        with self._lock:
            self._said_missing = False
            if self._client is None or self._client.path != path:
                self._client = AuthServiceClient(path)
            return self._client

    def _say_missing(self, path: Path) -> None:
        with self._lock:
            if self._said_missing:
                return
            self._said_missing = True
        if os.geteuid() != 0:
            error_log.warning(
                "no authentication service at %s: PAM is asked by this process, which is not root and cannot check "
                "passwords of /etc/shadow; start x2gobroker-authservice",
                path,
            )

    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        service = settings.text(self.section, "service")
        password, code = self._split(settings, credentials.password)
        client = self._service_client(settings)
        if client is None:
            answer = _ask_here(service, credentials, password, code)
        else:
            answer = client.authenticate(service, credentials.user, password, code, credentials.address)
        return Verdict(answer.granted, credentials.user, answer.reason)

    def is_ready(self, settings: Settings, seconds: float) -> bool:
        """Whether the authentication service answers; without one, only root can check passwords of /etc/shadow."""
        path = Path(settings.environment("X2GOBROKER_AUTHSERVICE_SOCKET"))
        try:
            return answers(path, seconds) if path.exists() else os.geteuid() == 0
        except OSError:
            return False

    def _split(self, settings: Settings, password: str) -> tuple[str, str | None]:
        """Password and one-time code of the one string that a client sends; no code where none is asked for."""
        digits = settings.integer(self.section, "code-digits")
        return (password[:-digits], password[-digits:]) if digits else (password, None)

    def _change_password(self, settings: Settings, credentials: Credentials, new: str) -> PasswordChange:
        service = settings.text(self.section, "service")
        old, _ = self._split(settings, credentials.password)
        client = self._service_client(settings)
        if client is None:
            raise AuthMechanismError("passwords are changed by x2gobroker-authservice, which does not run")
        answer = client.change_password(service, credentials.user, old, new)
        if answer.wrong_present:
            return PasswordChange(False, WRONG_PRESENT)
        return PasswordChange(answer.granted, "" if answer.granted else "the system refuses the new password")


def _ask_here(service: str, credentials: Credentials, password: str, code: str | None) -> Answer:
    """Ask PAM in this process. Raises AuthMechanismError when there is no such PAM service."""
    if not pamcall.service_exists(service):
        raise AuthMechanismError(f"there is no PAM service {service}: no such file in /etc/pam.d")
    answers = [password] if code is None else [password, code]

    def answer(_question: str, _seen: bool) -> str | None:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    try:
        verdict = pamcall.authenticate(service, credentials.user, answer, credentials.address)
    except pamela.PAMError as error:
        raise AuthMechanismError(f"PAM cannot be asked: {error.message}") from None
    except UnicodeError:
        return Answer(False, "PAM cannot take this user name or password")
    reason = "PAM accepts the password" if verdict.granted else f"PAM: {verdict.reason}"
    return Answer(verdict.granted, reason, verdict.delay_ms)
