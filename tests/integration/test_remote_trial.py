"""What a real x2gobroker-remote has for `check-proxy`: words for whom it takes one, and no way to a desktop."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.support.remote import Remote, remote
from x2gobroker.remote.trial import CHECK_PROTOCOL
from x2gobroker.store import ProxyChecks


@pytest.fixture(scope="module")
def service() -> Iterator[Remote]:
    with remote({"Desktop": {"script": "plain.py", "count": 1}}) as made:
        yield made


def opened(service: Remote, token: str, *more: str, forwarded: str = "") -> ClientConnection:
    """A connection of the command."""
    origin = f"http://127.0.0.1:{service.port}"
    return connect(
        f"ws://127.0.0.1:{service.port}/websockify",
        origin=Origin(origin),
        subprotocols=[Subprotocol(word) for word in (CHECK_PROTOCOL, f"x2gobroker.{token}", *more)],
        additional_headers={"X-Forwarded-For": forwarded} if forwarded else None,
        open_timeout=60,
        proxy=None,
    )


def test_it_says_who_connects_and_stays(service: Remote) -> None:
    with opened(service, ProxyChecks(service.store).token(), forwarded="192.0.2.7") as connection:
        assert connection.subprotocol == CHECK_PROTOCOL
        assert json.loads(connection.recv(60)) == {"peer": "127.0.0.1", "address": "192.0.2.7", "by_proxy": True}
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.send("whatever")
        assert connection.ping().wait(60)
    assert "check-proxy connects from 192.0.2.7" in service.said()


def test_a_token_counts_once_and_with_nothing_else(service: Remote) -> None:
    checks = ProxyChecks(service.store)
    token = checks.token()
    with opened(service, token) as connection:
        connection.recv(60)
    slot = service.reserve("Desktop")
    of_a_desktop = service.desktops.token(slot, slot.username, "")
    wrong = ((token, ()), ("0" * 40, ()), (of_a_desktop, ()), (checks.token(), ("binary",)))
    for shown, more in wrong:
        with pytest.raises(InvalidStatus) as refused:
            opened(service, shown, *more).close()
        assert refused.value.response.status_code in (400, 403)
    assert service.desktops.redeem(of_a_desktop, "127.0.0.1") is not None, "was not spent by that"
    service.desktops.ask_stop(slot)


def test_what_it_is_told_is_not_kept(service: Remote) -> None:
    """Nor does it keep the service from ending."""
    with opened(service, ProxyChecks(service.store).token()) as connection:
        connection.recv(60)
        assert service.stop() == 0
    service.start()
