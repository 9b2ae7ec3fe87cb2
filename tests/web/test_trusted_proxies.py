"""Behind a web server that is trusted, the client's address is the one that it names. In process."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.web.conftest import PASSWORD, Bench, authid_of
from x2gobroker.frontends.asked import AskedReader
from x2gobroker.model.forwarded import FORGEABLE
from x2gobroker.settings import Settings

Make = Callable[..., Bench]
PROXY = "127.0.0.1"


def login(bench: Bench, peer: str, **headers: str) -> str:
    """Log in by a web server at `peer`; the authid, which is for the client's address only."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    fields = {"user": "anna", "password": PASSWORD}
    return authid_of(bench.app.post("/plain/inifile/", fields, named, extra_environ={"REMOTE_ADDR": peer}))


def is_at(bench: Bench, address: str, authid: str) -> bool:
    """Whether an authid is good for this address, without any header."""
    return "Access granted" in bench.post(address=address, user="anna", authid=authid, task="listsessions").text


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        (PROXY, "192.0.2.9", "192.0.2.9"),
        (PROXY, "203.0.113.1, 192.0.2.9", "192.0.2.9"),  # only the last entry is the web server's
        (PROXY, "::ffff:192.0.2.9", "192.0.2.9"),
        (PROXY, "2001:db8::9", "2001:db8::9"),
        ("10.1.2.3", "192.0.2.9", "192.0.2.9"),
        ("192.0.2.8", "192.0.2.9", "192.0.2.8"),
        (PROXY, "192.0.2.9:4711", "192.0.2.9"),
        (PROXY, "[2001:db8::9]:4711", "2001:db8::9"),
        (PROXY, '"192.0.2.9"', "192.0.2.9"),
        (PROXY, "nonsense", None),
        (PROXY, "unknown", None),
        (PROXY, "192.0.2.9, ", None),
        (PROXY, "", PROXY),
    ],
)
def test_whose_word_counts(broker_with: Make, peer: str, forwarded: str, address: str | None) -> None:
    bench = broker_with("trusted-proxies = 127.0.0.1, 10.0.0.0/8")
    headers = {"X_Forwarded_For": forwarded} if forwarded else {}
    for asked in {address or PROXY, "192.0.2.9", PROXY}:
        assert is_at(bench, asked, login(bench, peer, **headers)) == (asked == address)


def test_nobody_is_trusted_by_default(broker: Bench) -> None:
    assert is_at(broker, PROXY, login(broker, PROXY, X_Forwarded_For="192.0.2.9"))
    assert not is_at(broker, "192.0.2.9", login(broker, PROXY, X_Forwarded_For="192.0.2.9"))


def listing(bench: Bench, **headers: str) -> str:
    """What somebody is offered who comes by the web server."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    fields = {"user": "anna", "password": PASSWORD, "task": "listsessions"}
    peer = {"REMOTE_ADDR": PROXY}
    return str(bench.app.post("/plain/inifile/", fields, named, extra_environ=peer).text)


RULES = """
[inside]
host = h.example
acl-clients-allow = 127.0.0.0/8

[outside]
host = h.example
acl-clients-allow = ALL
acl-clients-deny = 203.0.113.0/24

