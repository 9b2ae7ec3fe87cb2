"""Session profiles in the portal: the list, a profile's page, and its session file for X2Go Client."""

from __future__ import annotations

import html
import re
from configparser import ConfigParser
from pathlib import Path

import pytest
from webtest.app import TestRequest

from tests.web.conftest import PASSWORD
from tests.web.portal import HOST, PortalBench

MARKUP = '"><script>alert(1)</script>'


@pytest.fixture
def portal(tmp_path: Path) -> PortalBench:
    """A portal with the profiles of the other tests, and no session types."""
    return PortalBench(tmp_path)


def test_the_page_of_a_profile_has_file_and_commands(portal: PortalBench) -> None:
    anna = portal.signed_in()
    assert '<a href="client?profile=desk">A desk</a>' in anna.get().text
    page = anna.get("/portal/client?profile=desk").text
    assert "x2goclient --session-conf=A-desk.x2go --sessionid=desk" in page
    assert "x2goclient --broker-url=https://portal.example/plain/inifile/" in page
    assert "pyhoca-gui --broker-url=https://portal.example/json/inifile/" in page
    answer = anna.get(re.findall(r'href="([^"]+)" download', page)[0])
    assert answer.headers["Content-Disposition"] == 'attachment; filename="A-desk.x2go"'
    read = ConfigParser(interpolation=None)
    read.read_string(answer.text)
    desk = dict(read["desk"])
    assert (desk["name"], desk["host"], desk["sshport"], desk["user"]) == ("A desk", "192.0.2.10", "2222", "anna")
    assert PASSWORD not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def next_of(page: str) -> str:
    """The page that a form leads to."""
    found = re.search(r'name="next" value="([^"]*)"', page)
    assert found
    return html.unescape(found[1])


def test_after_signing_in_the_profile_asked_for_is_shown(portal: PortalBench) -> None:
    browser = portal.browser()
    path = "/portal/client?profile=desk&server=a%20b%2Bc%26d%C3%A4"
    target = next_of(browser.get(browser.get(path).location).text)
    assert browser.sign_in(next=target).location == path
    assert browser.get(path).status_int == 200


def test_another_language_is_chosen_without_leaving_the_page(portal: PortalBench) -> None:
    anna = portal.signed_in()
    path = "/portal/client?profile=desk"
    assert anna.post("/portal/language", language="de", next=next_of(anna.get(path).text)).location == path


@pytest.mark.parametrize("query", ["profile=<b>", "a=b\r\nSet-Cookie:c=d", "profile=\xe4", "a=" + "b" * 3000])
def test_a_query_that_no_page_makes_leads_home(portal: PortalBench, query: str) -> None:
    browser = portal.browser()
    browser.get("/portal/sign-in")
    assert browser.sign_in(next=f"/portal/client?{query}").location == "/portal/"
    portal.app.reset()
    raw = TestRequest.blank("/portal/client", {**portal.app.extra_environ, "HTTP_HOST": HOST})
    raw.environ["QUERY_STRING"] = query
    asked = portal.app.do_request(raw, status=303)
    assert asked.location.startswith("/portal/sign-in?next=")
    assert "\n" not in asked.location


def test_no_commands_for_what_is_switched_off(tmp_path: Path) -> None:
    off = "enable-plain-output = false\nenable-json-output = false"
    page = PortalBench(tmp_path, off).signed_in().get("/portal/client?profile=desk").text
    assert "--session-conf=" in page
    assert "--broker-url" not in page


@pytest.mark.parametrize("path", ["/portal/client", "/portal/client-file"])
def test_no_file_of_a_profile_that_is_not_for_the_user(portal: PortalBench, path: str) -> None:
    assert portal.signed_in("bert").get(f"{path}?profile=staff").status_int == 200
    anna = portal.signed_in()
    for profile in ("staff", "nothing", ""):
        assert anna.get(f"{path}?profile={profile}").status_int == 404
    assert portal.browser().get(f"{path}?profile=desk").status_int == 303


def test_the_server_of_a_session_to_resume(portal: PortalBench) -> None:
    portal.write("profiles.conf", "[farm]\nname = Farm\nhost = one (192.0.2.1), two (192.0.2.2:2022)\nuser = fixed\n")
    anna = portal.signed_in()
    text = anna.get("/portal/client-file?profile=farm&server=two").text
    assert "\nhost=192.0.2.2\nsshport=2022\n" in text
    assert "\nuser=fixed\n" in text
    assert "\nhost=192.0.2.9\n" not in anna.get("/portal/client-file?profile=farm&server=192.0.2.9").text
    assert "server=two" in anna.get("/portal/client?profile=farm&server=two").text


def test_profiles_with_odd_ids_can_be_opened(portal: PortalBench) -> None:
    ids = ["/a/b", "..", "a&b=c#d", '"x"']
    portal.write(
        "profiles.conf", "".join(f"[{name}]\nname = {MARKUP} {name}\nhost = h\nuser = BROKER_USER\n" for name in ids)
    )
    anna = portal.signed_in()
    page = anna.get().text
    assert "<script>alert" not in page
    addresses = re.findall(r'href="(client\?profile=[^"]*)"', page)
    assert len(addresses) == len(ids)
    for address in addresses:
        answer = anna.get(f"/portal/{address}")
        assert answer.status_int == 200
        assert "<script>alert" not in answer.text


def test_two_hundred_profiles_fit_into_a_small_page(portal: PortalBench) -> None:
    lines = [
        f"[p{number:03}]\nname = Department {number}, office desktop\nhost = ts{number}.example.org\ncommand = XFCE\n"
        for number in range(200)
    ]
    portal.write("profiles.conf", "".join(lines))
    page = portal.signed_in().get()
    assert page.text.count("client?profile=") == 200
    css = portal.signed_in().get(re.findall(r'href="([^"]+portal\.css)"', page.text)[0])
    assert len(page.body) + len(css.body) < 100_000
