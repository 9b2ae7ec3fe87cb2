"""Access rules: what the reference documents, and what it promised and did not do (F5, F17)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.model.acl import AccessRules, Requester, parse_client, parse_clients
from x2gobroker.model.rules_text import build_rules


def rules(**texts: str) -> AccessRules:
    """Rules of `users_allow="a, b"` and the like."""
    return build_rules({"acl-" + name.replace("_", "-"): text for name, text in texts.items()}, lambda _n, _m: None)


def decide(
    given_rules: AccessRules,
    user: str = "anna",
    groups: tuple[str, ...] | None = ("staff",),
    address: str = "192.0.2.7",
    names: dict[str, str] | None = None,
    own_name: str = "",
) -> bool:
    known = {name: frozenset({ip_address(text)}) for name, text in (names or {}).items()}
    who = Requester(
        user,
        parse_client(address),
        lambda: None if groups is None else frozenset(groups),
        lambda name: known.get(name),
        lambda: own_name,
    )
    return bool(given_rules.decide(who))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        # nothing said
        ({}, True),
        # users
        ({"users_allow": "anna"}, True),
        ({"users_allow": "bert"}, False),
        ({"users_allow": "ALL"}, True),
        ({"users_allow": "all"}, False),
        ({"users_deny": "bert"}, False),
        ({"users_deny": "anna"}, False),
        ({"users_allow": "anna", "users_deny": "anna"}, False),
        ({"users_allow": "anna", "users_deny": "anna", "users_order": "deny-allow"}, False),
        ({"users_allow": "anna", "users_deny": "anna", "users_order": "allow-deny"}, True),
        ({"users_allow": "anna", "users_deny": "ALL"}, False),
        ({"users_allow": "anna", "users_deny": "ALL", "users_order": "allow-deny"}, True),
        ({"users_allow": "bert", "users_deny": "ALL", "users_order": "allow-deny"}, False),
        ({"users_allow": "ALL", "users_deny": "bert"}, True),
        # groups
        ({"groups_allow": "staff"}, True),
        ({"groups_allow": "admins"}, False),
        ({"groups_allow": "ALL"}, True),
        ({"groups_deny": "admins"}, False),
        ({"groups_allow": "staff", "groups_deny": "staff"}, False),
        ({"groups_allow": "staff", "groups_deny": "staff", "groups_order": "allow-deny"}, True),
        ({"groups_allow": "staff", "groups_deny": "ALL", "groups_order": "allow-deny"}, True),
        ({"groups_allow": "staff", "groups_deny": "ALL"}, False),
        # users and groups together: an allowed user has it whatever the groups say; a denied one has not
        ({"users_allow": "anna", "groups_deny": "staff"}, True),
        ({"users_deny": "anna", "groups_allow": "staff"}, False),
        ({"users_allow": "bert", "groups_allow": "staff"}, True),
        ({"users_deny": "bert", "groups_allow": "staff"}, True),
        ({"users_allow": "bert", "groups_allow": "admins"}, False),
        # clients come first and must allow
        ({"clients_allow": "192.0.2.7"}, True),
        ({"clients_allow": "192.0.2.0/24"}, True),
        ({"clients_allow": "192.0.2.9/24"}, True),
        ({"clients_allow": "198.51.100.0/24"}, False),
        ({"clients_allow": "ALL"}, True),
        ({"clients_deny": "198.51.100.0/24"}, False),
        ({"clients_allow": "ALL", "clients_deny": "192.0.2.7"}, False),
        ({"clients_allow": "192.0.2.7", "clients_deny": "ALL", "clients_order": "allow-deny"}, True),
        ({"clients_allow": "192.0.2.7", "clients_deny": "ALL"}, False),
        ({"clients_allow": "192.0.2.7", "users_allow": "bert"}, False),
        ({"clients_allow": "198.51.100.1", "users_allow": "anna"}, False),
        ({"clients_allow": "192.0.2.7", "users_allow": "anna"}, True),
        ({"clients_allow": "::/0"}, False),
    ],
)
def test_decisions_follow_the_documented_rules(texts: dict[str, str], expected: bool) -> None:
    assert decide(rules(**texts)) is expected


@pytest.mark.parametrize("spelling", ["Anna", "ANNA", "anna ", "\uff41nna", "\uff21\uff2e\uff2e\uff21"])
def test_nobody_gets_around_a_deny_list_by_another_spelling(spelling: str) -> None:
    """Directories and PAM modules that take `Anna` for `anna` let her in under any of these names."""
    assert not decide(rules(users_allow="ALL", users_deny="bert, anna"), user=spelling)
    assert not decide(rules(groups_allow="ALL", groups_deny="anna"), user="carl", groups=(spelling,))
    assert not decide(rules(users_allow="anna"), user=spelling), "an allow list is taken to the letter"


@pytest.mark.parametrize("name", ["EXAMPLE\\anna", "anna@example.org", "Anna"])
def test_a_rule_for_an_account_counts_by_whichever_name_its_user_logs_in(name: str) -> None:
    """Directories know an account by several names; the name service says which of them the system itself uses."""
    assert not decide(rules(users_allow="ALL", users_deny="anna"), user=name, own_name="anna")
    assert not decide(rules(users_deny="anna", groups_allow="staff"), user=name, own_name="anna")
    assert decide(rules(users_allow="anna"), user=name, own_name="anna")
    assert decide(rules(users_allow=f"'{name}'"), user=name, own_name="anna")
    assert not decide(rules(users_allow="anna"), user=name, own_name="bert")
    assert not decide(rules(users_allow="anna"), user=name)


def test_the_name_service_is_asked_for_a_name_only_where_a_list_goes_by_names() -> None:
    def never() -> str:
        raise AssertionError("the name service was asked")

    who = Requester("anna", None, lambda: frozenset({"staff"}), own_name=never)
    assert rules(groups_allow="staff").decide(who)
    assert rules(users_allow="ALL").decide(who)


@pytest.mark.parametrize("what", ["users", "groups", "clients"])
@pytest.mark.parametrize(("order", "expected"), [("allow-deny", True), ("deny-allow", False)])
def test_f17_acl_any_order_is_the_order_of_every_kind(what: str, order: str, expected: bool) -> None:
    mine = {"users": "anna", "groups": "staff", "clients": "192.0.2.7"}[what]
    both = {f"{what}_allow": mine, f"{what}_deny": mine}
    assert decide(rules(**both, any_order=order)) is expected


def test_f17_an_order_of_its_own_wins_over_acl_any_order() -> None:
    both = {"users_allow": "anna", "users_deny": "anna"}
    assert decide(rules(**both, any_order="allow-deny", users_order="deny-allow")) is False
    assert decide(rules(**both, any_order="deny-allow", users_order="allow-deny")) is True


def test_an_order_that_means_nothing_is_reported_and_the_deny_list_wins() -> None:
    said: list[str] = []
    texts = {"acl-users-allow": "anna", "acl-users-deny": "anna", "acl-users-order": "alow-deny"}
    made = build_rules({**texts, "acl-any-order": "allow-deny"}, lambda name, _text: said.append(name))
    assert said == ["acl-users-order"]
    assert decide(made) is False


def test_f17_host_names_in_client_rules_match_their_addresses() -> None:
    allow = rules(clients_allow="pc1.example")
    assert decide(allow, names={"pc1.example": "192.0.2.7"}) is True
    assert decide(allow, names={"pc1.example": "192.0.2.8"}) is False
    deny = rules(clients_allow="ALL", clients_deny="pc1.example")
    assert decide(deny, names={"pc1.example": "192.0.2.7"}) is False
    assert decide(deny, names={"pc1.example": "192.0.2.8"}) is True


def test_names_that_do_not_resolve_let_nobody_in_by_allow_or_deny() -> None:
    assert decide(rules(clients_allow="gone.example")) is False
    assert decide(rules(clients_allow="ALL", clients_deny="gone.example")) is False


@pytest.mark.parametrize("entry", ["127.0.2.*", "10.0.0.1-10.0.0.9", "999.1.1.1", "10.0.0.0/33", "a b", "ä b", "*"])
def test_f5_one_bad_entry_in_a_deny_list_denies_every_client_and_is_reported(entry: str) -> None:
    said: list[str] = []
    texts = {"acl-clients-allow": "ALL", "acl-clients-deny": f"198.51.100.1, {entry}"}
    made = build_rules(texts, lambda _name, text: said.append(text))
    assert decide(made, address="192.0.2.7") is False
    assert any(repr(entry) in text for text in said)


@pytest.mark.parametrize("entry", ["127.0.2.*", "999.1.1.1", "*"])
def test_f5_one_bad_entry_in_an_allow_list_leaves_the_others_in_force(entry: str) -> None:
    made = rules(clients_allow=f"{entry}, 192.0.2.7")
    assert decide(made, address="192.0.2.7") is True
    assert decide(made, address="192.0.2.8") is False


def test_f5_a_trailing_comma_changes_nothing() -> None:
    made = rules(clients_allow="ALL", clients_deny="192.0.2.7,")
    assert decide(made, address="192.0.2.7") is False
    assert decide(made, address="192.0.2.8") is True


def test_an_unknown_address_is_let_in_by_no_client_rule_but_allow_all() -> None:
    assert decide(rules(clients_allow="0.0.0.0/0"), address="nowhere") is False
    assert decide(rules(clients_allow="ALL", clients_deny="198.51.100.1"), address="nowhere") is False
    assert decide(rules(clients_allow="ALL"), address="nowhere") is True


def test_groups_that_are_not_to_be_had_let_nobody_in() -> None:
    assert decide(rules(groups_allow="staff"), groups=None) is False
    assert decide(rules(groups_allow="ALL", groups_deny="students"), groups=None) is False
    assert decide(rules(users_allow="anna", groups_deny="students"), groups=None) is True


def test_all_is_the_group_of_a_user_who_has_none() -> None:
    assert decide(rules(groups_allow="ALL"), groups=()) is True


def test_groups_are_not_looked_up_where_no_rule_needs_them() -> None:
    def never() -> frozenset[str]:
        raise AssertionError("groups were looked up")

    assert rules(users_allow="anna").decide(Requester("anna", None, never))
    assert not rules(users_deny="anna", groups_allow="ALL").decide(Requester("anna", None, never))


def test_a_misspelt_rule_is_reported_with_the_nearest_and_lets_nobody_in() -> None:
    said: list[str] = []
    made = build_rules({"acl-users-alow": "anna"}, lambda _name, text: said.append(text))
    assert decide(made) is False
    assert "acl-users-allow" in said[0]


def test_a_deny_all_that_hides_an_allow_list_is_reported() -> None:
    said: list[str] = []
    build_rules({"acl-users-allow": "anna", "acl-users-deny": "ALL"}, lambda _name, text: said.append(text))
    assert len(said) == 1
    assert "acl-users-order = allow-deny" in said[0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("10.0.0.1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("fe80::1%eth0", "fe80::1"), ("", None), ("x", None)],
)
def test_client_addresses_are_compared_in_one_form(text: str, shown: str | None) -> None:
    address = parse_client(text)
    assert (None if address is None else str(address)) == shown


@pytest.mark.parametrize("entry", ["::ffff:192.0.2.7", "::ffff:192.0.2.0/120"])
def test_ipv4_written_as_ipv6_in_a_deny_list_denies_the_ipv4_client(entry: str) -> None:
    made = rules(clients_allow="ALL", clients_deny=entry)
    assert decide(made, address="192.0.2.7") is False
    assert decide(made, address="198.51.100.1") is True


def test_ipv6_networks_match_ipv6_clients_only() -> None:
    made = rules(clients_allow="2001:db8::/32")
    assert decide(made, address="2001:db8::7") is True
    assert decide(made, address="2001:db9::7") is False
    assert decide(made, address="192.0.2.7") is False


def test_client_entries_are_sorted_by_what_they_are() -> None:
    found = parse_clients(("ALL", "10.0.0.0/8", "pc1.example", "10.0.0", "127.0.2.*"))
    assert (found.everyone, [str(net) for net in found.networks]) == (True, ["10.0.0.0/8"])
    assert (found.names, found.bad) == (("pc1.example",), ("10.0.0", "127.0.2.*"))


def test_a_client_s_host_name_may_be_of_any_script() -> None:
    found = parse_clients(("büro.example", "пример.испытание", "büro.example.", "büro büro", "büro/24", "1.2.3.٤"))
    assert found.names == ("xn--bro-hoa.example", "xn--e1afmkfd.xn--80akhbyknj4f", "xn--bro-hoa.example.")
    assert found.bad == ("büro büro", "büro/24", "1.2.3.٤")
    deny = rules(clients_allow="ALL", clients_deny="büro.example")
    assert decide(deny, names={"xn--bro-hoa.example": "192.0.2.7"}) is False
    assert decide(deny, names={"xn--bro-hoa.example": "192.0.2.8"}) is True


@SOME
@given(st.lists(st.text(min_size=1)).map(tuple))
def test_every_entry_is_kept_as_something(entries: tuple[str, ...]) -> None:
    found = parse_clients(entries)
    named = [entry for entry in entries if entry != "ALL"]
    assert len(found.networks) + len(found.names) + len(found.bad) == len(named)
    assert found.everyone == ("ALL" in entries)
    assert bool(found) == bool(entries)


@SOME
@given(st.dictionaries(st.text(max_size=12).map("acl-".__add__), st.text(max_size=20)))
def test_no_rule_text_raises_and_unknown_rules_let_nobody_in(texts: dict[str, str]) -> None:
    made = build_rules(texts, lambda _name, _text: None)
    if made.broken:
        assert decide(made) is False


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({}, "no rules"),
        ({"users_allow": "anna"}, "acl-users-allow = anna"),
        ({"groups_deny": "staff"}, "acl-groups-deny = staff"),
        ({"clients_deny": "192.0.2.0/24"}, "acl-clients-deny = 192.0.2.0/24"),
    ],
)
def test_the_reason_names_the_rule_that_decided(texts: dict[str, str], reason: str) -> None:
    who = Requester("anna", parse_client("192.0.2.7"), lambda: frozenset({"staff"}))
    assert rules(**texts).decide(who).reason == reason
