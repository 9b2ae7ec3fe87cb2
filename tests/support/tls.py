"""A certificate authority and a server certificate for one test run, and HTTPS requests to any of its names."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

HOST_A = "a.broker.test"
HOST_B = "b.broker.test"
SERVER_NAMES = ("localhost", HOST_A, HOST_B)
REQUEST_DEADLINE = 60.0


@dataclass(frozen=True)
class Certificates:
    """Files in PEM format: the authority that clients trust, and what the server shows."""

    authority: Path
    certificate: Path
    key: Path


def _openssl(*words: str) -> None:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, timeout=REQUEST_DEADLINE, check=False)
    assert done.returncode == 0, f"openssl {' '.join(words)}:\n{done.stderr}"


def make_certificates(folder: Path) -> Certificates:
    """Make an authority and a certificate for `SERVER_NAMES` and 127.0.0.1, valid for two days."""
    authority, authority_key = folder / "ca.pem", folder / "ca.key"
    certificate, key, request = folder / "server.pem", folder / "server.key", folder / "server.csr"
    extensions = folder / "extensions.cnf"
    names = ",".join([*(f"DNS:{name}" for name in SERVER_NAMES), "IP:127.0.0.1"])
    # with all that Python 3.13 asks for
    identifiers = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    extensions.write_text(
        f"basicConstraints=CA:FALSE\n{identifiers}extendedKeyUsage=serverAuth\nsubjectAltName={names}\n"
    )
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    _openssl(
        *("req", "-x509", *new_key, "-keyout", str(authority_key), "-out", str(authority)),
        *("-days", "2", "-subj", "/CN=Authority of one test run"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    _openssl("req", *new_key, "-keyout", str(key), "-out", str(request), "-subj", "/CN=localhost")
    _openssl(
        *("x509", "-req", "-in", str(request), "-out", str(certificate), "-days", "2"),
        *("-CA", str(authority), "-CAkey", str(authority_key), "-CAcreateserial", "-extfile", str(extensions)),
    )
    return Certificates(authority, certificate, key)


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: str


class _Connection(http.client.HTTPSConnection):
    """Always connects to 127.0.0.1, and asks for `host` in the TLS handshake (SNI) and in the Host header."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port, context=context, timeout=REQUEST_DEADLINE)
        self._tls = context

    def connect(self) -> None:
        """Connect without asking any name service."""
        raw = socket.create_connection(("127.0.0.1", self.port), REQUEST_DEADLINE)
        self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)


@dataclass(frozen=True)
class Https:
    """One TLS server on 127.0.0.1, addressed by one of its names."""

    port: int
    authority: Path
    host: str = "localhost"
    base: str = ""

    @property
    def url(self) -> str:
        """The address as a client program is given it."""
        return f"https://{self.host}:{self.port}{self.base}"

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request on a connection of its own; the server's certificate is verified."""
        connection = _Connection(self.host, self.port, ssl.create_default_context(cafile=str(self.authority)))
        try:
            connection.request(method, self.base + path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            content = response.read().decode("utf-8", "replace")
            return Answer(response.status, {name.lower(): text for name, text in response.getheaders()}, content)
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Fetch one page."""
        return self.request("GET", path, headers=headers)

    def post(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answer:
        """Send a form."""
        form = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self.request("POST", path, urlencode(fields).encode(), form)
