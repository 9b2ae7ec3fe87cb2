"""Desktops in the browser: who has which slot of a session type, and the tokens that open a connection to it.

The portal reserves slots and gives tokens; the service `x2gobroker-remote` takes tokens, and writes what becomes of the
slots. A slot is one row: the primary key sees to it that nobody else gets it, whichever process or host asks.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from x2gobroker.errors import StoreError
from x2gobroker.model.inventory import CLOCK_SECONDS
from x2gobroker.store.authids import digest_of
from x2gobroker.store.database import Store
from x2gobroker.store.desktop_ends import DesktopEnd, Why, forget_ends, note_end
from x2gobroker.store.portal_sessions import PortalSessions
from x2gobroker.store.remote_closing import DesktopsClosedError, read_closing
from x2gobroker.store.remote_tables import REMOTE_SHARES, REMOTE_SLOTS, REMOTE_TOKENS
from x2gobroker.store.server_tables import lock
from x2gobroker.store.sign_in_ties import SignInTie
from x2gobroker.store.spellings import is_of, same_account
from x2gobroker.store.user_locks import UserLocks

LOCK = "remote_slots"
TOKEN_BYTES = 20
TOKEN_SECONDS = 30.0
LONGEST_TOKEN = 100
RESERVED_SECONDS = 120.0  # for which a slot is kept for somebody who has not connected
FAILED_SECONDS = 120.0  # for which the reason of a failure is kept
LONGEST_OPTIONS = 8192
LONGEST_TEXT = 200
RESERVED, STARTING, RUNNING = "reserved", "starting", "running"
STOPPING, BROKEN, FAILED = "stopping", "broken", "failed"
MINE = (RESERVED, STARTING, RUNNING)  # what a user comes back to
STOP = "stop"
CUT = "cut"
ORDINAL = "ordinal"  # among the options of a slot, where it is not 1
ADMINISTRATOR = "administrator"  # stands before the name of the one who wants a desktop stopped
S, K, H = REMOTE_SLOTS.c, REMOTE_TOKENS.c, REMOTE_SHARES.c


@dataclass(frozen=True)
class Slot:
    """One instance of a session type, `number` from 0 on, and the user who has it. Times are seconds of the epoch.

    `id` names this use of the slot, not the slot: it is another one for the next user. `ends` is when the service will
    stop it, as things stand, and `ends_why` the limit (`grace`, `idle`, `absolute`); while it is being stopped, there
    is no `ends`, and `ends_why` says why. `note` says what went wrong, `progress` what is being done. `node` is the
    host whose service started it. States: `reserved`, `starting`, `running`, `stopping`, `broken` (it could not be
    stopped, so nobody gets it), `failed` (free; only for the note).
    """

    type: str
    number: int
    id: str
    username: str
    address: str
    state: str
    since: float
    reserved: float
    started: float | None
    node: str
    host: str
    port: int
    unix_path: str
    connections: int
    last_seen: float
    last_input: float
    ends: float | None
    ends_why: str
    options: Mapping[str, Any]
    progress: str
    note: str
    wanted: str

    @property
    def ordinal(self) -> int:
        """By which number its user knows it, where the user has several of this type: 1 and up, the first free one."""
        return int(self.options.get(ORDINAL, 1))

    @property
    def is_unwanted(self) -> bool:
        """Whether the service was asked to stop it."""
        return self.wanted not in ("", CUT)

    @property
    def stopped_why(self) -> Why | None:
        """Why it is being stopped; None where it is not, or where nobody has written that."""
        is_known = self.state in (STOPPING, BROKEN) and self.ends is None and self.ends_why
        return Why.of(self.ends_why) if is_known else None

    def is_of(self, user: str) -> bool:
        """Whether this is the user's, in whatever spelling the name is written."""
        return same_account(self.username, user)

    def end(self, why: Why, at: float, seconds: float | None = None, note: str = "") -> DesktopEnd:
        """Its end, `at` that moment."""
        return DesktopEnd(self.id, self.type, self.ordinal, self.username, self.started, at, why, seconds, note)


@dataclass(frozen=True)
class Pass:
    """What a token stands for: the slot as it is, who shows the token, and how. `share`: by which link, if any.

    `sign_in`: what the connection ends with; None for guests, and for tokens of programs of before.
    """

    slot: Slot
    username: str
    view_only: bool
    share: bytes | None = field(default=None, repr=False)
    sign_in: SignInTie | None = None


