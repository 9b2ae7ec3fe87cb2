"""What the portal must know of a login beyond whether it is granted: which fields the form has, what of it is kept."""

from __future__ import annotations

from collections.abc import Mapping

from x2gobroker.auth.base import AuthMechanism, Credentials, Outcome
from x2gobroker.errors import PluginError
from x2gobroker.logs import error_log
from x2gobroker.portal.session import Portal
from x2gobroker.settings import AUTH_PREFIX

PAM = "pam"


def needs_password(portal: Portal) -> bool:
    """Whether users log in with a password, and are not known by other means (`remote_user`)."""
    mechanism = _mechanism(portal)
    return mechanism is None or mechanism.needs_password


def asks_for_code(portal: Portal) -> bool:
    """Whether users at this address may need a one-time code behind the password."""
    factor = portal.broker.second_factor
    is_on = factor.is_on(portal.settings) and not factor.rules(portal.settings).exempts(portal.address)
    return is_on or _pam_digits(portal) > 0


def named_by_server(portal: Portal, variables: Mapping[str, object]) -> str:
    """Whom a login without a form names, by what the web server says; empty where that is not known before."""
    mechanism = _mechanism(portal)
    if mechanism is None:
        return ""
    return mechanism.user_of(portal.settings, Credentials("", "", portal.address, variables))


def needs_code(portal: Portal, user: str) -> bool:
    """Whether this user, who is known to be that, needs a one-time code at this address. Raises StoreError."""
    return portal.broker.second_factor.is_needed(portal.settings, user, portal.address)


def without_code(portal: Portal, user: str, password: str) -> str:
    """The password of a login that was granted, without the one-time code that may stand behind it."""
    credentials = Credentials(user, password, portal.address)
    alone = portal.broker.second_factor.without_code(portal.settings, credentials).password
    digits = _pam_digits(portal)
    return alone[: len(alone) - digits] if digits else alone


def check_again(portal: Portal, user: str, password: str | None) -> str:
    """Why the auth mechanism no longer takes somebody who is signed in; nothing when it does, or cannot tell.

    Where the password is not at hand, or is good only with a code, the account alone is asked about. No penalty counts
    this: nobody guesses here.
    """
    mechanism = _mechanism(portal)
    if mechanism is None:
        return ""
    if password is None or not mechanism.checks_password or mechanism.takes_codes(portal.settings):
        account = mechanism.account(portal.settings, user, portal.address)
        return account.reason if account.outcome is Outcome.REFUSED else ""
    verdict = mechanism.authenticate(portal.settings, Credentials(user, password, portal.address))
    return verdict.reason if verdict.outcome is Outcome.REFUSED and verdict.looked else ""


def _name(portal: Portal) -> str:
    return portal.settings.for_backend(portal.broker.backend.name, "auth-mech").lower()


def _mechanism(portal: Portal) -> AuthMechanism | None:
    try:
        return portal.services.mechanism(_name(portal))
    except PluginError as error:
        error_log.error("auth mechanism: %s", error)
        return None


def _pam_digits(portal: Portal) -> int:
    """How many characters behind the password are a code for PAM; 0 with other mechanisms."""
    return portal.settings.integer(AUTH_PREFIX + PAM, "code-digits") if _name(portal) == PAM else 0
