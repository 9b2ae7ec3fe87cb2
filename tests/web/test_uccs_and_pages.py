"""The frontends for greeters and for people, in process."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from tests.web.conftest import PASSWORD, Bench

Make = Callable[..., Bench]
API = "/uccs/inifile/api/5/"


def basic(user: str, password: str) -> dict[str, str]:
    """The header of HTTP Basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def greeter(broker_with: Make) -> Bench:
    """A broker that serves greeters."""
    return broker_with("enable-uccs-output = true\nmy-uccs-url-base = https://broker.example/x/")


def test_servers_are_listed_for_a_greeter(greeter: Bench) -> None:
    payload = greeter.app.get(API, headers=basic("anna", PASSWORD)).json
    assert payload == {
        "AdditionalManagementServers": [],
        "DefaultServer": "A desk",
        "Name": "X2Go Session Broker",
        "RemoteDesktopServers": [
            {
                "Command": "XFCE",
                "CommandRequired": True,
                "Name": "A desk",
                "Password": "",
                "Protocol": "x2go",
                "URL": "http://192.0.2.10:2222/",
                "Username": "anna",
            }
        ],
        "URL": "https://broker.example/x/uccs/inifile/",
    }


def test_two_slashes_behind_the_backend_are_as_good_as_one(greeter: Bench) -> None:
    for path in ("/uccs/inifile//api/5/", "/uccs/inifile//api/5", "/uccs/inifile/api/5"):
        assert greeter.app.get(path, headers=basic("anna", PASSWORD)).json["DefaultServer"], path
    assert greeter.app.get("/uccs/inifile///api/5/", headers=basic("anna", PASSWORD), status=404)
    assert greeter.app.post("/plain/inifile//", {"user": "anna", "password": PASSWORD, "task": "testcon"}).text
    assert greeter.app.get("/plain//", status=404)


def test_version_4_has_its_own_names(greeter: Bench) -> None:
    (server,) = greeter.app.get("/uccs/inifile/api/4", headers=basic("anna", PASSWORD)).json["RemoteDesktopServers"]
    assert server["SessionType"] == "XFCE"
    assert server["SessionTypeRequired"] is True
    assert "Command" not in server


def test_an_rdp_server_without_a_name_is_listed_by_its_id(greeter: Bench) -> None:
    greeter.write("profiles.conf", "[win]\nhost = r.example\ndirectrdp = true\n")
    (server,) = greeter.app.get(API, headers=basic("anna", PASSWORD)).json["RemoteDesktopServers"]
    assert server["Name"] == "win"
    assert (server["Protocol"], server["URL"], server["WindowsDomain"]) == ("rdp", "http://r.example/", "LOCAL")


def test_an_rdp_server_with_an_ipv6_address_has_it_in_brackets(greeter: Bench) -> None:
    greeter.write("profiles.conf", "[win]\nhost = r.example (2001:db8::7)\ndirectrdp = true\n")
    (server,) = greeter.app.get(API, headers=basic("anna", PASSWORD)).json["RemoteDesktopServers"]
    assert server["URL"] == "http://[2001:db8::7]/"


def test_a_denied_profile_is_not_listed(greeter: Bench) -> None:
    names = {
        user: [s["Name"] for s in greeter.app.get(API, headers=basic(user, PASSWORD)).json["RemoteDesktopServers"]]
        for user in ("anna", "bert")
    }
    assert names == {"anna": ["A desk"], "bert": ["A desk", "Staff only"]}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("anna", "wrong"),
        basic("", ""),
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:\x00").decode()},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic " + "A" * 20000},
    ],
)
def test_bad_credentials_are_a_401_that_asks_for_basic(greeter: Bench, headers: dict[str, str]) -> None:
    response = greeter.app.get(API, headers=headers, expect_errors=True)
    assert response.status_int == 401
    assert response.headers["WWW-Authenticate"].startswith("Basic ")


def test_everybody_is_anonymous_at_an_open_broker(broker_with: Make) -> None:
    greeter = broker_with("enable-uccs-output = true\nrequire-password = false")
    (server,) = greeter.app.get(API).json["RemoteDesktopServers"]
    assert server["Username"] == "anonymous"


@pytest.mark.parametrize(
    "path", ["/uccs/inifile/api/3", "/uccs/inifile/api/9", "/uccs/nonesuch/api/5", "/uccs/inifile/foo/api/5"]
)
def test_what_is_not_there_is_a_404(greeter: Bench, path: str) -> None:
    assert greeter.app.get(path, headers=basic("anna", PASSWORD), expect_errors=True).status_int == 404


def test_uccs_is_a_404_while_switched_off(broker: Bench) -> None:
    assert broker.app.get(API, headers=basic("anna", PASSWORD), expect_errors=True).status_int == 404


def test_the_sign_of_life(greeter: Bench, broker_with: Make) -> None:
    assert greeter.app.head("/uccs/inifile/").status_int == 200
    assert greeter.app.get("/uccs/inifile/", expect_errors=True).status_int == 405
    debugged = broker_with("enable-uccs-output = true", debug=True)
    assert debugged.app.get("/uccs/inifile/").text.startswith("20")


def test_home_says_what_this_is_and_how_to_use_it(broker: Bench) -> None:
    response = broker.app.get("/")
    assert "X2Go Session Broker" in response.text
    assert "x2goclient --broker-url=http://localhost/plain/inifile/" in response.text
    assert "/json/zeroconf/" in response.text
    assert "/uccs/" not in response.text
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


def test_home_below_a_path_names_that_path(broker: Bench) -> None:
    response = broker.app.get("/", extra_environ={"SCRIPT_NAME": "/x2gobroker"})
    assert "/x2gobroker/plain/inifile/" in response.text
    assert 'href="/x2gobroker/style.css"' in response.text


def test_the_host_header_cannot_become_markup(broker: Bench) -> None:
    response = broker.app.get("/", headers={"Host": 'x"><script>alert(1)</script>'}, expect_errors=True)
    assert "<script>" not in response.text


def test_health_tells_of_a_broken_configuration(broker: Bench) -> None:
    assert broker.app.get("/health").json["configuration"] == "ok"
    broker.write("x2gobroker.conf", "this is no INI file")
    assert broker.app.get("/health").json["configuration"] == "broken"
    assert broker.app.get("/health/").status_int == 200


def test_public_keys_are_text(broker: Bench) -> None:
    for path in ("/pubkeys", "/pubkeys/"):
        assert broker.app.get(path).content_type == "text/plain"
    assert broker.post("/pubkeys/").status_int == 405
