"""Autologin keys that are, or may be, on X2Go Servers: each is stored before it is put there, and until it is gone.

Whoever takes a key away claims its row for a while. Of several sweepers, on any number of hosts, only one works on a
row; when it is killed, its rows are free again once the lease is over.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Float, Integer, String, Table, and_, bindparam, case, delete, func, or_, select, update

from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.public_key import parse_public_key
from x2gobroker.store.database import Store
from x2gobroker.store.rows import upsert
from x2gobroker.store.tables import METADATA

AUTOLOGIN_KEYS = Table(
    "autologin_keys",
    METADATA,
    Column("id", String, primary_key=True),
    Column("place", String, nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("address", String, nullable=False),
    Column("port", Integer, nullable=False),
    Column("username", String, nullable=False),
    Column("keys_file", String, nullable=False),
    Column("line", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("policy", String, nullable=False),
    Column("proxy", String, nullable=False),
    Column("broker_host", String, nullable=False),
    Column("due", Float, nullable=False, index=True),
    Column("give_up", Float, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("leased_until", Float, nullable=False),
    Column("lease", String, nullable=False),
)
# for whom a key was put there: the account on the server may be another one, which several users share
KEY_OWNERS = Table(
    "autologin_key_owners",
    METADATA,
    Column("id", String, primary_key=True),
    Column("username", String, primary_key=True),
)
T = AUTOLOGIN_KEYS.c


@dataclass(frozen=True)
class StoredKey:
    """A key at one place: on `server`, in the file `keys_file` of `user`. Nothing in it is secret.

    `line` is the line that was to be added. `mode`, `policy` (of host keys) and `proxy` are how the agent there is
    reached. `broker_host` is the broker's host where only that one can take the key away, else empty. `due` and
    `give_up` are seconds since the epoch: when to take the key away, and until when to try. `lease` is the claim.
    """

    server: Endpoint
    user: str
    keys_file: str
    line: str
    mode: str
    policy: str
    proxy: str
    broker_host: str
    due: float
    give_up: float
    tries: int = 0
    lease: str = ""

    @property
    def place(self) -> str:
        """The same text for the same agent."""
        return f"{self.broker_host}/{self.server.key}" if self.broker_host else self.server.key

    @property
    def id(self) -> str:
        """The same text for the same key in the same file of the same user on the same server."""
        key = parse_public_key(self.line)
        words = (self.place, self.user, self.keys_file, key.kind, key.blob)
        return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()


class AutologinKeys:
    """The autologin keys of one store. `now` is seconds since the epoch. Every method raises StoreError."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def record(self, keys: Sequence[StoredKey], owner: str = "") -> None:
        """Store keys that are about to be put on servers. One that is there already stays for the longer time.

        `owner` is the user of the broker who gets in by them, where that is another than the account's.
        """
        if not keys:
            return
        rows = [_row(key) for key in keys]
        with self.store.begin() as connection:
            statement = upsert(connection, AUTOLOGIN_KEYS)
            fresh = statement.excluded
            later = {
                "due": case((fresh.due > T.due, fresh.due), else_=T.due),
                "give_up": case((fresh.give_up > T.give_up, fresh.give_up), else_=T.give_up),
                "line": fresh.line,
                "tries": 0,
                "leased_until": 0.0,
                "lease": "",
            }
            # always in the same order, so that two who record the same rows never wait for each other
            connection.execute(
                statement.on_conflict_do_update(index_elements=[T.id], set_=later),
                sorted(rows, key=lambda row: str(row["id"])),
            )
            others = [{"id": key.id, "username": owner} for key in keys if owner and owner != key.user]
            if others:
                connection.execute(upsert(connection, KEY_OWNERS).on_conflict_do_nothing(), others)

    def claim_due(
        self, now: float, limit: int, lease_seconds: float, broker_host: str = "", per_place: int = 20
    ) -> list[StoredKey]:
        """Claim keys that are due and claimed by nobody else: at most `limit`, and `per_place` on one server.

        Those that only another broker's host can take away are left to it, until it is time to give them up.
        """
        mine = or_(T.broker_host.in_(("", broker_host)), T.give_up <= now)
        free = and_(T.due <= now, T.leased_until <= now, mine)
        turn = func.row_number().over(partition_by=T.place, order_by=(T.due, T.id)).label("turn")
        queue = select(T.id, T.due, turn).where(free).subquery()
        first = select(queue.c.id).where(queue.c.turn <= per_place).order_by(queue.c.due, queue.c.id).limit(limit)
        locked = select(T.id).where(T.id.in_(first), free).order_by(T.id).with_for_update(skip_locked=True)
        lease = secrets.token_hex(8)
        with self.store.begin() as connection:
            # mostly nothing is due: a look costs no lock
            if connection.execute(select(T.id).where(free).limit(1)).first() is None:
                return []
        with self.store.begin() as connection:
            claim = update(AUTOLOGIN_KEYS).where(T.id.in_(locked)).values(lease=lease, leased_until=now + lease_seconds)
            rows = connection.execute(claim.returning(*AUTOLOGIN_KEYS.c)).all()
        return sorted((_key(row) for row in rows), key=lambda key: key.due)

    def done(self, keys: Iterable[StoredKey]) -> None:
        """These are gone from their servers. A row that was recorded anew since it was claimed stays."""
        found = [{"the_id": key.id, "the_lease": key.lease} for key in keys]
        if found:
            with self.store.begin() as connection:
                connection.execute(
                    delete(AUTOLOGIN_KEYS).where(T.id == bindparam("the_id"), T.lease == bindparam("the_lease")), found
                )
                gone = KEY_OWNERS.c.id.in_([row["the_id"] for row in found])
                connection.execute(delete(KEY_OWNERS).where(gone, KEY_OWNERS.c.id.not_in(select(T.id))))

    def postpone(self, keys: Iterable[StoredKey], until: float) -> None:
        """These could not be taken away: try again at `until`. The claim ends."""
        found = [{"the_id": key.id, "the_lease": key.lease} for key in keys]
        if found:
            mine = and_(T.id == bindparam("the_id"), T.lease == bindparam("the_lease"))
            values = {"due": until, "tries": T.tries + 1, "leased_until": 0.0, "lease": ""}
            with self.store.begin() as connection:
                connection.execute(update(AUTOLOGIN_KEYS).where(mine).values(values), found)

    def postpone_place(self, place: str, until: float, now: float) -> int:
        """The server `place` cannot be reached: whatever is due there, claimed by nobody, can wait. Returns how many.

        So the keys on one dead server are no queue in front of all the others.
        """
        waiting = and_(T.place == place, T.due <= now, T.leased_until <= now)
        with self.store.begin() as connection:
            moved = connection.execute(update(AUTOLOGIN_KEYS).where(waiting).values(due=until).returning(T.id))
            return len(moved.all())

    def all(self) -> list[StoredKey]:
        """Every key that is stored, the first to be due first."""
        with self.store.begin() as connection:
            rows = connection.execute(select(*AUTOLOGIN_KEYS.c).order_by(T.due, T.id))
            return [_key(row) for row in rows]


def _row(key: StoredKey) -> dict[str, object]:
    return {
        "id": key.id,
        "place": key.place,
        "name": key.server.name,
        "address": key.server.address,
        "port": key.server.port,
        "username": key.user,
        "keys_file": key.keys_file,
        "line": key.line,
        "mode": key.mode,
        "policy": key.policy,
        "proxy": key.proxy,
        "broker_host": key.broker_host,
        "due": key.due,
        "give_up": key.give_up,
        "tries": key.tries,
        "leased_until": 0.0,
        "lease": "",
    }


def _key(row: object) -> StoredKey:
    found = row._mapping  # type: ignore[attr-defined]
    return StoredKey(
        Endpoint(found["name"], found["address"], found["port"]),
        found["username"],
        found["keys_file"],
        found["line"],
        found["mode"],
        found["policy"],
        found["proxy"],
        found["broker_host"],
        found["due"],
        found["give_up"],
        found["tries"],
        found["lease"],
    )
