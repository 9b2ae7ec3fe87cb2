"""The JSON frontend, in process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.web.conftest import PASSWORD, Bench, profile_ids

Make = Callable[..., Bench]
PATH = "/json/inifile/"


def test_a_login_gives_an_authid(broker: Bench) -> None:
    response = broker.post(PATH, user="anna", password=PASSWORD)
    assert response.headers["Content-Type"] == "text/json; charset=utf-8"
    assert response.json["auth-status"] == "Access granted"
    assert response.json["task"] == ""
    assert len(response.json["next-authid"]) >= 32


def test_a_wrong_password_is_a_401(broker: Bench) -> None:
    response = broker.post(PATH, user="anna", password="wrong", task="listprofiles")
    assert response.status_int == 401
    assert "next-authid" not in response.json


def test_pyhocas_requests_in_their_order(broker: Bench) -> None:
    first = broker.post(PATH, user="anna", password=PASSWORD).json
    second = broker.post(PATH, task="listprofiles", user="anna", authid=first["next-authid"]).json
    assert list(second["profiles"]) == ["desk"]
    third = broker.post(
        PATH, task="selectsession", profile_id="desk", user="anna", pubkey="ssh-rsa AAAA", authid=second["next-authid"]
    ).json
    assert third["selected_session"] == {"server": "192.0.2.10", "port": "2222"}


def test_values_have_their_types(broker: Bench) -> None:
    broker.write("profiles.conf", "[p]\nhost = a, b\nusesshproxy = false\nrdpport = 3390\nfullscreen = yes\n")
    profile = broker.post(PATH, task="listsessions", user="anna", password=PASSWORD).json["profiles"]["p"]
    assert profile["host"] == ["a", "b"]
    assert profile["usesshproxy"] is False
    assert profile["fullscreen"] is True
    assert profile["rdpport"] == 3390
    assert profile["sshport"] == 22
    assert profile["applications"] == ["TERMINAL", "WWWBROWSER", "MAILCLIENT", "OFFICE"]
    assert profile["name"] == "p"


def test_pyhoca_is_not_sent_text_it_does_not_know(broker: Bench) -> None:
    profiles = broker.post(PATH, task="listprofiles", user="bert", password=PASSWORD).json["profiles"]
    assert "usebrokerpass" not in profiles["staff"]
    assert "usebrokerpass=true" in broker.post(task="listsessions", user="bert", password=PASSWORD).text


def test_listsessions_is_called_listprofiles(broker: Bench) -> None:
    response = broker.post(PATH, task="listsessions", user="anna", password=PASSWORD)
    assert response.json["task"] == "listprofiles"
    assert profile_ids(response) == ["desk"]


def test_a_denied_profile_has_no_server(broker: Bench) -> None:
    response = broker.post(PATH, task="selectsession", sid="staff", user="anna", password=PASSWORD)
    assert response.json["selected_session"] == {"server": "no-server-available", "port": "22"}


def test_sid_wins_over_profile_id_even_when_empty(broker: Bench) -> None:
    response = broker.post(PATH, task="selectsession", sid="", profile_id="desk", user="anna", password=PASSWORD)
    assert response.json["selected_session"] == {}


def test_zeroconf_is_listed(broker: Bench) -> None:
    response = broker.post("/json/zeroconf", task="listprofiles", user="anna", password="x")
    assert profile_ids(response) == ["localhost"]
    assert response.json["profiles"]["localhost"]["command"] == "KDE"


def test_set_password_and_events(broker: Bench) -> None:
    answer = broker.post(PATH, task="setpass", user="anna", password=PASSWORD, newpass="another").json
    assert answer["password-changed"] is True
    answer = broker.post(PATH, task="clientevent", user="anna", password="another", sid="s", event="ALIVE").json
    assert answer["recorded"] is True


def test_connection_test(broker: Bench) -> None:
    assert broker.post(PATH, task="testcon").json == {"auth-status": "Access granted", "task": "testcon"}
    assert broker.post(PATH, task="testcon", user="anna", password="wrong").status_int == 401


@pytest.mark.parametrize("path", ["/json", "/json/", "/json/inifile"])
def test_with_and_without_slash(broker: Bench, path: str) -> None:
    assert broker.post(path, user="anna", password=PASSWORD).status_int == 200


def test_get_is_a_405_unless_in_debug_mode(broker_with: Make) -> None:
    assert broker_with().app.get("/json/", expect_errors=True).status_int == 405
    debugged = broker_with(debug=True).app.get("/json/", {"user": "anna", "password": PASSWORD})
    assert debugged.json["auth-status"] == "Access granted"
