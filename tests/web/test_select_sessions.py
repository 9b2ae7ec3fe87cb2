"""What clients are told of sessions that are there, and of keys: the text and the JSON of a selection."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.site_scripts import register_site_scripts
from tests.web.conftest import PASSWORD, Bench
from x2gobroker.broker import Broker, Login, Offer
from x2gobroker.frontends.plain_text import ProfileTexts
from x2gobroker.model.hosts import Host
from x2gobroker.model.profile import build_profile
from x2gobroker.scheduling.choice import Selection
from x2gobroker.settings import Settings

Make = Callable[..., Bench]
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----\n"
AT = "2026-11-20T09:35:17"
NAME = "anna-50-1795167317_stDXFCE_dp24"
ONE = f"14864|{NAME}|50|desk.example|S|{AT}|f28b48c66f97bdba|127.0.0.1|1|2|{AT}|anna|57|3|-1|-1"
OTHER = ONE.replace("-50-", "-51-").replace("|S|", "|R|")
ELSEWHERE = ONE.replace("desk.example", "two.example")
HOST = Host("desk.example")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Selection], list[tuple[str, str]]]:
    """Make the broker answer with a selection; what it was asked for: public keys and logins."""

    def make(selection: Selection) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []

        def select(
            _broker: Broker, _settings: Settings, _login: Login, _id: str, pubkey: str = "", login_name: str = ""
        ) -> Selection:
            found.append((pubkey, login_name))
            return selection

        monkeypatch.setattr(Broker, "select_session", select)
        return found

    return make


Asked = Callable[[Selection], list[tuple[str, str]]]


def plain(broker: Bench, **more: str) -> str:
    """What stands behind the grant in the answer to a selection."""
    text = broker.post(task="selectsession", sid="desk", user="anna", password=PASSWORD, **more).text
    return str(text).partition("Access granted\n")[2]


def chosen(broker: Bench, **more: str) -> dict[str, str]:
    """The same in JSON."""
    fields = {"task": "selectsession", "profile_id": "desk", "user": "anna", "password": PASSWORD, **more}
    found: dict[str, str] = broker.post("/json/inifile/", **fields).json["selected_session"]
    return found


def test_a_server_alone(broker: Bench, asked: Asked) -> None:
    asked(Selection("desk.example", 22, HOST))
    assert plain(broker) == "SERVER:desk.example:22\n"
    assert chosen(broker) == {"server": "desk.example", "port": "22"}


def test_sessions_are_one_list_with_its_name_in_front(broker: Bench, asked: Asked) -> None:
    asked(Selection("desk.example", 22, HOST, (ONE, OTHER)))
    assert plain(broker) == f"SERVER:desk.example:22\nSESSION_INFO:{ONE}\n{OTHER}\n"
    assert chosen(broker)["session_info"] == ONE


def test_a_key_stands_between_the_server_and_the_sessions(broker: Bench, asked: Asked) -> None:
    asked(Selection("desk.example", 22, HOST, (ONE,), private_key=KEY))
    assert plain(broker) == f"SERVER:desk.example:22\n{KEY}SESSION_INFO:{ONE}\n"
    assert chosen(broker) == {"server": "desk.example", "port": "22", "key": KEY, "session_info": ONE}


def test_a_key_of_the_client_is_accepted_in_json_only(broker: Bench, asked: Asked) -> None:
    asked(Selection("desk.example", 22, HOST, key_accepted=True))
    assert plain(broker) == "SERVER:desk.example:22\n"
    assert chosen(broker)["authentication_pubkey"] == "ACCEPTED"
    assert "key" not in chosen(broker)


def test_the_broker_is_told_of_the_clients_key_and_login(broker: Bench, asked: Asked) -> None:
    found = asked(Selection("desk.example", 22, HOST))
    plain(broker, pubkey="no-pty ssh-rsa AAAA me@here", login="other")
    chosen(broker)
    assert found == [("no-pty ssh-rsa AAAA me@here", "other"), ("", "anna")]


def test_no_cache_keeps_a_key(broker: Bench, asked: Asked) -> None:
    asked(Selection("desk.example", 22, HOST, private_key=KEY))
    response = broker.post(task="selectsession", sid="desk", user="anna", password=PASSWORD)
    assert response.headers["Cache-Control"] == "no-store"


def test_a_script_renames_the_server_in_its_sessions_as_well(
    broker_with: Make, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_site_scripts(monkeypatch)
    broker = broker_with("select_session_scripts = outside")
    asked(Selection("desk.example", 22, HOST, (ONE, ELSEWHERE), private_key=KEY))
    there = ONE.replace("desk.example", "outside.example")
    assert plain(broker) == f"SERVER:outside.example:22\n{KEY}SESSION_INFO:{there}\n{ELSEWHERE}\n"
    assert chosen(broker)["session_info"] == there


def lines(offer: Offer, texts: ProfileTexts) -> list[str]:
    """The lines of a profile that differ from user to user."""
    wanted = ("host=", "status=", "user=", "key=")
    return [line for line in texts.text_of(offer).splitlines() if line.startswith(wanted)]


def test_a_listed_profile_says_where_a_session_is() -> None:
    text = {"host": "one, two, three", "user": "BROKER_USER", "key": "mine"}
    profile = build_profile("desk", text, {}, lambda _name, _message: None)
    texts = ProfileTexts()
    nothing = ["host=one,two,three", "user=anna", "key=mine"]
    assert lines(Offer(profile, "anna", False), texts) == nothing
    running = Offer(profile, "bert", False, "R", "two")
    assert lines(running, texts) == ["host=two", "user=bert", "key=mine", "status=R"]
    suspended = Offer(profile, "carl", True, "S", "three")
    told = lines(suspended, texts)
    assert told[0] == "host=three"
    assert told[-1] == "status=S"
    assert "key=<will-be-exchanged-during-session-selection>" in told
    assert lines(Offer(profile, "anna", False), texts) == nothing


def test_python_x2go_is_told_the_host_only(broker: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with a traceback on a text option that it does not know, such as `status`."""
    profile = build_profile("desk", {"host": "one, two"}, {}, lambda _name, _message: None)
    monkeypatch.setattr(Broker, "list_profiles", lambda *_: [Offer(profile, "anna", False, "S", "two")])
    told = broker.post("/json/inifile/", task="listprofiles", user="anna", password=PASSWORD).json["profiles"]["desk"]
    assert told["host"] == ["two"]
    assert "status" not in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, []),
        ({"usesshproxy": "true"}, ["sshproxysamekey=1", "sshproxysameuser=1"]),
        ({"usesshproxy": "true", "sshproxyuser": "gate"}, ["sshproxysamekey=1"]),
        ({"usesshproxy": "true", "broker-session-autologin": "false"}, []),
    ],
)
def test_the_clients_key_is_for_the_proxy_host_as_well(broker: Bench, options: dict[str, str], told: list[str]) -> None:
    text = {"host": "h", "broker-session-autologin": "true", "sshproxyhost": "p", **options}
    broker.write("profiles.conf", "[p]\n" + "".join(f"{name} = {value}\n" for name, value in text.items()))
    listed = broker.post(task="listsessions", user="anna", password=PASSWORD).text
    assert [line for line in listed.splitlines() if line.startswith("sshproxysame")] == told
    profile = broker.post("/json/inifile/", task="listprofiles", user="anna", password=PASSWORD).json["profiles"]["p"]
    assert profile.get("sshproxysamekey", False) is bool(told)
