"""The auth mechanism `pam`: the system's own way of checking passwords, called in this process.

A process that is not root can check other users' passwords only with modules that need no privileges (LDAP, SSSD,
Kerberos); pam_unix is not among them.
"""

from __future__ import annotations

import os
import re

import pam

from x2gobroker.auth.base import AuthMechanism, Credentials, Verdict
from x2gobroker.errors import AuthMechanismError
from x2gobroker.settings import Settings

SERVICE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
PAM_SERVICE_FOLDER = "/etc/pam.d"


class PamMechanism(AuthMechanism):
    """Checks passwords with the PAM service of the option `service`, authentication and account phase."""

    def _check(self, settings: Settings, credentials: Credentials) -> Verdict:
        service = settings.text(self.section, "service")
        if not SERVICE_NAME.fullmatch(service) or not os.path.isfile(os.path.join(PAM_SERVICE_FOLDER, service)):
            # PAM would silently use the service `other`
            raise AuthMechanismError(f"there is no PAM service {service}: no such file in {PAM_SERVICE_FOLDER}")
        # a handle per call: one handle shared between threads crashes the process
        handle = pam.PamAuthenticator()
        try:
            right = bool(
                handle.authenticate(
                    credentials.user,
                    credentials.password,
                    service=service,
                    resetcreds=False,
                    print_failure_messages=False,
                )
            )
        except (ValueError, UnicodeError):
            return Verdict(False, credentials.user, "PAM cannot take this user name or password")
        return Verdict(right, credentials.user, "PAM accepts the password" if right else f"PAM: {_said(handle)}")


def _said(handle: pam.PamAuthenticator) -> str:
    reason = handle.reason
    if isinstance(reason, bytes):
        reason = reason.decode("utf-8", "replace")
    return str(reason or "refused")
