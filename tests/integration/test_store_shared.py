"""Brokers that share one PostgreSQL store: what one has granted, the other honours, once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.support.our_broker import OurBroker
from tests.support.postgresql import PASSWORD, postgresql

CONFIG = """
[global]
default-auth-mech = none
database-url = {url}
"""
PROFILES = "[desk]\nhost = desk.example\n"


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    """A real PostgreSQL database."""
    with postgresql() as url:
        yield url


@pytest.fixture
def two_brokers(database_url: str) -> Iterator[tuple[OurBroker, OurBroker]]:
    """Two daemons on two ports, started at the same time on one empty database, two workers each."""
    config = CONFIG.format(url=database_url)
    workers = {"X2GOBROKER_WORKERS": "2"}
    with OurBroker(config, PROFILES, env=workers) as one, OurBroker(config, PROFILES, env=workers) as other:
        yield one, other


def ask(broker: OurBroker, **fields: str) -> str:
    """One request; the body of the answer."""
    response = requests.post(f"{broker.url}/plain/", data={"user": "anna", **fields}, timeout=20)
    assert response.status_code == 200, broker.log()
    return response.text


def authid_of(text: str) -> str:
    """The authid of an answer, empty when it has none."""
    found = re.search(r"^AUTHID:(\S+)$", text, re.MULTILINE)
    return found[1] if found else ""


def test_an_authid_of_one_broker_counts_once_at_the_other(two_brokers: tuple[OurBroker, OurBroker]) -> None:
    one, other = two_brokers
    first = authid_of(ask(one, password="x"))
    second = authid_of(ask(other, authid=first, task="listsessions"))
    assert second
    assert "Access granted" not in ask(one, authid=first)
    assert "Access granted" not in ask(other, authid=first)
    assert "Access granted" in ask(one, authid=second)


def test_many_clients_at_once_lose_nothing(two_brokers: tuple[OurBroker, OurBroker]) -> None:
    def client(number: int) -> int:
        authid = authid_of(ask(two_brokers[number % 2], password="x"))
        rounds = 0
        for turn in range(8):
            authid = authid_of(ask(two_brokers[(number + turn) % 2], authid=authid, task="listsessions"))
            rounds += bool(authid)
        return rounds

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(client, range(16))) == [8] * 16


def test_a_database_that_is_away_is_a_503_that_names_no_password() -> None:
    config = CONFIG.format(url=f"postgresql://broker:{PASSWORD}@127.0.0.1:1/postgres")
    with OurBroker(config, PROFILES) as broker:
        response = requests.post(f"{broker.url}/plain/", data={"user": "anna", "password": "x"}, timeout=20)
        assert response.status_code == 503
        assert "Access granted" not in response.text
        assert PASSWORD not in response.text
        assert "state store" in broker.log()
        assert PASSWORD not in broker.log()
        assert requests.post(f"{broker.url}/plain/", data={"task": "testcon"}, timeout=20).status_code == 200
