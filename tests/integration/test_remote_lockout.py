"""x2gobroker-remote and users who are locked out: running connections end, new ones are refused, desktops may go on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.support.processes import wait_until
from tests.support.remote import Remote, remote, servers_below
from tests.support.rfb_client import RfbClient
from x2gobroker.remote.told import WRONG_WAY
from x2gobroker.store import Lockouts

DISPLAYS = 4000 + os.getpid() % 2000 * 10
TYPES = {"Desktop": {"script": "plain.py", "count": 2, "options": {"display_base": DISPLAYS}}}
WITHIN = 5.0


@pytest.fixture
def service() -> Iterator[Remote]:
    with remote(TYPES) as made:
        yield made


def told(service: Remote, token: str) -> str:
    """What somebody is told whom the service does not let in."""
    with pytest.raises(AssertionError) as caught:
        RfbClient(service.port, token)
    return str(caught.value)


def test_connections_of_who_is_locked_out_end_and_those_of_others_go_on(service: Remote) -> None:
    slot, other = service.reserve("Desktop", "anna", 2), service.reserve("Desktop", "bert", 2)
    link = service.desktops.share(slot)
    anna, bert = service.connect(slot), service.connect(other)
    guest = RfbClient(service.port, service.desktops.token(slot, "guest", "127.0.0.1", share=link))
    unused = service.desktops.token(slot, "anna", "127.0.0.1")
    began = time.monotonic()
    Lockouts(service.store).lock("Anna", "root")
    assert anna.wait_closed()
    assert guest.wait_closed()
    assert time.monotonic() - began < WITHIN
    assert len(bert.picture()) == 4 * 320 * 200
    assert told(service, unused) == WRONG_WAY
    assert service.desktops.shared(link) is None
    # what was got while the lock came does not count either
    assert told(service, service.desktops.token(slot, "anna", "127.0.0.1")) == WRONG_WAY
    assert service.state(slot) == "running", "the work in it is not lost"
    assert Lockouts(service.store).lift("anna")
    again = service.connect(slot)
    assert len(again.picture()) == 4 * 320 * 200
    again.close()
    bert.close()


def test_a_connection_that_slipped_in_with_the_lock_is_found_and_ended(service: Remote) -> None:
    slot = service.reserve("Desktop", "anna", 2)
    client = service.connect(slot)
    Lockouts(service.store).lock("anna", "root")
    service.desktops.forget_cut(slot.id)  # as if the wish had been heard before this connection
    assert client.wait_closed()


def test_desktops_are_stopped_where_that_is_wanted(service: Remote) -> None:
    slot = service.reserve("Desktop", "anna", 2)
    client = service.connect(slot)
    Lockouts(service.store).lock("anna", "root", stop=True)
    assert "locked" in client.wait_closed()
    service.wait_for_state(slot, "gone")
    wait_until(lambda: not servers_below(service.folder), "the end of the VNC server")
