"""The plain frontend, in process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.web.conftest import PASSWORD, Bench, authid_of, profile_ids
from x2gobroker.store import ClientEvents

Make = Callable[..., Bench]


def test_a_login_gives_an_authid_and_says_so(broker: Bench) -> None:
    response = broker.post(user="anna", password=PASSWORD)
    assert response.status_int == 200
    assert response.text == f"AUTHID:{authid_of(response)}\nAccess granted\n"
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"


def test_profiles_are_listed_in_the_clients_form(broker: Bench) -> None:
    text = broker.post(task="listsessions", user="anna", password=PASSWORD).text
    lead, _, listing = text.partition("START_USER_SESSIONS\n\n")
    assert lead.endswith("Access granted\n")
    assert listing.startswith(
        "[desk]\nname=A desk\nhost=desk.example\ncommand=XFCE\nuser=anna\nsshport=2222\nkdrive=0\n"
    )
    assert listing.endswith("\n\nEND_USER_SESSIONS\n")
    assert "rootless=0\n" in listing
    assert "applications=TERMINAL,WWWBROWSER,MAILCLIENT,OFFICE\n" in listing


def test_each_user_is_listed_the_own_profiles(broker: Bench) -> None:
    assert profile_ids(broker.post(task="listsessions", user="anna", password=PASSWORD)) == ["desk"]
    assert profile_ids(broker.post(task="listsessions", user="bert", password=PASSWORD)) == ["desk", "staff"]


def test_nothing_on_offer_is_said_without_a_list(broker: Bench) -> None:
    broker.write("profiles.conf", "[p]\nacl-users-allow = somebody\n")
    response = broker.post(task="listsessions", user="anna", password=PASSWORD)
    assert response.text == f"AUTHID:{authid_of(response)}\nAccess granted\n"


def test_select_session_names_address_and_port(broker: Bench) -> None:
    response = broker.post(task="selectsession", sid="desk", user="anna", password=PASSWORD)
    assert response.text.endswith("Access granted\nSERVER:192.0.2.10:2222\n")


def test_select_session_without_sid_names_no_server(broker: Bench) -> None:
    assert "SERVER" not in broker.post(task="selectsession", user="anna", password=PASSWORD).text


@pytest.mark.parametrize("profile_id", ["staff", "nonesuch", "DEFAULT"])
def test_a_denied_profile_is_answered_like_an_unknown_one(broker: Bench, profile_id: str) -> None:
    response = broker.post(task="selectsession", sid=profile_id, user="anna", password=PASSWORD)
    assert response.text.endswith("SERVER:no-server-available:22\n")


def test_the_login_field_gives_no_more_rights(broker: Bench) -> None:
    response = broker.post(task="selectsession", sid="staff", user="anna", login="bert", password=PASSWORD)
    assert "SERVER:no-server-available:22" in response.text


def test_an_ipv6_address_is_given_by_its_name(broker: Bench) -> None:
    broker.write("profiles.conf", "[six]\nhost = six (2001:db8::7)\n")
    response = broker.post(task="selectsession", sid="six", user="anna", password=PASSWORD)
    assert response.text.endswith("SERVER:six:22\n")


def test_a_wrong_password_is_refused_so_that_the_client_shows_its_form_again(broker: Bench) -> None:
    response = broker.post(task="listsessions", user="anna", password="wrong")
    assert response.status_int == 200
    assert "Access granted" not in response.text
    assert "AUTHID" not in response.text


def test_a_refusal_is_a_401_where_so_configured(broker_with: Make) -> None:
    broker = broker_with("plain-refusal = status")
    assert broker.post(user="anna", password="wrong").status_int == 401


def test_connection_test_is_granted_without_a_user(broker: Bench) -> None:
    assert broker.post(task="testcon").text == "OK\nAccess granted\n"


def test_connection_test_checks_a_password_and_leaves_the_authid(broker: Bench) -> None:
    assert "Access granted" not in broker.post(address="192.0.2.8", task="testcon", user="anna", password="wrong").text
    authid = broker.login()
    assert broker.post(task="testcon", user="anna", authid=authid).text == "OK\nAccess granted\n"
    assert "Access granted" in broker.post(user="anna", authid=authid).text


def test_set_password_changes_it_and_says_so(broker: Bench) -> None:
    response = broker.post(task="setpass", user="anna", password=PASSWORD, newpass="another one")
    assert response.text.endswith("Access granted\nPASSWORD CHANGED: OK\n")
    assert "Access granted" in broker.post(user="anna", password="another one").text
    assert "Access granted" not in broker.post(user="anna", password=PASSWORD).text


def test_set_password_with_an_authid_still_wants_the_present_password(broker: Bench) -> None:
    response = broker.post(task="setpass", user="anna", authid=broker.login(), newpass="another one")
    assert "PASSWORD CHANGED: NO" in response.text
    assert "Access granted" in broker.post(user="anna", password=PASSWORD).text


def test_set_password_says_when_it_cannot_be(broker: Bench) -> None:
    response = broker.post("/plain/zeroconf/", task="setpass", user="anna", password="x", newpass="y")
    assert "PASSWORD CHANGED: NO" in response.text


def test_client_configuration_is_sent_only_when_events_are_on(broker_with: Make) -> None:
    broker = broker_with()
    assert "CLIENT_CONFIG" not in broker.post(task="listsessions", user="anna", password=PASSWORD).text
    broker.configure("client-events = true\nclient-live-event = 15\nclient-sync-interval = 90")
    text = broker.post(task="listsessions", user="anna", password=PASSWORD).text
    assert text.endswith(
        "END_USER_SESSIONS\nSTART_CLIENT_CONFIG\nevents=true\nliveevent=15\nsyncinterval=90\nEND_CLIENT_CONFIG\n"
    )


def test_autologin_is_announced(broker: Bench) -> None:
    broker.write("profiles.conf", "[p]\nhost = h\nbroker-session-autologin = yes\nkey = mine\n")
    text = broker.post(task="listsessions", user="anna", password=PASSWORD).text
    assert "\nkey=<will-be-exchanged-during-session-selection>\n" in text
    assert "\nautologin=1\n" in text
    assert "mine" not in text
    assert "broker-" not in text


def test_without_a_backend_the_default_one_answers(broker: Bench) -> None:
    for path in ("/plain", "/plain/", "/plain/inifile", "/plain/inifile/"):
        assert profile_ids(broker.post(path, task="listsessions", user="anna", password=PASSWORD)) == ["desk"]


@pytest.mark.parametrize(
    "path", ["/plain/nonesuch", "/plain/base", "/plain/inifile_broker", "/plain/a%20b/", "/plain//"]
)
def test_an_unknown_backend_is_a_404(broker: Bench, path: str) -> None:
    assert broker.post(path, user="anna", password=PASSWORD).status_int == 404


def test_a_disabled_frontend_or_backend_is_a_404(broker_with: Make) -> None:
    broker = broker_with("enable-plain-output = false")
    assert broker.post(user="anna", password=PASSWORD).status_int == 404
    broker.write("x2gobroker.conf", "[broker_inifile]\nenable = false\n")
    assert broker.post(user="anna", password=PASSWORD).status_int == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "FOO"])
def test_only_post_is_answered(broker: Bench, method: str) -> None:
    response = broker.app.request("/plain/inifile/", method=method, expect_errors=True)
    assert response.status_int == 405


def test_get_is_answered_in_debug_mode(broker_with: Make) -> None:
    broker = broker_with(debug=True)
    response = broker.app.get("/plain/inifile/", {"user": "anna", "password": PASSWORD, "task": "listsessions"})
    assert profile_ids(response) == ["desk"]


def test_a_request_without_an_address_is_a_404(broker: Bench) -> None:
    assert broker.post(address="", user="anna", password=PASSWORD).status_int == 404


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "", "application/octet-stream", "x;;=;"])
def test_a_form_is_read_whatever_it_calls_itself(broker: Bench, content_type: str) -> None:
    body = b"user=anna&password=p%40ss+w%26rd%2B%C3%A9&task=listsessions"
    response = broker.app.post("/plain/inifile/", body, {"Content-Type": content_type})
    assert profile_ids(response) == ["desk"]


def test_unescaped_utf8_is_read(broker: Bench) -> None:
    body = "user=anna&password=p%40ss+w%26rd%2Bé".encode()
    assert "Access granted" in broker.app.post("/plain/inifile/", body, {"Content-Type": "text/plain"}).text


def test_the_last_of_several_fields_counts_and_blanks_around_go(broker: Bench) -> None:
    body = b"user=bert&user=%20anna%20%E2%80%83&password=p%40ss+w%26rd%2B%C3%A9&task=listsessions"
    assert profile_ids(broker.app.post("/plain/inifile/?user=carl", body)) == ["desk"]


def test_a_multipart_form_is_read(broker: Bench) -> None:
    response = broker.app.post(
        "/plain/inifile/", {"user": "anna", "password": PASSWORD}, upload_files=[("f", "name", b"data")]
    )
    assert "Access granted" in response.text


def test_client_events_are_kept_and_answered(broker: Bench) -> None:
    authid = broker.login()
    response = broker.post(
        task="clientevent", user="anna", authid=authid, sid="anna-50-1795167317_stDXFCE_dp24", event="CONNECTED",
        server="desk", client="pc7", login="anna", cmd="XFCE", display="50", start="20.11.26 09:35:18", elapsed="7",
    )  # fmt: skip
    assert response.text == f"AUTHID:{authid_of(response)}\nAccess granted\n"
    context = broker.app.app.extensions["x2gobroker"]
    (event,) = context.services.of(ClientEvents, context.source.current()).of_user("anna")
    assert (event.session, event.event, event.elapsed) == ("anna-50-1795167317_stDXFCE_dp24", "CONNECTED", 7)


def test_a_user_name_cannot_forge_lines(broker: Bench) -> None:
    response = broker.post("/plain/zeroconf/", task="listsessions", user="anna\n[fake]\nhost=evil", password="x")
    assert "fake" not in response.text
    assert "Access granted" not in response.text


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("name = Plain text, 50%", 'name="Plain text, 50%"'),
        ("name = Plain text; 50%", 'name="Plain text; 50%"'),
        ("name = Büro", 'name="B\\xfcro"'),
        ("name = Büfett", 'name="B\\xfc\\x66\\x65tt"'),
        ("name = KDE, here", 'name="KDE, here"'),
        ('name = the "best"', 'name="the \\"best\\""'),
        ("user = SITE\\anna", 'user="SITE\\\\anna"'),
        ("name = 🖥 x", 'name="\\xd83d\\xdda5 x"'),
        ("applications = A, B", "applications=A,B"),
        ("future-list = a,b", "future-list=a,b"),
    ],
)
def test_text_is_sent_as_x2go_client_reads_it(broker: Bench, written: str, sent: str) -> None:
    broker.write("profiles.conf", f"[p]\n{written}\n")
    lines = broker.post(task="listsessions", user="anna", password=PASSWORD).text.splitlines()
    assert sent in lines


def test_a_user_name_is_sent_as_x2go_client_reads_it(broker_with: Make) -> None:
    broker = broker_with("require-password = false")
    text = broker.post(task="listsessions", user="SITE\\jürgen").text
    assert '\nuser="SITE\\\\j\\xfcrgen"\n' in text
