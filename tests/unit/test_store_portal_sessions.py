"""Who is signed in at the portal, in the store."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, update
from sqlalchemy.engine import URL

from x2gobroker.model.inventory import CLOCK_SECONDS
from x2gobroker.model.vouched import Vouched
from x2gobroker.store import PortalSessions, SignInTie, Store
from x2gobroker.store.authids import digest_of
from x2gobroker.store.portal_sessions import NONCE_BYTES, PADDED_TO, PortalSession, _sealed
from x2gobroker.store.portal_tables import PORTAL_SESSIONS

NOW = 1_800_000_000.0
IDLE = 600.0
ANNA_KNOWN = Vouched("password by htpasswd")
TOKEN = "0" * 63 + "1"


@pytest.fixture
def sessions(tmp_path: Path) -> PortalSessions:
    return PortalSessions(Store(URL.create("sqlite", database=str(tmp_path / "state.sqlite"))))


def opened(sessions: PortalSessions, user: str = "anna", address: str = "192.0.2.7", now: float = NOW) -> str:
    return sessions.open(user, "inifile", address, 3600, ANNA_KNOWN, "a password", now=now)


def found(sessions: PortalSessions, token: str, now: float = NOW) -> PortalSession:
    session = sessions.find(token, IDLE, now)
    assert session is not None
    return session


def rows(sessions: PortalSessions) -> int:
    with sessions.store.begin() as connection:
        return connection.execute(select(func.count()).select_from(PORTAL_SESSIONS)).scalar_one()


def test_a_token_stands_for_who_signed_in(sessions: PortalSessions) -> None:
    session = found(sessions, opened(sessions))
    assert (session.username, session.backend, session.address) == ("anna", "inifile", "192.0.2.7")
    assert (session.vouched is not None, session.created, session.last_seen, session.ends) == (
        True,
        NOW,
        NOW,
        NOW + 3600,
    )


def test_the_token_itself_is_not_in_the_store_nor_in_what_is_shown(sessions: PortalSessions) -> None:
    token = opened(sessions)
    session = found(sessions, token)
    assert token not in repr(session)
    assert "sealed" not in repr(session)
    assert session.digest == digest_of(token)


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "0" * 65, "é" * 64, "0" * 100_000, "0" * 63 + "\n"])
def test_what_is_no_token_is_nobody(sessions: PortalSessions, token: str) -> None:
    opened(sessions)
    assert sessions.find(token, IDLE, NOW) is None


def test_it_ends_after_its_time_and_without_a_sign_of_life_and_is_gone_then(sessions: PortalSessions) -> None:
    token = opened(sessions)
    assert sessions.find(token, IDLE, NOW + IDLE) is not None
    assert sessions.find(token, IDLE, NOW + IDLE + 1) is None
    assert rows(sessions) == 0
    token = opened(sessions)
    sessions.seen(found(sessions, token), IDLE, NOW + 3599)
    assert sessions.find(token, IDLE, NOW + 3600) is not None
    assert sessions.find(token, IDLE, NOW + 3601) is None


def test_a_sign_of_life_is_written_down_once_a_minute_and_never_goes_back(sessions: PortalSessions) -> None:
    token = opened(sessions)
    first = found(sessions, token)
    sessions.seen(first, IDLE, NOW + 59)
    assert found(sessions, token).last_seen == NOW
    sessions.seen(first, IDLE, NOW + 120)
    sessions.seen(first, IDLE, NOW + 90)
    assert found(sessions, token, NOW + 120).last_seen == NOW + 120


@pytest.mark.parametrize("idle", [60.0, 120.0, 300.0])
@pytest.mark.parametrize("every", [0.1, 0.24, 0.3, 0.7])
def test_however_short_the_idle_time_who_does_something_stays(
    sessions: PortalSessions, idle: float, every: float
) -> None:
    token = opened(sessions)
    for number in range(1, 15):
        moment = NOW + number * every * idle
        session = sessions.find(token, idle, moment)
        assert session is not None
        sessions.seen(session, idle, moment)
    assert sessions.find(token, idle, moment + 0.75 * idle) is not None


def test_all_sign_ins_of_a_user_can_be_listed_and_ended(sessions: PortalSessions) -> None:
    mine = [opened(sessions, now=NOW - 10 * number) for number in range(3)]
    hers = opened(sessions, "bert")
    assert [session.last_seen for session in sessions.all_of("anna", IDLE, NOW)] == [NOW, NOW - 10, NOW - 20]
    assert len(sessions.all_of("anna", 15, NOW)) == 2
    assert sessions.close_all("anna") == 3
    assert [sessions.find(token, IDLE, NOW) for token in mine] == [None, None, None]
    assert found(sessions, hers).username == "bert"


def test_one_browser_can_be_signed_out_alone(sessions: PortalSessions) -> None:
    one, other = opened(sessions), opened(sessions)
    sessions.close(one)
    assert sessions.find(one, IDLE, NOW) is None
    assert found(sessions, other).username == "anna"


def test_those_of_an_address_block_can_be_ended(sessions: PortalSessions) -> None:
    near = [opened(sessions, address=address) for address in ("2001:db8::1", "2001:db8::2")]
    far = [opened(sessions, address="2001:db8:1::1"), opened(sessions, "bert", "2001:db8::1")]
    assert sessions.close_block("anna", "2001:db8::3") == 2
    assert [sessions.find(token, IDLE, NOW) for token in near] == [None, None]
    assert all(sessions.find(token, IDLE, NOW) for token in far)
    assert sessions.close_block("anna", "198.51.100.1") == 0


@pytest.mark.parametrize("user", ["anna", "ANNA", " Anna", "ａｎｎａ"])
@pytest.mark.parametrize("in_block", [False, True])
def test_two_spellings_of_a_name_are_one_user(sessions: PortalSessions, user: str, in_block: bool) -> None:
    mine, hers = [opened(sessions, name) for name in ("anna", "Anna")], opened(sessions, "bert")
    assert {session.username for session in sessions.all_of(user, IDLE, NOW)} == {"anna", "Anna"}
    assert (sessions.close_block(user, "192.0.2.7") if in_block else sessions.close_all(user)) == 2
    assert [sessions.find(token, IDLE, NOW) for token in mine] == [None, None]
    assert sessions.all_of(user, IDLE, NOW) == []
    assert found(sessions, hers).username == "bert"


def test_what_has_ended_is_swept_away(sessions: PortalSessions) -> None:
    opened(sessions, now=NOW - 4000)
    opened(sessions, now=NOW - 700)
    kept = opened(sessions, now=NOW)
    opened(sessions, user="bert", now=NOW - 700)
    opened(sessions, user="Anna", now=NOW - 700)
    assert sessions.leaving(IDLE, NOW) == {"bert"}, "anna is still there"
    assert sessions.sweep(IDLE, NOW) == 4
    assert sessions.leaving(IDLE, NOW) == set()
    assert rows(sessions) == 1
    assert found(sessions, kept).username == "anna"


def test_the_password_opens_with_its_token_alone(sessions: PortalSessions) -> None:
    one, other = opened(sessions), opened(sessions)
    session = found(sessions, one)
    assert session.password(one) == "a password"
    assert session.password(other) is None
    assert sessions.find(sessions.open("anna", "inifile", "", 60, None, now=NOW), IDLE, NOW).password(one) is None  # type: ignore[union-attr]


def test_a_password_that_was_tampered_with_or_moved_does_not_open(sessions: PortalSessions) -> None:
    token = opened(sessions)
    session = found(sessions, token)
    assert session.sealed is not None
    for place in (0, NONCE_BYTES, len(session.sealed) - 1):
        changed = bytearray(session.sealed)
        changed[place] ^= 1
        assert PortalSession(**{**session.__dict__, "sealed": bytes(changed)}).password(token) is None
    assert PortalSession(**{**session.__dict__, "digest": digest_of("another")}).password(token) is None


@given(st.text(st.characters(exclude_characters="\0"), max_size=200))
def test_every_password_comes_back_and_its_length_does_not_show(text: str) -> None:
    digest = digest_of(TOKEN)
    sealed = _sealed(TOKEN, digest, text)
    session = PortalSession(digest, "anna", "b", "", None, 0, 0, 0, 0, sealed)
    assert session.password(TOKEN) == text
    assert (len(sealed) - NONCE_BYTES - 16) % PADDED_TO == 0
    assert sealed != _sealed(TOKEN, digest, text)


def test_of_many_at_once_one_asks_again_for_the_password(sessions: PortalSessions) -> None:
    session = found(sessions, opened(sessions))
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(sessions.checked(session, NOW + 601))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answers) == [False] * 7 + [True]


def test_a_sign_in_of_a_time_to_come_is_over(sessions: PortalSessions) -> None:
    """The clock was a day ahead for a minute."""
    ahead = NOW + 86_400
    token, other = opened(sessions, now=ahead), opened(sessions, now=ahead)
    tie = SignInTie(digest_of(other), IDLE)
    assert sessions.going_on({tie: NOW}, NOW) == set()
    assert sessions.find(token, IDLE, NOW) is None
    assert sessions.find(token, IDLE, ahead) is None, "it was forgotten"
    near = opened(sessions, now=NOW + CLOCK_SECONDS - 1)
    assert found(sessions, near).username == "anna", "another broker's clock may differ that much"


@pytest.mark.parametrize("by_desktop", [False, True])
def test_a_sign_of_life_of_a_time_to_come_counts_as_one_of_now(sessions: PortalSessions, by_desktop: bool) -> None:
    token = opened(sessions)
    tie = SignInTie(digest_of(token), IDLE)
    with sessions.store.begin() as connection:
        connection.execute(update(PORTAL_SESSIONS).values(last_seen=NOW + 86_400))
    if by_desktop:
        assert sessions.going_on({tie: NOW}, NOW) == {tie.digest}
        assert sessions.going_on({tie: NOW}, NOW + IDLE + 1) == set()
    else:
        assert found(sessions, token).last_seen == NOW
    assert sessions.find(token, IDLE, NOW + IDLE + 1) is None


def test_a_sign_in_goes_on_as_long_as_its_user_works_and_no_longer(sessions: PortalSessions) -> None:
    token = opened(sessions)
    tie = SignInTie(digest_of(token), IDLE)
    assert sessions.going_on({tie: NOW}, NOW + IDLE - 1) == {tie.digest}
    assert sessions.going_on({tie: NOW}, NOW + IDLE + 1) == set(), "nothing was done for too long"
    assert sessions.going_on({tie: NOW + IDLE - 5}, NOW + IDLE + 1) == {tie.digest}
    assert found(sessions, token, NOW + IDLE + 1).last_seen == NOW + IDLE - 5, "that counts as a sign of life"
    assert sessions.going_on({tie: NOW + 3601}, NOW + 3601) == set(), "whatever is done, its time is up"
    assert sessions.going_on({tie: NOW + 10**9}, NOW + 1000) == {tie.digest}
    assert found(sessions, token, NOW + 1000).last_seen <= NOW + 1000, "nobody works in the future"
    sessions.close(token)
    assert sessions.going_on({tie: NOW + 1000}, NOW + 1000) == set()
    assert sessions.going_on({}, NOW) == set()
