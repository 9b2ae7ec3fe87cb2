"""From the parameters of `connect` to the way to a server, and from failures to documented exceptions."""

from __future__ import annotations

import errno
import getpass
import socket
from pathlib import Path

import paramiko
import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.errors import SshError
from x2gobroker.model.hosts import Endpoint
from x2gobroker.ssh.failures import (
    ConnectionBroken,
    HostKeyRefused,
    LoginRefused,
    NobodyAnswers,
    SshTimeout,
    Unreachable,
)
from x2gobroker.ssh.keys import generate_key
from x2gobroker.ssh.routes import Login
from x2gobroker.x2go.connection.connecting import (
    Means,
    Prepared,
    parse_tunnel,
    prepare,
    proxy_endpoint,
    proxy_failure,
    server_endpoint,
    server_failure,
)
from x2gobroker.x2go.errors import (
    BadHostKeyException,
    X2GoHostKeyException,
    X2GoSSHProxyAuthenticationException,
    X2GoSSHProxyException,
    X2GoSSHProxyHostKeyException,
    X2GoSSHProxyPasswordRequiredException,
)
from x2gobroker.x2go.log import X2GoLogger

LOGGER = X2GoLogger("x2go.test")
SERVER = Endpoint("srv", "127.0.0.1", 22)
KEY, OTHER_KEY = generate_key("ed25519"), generate_key("ecdsa")


@pytest.mark.parametrize(
    ("text", "local", "remote"),
    [
        ("localhost:44444:server:22", ("127.0.0.1", 44444), Endpoint("server", "server", 22)),
        (" 127.0.0.1:0:localhost:2222 ", ("127.0.0.1", 0), Endpoint("localhost", "127.0.0.1", 2222)),
        ("[::1]:1:[fe80::1]:22", ("::1", 1), Endpoint("fe80::1", "fe80::1", 22)),
    ],
)
def test_tunnels(text: str, local: tuple[str, int], remote: Endpoint) -> None:
    tunnel = parse_tunnel(text)
    assert (tunnel.local, tunnel.remote) == (local, remote)


@given(st.text(max_size=40))
def test_whatever_a_tunnel_says_it_is_read_or_refused(text: str) -> None:
    try:
        tunnel = parse_tunnel(text)
    except X2GoSSHProxyException as error:
        assert "<local-address>" in str(error)
    else:
        assert 0 < tunnel.remote.port < 65536


def test_endpoints() -> None:
    assert server_endpoint(" localhost ", 22) == Endpoint("localhost", "127.0.0.1", 22)
    assert server_endpoint(["only"], 2222) == Endpoint("only", "only", 2222)
    assert server_endpoint("[::1]", 22) == Endpoint("::1", "::1", 22)
    assert {server_endpoint(["a", "b"], 22).name for _ in range(100)} == {"a", "b"}
    assert proxy_endpoint("jump:2022", 22) == Endpoint("jump", "jump", 2022)
    assert proxy_endpoint(["jump"], 2023) == Endpoint("jump", "jump", 2023)
    assert proxy_endpoint("fe80::2", 22).port == 22


def test_who_logs_in_and_with_what(tmp_path: Path) -> None:
    key = paramiko.ECDSAKey.generate()
    (tmp_path / "id_rsa").write_text("nonsense")
    (tmp_path / "id_ed25519").write_text(KEY.private)
    means = Means("anna", b"p\xc3\xa4ss", None, key, str(tmp_path / "missing"), True, True)
    prepared = prepare(means, str(tmp_path), LOGGER)
    login = prepared.login
    assert (login.user, login.password, login.keys, login.use_agent) == ("anna", "päss", (key,), True)
    assert [each.get_base64() for each in login.last_keys] == [KEY.public.blob]
    assert (prepared.locked, prepared.wrong) == ((), ())
    forced = prepare(Means(None, "pw", None, key, allow_agent=True, force_password_auth=True), str(tmp_path), LOGGER)
    assert forced.login == Login(getpass.getuser(), password="pw")
    assert prepare(Means("anna", 7), "/", LOGGER).login == Login("anna")  # type: ignore[arg-type]
    for text in (repr(means), repr(prepared), repr(forced)):
        assert "pw" not in text
        assert "päss" not in text


REFUSED = LoginRefused("anna@srv: the server refuses", ["the password"])
UNKNOWN = HostKeyRefused("the host key of srv is not known: X; compare it", SERVER, KEY.public, unknown=True)
WRONG = HostKeyRefused("not the known one", SERVER, KEY.public, unknown=False, expected=OTHER_KEY.public)
REVOKED = HostKeyRefused("is revoked", SERVER, KEY.public, unknown=False)
PLAIN = Prepared(Login("anna"))
LOCKED = Prepared(Login("anna"), locked=("a-key",))


@pytest.mark.parametrize(
    ("error", "prepared", "at_server", "at_proxy"),
    [
        (UNKNOWN, PLAIN, X2GoHostKeyException, X2GoSSHProxyHostKeyException),
        (WRONG, PLAIN, BadHostKeyException, X2GoSSHProxyHostKeyException),
        (REVOKED, PLAIN, BadHostKeyException, X2GoSSHProxyHostKeyException),
        (REFUSED, PLAIN, paramiko.AuthenticationException, X2GoSSHProxyAuthenticationException),
        (REFUSED, LOCKED, paramiko.PasswordRequiredException, X2GoSSHProxyPasswordRequiredException),
        (SshTimeout("slow"), PLAIN, TimeoutError, X2GoSSHProxyException),
        (NobodyAnswers("nobody"), PLAIN, TimeoutError, X2GoSSHProxyException),
        (Unreachable("refused", errno.ECONNREFUSED), PLAIN, ConnectionRefusedError, X2GoSSHProxyException),
        (Unreachable("no such name"), PLAIN, socket.gaierror, X2GoSSHProxyException),
        (ConnectionBroken("broken"), PLAIN, paramiko.SSHException, X2GoSSHProxyException),
    ],
)
def test_each_failure_has_its_exception(
    error: SshError, prepared: Prepared, at_server: type[Exception], at_proxy: type[Exception]
) -> None:
    assert type(proxy_failure(error, prepared)) is at_proxy
    failure = server_failure(error, prepared)
    assert isinstance(failure, at_server)
    assert isinstance(failure, paramiko.SSHException | OSError), "all that `connect` is documented to raise"
    if isinstance(error, HostKeyRefused) and not error.unknown:
        assert isinstance(failure, BadHostKeyException)
        assert failure.key.get_base64() == KEY.public.blob
        assert str(failure) == str(error)


def test_a_refused_login_names_what_was_tried_and_what_stayed_locked() -> None:
    prepared = Prepared(Login("anna", password="pw"), locked=("one",), wrong=("two",))
    text = str(server_failure(REFUSED, prepared))
    for part in ("anna@srv", "the password", "one is locked", "does not unlock two"):
        assert part in text
    assert "no key or password" in str(server_failure(LoginRefused("anna@srv: no"), PLAIN))
