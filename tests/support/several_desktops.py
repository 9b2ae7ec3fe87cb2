"""Somebody who starts desktops of one type as fast as it goes, at several brokers with one store."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from x2gobroker.store import RemoteDesktops, Slot, Store

PRESSES = 6  # at each broker at once
SECONDS = 60


def rush(stores: Sequence[Store], count: int, per_user: int, *users: str) -> list[Slot]:
    """Have users press Start at all brokers at once and come to each desktop, until nobody gets another one.

    Gives all desktops there are then.
    """
    gate = threading.Barrier(PRESSES * len(stores) * len(users))

    def press(store: Store, user: str) -> None:
        desktops = RemoteDesktops(store)
        gate.wait(SECONDS)
        while (slot := desktops.reserve("KDE", count, user, {"size": "800x600"}, "", per_user=per_user)) is not None:
            desktops.begin_start(slot.id, "here")  # one of those who were given it is the first

    with ThreadPoolExecutor(gate.parties) as pool:
        for done in [pool.submit(press, store, user) for store in stores for user in users for _ in range(PRESSES)]:
            done.result(SECONDS)
    return RemoteDesktops(stores[0]).everything()