def comes_back_to(own: Iterable[Slot], per_user: int) -> Slot | None:
    """To which of a user's slots of one type somebody comes back who wants a desktop of it; None: that is another one.

    Where one is all that a user may have, it is that one. Else it is one that was reserved and not come for yet: who
    presses twice gets one desktop, and not two.
    """
    return next((slot for slot in own if slot.state == RESERVED or (per_user == 1 and slot.state in MINE)), None)


def has_room(own: Iterable[Slot], per_user: int) -> bool:
    """Whether a user with these slots of one type may have another one. What is being stopped no longer counts."""
    return sum(1 for slot in own if slot.state in MINE) < per_user


class RemoteDesktops:
    """The desktops of one store. All methods raise StoreError; `now` is for tests, seconds of the epoch."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def free(self, session_type: str, count: int, now: float | None = None) -> int:
        """How many of `count` slots of a type nobody has."""
        held = select(func.count()).where(S.type == session_type, S.number < count, _held(_now(now)))
        with self.store.begin() as connection:
            return max(0, count - connection.execute(held).scalar_one())

    def taken(self, now: float | None = None) -> dict[str, list[int]]:
        """The numbers of the slots that somebody has, by session type."""
        found: dict[str, list[int]] = {}
        with self.store.begin() as connection:
            for row in connection.execute(select(S.type, S.number).where(_held(_now(now)))):
                found.setdefault(row.type, []).append(row.number)
        return found

    def reserve(
        self,
        session_type: str,
        count: int,
        user: str,
        options: Mapping[str, Any],
        address: str,
        now: float | None = None,
        per_user: int = 1,
    ) -> Slot | None:
        """A slot for this user: `comes_back_to` says whether it is one that the user has, else it is the first free one
        of `count`. None: all are taken, or the user has `per_user` of this type.

        `options`, values of JSON, have the `size` as chosen. What else a script gets is computed where it runs.
        The slot is kept for RESERVED_SECONDS until the user connects. Raises ValueError for options that are too long,
        DesktopsClosedError where the user would get another one and there are no new ones.
        """
        if len(json.dumps(dict(options))) > LONGEST_OPTIONS:
            raise ValueError(f"the options of a session may have {LONGEST_OPTIONS} characters")
        moment = _now(now)
        with self.store.begin() as connection:
            lock(connection, LOCK)
            _drop_free(connection, session_type, moment)
            slots = [_slot(row) for row in connection.execute(select(*S).where(S.type == session_type))]
            own = [slot for slot in slots if slot.is_of(user)]
            mine = comes_back_to(own, per_user)
            if mine is not None:
                if mine.state == RESERVED:
                    again = {"reserved": moment, "options": _text(options, mine.ordinal), "address": address}
                    connection.execute(update(REMOTE_SLOTS).where(S.id == mine.id).values(again))
                return self._find(connection, mine.id)
            closing = read_closing(connection)
            if closing is not None:
                raise DesktopsClosedError(closing)
            taken = {slot.number for slot in slots}
            number = next((number for number in range(count) if number not in taken), None)
            if number is None or not has_room(own, per_user):
                return None
            ordinals = {slot.ordinal for slot in own}
            ordinal = next(ordinal for ordinal in range(1, len(own) + 2) if ordinal not in ordinals)
            fresh = _row(session_type, number, user, _text(options, ordinal), address, moment)
            connection.execute(insert(REMOTE_SLOTS), fresh)
            return self._find(connection, str(fresh["id"]))

    def find(self, slot_id: str) -> Slot | None:
        """The slot as it is now; None when this use of it is over."""
        with self.store.begin() as connection:
            return self._find(connection, slot_id)

    def of_user(self, user: str) -> list[Slot]:
        """What a user has, in whatever spelling the name is written, and what failed of late, oldest first."""
        with self.store.begin() as connection:
            mine = is_of(connection, S.username, user)
        return self._all(mine)

    def of_type(self, session_type: str, now: float | None = None) -> list[Slot]:
        """The slots of a type that somebody has, oldest first."""
        return self._all(and_(S.type == session_type, _held(_now(now))))

    def everything(self, node: str | None = None) -> list[Slot]:
        """All slots that somebody has, oldest first; of one host when `node` is given."""
        return self._all(S.id != "") if node is None else self._all(S.node == node)

    def token(
        self,
        slot: Slot,
        user: str,
        address: str,
        view_only: bool = False,
        share: str | None = None,
        now: float | None = None,
        sign_in: SignInTie | None = None,
    ) -> str:
        """A token that opens one connection to the slot, within TOKEN_SECONDS, from this address (`""`: any).

        Only its hash is kept. The connection ends with `sign_in`. For somebody who has followed a link, `share` is the
        link's token: what that one may do is for `redeem` to see. Raises ValueError when `user` is neither of both.
        """
        if share is None and not slot.is_of(user):
            raise ValueError("a token for somebody else needs the link that shares the desktop")
        token = secrets.token_hex(TOKEN_BYTES)
        row = {
            "digest": digest_of(token),
            "slot": slot.id,
            "username": user,
            "address": address,
            "view_only": view_only or share is not None,  # for programs that know of no guests who work
            "share": None if share is None else digest_of(share),
            "expires": _now(now) + TOKEN_SECONDS,
            "sign_in": None if sign_in is None else sign_in.digest,
            "idle": None if sign_in is None else sign_in.idle,
        }
        with self.store.begin() as connection:
            connection.execute(insert(REMOTE_TOKENS), row)
        return token

    def locked(self, users: Iterable[str]) -> set[str]:
        """Those of these users who are locked out."""
        return UserLocks(self.store).among(users)

    def signed_in(self, worked: Mapping[SignInTie, float], now: float | None = None) -> set[bytes]:
        """The hashes of those of these sign-ins that have not ended: `PortalSessions.going_on`."""
        return PortalSessions(self.store).going_on(worked, now)

    def redeem(self, token: str, address: str, now: float | None = None) -> Pass | None:
        """What a token stands for; None when it is unknown, spent, expired, shown from another address, or of a desktop
        whose user is locked out.

        It is spent by this, whatever the answer.
        """
        if not token or len(token) > LONGEST_TOKEN:
            return None
        moment = _now(now)
        taken = delete(REMOTE_TOKENS).where(K.digest == digest_of(token)).returning(*K)
        with self.store.begin() as connection:
            row = connection.execute(taken).one_or_none()
            if row is None or not is_within(row.expires, moment, TOKEN_SECONDS):
                return None
            if row.address and row.address != address:
                return None
            slot = self._find(connection, row.slot)
            if slot is None or slot.state not in MINE:
                return None
            view_only = row.view_only
            if row.share is not None:
                link = connection.execute(select(H.slot, H.works).where(_counts(moment), H.digest == row.share)).first()
                if link is None or link.slot != slot.id:
                    return None
                view_only = not link.works
            elif not slot.is_of(row.username):
                return None
        if self.locked((slot.username, row.username)):
            return None
        tie = None if row.sign_in is None or row.idle is None else SignInTie(row.sign_in, row.idle)
        return Pass(slot, row.username, view_only, row.share, tie)

    def share(self, slot: Slot, seconds: float | None = None, works: bool = False) -> str:
        """The token of a new link to the desktop, until it is taken back, for `seconds`, or until the desktop ends.

        Who follows it may view the desktop, and with `works` use keyboard and pointer as well. Only its hash is kept.
        """
        token, now = secrets.token_hex(TOKEN_BYTES), time.time()
        row = {"digest": digest_of(token), "slot": slot.id, "made": now, "works": works}
        with self.store.begin() as connection:
            connection.execute(insert(REMOTE_SHARES), {**row, "ends": None if seconds is None else now + seconds})
        return token

    def shared(self, token: str) -> Slot | None:
        """The desktop that a link leads to; None for a link that never was, or no longer counts."""
        if not token or len(token) > LONGEST_TOKEN:
            return None
        with self.store.begin() as connection:
            found = select(H.slot).where(H.digest == digest_of(token), _counts(time.time()))
            slot_id = connection.execute(found).scalar_one_or_none()
            slot = None if slot_id is None else self._find(connection, slot_id)
        if slot is None or slot.state not in MINE or self.locked((slot.username,)):
            return None
        return slot

    def revoke(self, slot: Slot) -> int:
        """Take all links of a desktop back; guests are cut off within a second. Returns how many there were."""
        with self.store.begin() as connection:
            connection.execute(delete(REMOTE_TOKENS).where(K.slot == slot.id, K.share.is_not(None)))
            return connection.execute(delete(REMOTE_SHARES).where(H.slot == slot.id)).rowcount

    def shares(self, slot_ids: Iterable[str]) -> dict[bytes, bool]:
        """The hashes of the links to these desktops that count, and whether guests may work by each."""
        with self.store.begin() as connection:
            found = select(H.digest, H.works).where(H.slot.in_(list(slot_ids)), _counts(time.time()))
            return {row.digest: bool(row.works) for row in connection.execute(found)}

    def ask_stop(self, slot: Slot, why: str = STOP) -> bool:
        """Have the service stop a desktop; `why` is a word for its log. False when it is over.

        A place that nobody has connected to is given back at once.
        """
        with self.store.begin() as connection:
            unused = delete(REMOTE_SLOTS).where(S.id == slot.id, S.state.in_((RESERVED, FAILED)))
            if connection.execute(unused).rowcount:
                return True
            return bool(connection.execute(update(REMOTE_SLOTS).where(S.id == slot.id).values(wanted=why)).rowcount)

    def ask_stop_all(self, user: str, why: str) -> int:
        """The same for everything that a user has, at logout or when the user is locked; how many there were."""
        return sum(self.ask_stop(slot, why) for slot in self.of_user(user) if slot.state != FAILED)

    def ask_cut(self, user: str, links: bool = False) -> int:
        """Have the service end the connections of a user, and not the desktops; how many desktops there are.

        Whoever may still have tokens gets new ones, and comes back. With `links`, links for guests are taken back, too.
        """
        with self.store.begin() as connection:
            owned = is_of(connection, S.username, user)
            mine = select(S.id).where(owned, S.state.in_(MINE))
            tokens = delete(REMOTE_TOKENS).where(K.slot.in_(mine))
            connection.execute(tokens if links else tokens.where(K.share.is_(None)))
            if links:
                connection.execute(delete(REMOTE_SHARES).where(H.slot.in_(mine)))
            started = and_(owned, S.state.in_((STARTING, RUNNING)), S.wanted.in_(("", CUT)))
            return connection.execute(update(REMOTE_SLOTS).where(started).values(wanted=CUT)).rowcount

    def forget_cut(self, slot_id: str) -> None:
        """The service is about to do what `ask_cut` wants."""
        with self.store.begin() as connection:
            done = update(REMOTE_SLOTS).where(S.id == slot_id, S.wanted == CUT).values(wanted="")
            connection.execute(done)

    def say(self, slot: Slot, progress: str) -> None:
        """Tell the user who waits what is being done, in at most LONGEST_TEXT characters."""
        self.change(slot.id, progress=progress[:LONGEST_TEXT])

    def begin_start(self, slot_id: str, node: str, now: float | None = None) -> bool:
        """The service of host `node` is to start this slot: True for one caller only."""
        moment = _now(now)
        values = {
            "state": STARTING, "since": moment, "node": node, "last_seen": moment, "last_input": moment, "progress": ""
        }  # fmt: skip
        with self.store.begin() as connection:
            mine = update(REMOTE_SLOTS).where(S.id == slot_id, S.state == RESERVED).values(values)
            return connection.execute(mine).rowcount == 1

    def change(self, slot_id: str, state: str | None = None, now: float | None = None, **values: object) -> bool:
        """Write what has become of a slot; `since` follows the state. False when this use of it is over."""
        unknown = set(values) - {column.name for column in REMOTE_SLOTS.c}
        if unknown:
            raise StoreError(f"remote_slots has no column {', '.join(sorted(unknown))}")
        if state is not None:
            values |= {"state": state, "since": _now(now)}
        with self.store.begin() as connection:
            return connection.execute(update(REMOTE_SLOTS).where(S.id == slot_id).values(values)).rowcount == 1

    def release(
        self, slot_id: str, note: str = "", why: Why = Why.UNKNOWN, seconds: float | None = None,
        now: float | None = None,
    ) -> None:  # fmt: skip
        """The slot is free again. Why its desktop has ended is kept, see `DesktopEnds`; `seconds` is the limit that it
        has reached. With a `note`, which says what went wrong, the row stays for FAILED_SECONDS, for administrators.
        """
        moment = _now(now)
        with self.store.begin() as connection:
            slot = self._find(connection, slot_id)
            if slot is not None and slot.state != FAILED:
                note_end(connection, slot.end(why, moment, seconds, note[:LONGEST_TEXT]))
            connection.execute(delete(REMOTE_TOKENS).where(K.slot == slot_id))
            connection.execute(delete(REMOTE_SHARES).where(H.slot == slot_id))
            if not note:
                connection.execute(delete(REMOTE_SLOTS).where(S.id == slot_id))
                return
            values = {"state": FAILED, "since": moment, "note": note[:LONGEST_TEXT], "node": "", "connections": 0}
            gone = {"wanted": "", "ends": None, "ends_why": ""}
            connection.execute(update(REMOTE_SLOTS).where(S.id == slot_id).values(values | gone))

    def sweep(self, now: float | None = None) -> None:
        """Drop expired tokens, places that nobody came for, old notes, and ends of long ago."""
        moment = _now(now)
        with self.store.begin() as connection:
            ahead = K.expires > moment + TOKEN_SECONDS + CLOCK_SECONDS
            connection.execute(delete(REMOTE_TOKENS).where(or_(K.expires < moment, ahead)))
            connection.execute(delete(REMOTE_SLOTS).where(_over(moment)))
            connection.execute(delete(REMOTE_SHARES).where(H.slot.not_in(select(S.id))))
            forget_ends(connection, moment)

    def _all(self, condition: Any) -> list[Slot]:
        query = select(*S).where(condition).order_by(S.reserved, S.type, S.number)
        with self.store.begin() as connection:
            return [_slot(row) for row in connection.execute(query)]

    @staticmethod
    def _find(connection: Connection, slot_id: str) -> Slot | None:
        row = connection.execute(select(*S).where(S.id == slot_id)).one_or_none()
        return None if row is None else _slot(row)


def _now(now: float | None) -> float:
    return time.time() if now is None else now


def is_within(expires: float, now: float, seconds: float) -> bool:
    """Whether what was made for so many seconds counts: no longer than that either, where a clock was ahead."""
    return now <= expires <= now + seconds + CLOCK_SECONDS


def _counts(now: float) -> Any:
    """Links whose time is not up. One that was made while a clock was ahead does not outlive its time."""
    return or_(H.ends.is_(None), and_(H.ends > now, H.made <= now + CLOCK_SECONDS))


def _over(now: float) -> Any:
    """Rows that stand in nobody's way: reserved and never used, or only there for their note."""
    return or_(
        and_(S.state == RESERVED, S.reserved < now - RESERVED_SECONDS),
        and_(S.state == FAILED, S.since < now - FAILED_SECONDS),
    )


