"""What is kept of Kerberos tickets: what can be read of a cache, what names one, and who gets which."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import MANY
from x2gobroker.authservice.ccache import CacheError, Ticket, read_ticket
from x2gobroker.authservice.tickets import (
    WAITING_SECONDS,
    CacheNameError,
    Kept,
    Tickets,
    cache_name,
)
from x2gobroker.privilege.files import TrustError, read_users_file

NOW = float(int(time.time()))
REALM = b"ROOM.TEST"
ANNA, BERT = 4711, 4712


def text(data: bytes) -> bytes:
    """A text as it stands in a cache."""
    return struct.pack("!I", len(data)) + data


def principal(*parts: bytes, realm: bytes = REALM) -> bytes:
    """A name as it stands in a cache."""
    return struct.pack("!II", 1, len(parts)) + text(realm) + b"".join(text(part) for part in parts)


def credential(server: bytes, ends: int, renewable: int = 0) -> bytes:
    """A credential of anna."""
    times = struct.pack("!IIII", 1, 1, ends, renewable)
    rest = struct.pack("!BI", 0, 0) + struct.pack("!IH", 1, 2) + text(b"\x7f\0\0\1") + struct.pack("!I", 0)
    return principal(b"anna") + server + struct.pack("!H", 18) + text(b"k" * 32) + times + rest + text(b"t") + text(b"")


def cache(ends: int = int(NOW) + 36000, *more: bytes) -> bytes:
    """A cache of anna's, with her first ticket."""
    head = b"\x05\x04" + struct.pack("!H", 12) + b"\0\1\0\x08" + b"\0" * 8
    return head + principal(b"anna") + b"".join(more) + credential(principal(b"krbtgt", REALM), ends, ends + 1)


def kept(uid: int = ANNA, data: bytes | None = None, name: str = "", until: float = NOW + 36000) -> Kept:
    """What a login has got."""
    return Kept(uid, name, cache() if data is None and not name else data or b"", until)


@pytest.fixture
def tickets(tmp_path: Path) -> Tickets:
    """The folder, switched on."""
    made = Tickets(tmp_path / "tickets")
    made.switch(True)
    return made


def names(tickets: Tickets) -> set[str]:
    """What is in the folder."""
    return {path.name for path in tickets.folder.iterdir()} - {"on"}


def test_a_cache_says_whose_ticket_it_has_and_until_when() -> None:
    assert read_ticket(cache(1234)) == Ticket("anna@ROOM.TEST", 1234, 1235)


def test_only_the_ticket_of_the_own_realm_counts_and_the_one_that_ends_last() -> None:
    others = (
        credential(principal(b"host", b"room"), 9999),
        credential(principal(b"krbtgt", b"OTHER.TEST"), 9999),
        credential(principal(b"krb5_ccache_conf_data", b"pa_type", realm=b"X-CACHECONF:"), 9999),
        credential(principal(b"krbtgt", REALM), 99),
    )
    assert read_ticket(cache(1234, *others)).ends == 1234
    with pytest.raises(CacheError, match="no ticket"):
        read_ticket(cache()[: -len(credential(principal(b"krbtgt", REALM), 1))])


@given(st.binary(max_size=300))
@MANY
def test_rubbish_is_no_cache(data: bytes) -> None:
    for tried in (data, b"\x05\x04" + data, cache()[:40] + data):
        with pytest.raises(CacheError):
            read_ticket(tried)


@given(st.data())
@MANY
def test_a_cache_with_any_byte_changed_or_its_end_cut_off_does_no_harm(data: st.DataObject) -> None:
    whole = bytearray(cache())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CacheError):
        read_ticket(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("/tmp/krb5cc_1000_abc", "FILE:/tmp/krb5cc_1000_abc"),
        ("FILE:/tmp/krb5cc_1000", "FILE:/tmp/krb5cc_1000"),
        ("DIR:/run/user/1000/krb5cc", "DIR:/run/user/1000/krb5cc"),
        ("DIR::/run/user/1000/krb5cc/tkt", "DIR::/run/user/1000/krb5cc/tkt"),
        ("KEYRING:persistent:1000", "KEYRING:persistent:1000"),
        ("KCM:", "KCM:"),
        ("KCM:1000:61803", "KCM:1000:61803"),
    ],
)
def test_names_of_caches(given_name: str, name: str) -> None:
    assert cache_name(given_name) == name


