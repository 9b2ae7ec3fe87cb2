"""The portal while an administrator has closed it for new desktops."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tests.web.portal import PortalBench
from tests.web.test_portal_home import Names, kind, portal_with, slot_of, start
from x2gobroker.store import DesktopOrders
from x2gobroker.store.remote_desktops import RUNNING

REASON = "Maintenance <until noon>"
SHOWN = "Maintenance &lt;until noon&gt;"


@pytest.fixture
def portal(tmp_path: Path) -> PortalBench:
    """Two session types for everybody."""
    return portal_with(tmp_path, Desk=kind(2), Lab=kind(2))


def orders(portal: PortalBench) -> DesktopOrders:
    return portal.context.services.of(DesktopOrders, portal.context.source.current())


def test_the_home_page_says_so_with_the_reason_and_has_no_start(portal: PortalBench) -> None:
    anna = portal.signed_in()
    assert "new desktops right now" not in anna.get().text
    orders(portal).close("root", REASON)
    page = anna.get().text
    assert "You cannot start new desktops right now." in page
    assert SHOWN in page
    assert "/portal/start" not in Names(page).posts
    assert page.count("No new desktops right now") == 2
    german = anna.get(Accept_Language="de").text
    assert "Zurzeit können Sie keine neuen Desktops starten." in german
    orders(portal).open()
    assert Names(anna.get().text).posts.count("/portal/start") == 2


def test_without_session_types_nothing_is_said(tmp_path: Path) -> None:
    portal = portal_with(tmp_path)
    orders(portal).close("root", REASON)
    assert "new desktops right now" not in portal.signed_in().get().text


def test_who_has_a_desktop_goes_on_and_gets_no_other(portal: PortalBench) -> None:
    anna = portal.signed_in()
    mine = start(anna)
    portal.desktops.begin_start(mine, "here")
    portal.desktops.change(mine, RUNNING)
    orders(portal).close("root")
    assert f"/portal/desktop/{mine}" in anna.get().text
    assert start(anna) == mine
    assert anna.ask(f"/portal/desktop/{mine}/token").status_int == 200
    assert anna.get(f"/portal/desktop/{mine}").status_int == 200
    refused = anna.post("/portal/start", type="Lab")
    assert (refused.status_int, refused.location) == (303, "/portal/wait?type=Lab&size=1024x768")
    assert [slot.type for slot in portal.desktops.everything()] == ["Desk"]


def test_start_says_so_with_the_reason_and_the_log_who_did_it(
    portal: PortalBench, caplog: pytest.LogCaptureFixture
) -> None:
    anna = portal.signed_in()
    orders(portal).close("root", REASON)
    with caplog.at_level(logging.INFO):
        refused = anna.post("/portal/start", type="Desk", size="1024x768")
    assert f"portal: anna gets no new Desk: no new desktops: closed by root: {REASON}" in caplog.messages
    page = anna.get(refused.location)
    assert "No new desktops right now" in page.text
    assert SHOWN in page.text
    assert "are in use" not in page.text
    waiting = anna.get(f"{refused.location}&wait=1")
    assert waiting.headers["Refresh"] == "10"
    assert "Keep this page open." in waiting.text
    orders(portal).open()
    assert "A desktop is available" in anna.get(f"{refused.location}&wait=1").text


def test_who_waits_for_a_place_is_told_when_it_closes(portal: PortalBench) -> None:
    portal.write("types.json", json.dumps({"Desk": kind(1)}))
    bert = portal.signed_in("bert")
    taken = start(bert)
    portal.desktops.begin_start(taken, "here")
    portal.desktops.change(taken, RUNNING)
    anna = portal.signed_in()
    assert "All desktops of type “Desk” are in use" in anna.get("/portal/wait?type=Desk&wait=1").text
    orders(portal).close("root")
    page = anna.get("/portal/wait?type=Desk&wait=1").text
    assert "No new desktops right now" in page
    assert "<li>bert</li>" not in page


def test_a_place_that_nobody_has_connected_to_is_given_back(portal: PortalBench) -> None:
    anna = portal.signed_in()
    place = slot_of(portal, start(anna))
    orders(portal).close("root")
    assert anna.get(f"/portal/desktop/{place.id}").status_int == 404
    assert anna.ask(f"/portal/desktop/{place.id}/token").status_int == 409