def _held(now: float) -> Any:
    return and_(S.state != FAILED, or_(S.state != RESERVED, S.reserved >= now - RESERVED_SECONDS))


def _drop_free(connection: Connection, session_type: str, now: float) -> None:
    free = or_(S.state == FAILED, _over(now))
    connection.execute(delete(REMOTE_SLOTS).where(S.type == session_type, free))


def _slot(row: Any) -> Slot:
    values = dict(row._mapping)
    return Slot(**{**values, "options": json.loads(values["options"])})


def _text(options: Mapping[str, Any], ordinal: int) -> str:
    return json.dumps({**options, ORDINAL: ordinal} if ordinal > 1 else dict(options), sort_keys=True)


def _row(session_type: str, number: int, user: str, options: str, address: str, now: float) -> dict[str, object]:
    return {
        "type": session_type,
        "number": number,
        "id": secrets.token_hex(8),
        "username": user,
        "address": address,
        "state": RESERVED,
        "since": now,
        "reserved": now,
        "started": None,
        "node": "",
        "host": "",
        "port": 0,
        "unix_path": "",
        "connections": 0,
        "last_seen": now,
        "last_input": now,
        "ends": None,
        "ends_why": "",
        "options": options,
        "progress": "",
        "note": "",
        "wanted": "",
    }