@pytest.mark.parametrize(
    "name",
    ["", "krb5cc", "FILE:", "FILE:tmp/x", "FILE:/tmp/../etc/shadow", "FILE://tmp/x", "FILE:/tmp/a b", "FILE:/tmp/a\n",
     "FILE:/" + "x" * 500, "MEMORY:x", "API:x", "MSLSA:", "KEYRING:", "KEYRING:a/b", "KCM:\n", "DIR:x", "file:/tmp/x",
     "SRVTAB:/etc/krb5.keytab", "KCM:1000\0", "FILE:/tmp/ä", "FILE:/tmp/x/"],
)  # fmt: skip
def test_what_names_no_cache(name: str) -> None:
    with pytest.raises(CacheNameError):
        cache_name(name)


@given(st.one_of(st.text(max_size=60), st.from_regex(r"(FILE|DIR|KEYRING|KCM|MEMORY|API):.{0,40}", fullmatch=True)))
@MANY
def test_a_name_that_is_taken_is_one_word_of_four_kinds(name: str) -> None:
    try:
        taken = cache_name(name)
    except CacheNameError:
        return
    assert taken.partition(":")[0] in ("FILE", "DIR", "KEYRING", "KCM")
    assert taken.isascii()
    assert taken.isprintable()
    assert " " not in taken
    assert ".." not in taken.split("/")


def test_a_note_is_read_as_it_was_written() -> None:
    for one in (kept(), kept(name="KCM:4711")):
        assert Kept.read(one.note()) == one


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=100).map(lambda data: kept().note()[:-9] + data)))
@MANY
def test_rubbish_is_no_note(data: bytes) -> None:
    with contextlib.suppress(CacheError):
        read = Kept.read(data)
        assert read.uid > 0
        assert bool(read.cache) != bool(read.data)


@pytest.mark.parametrize(
    "note",
    [b'{"uid": 0, "cache": "KCM:", "until": 1}\n', b'{"uid": 1, "cache": "MEMORY:x", "until": 1}\n',
     b'{"uid": 1, "cache": "", "until": 1}\n', b'{"uid": true, "cache": "KCM:", "until": 1}\n',
     b'{"uid": 1, "cache": "KCM:", "until": NaN}\n', b'{"uid": 1, "cache": "KCM:", "until": 1e99}\n',
     b'{"uid": 1, "cache": "KCM:", "until": 1}', b'{"uid": 1, "cache": "/tmp/x", "until": 1}\n', b"[]\n", b"\n",
     b'{"uid": 1, "cache": "", "until": 1}\nrubbish', b"[" * 2000 + b"\n"],
)  # fmt: skip
def test_notes_that_are_none(note: bytes) -> None:
    with pytest.raises(CacheError):
        Kept.read(note)


def test_a_ticket_counts_when_its_user_was_let_in(tickets: Tickets) -> None:
    handle = tickets.put(kept(), NOW)
    assert tickets.find(ANNA, NOW) is None
    assert tickets.accept(handle, ANNA, 60, NOW)
    found = tickets.find(ANNA, NOW)
    assert found is not None
    assert (found.data, found.until) == (cache(), NOW + 60)
    assert tickets.find(ANNA, NOW + 61) is None
    assert tickets.find(BERT, NOW) is None
    assert names(tickets) == {str(ANNA)}
    assert stat.S_IMODE((tickets.folder / str(ANNA)).stat().st_mode) == 0o600
    assert stat.S_IMODE(tickets.folder.stat().st_mode) == 0o700


