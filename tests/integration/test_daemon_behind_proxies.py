"""x2gobroker-daemon behind nginx and behind Apache, which run what the project ships or its pages say.

Clients are at 127.0.0.9 and 127.0.0.8, the web servers at 127.0.0.1, which is in `trusted-proxies`. Whatever clients
say of themselves, straight to the daemon or through a web server, they keep their own address.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from passlib.hash import bcrypt

from tests.support.apache import MODULES, apache, apache_folder
from tests.support.installation import CHECKOUT
from tests.support.nginx import nginx, nginx_folder
from tests.support.our_broker import PROGRAM, OurBroker
from tests.support.processes import free_port
from tests.support.tls import Certificates

CLIENT, OTHER = "127.0.0.9", "127.0.0.8"
PASSWORD = "right & proper"
LONG_NAME = "l" + "o" * 57 + "ng"  # more than a line of base64
STALLED_SECONDS = 3  # of the web servers' 20 and 60
MANY = 110  # more than one address may have at the daemon
SECONDS = 60.0
COMMAND_SECONDS = 300.0
CONFIG = """\
[global]
default-auth-mech = htpasswd
cookie-directory = {state}
trusted-proxies = 127.0.0.1
penalty-ban-failures = 4
enable-uccs-output = true
my-uccs-url-base = https://localhost:%(port)d%(path)s/
enable-portal = true
portal-backend = inifile
%(more)s
[authmech_htpasswd]
file = {state}/htpasswd
"""
PROFILES = """\
[everywhere]
name = Everywhere
host = desk.example
broker-portscan-x2goservers = false
[outside]
name = Outside
host = desk.example
broker-portscan-x2goservers = false
acl-clients-allow = ALL
acl-clients-deny = 127.0.0.1, 127.0.0.9
[proxy]
name = Proxy
host = desk.example
broker-portscan-x2goservers = false
acl-clients-allow = 127.0.0.1
"""
# what strangers write into headers to be somebody else
FORGED = {
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Prefix": "/evil",
    "X-Real-IP": "127.0.0.1",
    "Forwarded": "for=127.0.0.1;host=evil.example",
    "Script-Name": "/evil",
}
# a header named here is dropped by web servers that believe it: CVE-2022-31813
DROPPED = {"Connection": "close, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Host"}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Sequence[tuple[str, str]]
    text: str

    def header(self, name: str) -> str:
        """The values of a header, empty where there is none."""
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())


@dataclass(frozen=True)
class Site:
    """A daemon and the web server in front of it, whose clients see `path` as its root."""

    name: str
    broker: OurBroker
    port: int
    path: str
    authority: Path

    def connect(self, address: str = CLIENT, straight: bool = False) -> socket.socket:
        """A connection of a client to the web server, by TLS, or straight to the daemon."""
        port = self.broker.port if straight else self.port
        raw = socket.create_connection(("127.0.0.1", port), SECONDS, (address, 0))
        if straight:
            return raw
        return ssl.create_default_context(cafile=str(self.authority)).wrap_socket(raw, server_hostname="localhost")

    def ask(
        self,
        method: str,
        path: str,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        address: str = CLIENT,
        straight: bool = False,
        body: bytes | None = None,
    ) -> Answer:
        """Send one request; its answer."""
        content = urlencode(fields).encode() if fields is not None else body or b""
        more = {"Content-Type": "application/x-www-form-urlencoded"} if fields is not None else {}
        named = {"Host": f"localhost:{self.port}", "Connection": "close", **more, **(headers or {})}
        lines = [f"{method} {self.path}{path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
        if content:
            lines.append(f"Content-Length: {len(content)}")
        with self.connect(address, straight) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            with contextlib.suppress(OSError):  # it has answered before all was sent
                connection.sendall(content)
            return read_answer(connection)

    def log_in(self, user: str, password: str = PASSWORD, **how: object) -> Answer:
        """List the session profiles."""
        fields = {"user": user, "password": password, "task": "listsessions"}
        return self.ask("POST", "/plain/inifile/", fields, **how)  # type: ignore[arg-type]

    def said(self, user: str) -> list[str]:
        """The addresses in the log lines about a user's logins."""
        return re.findall(rf"login user={user} address=(\S+)", self.broker.log())


