"""Who may have a session profile: rules on users, groups and clients, and the decision with the rule behind it.

As the reference decides: client rules first, and where there are any the client must be allowed; then user rules,
where an allowed user has the profile whatever the groups say; then group rules, unless a user rule denied. Lists that
only deny allow nobody. Order `deny-allow` asks the deny list first and it wins; `allow-deny` the allow list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from x2gobroker.model.accounts import UserNames, account_name
from x2gobroker.model.hosts import ascii_name, is_host_name

ALL = "ALL"
ALLOW_DENY = "allow-deny"
DENY_ALLOW = "deny-allow"
ORDERS = (ALLOW_DENY, DENY_ALLOW)
IPV4_MAPPED_BITS = 96

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
Resolver = Callable[[str], frozenset[Address] | None]


def parse_client(text: str) -> Address | None:
    """A client's address as ACLs compare it (IPv4 in IPv6 as IPv4), or None when it is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


@dataclass(frozen=True)
class ClientList:
    """The entries of one client list, sorted by what they are. `bad` holds those that mean nothing."""

    everyone: bool = False
    networks: tuple[Network, ...] = ()
    names: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.everyone or self.networks or self.names or self.bad)


def parse_network(text: str) -> Network:
    """A network or a single address; IPv4 in IPv6 as IPv4, like clients' addresses. Raises ValueError."""
    network = ip_network(text, strict=False)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= IPV4_MAPPED_BITS:
        return IPv4Network((mapped, network.prefixlen - IPV4_MAPPED_BITS), strict=False)
    return network


def parse_clients(entries: tuple[str, ...]) -> ClientList:
    """Sort client entries into networks, host names and what is neither."""
    networks: list[Network] = []
    names: list[str] = []
    bad: list[str] = []
    for entry in entries:
        if entry == ALL:
            continue
        if entry.casefold() == ALL.casefold():
            bad.append(entry)
            continue
        try:
            networks.append(parse_network(entry))
        except ValueError:
            # what ends in a number is a slip in an address or a range, never a host's name
            if is_host_name(entry) and not entry.rstrip(".").rpartition(".")[2].isdigit():
                names.append(ascii_name(entry))  # as whoever resolves it has to ask for it
            else:
                bad.append(entry)
    return ClientList(ALL in entries, tuple(networks), tuple(names), tuple(bad))


@dataclass(frozen=True)
class Requester:
    """Who asks: user, the user's groups (asked for only when a rule needs them), and the client's address.

    `groups()` gives None where they are not to be had; then no group rule lets anybody in. `resolve(name)` gives the
    addresses of a host name, or None where they are not to be had. `own_name()` gives the name by which the system
    itself calls the account, empty where that is not known: a rule for an account counts by whichever name it is used.
    """

    user: str
    address: Address | None
    groups: Callable[[], frozenset[str] | None] = frozenset
    resolve: Resolver = field(default=lambda _name: None)
    own_name: Callable[[], str] = str

    @cached_property
    def names(self) -> UserNames:
        """The user's names. The name service is asked for the second one, once."""
        return UserNames(self.user, self.own_name())