def test_a_handle_counts_once_for_its_own_user_and_for_a_while(tickets: Tickets) -> None:
    handle = tickets.put(kept(), NOW)
    for wrong in ("", "0" * 32, handle.upper() + "x", f"../{handle}", "on"):
        assert not tickets.accept(wrong, ANNA, 60, NOW)
    assert not tickets.accept(handle, BERT, 60, NOW)
    assert tickets.accept(handle, ANNA, 60, NOW)
    assert not tickets.accept(handle, ANNA, 60, NOW)
    late = tickets.put(kept(), NOW)
    os.utime(tickets.folder / f"waiting-{late}", (NOW, NOW))
    assert not tickets.accept(late, ANNA, 60, NOW + WAITING_SECONDS + 1)


def test_the_newest_takes_the_place_of_the_one_before(tickets: Tickets) -> None:
    for ends in (1, 2, 3):
        data = cache(int(NOW) + 1000 * ends)
        before = tickets.mark(ANNA)
        assert tickets.accept(tickets.put(kept(data=data), NOW), ANNA, 9000, NOW)
        assert tickets.mark(ANNA) not in (None, before)
        found = tickets.find(ANNA, NOW)
        assert found is not None
        assert found.data == data
        assert names(tickets) == {str(ANNA)}


def test_what_is_over_and_what_is_no_note_do_not_pile_up(tickets: Tickets) -> None:
    assert tickets.accept(tickets.put(kept(), NOW), ANNA, 60, NOW)
    (tickets.folder / str(BERT)).write_bytes(b"rubbish")
    (tickets.folder / "of somebody else").touch()
    tickets.put(kept(BERT), NOW + 100)
    assert {name[:8] for name in names(tickets)} == {"waiting-", "of somebody else"[:8]}


def test_what_is_forgotten(tickets: Tickets) -> None:
    assert tickets.accept(tickets.put(kept(), NOW), ANNA, 60, NOW)
    written = (tickets.folder / str(ANNA)).stat().st_mtime
    tickets.forget(BERT, 0, NOW)
    tickets.forget(ANNA, 45, written + 44)
    assert names(tickets) == {str(ANNA)}
    tickets.forget(ANNA, 45, written + 45)
    assert names(tickets) == set()
    tickets.forget(ANNA, 45, written)


def test_switched_off_it_has_nothing(tickets: Tickets) -> None:
    assert tickets.accept(tickets.put(kept(), NOW), ANNA, 60, NOW)
    tickets.put(kept(), NOW)
    tickets.switch(False)
    assert names(tickets) == set()
    assert not tickets.is_on()
    assert tickets.find(ANNA, NOW) is None


def test_where_it_was_never_on_nothing_is_made(tmp_path: Path) -> None:
    never = Tickets(tmp_path / "none")
    never.switch(False)
    assert not never.folder.exists()
    assert not never.is_on()
    assert never.find(ANNA, NOW) is None
    assert never.mark(ANNA) is None


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder", "mode", "owner", "large"])
def test_a_cache_that_is_not_the_users_own_file_is_not_read(tmp_path: Path, kind: str) -> None:
    path, uid = tmp_path / "cache", os.geteuid()
    path.write_bytes(b"x" * 100)
    path.chmod(0o600)
    assert read_users_file(str(path), uid, 100) == b"x" * 100
    if kind == "link":
        path.rename(tmp_path / "real")
        path.symlink_to(tmp_path / "real")
    elif kind == "hard link":
        os.link(path, tmp_path / "other")
    elif kind in ("pipe", "folder"):
        path.unlink()
        os.mkfifo(path, 0o600) if kind == "pipe" else path.mkdir(0o600)
    elif kind == "mode":
        path.chmod(0o640)
    with pytest.raises(TrustError):
        read_users_file(str(path), uid + 1 if kind == "owner" else uid, 99 if kind == "large" else 100)


def test_a_user_never_gets_the_ticket_of_another(tickets: Tickets) -> None:
    """Not even where a note has been put in another one's place."""
    assert tickets.accept(tickets.put(kept(), NOW), ANNA, 60, NOW)
    (tickets.folder / str(ANNA)).rename(tickets.folder / str(BERT))
    assert tickets.find(BERT, NOW) is None
