"""`x2gobroker-pubkeyauthorizer`, against a web server that gives all sorts of answers. These tests run as root."""

from __future__ import annotations

import contextlib
import io
import os
import pwd
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.tls import Certificates, make_certificates
from x2gobroker.cli import pubkeyauthorizer
from x2gobroker.ssh.authorized_keys import broker_line
from x2gobroker.ssh.keys import described, generate_key

USER = "somebody"
NOBODY = 65534
AGENT = "/usr/lib/x2go/x2gobroker-agent"
KEY = generate_key("ed25519").public
LINE = broker_line(AGENT, KEY.kind, KEY.blob, "x2gobroker@here")
SECOND = generate_key("ecdsa").public
SECOND_LINE = broker_line(AGENT, SECOND.kind, SECOND.blob, "x2gobroker@there")


class Handler(BaseHTTPRequestHandler):
    """Gives `answers` by path; a number redirects or fails, the path /drip never ends."""

    server: Server

    def do_GET(self) -> None:
        """Answer one request."""
        if self.path == "/drip":
            self._drip()
            return
        if self.path.startswith("/broken"):
            self._break_off(chunked=self.path.endswith("chunked"))
            return
        status, text, location = self.server.answers.get(self.path, (404, "", ""))
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        data = text.encode("utf-8", "surrogateescape")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data)

    def _drip(self) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while not self.server.stopping.wait(0.05):
                self.wfile.write(b"#")

    def _break_off(self, chunked: bool) -> None:
        """Say the first of two keys, and end the connection."""
        data = f"{LINE}\n".encode()
        if chunked:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(data), data))
        else:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (2 * len(data), data))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """The web server. `answers`: status, text and Location by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[int, str, str]] = {}
        self.stopping = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def gives(self, text: str, path: str = "/pubkeys/", status: int = 200, location: str = "") -> str:
        """Answer so at this path; its URL."""
        self.answers[path] = (status, text, location)
        return self.url + path


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.fixture
def web() -> Iterator[Server]:
    with serving(Server()) as server:
        yield server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of the user whom the broker logs in as."""
    folder = tmp_path / "home"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    entry = pwd.struct_passwd((USER, "x", NOBODY, NOBODY, "", str(folder), "/bin/sh"))
    monkeypatch.setattr("pwd.getpwnam", {USER: entry}.__getitem__)
    monkeypatch.setenv("X2GOBROKER_DAEMON_USER", USER)
    monkeypatch.setenv("X2GOBROKER_CONFIG", str(tmp_path / "x2gobroker.conf"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return folder


def typed(monkeypatch: pytest.MonkeyPatch, text: str, terminal: bool = False) -> None:
    stream = io.StringIO(text)
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stdin", stream)


def keys_file(home: Path) -> Path:
    return home / ".ssh" / "authorized_keys"


def test_the_keys_are_written_and_shown(home: Path, web: Server, capsys: pytest.CaptureFixture[str]) -> None:
    url = web.gives(f"# of the broker\n{LINE}\n\n{SECOND_LINE}\n")
    assert pubkeyauthorizer.main(["--broker-url", url, "--yes"]) == 0
    assert keys_file(home).read_text() == f"{LINE}\n{SECOND_LINE}\n"
    for path, mode in ((home / ".ssh", 0o40700), (keys_file(home), 0o100600)):
        status = path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode) == (NOBODY, NOBODY, mode)
    out = capsys.readouterr().out
    assert described(KEY.kind, KEY.blob) in out
    assert described(SECOND.kind, SECOND.blob) in out
    assert "2 added, 0 replaced, 0 already there" in out


def test_what_was_in_the_file_stays(home: Path, web: Server, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".ssh").mkdir(mode=0o775)
    (home / ".ssh").chmod(0o775)
    keys_file(home).write_text(f"# mine\n{KEY.kind} {KEY.blob} old\nssh-rsa AAAA other")
    assert pubkeyauthorizer.main(["-t", web.gives(LINE), "-y"]) == 0
    assert keys_file(home).read_text() == f"# mine\n{LINE}\nssh-rsa AAAA other\n"
    assert (home / ".ssh").stat().st_mode == 0o40755
    assert "1 replaced" in capsys.readouterr().out
    assert pubkeyauthorizer.main(["-t", web.gives(LINE)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    keys_file(home).chmod(0o664)
    assert pubkeyauthorizer.main(["-t", web.gives(LINE), "-y"]) == 0
    assert keys_file(home).stat().st_mode == 0o100600


@pytest.mark.parametrize(
    ("answer", "terminal", "status"),
    [("yes\n", True, 0), ("y\n", False, 0), ("no\n", True, 1), ("\n", True, 1), ("", False, 1)],
)
def test_without_tls_it_asks(
    home: Path,
    web: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    terminal: bool,
    status: int,
) -> None:
    typed(monkeypatch, answer, terminal)
    assert pubkeyauthorizer.main(["-t", web.gives(LINE)]) == status
    assert keys_file(home).exists() == (status == 0)
    printed = capsys.readouterr()
    assert "without TLS" in printed.out
    assert ("nothing was changed" in printed.err) == bool(status)


@pytest.mark.parametrize(("answer", "terminal", "status"), [("", False, 0), ("no\n", True, 1), ("yes\n", True, 0)])
def test_with_tls_it_asks_where_somebody_sits(
    home: Path,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    terminal: bool,
    status: int,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    typed(monkeypatch, answer, terminal)
    with _with_tls(certificates) as server:
        url = server.gives(LINE).replace("http:", "https:")
        assert pubkeyauthorizer.main(["-t", url]) == status
    assert keys_file(home).exists() == (status == 0)


@contextlib.contextmanager
def _with_tls(certificates: Certificates) -> Iterator[Server]:
    import ssl

    server = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield server


def test_an_unknown_certificate_is_no_way_in(
    home: Path, certificates: Certificates, capsys: pytest.CaptureFixture[str]
) -> None:
    with _with_tls(certificates) as server:
        url = server.gives(LINE).replace("http:", "https:")
        assert pubkeyauthorizer.main(["-t", url, "--yes"]) == 1
    assert "not trusted" in capsys.readouterr().err
    assert not (home / ".ssh").exists()


def test_it_does_not_follow_away_from_tls(
    home: Path,
    web: Server,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with _with_tls(certificates) as server:
        url = server.gives("", status=302, location=web.gives(LINE)).replace("http:", "https:")
        assert pubkeyauthorizer.main(["-t", url, "--yes"]) == 1
    assert "not safe" in capsys.readouterr().err
    assert not (home / ".ssh").exists()


def test_it_follows_within_http_and_not_for_ever(home: Path, web: Server, capsys: pytest.CaptureFixture[str]) -> None:
    web.gives(LINE, "/end")
    assert pubkeyauthorizer.main(["-t", web.gives("", status=301, location="/end"), "-y"]) == 0
    assert LINE in keys_file(home).read_text()
    assert pubkeyauthorizer.main(["-t", web.gives("", "/loop", 302, "/loop"), "-y"]) == 1
    assert pubkeyauthorizer.main(["-t", web.gives("", "/file", 302, "file:///etc/passwd"), "-y"]) == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "gives no key; run x2gobroker-keygen"),
        ("# nothing\n", "gives no key"),
        ("<html>hello</html>", "line 1 is refused"),
        (f"{LINE}\n{KEY.kind} {KEY.blob}\n", "line 2 is refused, and nothing was changed: it forces no command"),
        (LINE.replace(AGENT, "/bin/bash"), "X2GOBROKER_AGENT_CMD has to say so here"),
        ("\udcff", "gives no text"),
        ("# " + "x" * 300_000, "more than 262144 bytes"),
        (f"{LINE}\n" * 101, "more than 100 keys"),
    ],
)
def test_one_wrong_line_and_nothing_is_changed(
    home: Path, web: Server, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert pubkeyauthorizer.main(["-t", web.gives(text), "--yes"]) == 1
    assert said in capsys.readouterr().err
    assert not (home / ".ssh").exists()


def test_another_agent_has_to_be_known_here(home: Path, web: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X2GOBROKER_AGENT_CMD", "/usr/local/bin/x2gobroker-agent")
    url = web.gives(LINE.replace(AGENT, "/usr/local/bin/x2gobroker-agent"))
    assert pubkeyauthorizer.main(["-t", url, "-y"]) == 0
    assert pubkeyauthorizer.main(["-t", web.gives(LINE), "-y"]) == 0
    assert len(keys_file(home).read_text().splitlines()) == 1


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "127.0.0.1",
        "http://",
        "http:///x",
        "http://[x",
        "http://me:secret@127.0.0.1/",
    ],
)
def test_other_urls_are_refused(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert pubkeyauthorizer.main(["-t", url, "-y"]) == 1
    assert "https://BROKER/pubkeys/" in capsys.readouterr().err


def test_a_server_that_is_not_there_or_says_no_is_named(web: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert pubkeyauthorizer.main(["-t", f"{web.url}/nothing", "-y"]) == 1
    assert "the server answers 404" in capsys.readouterr().err
    web.shutdown()  # while its thread waits for clients, the kernel goes on to take them
    web.server_close()
    assert pubkeyauthorizer.main(["-t", f"{web.url}/nothing", "-y"]) == 1
    assert "Connection refused" in capsys.readouterr().err


def test_an_answer_that_drips_is_cut_off(
    web: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = pubkeyauthorizer.fetch
    monkeypatch.setattr(pubkeyauthorizer, "fetch", lambda url: fetch(url, 0.5))
    assert pubkeyauthorizer.main(["-t", f"{web.url}/drip", "-y"]) == 1
    assert "within 0.5 s" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["broken", "broken-chunked"])
def test_an_answer_that_breaks_off_is_not_taken_for_whole(
    home: Path, web: Server, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    assert pubkeyauthorizer.main(["-t", f"{web.url}/{path}", "-y"]) == 1
    said = capsys.readouterr().err
    assert "IncompleteRead" in said if "chunked" in path else "the answer broke off" in said
    assert not keys_file(home).exists()


def test_nothing_is_written_through_links(
    home: Path, web: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "target").write_text("precious\n")
    (home / ".ssh").mkdir()
    keys_file(home).symlink_to(tmp_path / "target")
    assert pubkeyauthorizer.main(["-t", web.gives(LINE), "-y"]) == 1
    assert (tmp_path / "target").read_text() == "precious\n"
    keys_file(home).unlink()
    (home / ".ssh").rmdir()
    (home / ".ssh").symlink_to(tmp_path)
    assert pubkeyauthorizer.main(["-t", web.gives(LINE), "-y"]) == 1
    assert capsys.readouterr().err.count("cannot be written") == 2
    assert not (tmp_path / "authorized_keys").exists()


def test_a_missing_user_or_home_is_named(home: Path, web: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert pubkeyauthorizer.main(["-t", web.gives(LINE), "-y", "-u", "no-such-user"]) == 1
    assert "no user no-such-user" in capsys.readouterr().err
    home.rmdir()
    assert pubkeyauthorizer.main(["-t", web.gives(LINE), "-y"]) == 1
    assert f"{home} of {USER} is missing" in capsys.readouterr().err


def test_only_root_may_do_it(web: Server, capsys: pytest.CaptureFixture[str]) -> None:
    os.seteuid(NOBODY)
    try:
        assert pubkeyauthorizer.main(["-t", web.gives(LINE), "-y"]) == 1
    finally:
        os.seteuid(0)
    assert "as root" in capsys.readouterr().err


def test_it_is_installed_as_a_program() -> None:
    program = Path(sys.executable).with_name("x2gobroker-pubkeyauthorizer")
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "--broker-url" in done.stderr
