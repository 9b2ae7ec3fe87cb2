"""Who is signed out loses the connections to desktops, too."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from passlib.hash import sha512_crypt
from sqlalchemy import update

from tests.web.conftest import ADDRESS
from tests.web.portal import PortalBench
from x2gobroker.auth.htpasswd import write_user
from x2gobroker.store import Slot
from x2gobroker.store.portal_tables import PORTAL_SESSIONS
from x2gobroker.store.remote_desktops import RUNNING

TYPES = """{"Stays": {"script": "tigervnc.py", "count": 2}}"""


def running(portal: PortalBench, *users: str) -> list[Slot]:
    """A desktop of each user, which runs and has a link for guests."""
    made = []
    for user in users:
        slot = portal.desktops.reserve("Stays", 2, user, {}, ADDRESS)
        assert slot is not None
        portal.desktops.change(slot.id, RUNNING)
        portal.desktops.share(slot)
        made.append(slot)
    return made


def wanted(portal: PortalBench, slots: list[Slot]) -> list[tuple[str, int]]:
    """What the service is to do with desktops, and how many links there are to each."""
    found = [portal.desktops.find(slot.id) for slot in slots]
    return [("", 0) if slot is None else (slot.wanted, len(portal.desktops.shares([slot.id]))) for slot in found]


def test_whose_password_no_longer_counts_is_cut_off_from_desktops(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path, types=TYPES)
    browser = portal.signed_in()
    slots = running(portal, "anna", "bert")
    write_user(portal.folder / "users", "anna", sha512_crypt.using(rounds=1000).hash("another"))
    with portal.sessions.store.begin() as connection:
        connection.execute(update(PORTAL_SESSIONS).values(checked=time.time() - 601))
    assert (
        browser.get(f"/portal/desktop/{slots[0].id}/state", Accept="application/json").status_int == 401
    )  # as its page asks
    assert wanted(portal, slots) == [("cut", 0), ("", 1)]


@pytest.mark.parametrize("path", ["/portal/sign-out", "/portal/sign-out-everywhere"])
def test_signing_out_cuts_the_connections_to_desktops_that_go_on(tmp_path: Path, path: str) -> None:
    portal = PortalBench(tmp_path, types=TYPES)
    browser = portal.signed_in()
    slots = running(portal, "anna", "bert")
    token = portal.desktops.token(slots[0], "anna", ADDRESS)
    browser.post(path)
    assert wanted(portal, slots) == [("cut", 1), ("", 1)]
    assert portal.desktops.redeem(token, ADDRESS) is None


def test_a_ban_that_ends_sign_ins_cuts_connections_and_who_is_signed_in_elsewhere_may_come_back(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path, "penalty-ban-failures = 2", types=TYPES)
    near, far = portal.signed_in(), portal.signed_in(address="198.51.100.4")
    slots = running(portal, "anna", "bert")
    portal.ban()
    assert wanted(portal, slots) == [("cut", 1), ("", 1)]
    assert near.ask(f"/portal/desktop/{slots[0].id}/token").status_int == 401
    assert far.ask(f"/portal/desktop/{slots[0].id}/token").status_int == 200
