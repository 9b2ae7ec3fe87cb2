"""A database that hangs: who may still begin a transaction, and what is shown of where it is."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url

from x2gobroker.errors import StoreError
from x2gobroker.store import breaker as module
from x2gobroker.store import database
from x2gobroker.store.breaker import Breaker
from x2gobroker.store.database import FILE_NAME, Store
from x2gobroker.store.shown import shown_url, without_secrets


class Clock:
    """The monotonic clock of a test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def refused(breaker: Breaker) -> str:
    """Why nobody may begin; empty when somebody may."""
    try:
        breaker.leave(breaker.enter())
    except TimeoutError as error:
        return str(error)
    return ""


def test_while_those_that_have_begun_get_nowhere_nobody_else_begins(clock: Clock) -> None:
    breaker = Breaker()
    first = breaker.enter()
    clock.now += module.STALL_SECONDS - 0.1
    second = breaker.enter()
    clock.now += 0.2
    assert "no answer" in refused(breaker)
    breaker.leave(second)  # somebody got through: it is slow, not dead
    assert not refused(breaker)
    clock.now += module.STALL_SECONDS + 1
    assert "no answer" in refused(breaker)
    breaker.leave(first)
    assert not refused(breaker)


def test_after_a_slow_failure_one_alone_tries_again(clock: Clock) -> None:
    breaker = Breaker()
    token = breaker.enter()
    clock.now += 2.0
    breaker.leave(token, "it hangs")
    assert refused(breaker) == "it hangs; it is asked again in a moment"
    clock.now += module.PAUSE_SECONDS
    probe = breaker.enter()
    assert "it hangs" in refused(breaker)
    clock.now += 2.0
    breaker.leave(probe, "it hangs still")
    assert "still" in refused(breaker)
    clock.now += module.PAUSE_SECONDS
    breaker.leave(breaker.enter())
    assert not refused(breaker)


def test_failures_at_once_hold_nobody_and_stop_nobody(clock: Clock) -> None:
    breaker = Breaker()
    for _ in range(20):
        breaker.leave(breaker.enter(), "no such table")
    assert not refused(breaker)


def test_a_forked_process_does_not_wait_for_threads_of_its_parent(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    breaker = Breaker()
    breaker.enter()
    clock.now += 100
    assert refused(breaker)
    pid = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    assert not refused(breaker)


def test_a_file_that_another_process_locks_holds_up_few_and_not_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 2)
    store = Store(URL.create("sqlite", database=str(tmp_path / FILE_NAME)))
    with store.begin() as connection:
        connection.execute(text("create table t (a)"))
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None, check_same_thread=False)
    other.execute("begin immediate")
    times: list[float] = []

    def write() -> None:
        began = time.monotonic()
        with pytest.raises(StoreError), store.begin() as connection:
            connection.execute(text("insert into t values (1)"))
        times.append(time.monotonic() - began)

    def volley(count: int) -> list[float]:
        times.clear()
        threads = [threading.Thread(target=write) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        return sorted(times)

    assert volley(12)[-1] < 8
    later = volley(12)
    assert later[-2] < 1  # of these, one may try
    other.execute("rollback")
    time.sleep(1.2)
    with store.begin() as connection:
        connection.execute(text("insert into t values (1)"))
    other.close()
    store.close()


SECRET = "Zq7DbPw"
URLS = (
    "postgresql://u:{}@h:5/d",
    "postgresql://h/d?user=u&password={}",
    "postgresql://h/d?passfile={}",
    "postgresql://h/d?sslpassword={}",
    "postgresql://h/d?sslkey={}&password={}",
    "postgresql:///?service={}",
    "postgresql://h/d?options=-c%20a%3D{}",
    "postgresql://h/d?unknown={}",
    "postgresql://h/d&password={}",
    "postgresql://h/{}@d",
    "postgresql://u:1/{}@h/d",
    "postgresql+psycopg2://u:p%40{}@h/d?sslmode=require",
    "mysql://u:{}@h/d",
    "postgresql://u%3A{}@h/d",
    "postgresql://h/d?user=u%3A{}",
    "postgresql://h/d?host=u%3A{}%40h",
    "postgresql://h/d?dbname=user%3Du%20password%3D{}",
)


@pytest.mark.parametrize("form", URLS)
def test_of_a_url_only_driver_place_and_name_are_shown(form: str) -> None:
    url = make_url(form.replace("{}", SECRET))
    assert SECRET not in shown_url(url)
    assert shown_url(url).startswith(f"{url.drivername}://")
    said = f'connection failed: cannot read "{SECRET}" at h'
    assert SECRET not in without_secrets(said, url)


@given(st.text(min_size=6), st.text(min_size=6))
def test_no_password_and_no_value_of_the_query_is_shown(password: str, value: str) -> None:
    url = URL.create("postgresql", "user", password, "host", 5432, "name", {"sslpassword": value})
    assert shown_url(url) == "postgresql://host:5432/name"


def test_what_helps_to_find_the_database_is_shown() -> None:
    assert shown_url(make_url("postgresql://u:p@db.example.org:5433/x2go?sslmode=require")) == (
        "postgresql://db.example.org:5433/x2go"
    )
    assert shown_url(make_url("postgresql://u:p@[2001:db8::1]/d")) == "postgresql://[2001:db8::1]/d"
    assert shown_url(URL.create("sqlite", database="/var/lib/x.sqlite")) == "/var/lib/x.sqlite"