def read_answer(connection: socket.socket) -> Answer:
    """The answer on a connection that ends with it."""
    found = b""
    with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
        while data := connection.recv(1 << 16):
            found += data
    head, _, body = found.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    assert first.startswith("HTTP/1.1 "), found[:200]
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Answer(int(first.split()[1]), headers, body.decode("utf-8", "replace"))


def printed(broker: OurBroker, *words: str) -> str:
    """What `x2gobroker remote print-config` prints for this daemon."""
    done = subprocess.run(
        [str(PROGRAM.parent / "x2gobroker"), "remote", "print-config", *words, "-C", str(broker.config)],
        env={**broker.env, "DAEMON_BIND_ADDRESS": f"127.0.0.1:{broker.port}"},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def daemon(port: int, path: str) -> Iterator[OurBroker]:
    """A daemon behind `https://localhost:port` and a path, with two users."""
    more = f"daemon-path = {path}" if path else ""
    with OurBroker("", PROFILES) as broker:
        broker.write_config(CONFIG % {"port": port, "path": path, "more": more})
        hashed = bcrypt.using(rounds=4).hash(PASSWORD)
        users = [f"{user}{number}" for user in ("anna", "bert", "carl") for number in range(10)]
        users.append(LONG_NAME)
        (broker.state / "htpasswd").write_text("".join(f"{user}:{hashed}\n" for user in users))
        yield broker


@contextlib.contextmanager
def behind_nginx(certificates: Certificates, path: str) -> Iterator[Site]:
    """nginx with what `x2gobroker remote print-config nginx` prints, or with what the page says for a path."""
    port = free_port()
    with daemon(port, path) as broker, nginx_folder() as folder:
        words = ("--host", "localhost", "--listen", f"127.0.0.1:{port}", "--log", str(folder / "access.log"))
        files = ("--certificate", str(certificates.certificate), "--key", str(certificates.key))
        site = printed(broker, "nginx", *words, *files)
        if path:
            page = (CHECKOUT / "docs/how-to/web-server-in-front.md").read_text(encoding="utf-8")
            (location,) = re.findall(r"^```nginx\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
            assert f"location {path}/" in location
            before, _, _ = site.partition("    # the broker, x2gobroker-daemon\n")
            site = f"{before}{location.replace(':8080', f':{broker.port}')}}}\n"
        patience = f"client_body_timeout {STALLED_SECONDS}s;\nclient_header_timeout {STALLED_SECONDS}s;\n"
        with nginx(folder, patience + site, port):
            yield Site("nginx", broker, port, path, certificates.authority)


@contextlib.contextmanager
def behind_apache(certificates: Certificates, path: str) -> Iterator[Site]:
    """Apache with the shipped apache/x2gobroker-proxy.conf."""
    port = free_port()
    with daemon(port, path) as broker, apache_folder() as folder:
        defines = {
            "X2GOBROKER_HOST": "localhost",
            "X2GOBROKER_LISTEN": f"127.0.0.1:{port}",
            "X2GOBROKER_CERTIFICATE": str(certificates.certificate),
            "X2GOBROKER_CERTIFICATE_KEY": str(certificates.key),
            "X2GOBROKER_DAEMON": broker.url,
            "X2GOBROKER_REMOTE": str(folder.file("remote.conf", printed(broker, "apache"))),
            **({"X2GOBROKER_PATH": f"{path}/"} if path else {}),
        }
        extra = (  # as Debian's Apache has it, but less patient
            f'LoadModule reqtimeout_module "{MODULES}/mod_reqtimeout.so"\n'
            f"RequestReadTimeout header={STALLED_SECONDS},MinRate=500 body={STALLED_SECONDS},MinRate=500\n"
        )
        with apache(folder, "x2gobroker-proxy.conf", [port], defines, extra, has_broker=False):
            yield Site("apache", broker, port, path, certificates.authority)


Behind = Callable[[Certificates, str], AbstractContextManager[Site]]
SITES: dict[str, tuple[Behind, str]] = {
    "nginx": (behind_nginx, ""),
    "nginx, below a path": (behind_nginx, "/x2gobroker"),
    "apache": (behind_apache, ""),
    "apache, below a path": (behind_apache, "/x2gobroker"),
}


@pytest.fixture(scope="module", params=SITES)
def site(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Site]:
    """A web server with a daemon behind it."""
    opened, path = SITES[request.param]
    with opened(certificates, path) as found:
        yield found


def offered(answer: Answer) -> list[str]:
    """The session profiles in an answer of `/plain/`."""
    assert "Access granted" in answer.text, answer
    return re.findall(r"^\[(.+)\]$", answer.text, re.MULTILINE)


def authid_of(answer: Answer) -> str:
    """The authid for the next request, of somebody who was let in."""
    found = re.search(r"AUTHID:(\S+)", answer.text)
    assert found, answer
    return found[1]


def test_the_clients_address_is_in_the_log_and_counts_for_rules(site: Site) -> None:
    assert offered(site.log_in("anna0")) == ["everywhere"]
    assert offered(site.log_in("anna0", address=OTHER)) == ["everywhere", "outside"]
    assert site.said("anna0") == [CLIENT, OTHER]
    profiles = site.ask("POST", "/json/inifile/", {"user": "anna0", "password": PASSWORD, "task": "listprofiles"})
    assert list(json.loads(profiles.text)["profiles"]) == ["everywhere"]


@pytest.mark.parametrize("forged", [FORGED, DROPPED, {**FORGED, **DROPPED}], ids=["said", "dropped", "both"])
def test_nobody_is_somebody_else_by_what_they_say(site: Site, forged: dict[str, str]) -> None:
    before = len(site.said("anna1"))
    assert offered(site.log_in("anna1", headers=forged)) == ["everywhere"]
    assert site.said("anna1")[before:] == [CLIENT]
    page = site.ask("GET", "/", headers=forged).text
    assert f"https://localhost:{site.port}{site.path}/plain/inifile/" in page
    assert "evil" not in page


@pytest.mark.parametrize("more", ["127.0.0.1", "unknown", "127.0.0.1, 127.0.0.1", '"[::1]:80"', ""])
def test_several_headers_of_one_name_do_not_help_either(site: Site, more: str) -> None:
    body = urlencode({"user": "anna2", "password": PASSWORD, "task": "listsessions"})
    request = (
        f"POST {site.path}/plain/inifile/ HTTP/1.1\r\nHost: localhost:{site.port}\r\nX-Forwarded-For: 127.0.0.1\r\n"
        f"Connection: close\r\nx-forwarded-for: {more}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\nX_Forwarded_For: 127.0.0.1\r\n\r\n{body}"
    )
    before = len(site.said("anna2"))
    with site.connect() as connection:
        connection.sendall(request.encode())
        assert offered(read_answer(connection)) == ["everywhere"]
    assert site.said("anna2")[before:] == [CLIENT]


def test_who_asks_the_daemon_itself_cannot_forge(site: Site) -> None:
    answer = site.log_in("anna3", headers=FORGED, straight=True)
    assert offered(answer) == ["everywhere"]
    assert site.said("anna3") == [CLIENT]
    page = site.ask("GET", "/", headers={**FORGED, "X-Forwarded-Proto": "https"}, straight=True).text
    assert f"http://localhost:{site.port}{site.path}/plain/inifile/" in page
    assert "evil" not in page


def test_penalties_are_for_the_client_and_not_for_others_behind_the_web_server(site: Site) -> None:
    json_fields = {"user": "bert0", "task": "listprofiles"}
    statuses: list[int] = []
    while len(statuses) < 20 and 429 not in statuses:  # another address in each header, and still one client
        fields = {**json_fields, "password": f"wrong {len(statuses)}"}
        forged = {"X-Forwarded-For": f"192.0.2.{len(statuses)}"}
        statuses.append(site.ask("POST", "/json/inifile/", fields, forged).status)
    assert statuses[0] == 401
    assert statuses[-1] == 429
    limited = site.ask("POST", "/json/inifile/", {**json_fields, "password": PASSWORD})
    assert (limited.status, limited.header("Retry-After").isdigit()) == (429, True)
    assert site.ask("POST", "/json/inifile/", {**json_fields, "password": PASSWORD}, address=OTHER).status == 200
    assert set(site.said("bert0")) == {CLIENT, OTHER}


def test_an_authid_counts_for_the_client_that_got_it(site: Site) -> None:
    fields = {"user": "anna4", "task": "listsessions"}
    first = authid_of(site.log_in("anna4"))
    second = authid_of(site.ask("POST", "/plain/inifile/", {**fields, "authid": first}))
    stolen = {**fields, "authid": second}
    answer = site.ask("POST", "/plain/inifile/", stolen, {"X-Forwarded-For": CLIENT}, address=OTHER)
    assert "Access granted" not in answer.text


def test_a_greeter_gets_back_to_the_broker(site: Site) -> None:
    """The address in the first answer leads through the web server to the same broker."""
    token = base64.b64encode(f"anna5:{PASSWORD}".encode()).decode()
    credentials = {"Authorization": f"Basic {token}"}
    answer = site.ask("GET", "/uccs/inifile/api/5/", headers={**credentials, **FORGED})
    assert answer.status == 200, answer
    said = json.loads(answer.text)
    assert said["URL"] == f"https://localhost:{site.port}{site.path}/uccs/inifile/"
    back = said["URL"].removeprefix(f"https://localhost:{site.port}{site.path}")
    again = site.ask("GET", f"{back}api/5/", headers=credentials)
    assert json.loads(again.text) == said
    assert [server["Name"] for server in said["RemoteDesktopServers"]] == ["Everywhere"]
    assert set(site.said("anna5")) == {CLIENT}
    assert site.ask("HEAD", "/uccs/inifile/").status == 200
    refused = site.ask("GET", "/uccs/inifile/api/5/")
    assert (refused.status, refused.header("WWW-Authenticate")[:5]) == (401, "Basic")


@pytest.mark.parametrize("user", ["anna5", LONG_NAME])
def test_line_feeds_in_credentials_are_for_the_daemon_itself(site: Site, user: str) -> None:
    """Arctica's agent sends them; what web servers make of them stands in the page about them."""
    credentials = base64.encodebytes(f"{user}:{PASSWORD}".encode()).decode()
    request = (
        f"GET {site.path}/uccs/inifile/api/5/ HTTP/1.1\r\nHost: localhost:{site.port}\r\nConnection: close\r\n"
        f"Authorization: Basic {credentials}\r\n\r\n"
    )
    through = {"nginx": 401 if user == LONG_NAME else 200, "apache": 400}[site.name]
    for straight, status in ((True, 200), (False, through)):
        with site.connect(straight=straight) as connection:
            connection.sendall(request.encode())
            assert read_answer(connection).status == status


def test_sign_in_at_the_portal(site: Site) -> None:
    own = {"Origin": f"https://localhost:{site.port}", "Cookie": "__Host-x2gobroker-probe=1"}
    first = site.ask("GET", "/portal/")
    assert first.status == 303
    where = f"{site.path}/portal/sign-in"
    assert first.header("Location").startswith((where, f"https://localhost:{site.port}{where}"))
    fields = {"user": "anna6", "password": PASSWORD}
    done = site.ask("POST", "/portal/sign-in", fields, own)
    assert (done.status, done.header("Location")) == (303, f"{site.path}/portal/"), done
    cookie = done.header("Set-Cookie")
    assert cookie.startswith("__Host-x2gobroker=")
    assert {"Secure", "HttpOnly", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    home = site.ask("GET", "/portal/", headers={"Cookie": cookie.partition(";")[0]})
    assert home.status == 200
    assert site.said("anna6") == [CLIENT]
    (style,) = re.findall(r'<link rel="stylesheet" href="([^"]+)"', home.text)[:1]
    assert site.ask("GET", style.removeprefix(site.path)).status == 200
    assert style.startswith(f"{site.path}/portal/")


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:{port}", "null"])
def test_forms_of_other_pages_are_refused(site: Site, origin: str) -> None:
    fields = {"user": "anna7", "password": PASSWORD}
    headers = {"Origin": origin.format(port=site.port), "X-Forwarded-Host": "evil.example"}
    answer = site.ask("POST", "/portal/sign-in", fields, headers)
    assert (answer.status, answer.header("Set-Cookie")) == (403, "")


def test_without_tls_the_daemon_signs_nobody_in(site: Site) -> None:
    """A stranger's word that TLS was taken off on the way is none."""
    headers = {"Host": "broker.example", "Origin": "http://broker.example", "X-Forwarded-Proto": "https"}
    answer = site.ask("POST", "/portal/sign-in", {"user": "anna8", "password": PASSWORD}, headers, straight=True)
    assert (answer.status, answer.header("Set-Cookie")) == (400, "")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_that_is_too_long_is_told_so(site: Site, chunked: bool) -> None:
    size = 3 << 19
    how = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    head = (
        f"POST {site.path}/plain/inifile/ HTTP/1.1\r\nHost: localhost:{site.port}\r\nConnection: close\r\n{how}\r\n\r\n"
    )
    piece = b"x" * (1 << 14)
    framed = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
    with site.connect() as connection:
        connection.sendall(head.encode())
        with contextlib.suppress(OSError):
            for _ in range(size // len(piece)):
                connection.sendall(framed)
            connection.sendall(b"0\r\n\r\n" if chunked else b"")
        assert read_answer(connection).status == 413


def test_a_long_request_that_is_not_too_long_arrives(site: Site) -> None:
    body = urlencode({"user": "anna9", "password": PASSWORD, "task": "listsessions", "more": "x" * 900_000}).encode()
    answer = site.ask(
        "POST", "/plain/inifile/", body=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert offered(answer) == ["everywhere"]


def test_a_slow_request_is_answered_and_one_that_stops_is_ended(site: Site) -> None:
    body = urlencode({"user": "carl0", "password": PASSWORD, "task": "listsessions"}).encode()
    head = (
        f"POST {site.path}/plain/inifile/ HTTP/1.1\r\nHost: localhost:{site.port}\r\nConnection: close\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with site.connect() as slow, site.connect() as stalled:
        stalled.sendall(head + body[:10])
        request = head + body
        for at in range(0, len(request), 30):
            slow.sendall(request[at : at + 30])
            time.sleep(0.1)
        assert offered(read_answer(slow)) == ["everywhere"]
        began = time.monotonic()
        # nginx ends such a connection without a word
        data = stalled.recv(1 << 16)
        assert time.monotonic() - began < STALLED_SECONDS + 20
        assert data.startswith(b"HTTP/1.1 408 ") if site.name == "apache" else data[:13] in (b"", b"HTTP/1.1 408 ")


def test_many_stalled_clients_hold_nobody_up(site: Site) -> None:
    with contextlib.ExitStack() as open_ones:
        for number in range(MANY):
            stalled = open_ones.enter_context(site.connect(OTHER))
            head = f"POST {site.path}/plain/inifile/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
            stalled.sendall((head if number % 2 else f"{head}\r\nuser=anna").encode())
        began = time.monotonic()
        assert offered(site.log_in("carl1")) == ["everywhere"]
        assert time.monotonic() - began < 20


def test_the_daemon_is_down_and_comes_back(site: Site) -> None:
    program = site.broker.program
    assert program is not None
    program.stop()
    answer = site.log_in("carl2")
    assert answer.status == (502 if site.name == "nginx" else 503)
    assert "AUTHID" not in answer.text
    site.broker.start()
    assert offered(site.log_in("carl2")) == ["everywhere"]


def test_nobody_can_check_and_the_client_is_told_by_the_broker(site: Site) -> None:
    users = site.broker.state / "htpasswd"
    away = users.rename(users.with_name("away"))
    try:
        answer = site.ask("POST", "/json/inifile/", {"user": "carl3", "password": PASSWORD, "task": "listprofiles"})
        assert answer.status == 503
        assert json.loads(answer.text)["auth-status"] == "Unavailable"
    finally:
        away.rename(users)