[everywhere]
host = h.example
"""


@pytest.mark.parametrize("said", ["unknown", "198.51.100.9,", "", "a b", "[::1", "127.0.0.1/8"])
def test_a_client_that_is_not_named_is_let_in_by_no_rule_on_addresses(
    broker_with: Make, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench = broker_with("trusted-proxies = 127.0.0.1")
    bench.write("profiles.conf", RULES)
    for _request in range(3):
        assert profile_ids_of(listing(bench, X_Forwarded_For=said)) == ["everywhere"]
    assert caplog.text.count("does not say for whom it asks") == 1
    assert profile_ids_of(listing(bench)) == ["everywhere", "inside", "outside"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Forwarded", "for=198.51.100.9"),
        ("X_Real_IP", "198.51.100.9"),
        ("X_Forwarded_Proto", "https"),
        ("X_Forwarded_Host", "broker.example"),
        ("Via", "1.1 broker.example"),
    ],
)
def test_a_client_that_is_named_elsewhere_or_nowhere_is_not_the_web_server(
    broker_with: Make, name: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench = broker_with("trusted-proxies = 127.0.0.1")
    bench.write("profiles.conf", RULES)
    for _request in range(2):
        assert profile_ids_of(listing(bench, **{name: said})) == ["everywhere"]
    assert caplog.text.count("have it send X-Forwarded-For with the client's address") == 1
    assert f"({name.replace('_', '-')}:" in caplog.text


def profile_ids_of(text: str) -> list[str]:
    return re.findall(r"^\[(.+)\]$", text, re.MULTILINE)


@pytest.mark.parametrize(("name", "said"), [("X-Forwarded-For", "unknown"), ("X-Forwarded-Proto", "https")])
def test_wrong_passwords_of_clients_that_are_not_named_ban_no_others(broker_with: Make, name: str, said: str) -> None:
    bench = broker_with("trusted-proxies = 127.0.0.1\npenalty-ban-failures = 2")
    peer = {"REMOTE_ADDR": PROXY}
    for number in range(40):
        fields = {"user": f"nobody{number}", "password": "wrong"}
        bench.app.post("/plain/inifile/", fields, {name: said}, extra_environ=peer)
    assert "Access granted" in listing(bench, **{name: said})
    assert "Access granted" in listing(bench)


@pytest.mark.parametrize(
    "name", ["Script-Name", "X-Script-Name", "X-Forwarded-Prefix", "Path-Info", "X-Original-URL", "X-Rewrite-URL"]
)
def test_no_header_moves_a_request_to_another_address(broker_with: Make, name: str) -> None:
    bench = broker_with("enable-portal = true\ntrusted-proxies = 127.0.0.1")
    for path in ("/plain/inifile/", "/plain/portal/sign-in"):
        plain = bench.app.post(path, {"task": "testcon"}, expect_errors=True)
        moved = bench.app.post(path, {"task": "testcon"}, {name: "/plain"}, expect_errors=True)
        assert (moved.status, moved.body) == (plain.status, plain.body)


@pytest.mark.parametrize("trusted", [(), (PROXY,)])
def test_nothing_behind_the_reader_sees_what_a_client_may_forge(trusted: tuple[str, ...]) -> None:
    """Whatever a plug-in or a library believes: none of these headers gets there, the web server's own variables do."""
    seen: dict[str, object] = {}

    def app(environ: dict[str, object], _start: object) -> list[bytes]:
        seen.update(environ)
        return []

    own = {"REMOTE_ADDR": PROXY, "REMOTE_USER": "anna", "SCRIPT_NAME": "/broker", "PATH_INFO": "/plain/"}
    forged = dict.fromkeys((*FORGEABLE, "HTTP_SCRIPT_NAME", "HTTP_X_FORWARDED_PREFIX", "HTTP_REMOTE_USER"), "/x")
    AskedReader(app, lambda: Settings({("global", "trusted-proxies"): trusted}))({**forged, **own}, lambda: None)
    assert not forged.keys() & seen.keys()
    assert {name: seen[name] for name in own} == own


def test_below_a_path_the_web_server_says_so(broker_with: Make) -> None:
    bench = broker_with("enable-portal = true")
    page = bench.app.get("/portal/sign-in", extra_environ={"SCRIPT_NAME": "/broker"})
    assert "/broker/portal/" in page.text
    assert "/broker/portal/" not in bench.app.get("/portal/sign-in", headers={"Script-Name": "/broker"}).text


@pytest.mark.parametrize("written", ["/broker", "/broker/", "broker"])
def test_the_path_that_a_web_server_has_for_the_daemon_is_part_of_all_addresses(
    broker_with: Make, written: str
) -> None:
    bench = broker_with(f"enable-portal = true\ndaemon-path = {written}")
    assert "/broker/portal/" in bench.app.get("/broker/portal/sign-in").text
    assert "Access granted" in bench.post("/broker/plain/inifile/", user="anna", password=PASSWORD).text
    assert "/broker/plain/inifile/" in bench.app.get("/broker/").text
    assert bench.app.get("/broker").headers["Location"].endswith("/broker/")
    # programs on this host go on asking as before
    assert bench.app.get("/health").status_int == 200
    assert bench.app.get("/brokers/health", expect_errors=True).status_int == 404
    assert bench.app.get("/broker/broker/health", expect_errors=True).status_int == 404


@pytest.mark.parametrize("name", ["Remote-User", "X-Forwarded-User", "Remote_User"])
def test_no_header_is_the_user_that_the_web_server_knows(broker_with: Make, name: str) -> None:
    bench = broker_with()
    text = (bench.folder / "x2gobroker.conf").read_text(encoding="utf-8")
    bench.write("x2gobroker.conf", text.replace("= htpasswd", "= remote_user"))
    answer = bench.app.post("/plain/inifile/", {"user": "anna"}, {name: "anna"}, expect_errors=True)
    assert "Access granted" not in answer.text
    known = bench.app.post("/plain/inifile/", {"user": "anna"}, extra_environ={"REMOTE_USER": "anna"})
    assert "Access granted" in known.text


@pytest.mark.parametrize(("peer", "secure"), [(PROXY, True), ("192.0.2.8", False)])
def test_tls_that_was_taken_off_on_the_way_is_believed_of_trusted_web_servers_only(
    broker_with: Make, peer: str, secure: bool
) -> None:
    bench = broker_with("trusted-proxies = 127.0.0.1")
    headers = {"X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "portal.example"}
    page = bench.app.get("/", headers=headers, extra_environ={"REMOTE_ADDR": peer}).text
    assert ("https://portal.example/plain/inifile/" in page) is secure
