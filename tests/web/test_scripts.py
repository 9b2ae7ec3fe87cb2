"""A site's scripts in requests: before the login, after it, and once a server is chosen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.site_scripts import SEEN, register_site_scripts
from tests.web.conftest import ADDRESS, PASSWORD, Bench, authid_of, profile_ids

Make = Callable[..., Bench]


@pytest.fixture(autouse=True)
def _site(monkeypatch: pytest.MonkeyPatch) -> None:
    register_site_scripts(monkeypatch)


def test_a_script_changes_the_user_before_the_login(broker_with: Make) -> None:
    broker = broker_with("pre_auth_scripts = domain, lowercase")
    response = broker.post(task="listsessions", user="Anna@example.org", password=PASSWORD)
    assert profile_ids(response) == ["desk"]
    assert "user=anna\n" in response.text
    again = broker.post(task="listsessions", user="Anna@example.org", authid=authid_of(response))
    assert profile_ids(again) == ["desk"]


def test_a_script_is_told_what_came(broker_with: Make) -> None:
    broker = broker_with("pre_auth_scripts = watch\npost_auth_scripts = watch\nselect_session_scripts = watch")
    broker.post(task="selectsession", sid="desk", user="anna", password=PASSWORD)
    before, after, selected = SEEN
    assert (before.username, before.password, before.task, before.profile_id) == (
        "anna", PASSWORD, "selectsession", "desk",
    )  # fmt: skip
    assert (before.ip, before.cookie, before.authed, before.server) == (ADDRESS, "", None, None)
    assert (after.username, after.authed, after.server) == ("anna", True, None)
    assert (selected.authed, selected.server) == (True, "192.0.2.10")


def test_a_script_sees_failed_logins_and_authids(broker_with: Make) -> None:
    broker = broker_with("post_auth_scripts = watch")
    broker.post(address="192.0.2.8", user="anna", password="wrong")
    authid = broker.login()
    broker.post(user="anna", authid=authid)
    assert [(values.authed, values.cookie) for values in SEEN] == [(False, ""), (True, ""), (True, authid)]


@pytest.mark.parametrize("stage", ["pre_auth_scripts", "post_auth_scripts"])
@pytest.mark.parametrize("script", ["refuse", "crash", "nonesuch"])
def test_a_script_keeps_a_user_out(broker_with: Make, stage: str, script: str) -> None:
    broker = broker_with(f"{stage} = {script}")
    response = broker.post(task="listsessions", user="anna", password=PASSWORD)
    assert "Access granted" not in response.text
    assert "AUTHID" not in response.text
    assert broker.post("/json/inifile/", user="anna", password=PASSWORD).status_int == 401


def test_a_refusal_by_a_script_costs_no_authid(broker_with: Make) -> None:
    broker = broker_with()
    authid = broker.login()
    broker.configure("post_auth_scripts = refuse")
    assert "Access granted" not in broker.post(user="anna", authid=authid).text
    broker.configure()
    assert "Access granted" in broker.post(user="anna", authid=authid).text


def test_a_script_lets_nobody_in(broker_with: Make) -> None:
    broker = broker_with("pre_auth_scripts = watch\npost_auth_scripts = grant")
    assert "Access granted" not in broker.post(user="anna", password="wrong").text


def test_a_script_makes_nobody_another_user_after_the_login(broker_with: Make) -> None:
    broker = broker_with("post_auth_scripts = grant")
    assert profile_ids(broker.post(task="listsessions", user="anna", password=PASSWORD)) == ["desk"]


def test_a_script_changes_the_task(broker_with: Make) -> None:
    broker = broker_with("post_auth_scripts = desk")
    assert "SERVER:192.0.2.10:2222" in broker.post(task="listsessions", user="anna", password=PASSWORD).text
    payload = broker.post("/json/inifile/", task="listprofiles", user="anna", password=PASSWORD).json
    assert payload["selected_session"] == {"server": "192.0.2.10", "port": "2222"}
    assert payload["task"] == "selectsession"


def test_a_script_gives_nobody_a_profile_that_is_denied(broker_with: Make) -> None:
    broker = broker_with("pre_auth_scripts = desk")
    broker.write("profiles.conf", "[desk]\nhost = h\nacl-users-allow = bert\n")
    response = broker.post(task="listsessions", user="anna", password=PASSWORD)
    assert "SERVER:no-server-available:22" in response.text


def test_a_script_names_the_server(broker_with: Make) -> None:
    broker = broker_with("select_session_scripts = outside")
    response = broker.post(task="selectsession", sid="desk", user="anna", password=PASSWORD)
    assert response.text.endswith("SERVER:outside.example:2222\n")
    payload = broker.post("/json/inifile/", task="selectsession", sid="desk", user="anna", password=PASSWORD).json
    assert payload["selected_session"] == {"server": "outside.example", "port": "2222"}


@pytest.mark.parametrize("script", ["forge", "crash", "nonesuch", "refuse"])
def test_a_script_that_fails_leaves_the_server(broker_with: Make, script: str) -> None:
    broker = broker_with(f"select_session_scripts = {script}")
    response = broker.post(task="selectsession", sid="desk", user="anna", password=PASSWORD)
    assert response.text.endswith("SERVER:192.0.2.10:2222\n")


def test_no_script_is_asked_about_a_profile_that_is_denied(broker_with: Make) -> None:
    broker = broker_with("select_session_scripts = watch, outside")
    response = broker.post(task="selectsession", sid="staff", user="anna", password=PASSWORD)
    assert response.text.endswith("SERVER:no-server-available:22\n")
    assert SEEN == []


def test_the_connection_test_without_a_user_asks_no_script(broker_with: Make) -> None:
    broker = broker_with("pre_auth_scripts = watch, refuse")
    assert broker.post(task="testcon").text == "OK\nAccess granted\n"
    assert "Access granted" not in broker.post(task="testcon", user="anna", password=PASSWORD).text
    assert len(SEEN) == 1


def test_a_changed_configuration_counts_at_once(broker_with: Make) -> None:
    broker = broker_with("post_auth_scripts = refuse")
    assert "Access granted" not in broker.post(user="anna", password=PASSWORD).text
    broker.configure("post_auth_scripts = watch")
    assert "Access granted" in broker.post(user="anna", password=PASSWORD).text
