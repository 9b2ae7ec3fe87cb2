"""The index of session profiles must offer exactly what the rules allow, one profile at a time."""

from __future__ import annotations

import functools
import itertools
import random
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import MANY
from x2gobroker.model.acl import ORDERS, Address, Requester
from x2gobroker.model.profile import SessionProfile, build_profile
from x2gobroker.model.profile_set import ProfileSet

USERS = ("anna", "bert", "ALL", "x")
GROUPS = ("staff", "admins", "ALL")
CLIENTS = (
    *("ALL", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "192.0.2.7/24", "0.0.0.0/0", "2001:db8::/32", "2001:db8::7"),
    *("::/0", "::ffff:10.1.2.3", "pc1.example", "pc2.example", "gone.example", "127.0.2.*", "fe80::1%eth0"),
)
ADDRESSES = ("10.1.2.3", "10.9.9.9", "192.0.2.7", "198.51.100.1", "2001:db8::7", "2001:db9::1", "fe80::1", None)
NAMES = {"pc1.example": "10.1.2.3", "pc2.example": "2001:db8::7"}


def some(values: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(values), max_size=3).map(", ".join)


ORDER = st.sampled_from((*ORDERS, "", "nonsense"))
TEXTS = st.fixed_dictionaries(
    {},
    optional={
        "acl-users-allow": some(USERS),
        "acl-users-deny": some(USERS),
        "acl-users-order": ORDER,
        "acl-groups-allow": some(GROUPS),
        "acl-groups-deny": some(GROUPS),
        "acl-groups-order": ORDER,
        "acl-clients-allow": some(CLIENTS),
        "acl-clients-deny": some(CLIENTS),
        "acl-clients-order": ORDER,
        "acl-any-order": ORDER,
    },
)
MISSPELT = st.one_of(TEXTS, TEXTS, TEXTS, TEXTS.map(lambda texts: {**texts, "acl-user-allow": "anna"}))


def profile(profile_id: str, **texts: str) -> SessionProfile:
    named = {name.replace("_", "-"): text for name, text in texts.items()}
    return build_profile(profile_id, named, {}, lambda _option, _message: None)


def ids(profiles: list[SessionProfile]) -> list[str]:
    return [found.id for found in profiles]


def resolve(name: str) -> frozenset[Address] | None:
    return frozenset({ip_address(NAMES[name])}) if name in NAMES else None


REQUESTERS = st.builds(
    lambda user, groups, address, own_name: Requester(
        user, None if address is None else ip_address(address), lambda: groups, resolve, lambda: own_name
    ),
    st.sampled_from(("anna", "bert", "carla", "ALL")),
    st.one_of(st.none(), st.frozensets(st.sampled_from(("staff", "admins", "other")))),
    st.sampled_from(ADDRESSES),
    st.sampled_from(("", "anna", "bert")),
)


@MANY
@given(st.lists(MISSPELT, max_size=12), st.lists(REQUESTERS, min_size=1, max_size=6))
def test_offered_to_is_what_deciding_each_profile_by_itself_gives(
    texts: list[dict[str, str]], requesters: list[Requester]
) -> None:
    profiles = [profile(f"p{number:02}", **text) for number, text in enumerate(texts)]
    made = ProfileSet.build(reversed(profiles))
    for who in requesters:
        assert ids(made.offered_to(who)) == [found.id for found in profiles if found.rules.decide(who)]


def dense_texts(chance: random.Random) -> dict[str, str]:
    """Few rules, each of few entries, so that every way to match is met often."""
    choices = {"users": USERS, "groups": GROUPS, "clients": CLIENTS}
    texts = {"acl-any-order": chance.choice(ORDERS)}
    for what, values in choices.items():
        for verb, likely in (("allow", 0.5), ("deny", 0.15)):
            if chance.random() < likely:
                texts[f"acl-{what}-{verb}"] = ", ".join(chance.sample(values, chance.choice((1, 1, 2))))
    return texts


def test_offered_to_is_that_for_every_requester_of_many_sets_of_profiles() -> None:
    chance = random.Random(20261120)
    groups = (None, frozenset[str](), frozenset({"staff"}), frozenset({"admins", "other"}))
    requesters = [
        Requester(
            user,
            None if address is None else ip_address(address),
            functools.partial(lambda mine: mine, mine),
            resolve,
            lambda: "anna",
        )
        for user, mine, address in itertools.product(("EXAMPLE\\anna", "anna"), groups, ADDRESSES)
    ]
    offered = 0
    for _ in range(60):
        profiles = [profile(f"p{number:02}", **dense_texts(chance)) for number in range(15)]
        made = ProfileSet.build(profiles)
        for who in requesters:
            expected = [found.id for found in profiles if found.rules.decide(who)]
            assert ids(made.offered_to(who)) == expected
            offered += len(expected)
    assert offered > 1000


def test_profiles_are_sorted_by_code_points_of_their_ids() -> None:
    made = ProfileSet.build([profile(name) for name in ("b", "é", "B", "a", "10", "9")])
    assert ids(list(made.profiles)) == ["10", "9", "B", "a", "b", "é"]
    assert ids(made.offered_to(Requester("anna", None))) == ["10", "9", "B", "a", "b", "é"]


def test_of_two_profiles_with_one_id_the_last_counts() -> None:
    made = ProfileSet.build([profile("p", name="first"), profile("p", name="last")])
    found = made.get("p")
    assert found is not None
    assert found.options["name"] == "last"
    assert len(made.profiles) == 1


def test_get_finds_by_id_and_gives_none_for_what_is_not_there() -> None:
    made = ProfileSet.build([profile("p")])
    found = made.get("p")
    assert found is not None
    assert found.id == "p"
    assert made.get("DEFAULT") is None
    assert made.get("") is None


def test_groups_are_not_looked_up_where_no_profile_has_a_group_rule() -> None:
    def never() -> frozenset[str]:
        raise AssertionError("groups were looked up")

    made = ProfileSet.build([profile("open"), profile("mine", acl_users_allow="anna")])
    assert ids(made.offered_to(Requester("anna", None, never))) == ["mine", "open"]


def test_rules_are_decided_for_candidates_only() -> None:
    asked: list[str] = []

    def note(name: str) -> None:
        asked.append(name)

    others = [
        profile(f"o{number}", acl_users_allow=f"user{number}", acl_clients_allow=f"pc{number}.example")
        for number in range(50)
    ]
    made = ProfileSet.build([*others, profile("mine", acl_users_allow="anna")])
    who = Requester("anna", ip_address("10.1.2.3"), frozenset, note)
    assert ids(made.offered_to(who)) == ["mine"]
    assert asked == []


def test_an_empty_set_offers_nothing() -> None:
    assert ProfileSet().offered_to(Requester("anna", None)) == []
