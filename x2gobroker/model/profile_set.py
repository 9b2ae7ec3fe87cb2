"""All session profiles of a backend, indexed so that a listing costs what the user may see, not what there is.

A profile with user or group rules can only be offered to somebody whom an allow list names, by user or by group; one
with client rules only to an address in an allow list. The index turns that around: from a user, the user's groups and
the client's address to the few candidates, on which the rules are then decided.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from x2gobroker.model.acl import ALL, Address, Requester
from x2gobroker.model.profile import SessionProfile

NetworkKey = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class ProfileSet:
    """The session profiles, sorted by ID, and their index. Made by `build`."""

    profiles: tuple[SessionProfile, ...] = ()
    by_id: dict[str, int] = field(default_factory=dict)
    by_user: dict[str, set[int]] = field(default_factory=dict)
    by_group: dict[str, set[int]] = field(default_factory=dict)
    any_user: set[int] = field(default_factory=set)
    by_network: dict[NetworkKey, set[int]] = field(default_factory=dict)
    prefix_lengths: dict[int, set[int]] = field(default_factory=dict)
    any_client: set[int] = field(default_factory=set)
    open_to_all: set[int] = field(default_factory=set)

    @classmethod
    def build(cls, profiles: Iterable[SessionProfile]) -> ProfileSet:
        """Sort and index the profiles; of two with one ID the last counts."""
        unique = {profile.id: profile for profile in profiles}
        made = cls(tuple(unique[profile_id] for profile_id in sorted(unique)))
        for position, profile in enumerate(made.profiles):
            made.by_id[profile.id] = position
            made._index_users(position, profile)
            made._index_clients(position, profile)
        made.open_to_all.update(made.any_user & made.any_client)
        return made

    def _index_users(self, position: int, profile: SessionProfile) -> None:
        rules = profile.rules
        if not rules.on_users_or_groups or ALL in rules.users_allow or ALL in rules.groups_allow:
            self.any_user.add(position)
            return
        for user in rules.users_allow:
            self.by_user.setdefault(user, set()).add(position)
        for group in rules.groups_allow:
            self.by_group.setdefault(group, set()).add(position)

    def _index_clients(self, position: int, profile: SessionProfile) -> None:
        allow = profile.rules.clients_allow
        if not profile.rules.on_clients or allow.everyone or allow.names:
            self.any_client.add(position)
            return
        for network in allow.networks:
            key = network.version, network.prefixlen, int(network.network_address)
            self.by_network.setdefault(key, set()).add(position)
            self.prefix_lengths.setdefault(network.version, set()).add(network.prefixlen)

    def get(self, profile_id: str) -> SessionProfile | None:
        """The profile of this ID, whoever may have it."""
        position = self.by_id.get(profile_id)
        return None if position is None else self.profiles[position]

    def offered_to(self, who: Requester) -> list[SessionProfile]:
        """The profiles that `who` may have, sorted by ID."""
        mine = self._of_user(who)
        candidates = self.open_to_all | (mine & self.any_client)
        for here in self._of_client(who.address):
            # both intersections walk the smaller side: a network that has every profile costs nothing extra
            candidates |= here & mine
            candidates |= here & self.any_user
        profiles = self.profiles
        return [profiles[position] for position in sorted(candidates) if profiles[position].rules.decide(who)]

    def _of_user(self, who: Requester) -> set[int]:
        found: set[int] = set()
        if self.by_user:
            found.update(*(self.by_user.get(name, ()) for name in who.names.all))
        if self.by_group:
            for group in who.groups() or ():
                found.update(self.by_group.get(group, ()))
        return found

    def _of_client(self, address: Address | None) -> list[set[int]]:
        if address is None:
            return []
        number, bits = int(address), address.max_prefixlen
        keys = (
            (address.version, length, number >> (bits - length) << (bits - length))
            for length in self.prefix_lengths.get(address.version, ())
        )
        return [self.by_network[key] for key in keys if key in self.by_network]
