"""No page of another site has a user do anything: every frontend refuses what such a page sends."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from webtest import TestResponse

from tests.web.conftest import PASSWORD, Bench

Make = Callable[..., Bench]
OWN = "http://localhost"
FOREIGN = [
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Mode": "no-cors"},
    {"Referer": "https://evil.example/"},
]
BODIES = ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=b", "application/json", ""]
TASKS = ["selectsession", "listsessions", "setpass", "clientevent", "testcon", ""]


@pytest.fixture
def known(broker_with: Make) -> Bench:
    """A broker behind a web server that knows its users; all frontends on, in debug mode, where GET is answered too."""
    bench = broker_with("enable-portal = true\nenable-uccs-output = true", debug=True)
    text = (bench.folder / "x2gobroker.conf").read_text(encoding="utf-8")
    bench.write("x2gobroker.conf", text.replace("default-auth-mech = htpasswd", "default-auth-mech = remote_user"))
    return bench


def ask(bench: Bench, method: str, path: str, headers: dict[str, str], body: str = "", kind: str = "") -> TestResponse:
    environ = {"REMOTE_USER": "anna"}
    if method == "POST":
        return bench.app.post(path, body, headers, environ, expect_errors=True, content_type=kind or None)
    return bench.app.request(
        f"{path}?{body}", method=method, headers=headers, environ={**environ, "REMOTE_ADDR": "192.0.2.7"},
        expect_errors=True,
    )  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["/plain/inifile/", "/plain", "/json/inifile/", "/json/"])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_form_of_another_site_does_nothing(
    known: Bench, method: str, path: str, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    for task in TASKS:
        body = f"user=anna&task={task}&sid=desk&newpass=x"
        for kind in BODIES if method == "POST" and task == "selectsession" else [BODIES[0]]:
            answer = ask(known, method, path, headers, body, kind)
            assert answer.status_int == 403, (task, kind)
            assert "granted" not in answer.text
    assert "mechanism=remote_user" not in caplog.text, "nobody was even logged in"
    assert "another site sent it" in caplog.text


@pytest.mark.parametrize("headers", FOREIGN)
def test_another_site_gets_nothing_of_greeters_either(known: Bench, headers: dict[str, str]) -> None:
    for path in ("/uccs/inifile/api/4/", "/uccs/inifile/api/5", "/uccs/inifile/"):
        assert ask(known, "GET", path, headers).status_int == 403


@pytest.mark.parametrize("path", ["/plain/inifile/", "/json/inifile/"])
@pytest.mark.parametrize("headers", [{}, {"User-Agent": "Mozilla/5.0", "Accept-Language": "de-DE,en,*"}])
def test_clients_go_on(known: Bench, path: str, headers: dict[str, str]) -> None:
    """X2Go Client (Qt) and PyHoca (requests) send none of the headers by which browsers tell where a form stands."""
    answer = ask(known, "POST", path, headers, "user=anna&task=listsessions", BODIES[0])
    assert answer.status_int == 200
    assert "Access granted" in answer.text


@pytest.mark.parametrize("headers", [{"Origin": OWN}, {"Sec-Fetch-Site": "same-origin"}, {"Referer": f"{OWN}/page"}])
def test_a_page_of_the_brokers_own_may_ask(known: Bench, headers: dict[str, str]) -> None:
    assert ask(known, "POST", "/json/inifile/", {"Host": "localhost", **headers}, "task=listsessions").status_int == 200


def test_links_lead_to_what_people_read(known: Bench) -> None:
    for path in ("/", "/health", "/style.css", "/pubkeys/"):
        for headers in FOREIGN:
            assert ask(known, "GET", path, headers).status_int == 200
            assert ask(known, "POST", path, headers).status_int in (403, 405)


def test_the_own_address_behind_tls_is_the_one_that_the_web_server_was_asked_for(broker_with: Make) -> None:
    bench = broker_with("trusted-proxies = 127.0.0.1")
    fields = {"user": "anna", "password": PASSWORD}
    by_proxy = {"X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "a.example"}
    for peer, origin, status in (
        ("127.0.0.1", "https://a.example", 200),
        ("127.0.0.1", "http://a.example", 403),
        ("127.0.0.1", "https://localhost", 403),
        ("192.0.2.9", "https://a.example", 403),  # nobody there is believed
    ):
        headers = {"Host": "localhost", "Origin": origin, **by_proxy}
        environ = {"REMOTE_ADDR": peer}
        answer = bench.app.post("/plain/inifile/", fields, headers, extra_environ=environ, expect_errors=True)
        assert answer.status_int == status, (peer, origin)
