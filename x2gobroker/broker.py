"""The broker: login, list profiles, select session, client events, password change. Frontends call it with values."""

from __future__ import annotations

import functools
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from x2gobroker.auth.base import (
    LONGEST_USER,
    NO_USER,
    AuthMechanism,
    Credentials,
    Outcome,
    PasswordChange,
    Verdict,
    refused,
)
from x2gobroker.auth.guarded import Guarded
from x2gobroker.auth.totp import CODE_REFUSED, SecondFactor
from x2gobroker.backends.base import Backend
from x2gobroker.errors import PluginError
from x2gobroker.inventory.record import Inventory
from x2gobroker.logs import LOGIN, SETPASS, broker_log, error_log
from x2gobroker.logs import field as log_field
from x2gobroker.model.acl import Requester, parse_client
from x2gobroker.model.penalty import PenaltyRules
from x2gobroker.model.profile import SessionProfile
from x2gobroker.model.vouched import Vouched
from x2gobroker.nameservices.base import NameService
from x2gobroker.placement import Guest, Placement
from x2gobroker.scheduling.choice import Selection
from x2gobroker.scheduling.standing import Count
from x2gobroker.services import Services
from x2gobroker.settings import AUTH_PREFIX, GLOBAL, Settings, options_of
from x2gobroker.store import (
    Attempt,
    Authids,
    ClientEvent,
    ClientEvents,
    Enrolments,
    Penalties,
    Standing,
    UserLock,
    UserLocks,
)
from x2gobroker.store.penalties import penalty_rules

# the realm of authids given out over SSH; all others are hashes
SSH_REALM = "ssh"
EVENT_GRACE = 30.0
LOCKED_OUT = "account is locked out"
NONE_AT_ALL = Count()
EVENTS = ("CONNECTING", "CONNECTED", "ALIVE", "SUSPENDING", "TERMINATING", "FINISHED")


