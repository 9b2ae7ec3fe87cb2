"""What administrators order for desktops in the browser: no new ones, and the places of those that nothing stops.

Users have `remote_desktops.py`. A service hears of orders within a second or so, by looking at its rows.
"""

from __future__ import annotations

import time

from sqlalchemy import delete, select, update

from x2gobroker.store.database import Store
from x2gobroker.store.desktop_ends import Why, note_end
from x2gobroker.store.remote_closing import Closing, read_closing
from x2gobroker.store.remote_desktops import ADMINISTRATOR, FAILED, LOCK, RESERVED, STOPPING, Slot
from x2gobroker.store.remote_tables import REMOTE_CLOSED, REMOTE_SHARES, REMOTE_SLOTS, REMOTE_TOKENS
from x2gobroker.store.rows import put
from x2gobroker.store.server_tables import lock

ONLY = 1  # the primary key of the one row
S, K, H = REMOTE_SLOTS.c, REMOTE_TOKENS.c, REMOTE_SHARES.c


def by_administrator(name: str) -> str:
    """What `ask_stop` is told for an administrator of this name."""
    return f"{ADMINISTRATOR} {name}"


class DesktopOrders:
    """The orders of one store. All methods raise StoreError; `now` is for tests, seconds of the epoch."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def close(self, by: str, reason: str = "", now: float | None = None) -> int:
        """No new desktops from now on. Places that nobody has connected to yet are given back; how many there were.

        Where it is closed already, the new reason counts.
        """
        row = {"id": ONLY, "by": by, "reason": reason, "since": time.time() if now is None else now}
        unused = S.state == RESERVED
        with self.store.begin() as connection:
            lock(connection, LOCK)
            put(connection, REMOTE_CLOSED, row)
            connection.execute(delete(REMOTE_TOKENS).where(K.slot.in_(select(S.id).where(unused))))
            return connection.execute(delete(REMOTE_SLOTS).where(unused)).rowcount

    def open(self) -> bool:
        """New desktops again; False where there were all the time."""
        with self.store.begin() as connection:
            return bool(connection.execute(delete(REMOTE_CLOSED)).rowcount)

    def closing(self) -> Closing | None:
        """Who has closed it and why; None while there are new desktops."""
        with self.store.begin() as connection:
            return read_closing(connection)

    def free(self, slot: Slot, by: str, now: float | None = None) -> bool:
        """Give the place of a desktop back that no service stops. False when it has changed since `slot` was read.

        The row stays for a while, as that of a failed desktop without a reason, to tell the service who did it.
        """
        moment = time.time() if now is None else now
        same = (S.id == slot.id, S.state == slot.state, S.since == slot.since)
        gone = {"ends": None, "ends_why": "", "note": "", "connections": 0, "wanted": by_administrator(by)}
        with self.store.begin() as connection:
            freed = update(REMOTE_SLOTS).where(*same).values(state=FAILED, since=moment, **gone)
            if not connection.execute(freed).rowcount:
                return False
            connection.execute(delete(REMOTE_TOKENS).where(K.slot == slot.id))
            connection.execute(delete(REMOTE_SHARES).where(H.slot == slot.id))
            note_end(connection, slot.end(slot.stopped_why or Why.ADMINISTRATOR, moment))
            return True

    def stop_again(self, slot_id: str, now: float | None = None) -> bool:
        """A service is about to try once more to stop a desktop. False where the place was given back.

        The row may be in any state that it had before: the store may have failed when the service stopped the desktop.
        """
        moment = time.time() if now is None else now
        mine = update(REMOTE_SLOTS).where(S.id == slot_id, S.state != FAILED)
        with self.store.begin() as connection:
            return connection.execute(mine.values(state=STOPPING, since=moment)).rowcount == 1
