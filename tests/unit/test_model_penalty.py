"""Penalties as arithmetic: waits, bans, blocks of addresses, trusted networks."""

from __future__ import annotations

import pytest

from x2gobroker.model.accounts import account_name
from x2gobroker.model.penalty import (
    Penalty,
    PenaltyRules,
    address_block,
    is_within,
    read_networks,
)

RULES = PenaltyRules()


def test_waits_of_an_address_on_an_account_grow_and_end_at_15_seconds() -> None:
    waits = [RULES.for_account(failures, 1).wait for failures in range(9)]
    assert waits == [0, 0.5, 1, 2, 4, 8, 15, 15, 15]


def test_waits_of_a_block_begin_after_five_failures() -> None:
    assert [RULES.for_block(failures).wait for failures in range(12)] == [0, 0, 0, 0, 0, 0, 2, 4, 8, 15, 15, 15]


def test_failures_of_others_on_the_account_make_a_wait_longer_but_are_no_ban() -> None:
    assert RULES.for_account(1, 5) == Penalty(0.5, 0)
    assert RULES.for_account(1, 7) == Penalty(4, 0)
    assert RULES.for_account(1, 1_000_000) == Penalty(15, 0)


def test_bans_of_an_account_and_of_a_block() -> None:
    assert [RULES.for_account(failures, failures).ban for failures in (9, 10, 11)] == [0, 300, 300]
    assert [RULES.for_block(failures).ban for failures in (99, 100, 101)] == [0, 300, 300]
    strict = PenaltyRules(ban_failures=2, ban_seconds=7)
    assert [strict.for_account(failures, 0).ban for failures in (1, 2)] == [0, 7]
    assert [strict.for_block(failures).ban for failures in (19, 20)] == [0, 7]


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("nowhere", "nowhere"),
        ("x" * 500, "x" * 64),
    ],
)
def test_blocks(address: str, block: str) -> None:
    assert address_block(address) == block


def test_spellings_of_a_name_are_one_account() -> None:
    assert {account_name(name) for name in ("Anna", " anna", "ANNA ")} == {"anna"}
    assert account_name("bert") != account_name("anna")


@pytest.mark.parametrize(
    ("address", "within"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("198.51.100.1", False),
        ("2001:db8::9", True),
        ("2001:db9::9", False),
        ("", False),
        ("nowhere", False),
    ],
)
def test_trusted_networks(address: str, within: bool) -> None:
    trusted = ("192.0.2.0/24", "nonsense", "2001:db8::/32")
    assert is_within(address, trusted) is within
    assert PenaltyRules(trusted=trusted).apply_to(address) is not within


def test_nobody_is_trusted_by_default_and_rules_can_be_off() -> None:
    assert RULES.apply_to("127.0.0.1")
    assert not PenaltyRules(enabled=False).apply_to("192.0.2.7")


def test_what_is_no_network_is_named() -> None:
    assert read_networks(("192.0.2.0/24", "192.0.2.0/99", "office"))[1] == ("192.0.2.0/99", "office")