@dataclass(frozen=True)
class Decision:
    """Whether a profile is offered, and the rule that decided."""

    allowed: bool
    reason: str

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True)
class AccessRules:
    """The rules of one session profile. `broken` names what could not be understood: nobody has such a profile.

    `bad` has lists of names ("users-deny") with an entry that means nothing: it matches everybody in a deny list, and
    nobody in an allow list.
    """

    users_allow: frozenset[str] = frozenset()
    users_deny: frozenset[str] = frozenset()
    users_order: str = DENY_ALLOW
    groups_allow: frozenset[str] = frozenset()
    groups_deny: frozenset[str] = frozenset()
    groups_order: str = DENY_ALLOW
    clients_allow: ClientList = ClientList()
    clients_deny: ClientList = ClientList()
    clients_order: str = DENY_ALLOW
    broken: tuple[str, ...] = ()
    bad: tuple[tuple[str, str], ...] = ()

    @property
    def on_clients(self) -> bool:
        """Whether there is any client rule."""
        return bool(self.clients_allow or self.clients_deny)

    @property
    def on_users_or_groups(self) -> bool:
        """Whether there is any user or group rule."""
        return bool(self.users_allow or self.users_deny or self.on_groups or self.bad)

    @property
    def on_groups(self) -> bool:
        """Whether there is any group rule."""
        return bool(self.groups_allow or self.groups_deny or any(name.startswith("groups") for name, _ in self.bad))

    def _bad_entry(self, name: str) -> str:
        return next((entry for bad, entry in self.bad if bad == name), "")

    def decide(self, who: Requester) -> Decision:
        """Whether `who` may have the profile, and why."""
        if self.broken:
            return Decision(False, f"the rules cannot be understood: {self.broken[0]}")
        by_client = Decision(True, "no rules")
        if self.on_clients:
            by_client = self._by_client(who)
            if not by_client:
                return by_client
        if not self.on_users_or_groups:
            return by_client
        by_user = self._by_user(who)
        if by_user is not None:
            return by_user
        if self.on_groups:
            return self._by_group(who)
        return Decision(False, "acl-users: not allowed by name")

    @cached_property
    def _users_denied(self) -> Mapping[str, str]:
        return _by_form(self.users_deny)

    @cached_property
    def _groups_denied(self) -> Mapping[str, str]:
        return _by_form(self.groups_deny)

    def _by_client(self, who: Requester) -> Decision:
        allow = client_match(self.clients_allow, who, unsure=False)
        deny = client_match(self.clients_deny, who, unsure=True)
        decision = _weigh("acl-clients", self.clients_order, allow, deny)
        return Decision(False, "acl-clients-allow: no match") if decision is None else decision

    def _by_user(self, who: Requester) -> Decision | None:
        return _weigh(
            "acl-users",
            self.users_order,
            _name_match(self.users_allow, _names_for(self.users_allow, who)),
            _denial(self.users_deny, self._users_denied, _names_for(self.users_deny, who))
            or self._bad_entry("users-deny"),
        )

    def _by_group(self, who: Requester) -> Decision:
        groups = who.groups()
        if groups is None:
            return Decision(False, "acl-groups: the user's groups are not known")
        decision = _weigh(
            "acl-groups",
            self.groups_order,
            _name_match(self.groups_allow, groups),
            _denial(self.groups_deny, self._groups_denied, groups) or self._bad_entry("groups-deny"),
        )
        return Decision(False, "acl-groups-allow: in none of the groups") if decision is None else decision


def _weigh(what: str, order: str, allow: str, deny: str) -> Decision | None:
    """The decision of an allow and a deny match (empty: none) in this order, or None when neither matches."""
    allowed = Decision(True, f"{what}-allow = {allow}")
    denied = Decision(False, f"{what}-deny = {deny}")
    if order == ALLOW_DENY:
        return allowed if allow else denied if deny else None
    return denied if deny else allowed if allow else None


def _name_match(names: frozenset[str], mine: frozenset[str]) -> str:
    if ALL in names:
        return ALL
    return min(names & mine, default="")


def _names_for(names: frozenset[str], who: Requester) -> frozenset[str]:
    """The user's names, where this list goes by them; else nobody is asked for the second one."""
    return who.names.all if names and ALL not in names else frozenset()


def _by_form(names: frozenset[str]) -> dict[str, str]:
    """The names of a list by the form in which accounts are compared; of several, the first in their order."""
    return {account_name(name): name for name in sorted(names, reverse=True)}


def _denial(names: frozenset[str], by_form: Mapping[str, str], mine: frozenset[str]) -> str:
    """The entry of a deny list that matches, also in another spelling. `by_form` are the names as `_by_form` has them.

    Directories take `Anna` for `anna`: nobody gets in by logging in with a capital letter.
    """
    exact = _name_match(names, mine)
    if exact or not names:
        return exact
    return min((by_form[form] for form in _forms(mine) & by_form.keys()), default="")


@lru_cache(maxsize=1024)
def _forms(names: frozenset[str]) -> frozenset[str]:
    """The names in the form in which accounts are compared."""
    return frozenset(map(account_name, names))


def client_match(clients: ClientList, who: Requester, unsure: bool) -> str:
    """The entry that matches the client's address, or nothing.

    An entry that cannot be decided (no address known, a name that does not resolve, no entry at all) matches when
    `unsure` is true: so a deny list never lets anybody in for want of an answer, and an allow list neither.
    """
    if clients.everyone:
        return ALL
    if clients.bad and unsure:
        return clients.bad[0]
    if who.address is None:
        return "client address unknown" if unsure and clients else ""
    for network in clients.networks:
        if who.address.version == network.version and who.address in network:
            return str(network)
    for name in clients.names:
        found = who.resolve(name)
        if (found is None and unsure) or (found is not None and who.address in found):
            return name
    return ""
