"""What one request to the portal has at hand: settings, broker and store, and who is signed in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from flask import g

from x2gobroker.broker import Broker, Login, Request
from x2gobroker.model.acl import Requester
from x2gobroker.model.vouched import Vouched
from x2gobroker.services import Services
from x2gobroker.settings import GLOBAL, Settings
from x2gobroker.store import PortalSession, PortalSessions, SignInTie

REASON = "signed in at the portal"

LogIn = Callable[[Settings, Broker, Mapping[str, str], Request], tuple[Mapping[str, str], Request, Login]]


@dataclass(frozen=True, eq=False)
class Portal:
    """What every request to the portal has. `address` is the browser's, `now` seconds since the epoch.

    `log_in` checks a login, with the site's scripts before and after it.
    """

    settings: Settings
    broker: Broker
    address: str
    log_in: LogIn
    now: float = field(default_factory=time.time)

    @property
    def services(self) -> Services:
        """Plug-in objects, the store, caches."""
        return self.broker.services

    @property
    def idle_seconds(self) -> float:
        """How long somebody may do nothing before being signed out."""
        return self.settings.integer(GLOBAL, "portal-idle-minutes") * 60.0

    @property
    def lifetime(self) -> float:
        """Seconds after which everybody has to sign in again."""
        return self.settings.integer(GLOBAL, "portal-absolute-hours") * 3600.0


def here() -> Portal:
    """The portal of the present request."""
    found = g.portal
    assert isinstance(found, Portal)  # noqa: S101 - for the type checker
    return found


@dataclass(frozen=True, eq=False)
class SignIn:
    """Who is signed in, in this request."""

    portal: Portal
    session: PortalSession
    token: str = field(repr=False)

    @property
    def user(self) -> str:
        """The user's name, as the auth mechanism knows it."""
        return self.session.username

    @property
    def vouched(self) -> Vouched | None:
        """Who has checked who this is. Desktops are only for whom somebody has: they run in the user's name."""
        return self.session.vouched

    @property
    def settings(self) -> Settings:
        """The settings of this request."""
        return self.portal.settings

    @property
    def broker(self) -> Broker:
        """The broker of `portal-backend`."""
        return self.portal.broker

    @property
    def services(self) -> Services:
        """Plug-in objects, the store, caches."""
        return self.portal.services

    @property
    def address(self) -> str:
        """The browser's address in this request."""
        return self.portal.address

    @cached_property
    def requester(self) -> Requester:
        """Who asks, as access rules see it: `rules.decide(sign_in.requester)`. Groups are looked up once, if at all."""
        return self.broker.requester(self.settings, self.user, self.address)

    def groups(self) -> frozenset[str]:
        """The user's groups; none where they are not known."""
        return self.requester.groups() or frozenset()

    @property
    def login(self) -> Login:
        """The same as the broker's login, for `broker.list_profiles` and `broker.select_session`."""
        return Login(True, self.user, REASON, self.address, self.broker.still_vouched(self.settings, self.vouched))

    @cached_property
    def password(self) -> str | None:
        """The user's password, opened with the cookie's token; None where none is kept. Never log or show it."""
        return self.session.password(self.token)

    @property
    def tie(self) -> SignInTie:
        """For what is to end with this sign-in."""
        return SignInTie(self.session.digest, self.portal.idle_seconds)

    @property
    def ends(self) -> float:
        """When this sign-in ends if the user does nothing more, seconds since the epoch."""
        return min(self.session.ends, self.session.last_seen + self.portal.idle_seconds)

    def seen(self, moment: float | None = None) -> None:
        """The user did something, now or at that moment: at a desktop, for example. Raises StoreError."""
        sessions = self.services.of(PortalSessions, self.settings)
        sessions.seen(self.session, self.portal.idle_seconds, moment or self.portal.now)