@dataclass(frozen=True)
class Request:
    """What a client asks, in whatever form it came. `arrived` is seconds since the epoch.

    `grace`: for how many seconds an authid that was spent goes on counting, and the shown one will, for requests that
    clients send without waiting for the answer to the one before. `wants_ticket`: as with credentials.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    authid: str = field(default="", repr=False)
    login: str = ""
    address: str = ""
    arrived: float = field(default_factory=time.time)
    server_variables: Mapping[str, object] = field(default_factory=dict, repr=False)
    grace: float = 0.0
    wants_ticket: bool = False


@dataclass(frozen=True)
class Login:
    """The outcome of a login: who it is, and how it goes on.

    `vouched` says who has checked who this is; None: nobody has. `standing` is what the shown authid stood for;
    `fixed_authid` the one that goes on being valid, if any. Where `needs_authid` is set, `Broker.next_authid` makes a
    new one. `retry_after`: seconds before which a password is not checked at all, after wrong ones; 0 otherwise.
    `told` is what the user is told of a refusal, beside that it is one; `lock` the lock of a user who is locked out.
    `dead_authid`: why an authid that was shown beside the password did not count. `cannot_tell`: it is not granted
    because nobody can check the password at present; that says nothing about the password, and the client is told so.
    `ticket`: as with a verdict.
    """

    granted: bool
    user: str
    reason: str
    address: str
    vouched: Vouched | None
    standing: Standing | None = None
    fixed_authid: str | None = None
    needs_authid: bool = False
    realm: str = ""
    retry_after: int = 0
    grace: float = 0.0
    told: str = ""
    lock: UserLock | None = None
    dead_authid: str = ""
    cannot_tell: bool = False
    ticket: str = field(default="", repr=False)

    @classmethod
    def refused(cls, user: str, reason: str, address: str, retry_after: int = 0) -> Login:
        """A login that is not granted: nobody vouches for anything."""
        return cls(False, user, reason, address, None, retry_after=retry_after)

    @classmethod
    def unavailable(cls, user: str, reason: str, address: str) -> Login:
        """A login of which nobody can tell at present whether it is to be granted."""
        return cls(False, user, reason, address, None, cannot_tell=True)


@dataclass(frozen=True)
class Offer:
    """A session profile that a user may have, and what is particular to this user.

    `status` is `R` or `S` where a session of the user is running or suspended, else empty; `server` is then the
    profile's name of the host that it is on. `running` and `suspended` count the sessions that were begun from it.
    """

    profile: SessionProfile
    user: str
    autologin: bool
    status: str = ""
    server: str = ""
    running: int = 0
    suspended: int = 0

    @property
    def is_own(self) -> bool:
        """Whether anything of it is about sessions of the user."""
        return bool(self.status or self.running or self.suspended)


class Broker:
    """Serves one backend of one VirtualHost. Safe for threads; settings come with every call."""

    def __init__(self, backend: Backend, services: Services) -> None:
        self.backend = backend
        self.services = services
        self._realm_of: tuple[Settings | None, str] = (None, "")
        self._placement = Placement(backend.name, services)
        self.second_factor = SecondFactor(
            backend.name, lambda settings: services.of(Enrolments, settings), self.requester
        )

    def login(self, settings: Settings, request: Request) -> Login:
        """Check who asks: by authid if one is shown, else by the auth mechanism; one log line for every attempt.

        Nothing is remembered of it, and no authid is used up, before `next_authid` is called.
        """
        return self._logged(request, *self._admitted(settings, *self._login(settings, request)))

    def vouched_login(self, settings: Settings, request: Request, reason: str) -> Login:
        """As `login`, for a user whom sshd has let in, for `reason`: no password, penalties or second factor.

        Authids given out here do not count where a password is asked for, nor the other way round.
        """
        return self._logged(request, *self._admitted(settings, *self._login(settings, request, vouched_by=reason)))

    def _admitted(self, settings: Settings, login: Login, mechanism: str) -> tuple[Login, str]:
        """The login, unless its user is locked out; only who is known to be the user learns that."""
        if not login.granted:
            return login, mechanism
        lock = self.services.of(UserLocks, settings).find(login.user)
        if lock is None:
            return login, mechanism
        refused = Login.refused(login.user, LOCKED_OUT, login.address)
        return (refused if login.vouched is None else replace(refused, told=told_of(lock), lock=lock)), mechanism

    def _logged(self, request: Request, login: Login, mechanism: str) -> Login:
        outcome = Outcome.GRANTED if login.granted else Outcome.UNAVAILABLE if login.cannot_tell else Outcome.REFUSED
        if mechanism or not login.granted:
            LOGIN.log(
                login.granted,
                user=login.user or request.user,
                address=request.address,
                backend=self.backend.name,
                mechanism=mechanism or "authid",
                outcome=outcome,
                reason=f"{login.reason}, beside: {login.dead_authid}" if login.dead_authid else login.reason,
            )
        return login

    def _login(self, settings: Settings, request: Request, vouched_by: str = "") -> tuple[Login, str]:
        """The login, and the mechanism that was asked. `vouched_by`: how it is known who asks, without a password."""
        user, address = request.user, request.address
        by_ssh = Vouched(f"sshd: {vouched_by}") if vouched_by else None
        needs_password = settings.boolean(GLOBAL, "require-password")
        needs_cookie = settings.boolean(GLOBAL, "require-cookie")
        if not user.isprintable() or len(user) > LONGEST_USER:
            return Login.refused(user, "no possible user name", address), ""
        if not needs_password and not needs_cookie:
            return Login(True, user, "open to everybody", address, by_ssh), ""
        if needs_cookie and not request.authid:
            return Login.refused(user, "no authid shown", address), ""
        preset = self._preset_shown(settings, request.authid)
        if not needs_password:
            if not preset:
                return Login.refused(user, "not the pre-shared authid", address), ""
            # all clients have this authid: it says that one of them asks, and nothing of who sits there
            return Login(True, user, "pre-shared authid", address, by_ssh, fixed_authid=preset), ""
        dead = ""
        if request.authid and not preset:
            login = self._login_by_authid(settings, request, by_ssh)
            if login.granted or needs_cookie or not (by_ssh or self._may_log_in_anew(settings, request)):
                return login, ""
            dead = login.reason  # clients go on showing it, beside what would let them in without it
        if by_ssh is not None:
            login, name = self._login_by_ssh(request, vouched_by, by_ssh), "ssh"
        else:
            login, name = self._login_by_password(settings, request)
        return replace(login, dead_authid=dead), name

    def _preset_shown(self, settings: Settings, authid: str) -> str:
        """The pre-shared authid that a request shows, the present one or that of before; empty for any other."""
        services, shown = self.services, authid.encode("utf-8", "surrogatepass")
        for preset in (services.preset_authids.present(settings), services.preset_authids.former(settings)):
            if preset and hmac.compare_digest(preset.encode("utf-8", "surrogatepass"), shown):
                return preset
        return ""

    def _may_log_in_anew(self, settings: Settings, request: Request) -> bool:
        """Whether a request whose authid does not count is a login by what is beside it: a password, or the web server.

        Not what clients report by themselves, where a password is good only once: each report would count as a guess.
        """
        try:
            mechanism = self.services.mechanism(self._mechanism_name(settings))
        except PluginError:
            return False
        if not mechanism.needs_password:
            user = mechanism.user_of(settings, _credentials(request))
            return not request.grace or not self.second_factor.is_needed(settings, user, request.address)
        if not request.password:
            return False
        return not request.grace or not (self.second_factor.is_on(settings) or mechanism.takes_codes(settings))

    def _login_by_ssh(self, request: Request, reason: str, vouched: Vouched) -> Login:
        if not request.user:
            return Login.refused("", NO_USER, request.address)
        return Login(True, request.user, reason, request.address, vouched, needs_authid=True, realm=SSH_REALM)

    def _mechanism_name(self, settings: Settings) -> str:
        return settings.for_backend(self.backend.name, "auth-mech").lower()

    def _login_by_password(self, settings: Settings, request: Request) -> tuple[Login, str]:
        name = self._mechanism_name(settings)
        credentials = _credentials(request)
        try:
            mechanism = self.services.mechanism(name)
        except PluginError as error:
            error_log.error("auth mechanism: %s", error)
            return Login.unavailable(request.user, "mechanism not installed", request.address), name
        verdict, retry_after = self._check(settings, mechanism, credentials, by_itself=bool(request.grace))
        if verdict.outcome is Outcome.UNAVAILABLE:
            return Login.unavailable(verdict.user, verdict.reason, request.address), name
        if not verdict.granted:
            return Login.refused(verdict.user, verdict.reason, request.address, retry_after), name
        realm = self._realm(settings, request.address)
        vouched = _vouched_by(name, mechanism)
        login = Login(True, verdict.user, verdict.reason, request.address, vouched, needs_authid=True, realm=realm)
        return replace(login, ticket=verdict.ticket), name

    def _check(
        self, settings: Settings, mechanism: AuthMechanism, credentials: Credentials, by_itself: bool
    ) -> tuple[Verdict, int]:
        """Ask the mechanism, unless there were too many wrong passwords; then, the seconds to wait.

        What a client sends `by_itself`, over and over, with the password that was wrong last time is refused without
        asking: PAM or a directory may count each check, and lock the account.
        """
        rules = penalty_rules(settings)
        guessable = mechanism.checks_password or self.second_factor.is_on(settings)
        if not guessable or not rules.apply_to(credentials.address):
            return self.second_factor.authenticate(settings, mechanism, credentials), 0
        user = mechanism.user_of(settings, credentials)
        guarded = self._guarded(settings, user, credentials, rules)

        def ask() -> Verdict:
            if by_itself and guarded.is_known():
                return refused(user, "wrong password of before", looked=False)
            return self._uncounted(mechanism, self.second_factor.authenticate(settings, mechanism, credentials))

        checked = guarded.check(ask, forgives=True)
        if isinstance(checked, Verdict):
            return checked, 0
        reason = "penalty ban" if checked.banned else "penalty wait"
        return refused(user, reason, looked=False), checked.retry_after

    @staticmethod
    def _uncounted(mechanism: AuthMechanism, verdict: Verdict) -> Verdict:
        """The verdict; where the mechanism looks at no password, only a code can have been guessed."""
        counts = mechanism.checks_password or verdict.reason in CODE_REFUSED
        return verdict if counts else replace(verdict, looked=False)

    def _guarded(self, settings: Settings, user: str, credentials: Credentials, rules: PenaltyRules) -> Guarded:
        """The penalties for credentials that are tried for `user`."""
        # by realm: a login where less is checked does not clear the failures where more is
        attempt = Attempt.of(self._realm(settings, credentials.address), user, credentials.address)
        return Guarded(self.services.of(Penalties, settings), rules, attempt, credentials.password, time.time)

    def _login_by_authid(self, settings: Settings, request: Request, by_ssh: Vouched | None) -> Login:
        address = request.address if settings.boolean(GLOBAL, "verify-ip") else None
        realm = SSH_REALM if by_ssh else self._realm(settings, request.address)
        lifetime = settings.integer(GLOBAL, "auth-timeout")
        standing = self.services.of(Authids, settings).look_up(
            request.authid, request.user, realm, address, request.arrived, lifetime, request.grace
        )
        if standing is None or standing.fault:
            reason = standing.fault if standing else "unknown authid"
            return Login.refused(request.user, reason, request.address)
        fixed = request.authid if settings.boolean(GLOBAL, "use-static-cookie") else None
        return Login(
            True,
            request.user,
            "authid",
            request.address,
            by_ssh or self._mechanism_vouches(settings),
            standing,
            fixed,
            needs_authid=fixed is None,
            realm=realm,
            grace=request.grace,
        )

    def _mechanism_vouches(self, settings: Settings) -> Vouched | None:
        """Who has checked what an authid stands for: it is bound to the mechanism that has let its user in."""
        name = self._mechanism_name(settings)
        try:
            return _vouched_by(name, self.services.mechanism(name))
        except PluginError:
            return None

    def still_vouched(self, settings: Settings, before: Vouched | None) -> Vouched | None:
        """Who has checked who somebody is whose login was `before`: the mechanism of then is asked again."""
        return None if before is None else self._mechanism_vouches(settings)

    def next_authid(self, settings: Settings, login: Login) -> str | None:
        """The authid to show next. To be called once, when the answer is ready.

        None at a broker open to everybody, and after an authid that was spent before: its next one is with somebody.
        """
        if not login.needs_authid:
            return login.fixed_authid
        if login.standing is not None and login.standing.spent:
            return None
        authids = self.services.of(Authids, settings)
        lifetime = settings.integer(GLOBAL, "auth-timeout")
        if login.standing is not None:
            return authids.replace(login.standing, login.realm, login.address, lifetime, login.grace)
        return authids.issue(login.user, login.realm, login.address, lifetime)

    def _realm(self, settings: Settings, address: str) -> str:
        """What an authid is bound to beside its user: the mechanism that vouched for the user, its options, and whether
        there was a second factor.

        So a login at a backend or VirtualHost that checks less does not open one that checks more.
        """
        made_for, realm = self._realm_of
        if made_for is not settings:
            name = settings.for_backend(self.backend.name, "auth-mech").lower()
            section = AUTH_PREFIX + name
            options = [f"{option}={settings.value(section, option)}" for option in sorted(options_of(section))]
            realm = hashlib.sha256("\n".join([name, *options]).encode()).hexdigest()[:32]
            self._realm_of = settings, realm
        factor = self.second_factor.rules(settings).realm(address)
        return hashlib.sha256(f"{realm}\n{factor}".encode()).hexdigest()[:32] if factor else realm

    def requester(self, settings: Settings, user: str, address: str) -> Requester:
        """Who asks, as access rules see it; groups and the account's own name are looked up when wanted, once."""
        primary = not settings.boolean(GLOBAL, "ignore-primary-group-memberships")

        def service() -> NameService | None:
            try:
                return self.services.name_service(settings.for_backend(self.backend.name, "group-db").lower())
            except PluginError as error:
                error_log.error("name service: %s", error)
                return None

        @functools.cache
        def groups() -> frozenset[str] | None:
            found = service()
            return None if found is None else found.groups_of(user, primary)

        def own_name() -> str:
            found = service()
            return "" if found is None else found.own_name(user)

        return Requester(user, parse_client(address), groups, self.services.host_names.resolve, own_name)

    def list_profiles(self, settings: Settings, login: Login) -> list[Offer]:
        """The session profiles on offer to a user, sorted by ID."""
        who = self.requester(settings, login.user, login.address)
        profiles = self.backend.offered(settings, who)
        sessions = self._placement.sessions(settings, profiles, who.names)
        counts = self._placement.counts(settings, who.names.account, sessions)
        autologin = settings.boolean(GLOBAL, "default-session-autologin")
        offers = []
        for profile in profiles:
            status, server = "", ""
            if profile.id in sessions.resumable:
                status, host = sessions.resumable[profile.id]
                server = host.name
            by_key = profile.broker_flag("session-autologin", autologin)
            count = counts.get(profile.id, NONE_AT_ALL)
            offers.append(Offer(profile, login.user, by_key, status, server, count.running, count.suspended))
        return offers

    def select_session(
        self, settings: Settings, login: Login, profile_id: str, pubkey: str = "", login_name: str = ""
    ) -> Selection:
        """The server for a session profile; the same answer for one that is denied as for one that is not there.

        `pubkey` is a public key that the client sent, to be let in by it; `login_name` the account that it says it will
        use on the server.
        """
        who = self.requester(settings, login.user, login.address)
        profile = self.backend.select(settings, profile_id, who)
        if profile is None:
            broker_log.warning(
                "selectsession user=%s address=%s backend=%s: no profile %s for this user",
                log_field(login.user),
                log_field(login.address),
                self.backend.name,
                log_field(profile_id),
            )
            return self._placement.glance(settings, None)
        guest = Guest(who.names, login.vouched, login_name, pubkey, login.address)
        return self._placement.select(settings, profile, guest)

    def empty_servers(self, settings: Settings, profiles: Iterable[SessionProfile], user: str) -> frozenset[str]:
        """The keys of servers of these profiles where the user's account has no session, as far as is known."""
        return self._placement.empty_servers(settings, profiles, self.requester(settings, user, "").names)

    def server_of(self, settings: Settings, profile: SessionProfile | None) -> Selection:
        """A server of a profile that the caller has found to be on offer; nothing is reserved there."""
        return self._placement.glance(settings, profile)

    def change_password(self, settings: Settings, login: Login, request: Request, new: str) -> PasswordChange:
        """Change the password of a user who is logged in; the present password is checked again."""
        name = settings.for_backend(self.backend.name, "auth-mech").lower()
        try:
            mechanism = self.services.mechanism(name)
        except PluginError as error:
            error_log.error("auth mechanism: %s", error)
            return PasswordChange(False, "not possible at present", Outcome.UNAVAILABLE, looked=False)
        credentials = Credentials(login.user, request.password, request.address, request.server_variables)
        credentials = self.second_factor.without_code(settings, credentials)
        change = self._change(settings, mechanism, credentials, new)
        SETPASS.log(
            change.changed,
            user=login.user,
            address=request.address,
            mechanism=name,
            outcome="changed" if change.changed else "not-changed",
            reason=change.reason,
        )
        return change

    def _change(
        self, settings: Settings, mechanism: AuthMechanism, credentials: Credentials, new: str
    ) -> PasswordChange:
        """Ask the mechanism, under the same penalties: an authid is no way to guess the password behind it."""
        rules = penalty_rules(settings)
        if not mechanism.checks_password or not rules.apply_to(credentials.address):
            return mechanism.change_password(settings, credentials, new)
        changed = self._guarded(settings, credentials.user, credentials, rules).check(
            lambda: mechanism.change_password(settings, credentials, new), forgives=False
        )
        if isinstance(changed, PasswordChange):
            return changed
        return PasswordChange(False, "too many wrong passwords, try again later", Outcome.REFUSED, looked=False)

    def record_event(self, settings: Settings, event: ClientEvent) -> bool:
        """Keep what a client reports about a session; False for a report that names no session or no known event.

        It is kept under the name of the account: agents and reports of servers know no other one.
        """
        if event.event not in EVENTS or not event.session or not event.username:
            return False
        names = self.requester(settings, event.username, event.address).names
        event = replace(event, username=names.account)
        placement = self._placement
        events, beside = (
            self.services.of(ClientEvents, settings),
            functools.partial(placement.note_event, settings, event=event),
        )
        events.record(event, beside)
        self.services.of(Inventory, settings).sweep()
        if event.event in ("CONNECTED", "ALIVE"):
            self._placement.seen(settings, event)
        return True


def told_of(lock: UserLock) -> str:
    """What users are told who are locked out, in English as all that clients show."""
    reason = f": {lock.for_user}" if lock.for_user else ""
    return f"This account is locked{reason}. Ask your administrator."


def _credentials(request: Request) -> Credentials:
    variables, wants_ticket = request.server_variables, request.wants_ticket
    return Credentials(request.user, request.password, request.address, variables, wants_ticket)


def _vouched_by(name: str, mechanism: AuthMechanism) -> Vouched | None:
    return Vouched(f"{mechanism.vouches} by {name}", name) if mechanism.vouches else None
