"""`host = name (address)` as the former broker means it: a server is up where the one or the other answers.

The case of `test_multihost_profiles_with_offline_servers` in its own tests.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.profile import build_profile
from x2gobroker.scheduling import probe as module
from x2gobroker.scheduling.choice import Scheduler

ANSWER = {"host1.mydomain", "host2.mydomain", "host2.internal", "host3.internal"}
NAT = "host1.internal (host1.external), host2.internal (host2.external), host3.internal (host3.external)"
PLAIN = "host1.mydomain, host2.mydomain, host3.mydomain"


def answering(targets: Iterable[Endpoint], _deadline: float, *_more: object) -> set[Endpoint]:
    return {target for target in targets if ANSWER.intersection(target.ways)}


@pytest.mark.parametrize(
    ("hosts", "probe", "chosen"),
    [
        (PLAIN, False, {"host1.mydomain", "host2.mydomain", "host3.mydomain"}),
        (PLAIN, True, {"host1.mydomain", "host2.mydomain"}),
        (NAT, True, {"host2.external", "host3.external"}),
    ],
)
def test_servers_that_answer_by_name_or_address_are_chosen_and_clients_told_the_address(
    monkeypatch: pytest.MonkeyPatch, hosts: str, probe: bool, chosen: set[str]
) -> None:
    monkeypatch.setattr(module, "try_all", answering)
    profile = build_profile("desk", {"host": hosts}, {}, lambda _option, message: pytest.fail(message))
    scheduler = Scheduler(dice=random.Random(1))
    assert {scheduler.glance(profile, probe).server for _ in range(100)} == chosen
