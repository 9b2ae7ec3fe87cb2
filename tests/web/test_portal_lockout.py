"""Who is locked out is out of the portal as well: sign-in, every request, desktops and links to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.conftest import ADDRESS, PASSWORD
from tests.web.portal import OWN, PortalBench
from tests.web.test_portal_cut import TYPES, running
from x2gobroker.locks import Wanted, lift, lock_out

PAGES = ("/portal/", "/portal/wait?type=Stays")


def lock(portal: PortalBench, user: str = "anna", **more: object) -> None:
    settings, services = portal.context.source.current(), portal.context.services
    lock_out(settings, services, Wanted(user, "root", **more))  # type: ignore[arg-type]


@pytest.fixture
def portal(tmp_path: Path) -> PortalBench:
    return PortalBench(tmp_path, types=TYPES)


def test_a_lock_counts_with_the_next_request(portal: PortalBench) -> None:
    anna, bert = portal.signed_in(), portal.signed_in("bert")
    (slot,) = running(portal, "anna")
    lock(portal)
    for path in PAGES:
        assert anna.get(path).headers["Location"].startswith("/portal/sign-in")
        assert bert.get(path).status_int == 200
    for path in (f"/portal/desktop/{slot.id}/token", f"/portal/desktop/{slot.id}/share"):
        assert anna.ask(path).status_int == 401
    assert anna.get(f"/portal/desktop/{slot.id}/state", Accept="application/json").status_int == 401


def test_no_sign_in_with_the_right_password_and_it_says_why(portal: PortalBench) -> None:
    lock(portal, reason="ask for Ms. Weber", tell=True)
    wrong = portal.browser().sign_in(password="wrong")
    assert "locked" not in wrong.text
    right = portal.browser("192.0.2.9").sign_in()
    assert right.status_int == 403
    assert "Your account is locked. Contact your administrator. ask for Ms. Weber" in right.text
    assert not portal.sessions.all_of("anna", 600)
    german = portal.browser("192.0.2.10").post(
        "/portal/sign-in", {**OWN, "Accept-Language": "de"}, user="anna", password=PASSWORD
    )
    assert "Ihr Konto ist gesperrt." in german.text
    lift(portal.context.source.current(), portal.context.services, "anna", "root")
    assert portal.signed_in("anna", "192.0.2.11").get().status_int == 200


def test_the_web_servers_word_opens_nothing_to_who_is_locked_out(tmp_path: Path) -> None:
    portal = PortalBench(tmp_path, types=TYPES)
    text = (portal.folder / "x2gobroker.conf").read_text(encoding="utf-8")
    portal.write("x2gobroker.conf", text.replace("default-auth-mech = htpasswd", "default-auth-mech = remote_user"))
    lock(portal)
    browser = portal.browser()
    for user, signed_in in (("anna", False), ("bert", True)):
        environ = {"REMOTE_ADDR": ADDRESS, "REMOTE_USER": user, "wsgi.url_scheme": "https"}
        cookies = {"Cookie": "__Host-x2gobroker-probe=1", "Sec-Fetch-Site": "none"}
        answer = browser.app.get("/portal/sign-in", headers=cookies, extra_environ=environ, expect_errors=True)
        assert (answer.status_int == 303) is signed_in
        assert bool(portal.sessions.all_of(user, 600)) is signed_in


def test_links_to_a_desktop_of_who_is_locked_out_lead_nowhere(portal: PortalBench) -> None:
    (slot,) = running(portal, "anna")
    link = portal.desktops.share(slot)
    guest = portal.browser()

    def follow() -> int:
        answer = guest.app.post_json("/portal/view/token", {"share": link}, headers=OWN, expect_errors=True)
        return int(answer.status_int)

    assert follow() == 200
    lock(portal)
    assert follow() == 404
    assert portal.desktops.find(slot.id).wanted == "cut"  # type: ignore[union-attr]
