"""What a choice reads from the store: no more than can count, and in as few transactions as can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tests.unit.scheduling_world import world
from x2gobroker.agents.rules import NONE, SSH
from x2gobroker.store import Loads, ServerLoad, Store


@pytest.fixture
def uses(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many transactions there were, and how often loads were read."""
    counted: Counter[str] = Counter()
    begin, read = Store.begin, Loads.read

    def counting_begin(store: Store) -> AbstractContextManager[Connection]:
        counted["transactions"] += 1
        return begin(store)

    def counting_read(connection: Connection, keys: Collection[str]) -> dict[str, ServerLoad]:
        counted["loads"] += 1
        return read(connection, keys)

    monkeypatch.setattr(Store, "begin", counting_begin)
    monkeypatch.setattr(Loads, "read", staticmethod(counting_read))
    return counted


@pytest.mark.parametrize(
    ("servers", "mode", "use_loads", "loads"),
    [(1, NONE, False, 0), (1, NONE, True, 1), (1, SSH, False, 1), (3, NONE, False, 1), (3, SSH, True, 1)],
)
def test_drains_and_loads_are_read_at_once_and_loads_only_where_they_can_count(
    tmp_path: Path, uses: Counter[str], servers: int, mode: str, use_loads: bool, loads: int
) -> None:
    with world(tmp_path, servers) as made:
        made.set_rules(mode=mode)
        made.use_loads = use_loads
        assert made.server() in made.names
    # the second transaction is the reservation
    assert (uses["loads"], uses["transactions"]) == (loads, 2)


def test_servers_that_the_load_checker_found_dead_are_left_out_by_profiles_without_agents_and_loads(
    tmp_path: Path,
) -> None:
    with world(tmp_path, 3) as made:
        made.set_rules(mode=NONE)
        made.probe = False
        made.load("ts03", state="unreachable")
        assert {made.server(f"user{number}") for number in range(6)} == {"ts01", "ts02"}


def test_a_single_drained_server_is_not_given_out_by_profiles_without_agents_and_loads(tmp_path: Path) -> None:
    with world(tmp_path, 1) as made:
        made.set_rules(mode=NONE)
        made.stores.drains.start("ts01", "root")
        assert made.select().host is None
