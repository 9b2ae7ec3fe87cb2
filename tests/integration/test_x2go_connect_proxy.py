"""Control sessions through an SSH proxy, in all the ways that Python X2Go has, and what goes wrong there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from tests.support.accounts import Account, account_with_home
from tests.support.control import PASSPHRASE, Asked, control, known, logins, new_key, ssh_agent
from tests.support.leftovers import nothing_left
from tests.support.processes import free_port, wait_until
from tests.support.sshd import Sshd, make_key, sshd
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.errors import (
    BadHostKeyException,
    X2GoControlSessionException,
    X2GoSSHProxyAuthenticationException,
    X2GoSSHProxyException,
    X2GoSSHProxyHostKeyException,
    X2GoSSHProxyPasswordRequiredException,
)

PASSWORD = "Right-pw-1"
PROXY_PASSWORD = "Proxy-pw-2"


@pytest.fixture(scope="module")
def users() -> Iterator[tuple[Account, Account]]:
    """Who logs in at the server, and at the proxy."""
    with account_with_home(PASSWORD) as user, account_with_home(PROXY_PASSWORD) as jumper:
        yield user, jumper


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys that the proxy takes."""
    folder = tmp_path_factory.mktemp("keys")
    new_key(folder, "id_ed25519")
    new_key(folder, "locked", locked=True)
    return folder


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, users: tuple[Account, Account], keys: Path) -> Iterator[Sshd]:
    lines = "\n".join(path.read_text().strip() for path in keys.glob("*.pub"))
    with sshd(tmp_path_factory.mktemp("proxy"), authorized={users[1].name: lines}, kinds=("ed25519",)) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("server"), kinds=("ed25519",)) as running:
        yield running


@pytest.fixture
def session(server: Sshd, proxy: Sshd, tmp_path: Path) -> Iterator[X2GoControlSession]:
    """One that knows both."""
    with nothing_left():
        made = control(known(tmp_path, server, proxy), tmp_path)
        yield made
        made.disconnect()


def reach(
    session: X2GoControlSession, server: Sshd, proxy: Sshd, users: tuple[Account, Account], **more: object
) -> bool:
    """Connect through the proxy, with its password unless something else is said."""
    options: dict[str, object] = {
        "sshproxy_host": "127.0.0.1",
        "sshproxy_port": proxy.port,
        "sshproxy_user": users[1].name,
        "sshproxy_password": PROXY_PASSWORD,
        **more,
    }
    return session.connect("127.0.0.1", server.port, users[0].name, PASSWORD, use_sshproxy=True, **options)  # type: ignore[arg-type]


def test_with_a_password_there_and_here(
    session: X2GoControlSession, server: Sshd, proxy: Sshd, users: tuple[Account, Account]
) -> None:
    assert reach(session, server, proxy, users) is True
    assert session.command("id -un").output == f"{users[0].name}\n"
    assert (session.get_hostname(), session.get_port()) == ("127.0.0.1", server.port)
    assert session.remote_peername() == ("127.0.0.1", server.port)
    assert len(proxy.connections()) == len(server.connections()) == 1
    assert session.disconnect() is True
    wait_until(lambda: not proxy.connections() and not server.connections(), "the end of both connections")


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", ["localhost:{port}"], " localhost:{port} "])
def test_the_port_may_stand_in_the_name(
    session: X2GoControlSession,
    server: Sshd,
    proxy: Sshd,
    users: tuple[Account, Account],
    host: str | list[str],
    tmp_path: Path,
) -> None:
    path = known(tmp_path, server, proxy)
    path.write_text(path.read_text() + proxy.host_key_lines("localhost"))
    name = host.format(port=proxy.port) if isinstance(host, str) else [each.format(port=proxy.port) for each in host]
    reach(session, server, proxy, users, sshproxy_host=name, sshproxy_port=1)
    assert session.is_alive()


@pytest.mark.parametrize("way", ["file", "object", "locked", "locked_by_password", "folder", "agent"])
def test_with_a_key_there(
    session: X2GoControlSession,
    server: Sshd,
    proxy: Sshd,
    users: tuple[Account, Account],
    keys: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    key, before = keys / "id_ed25519", len(proxy.log_text())
    (tmp_path / "ssh").symlink_to(keys)
    ways: dict[str, dict[str, object]] = {
        "file": {"sshproxy_key_filename": str(key)},
        "object": {"sshproxy_pkey": paramiko.Ed25519Key.from_private_key_file(str(key))},
        "locked": {"sshproxy_key_filename": str(keys / "locked"), "sshproxy_passphrase": PASSPHRASE},
        "locked_by_password": {"sshproxy_key_filename": str(keys / "locked"), "sshproxy_password": PASSPHRASE},
        "folder": {"sshproxy_look_for_keys": True},
        "agent": {"sshproxy_allow_agent": True},
    }
    with ssh_agent(tmp_path, monkeypatch, key):
        reach(session, server, proxy, users, **{"sshproxy_password": None, **ways[way]})
    assert logins(proxy, users[1], before) == ["accepted publickey"]
    assert session.is_alive()


def test_forcing_the_password_there(
    session: X2GoControlSession, server: Sshd, proxy: Sshd, users: tuple[Account, Account], keys: Path
) -> None:
    before = len(proxy.log_text())
    key = str(keys / "id_ed25519")
    reach(session, server, proxy, users, sshproxy_key_filename=key, sshproxy_force_password_auth=True)
    assert logins(proxy, users[1], before) == ["accepted password"]


def test_logins_that_the_proxy_refuses(
    session: X2GoControlSession, server: Sshd, proxy: Sshd, users: tuple[Account, Account], keys: Path
) -> None:
    for wrong in ("wrong-proxy-pw", None):
        with pytest.raises(X2GoSSHProxyAuthenticationException) as refusal:
            reach(session, server, proxy, users, sshproxy_password=wrong)
        assert "wrong-proxy-pw" not in str(refusal.value)
    with pytest.raises(X2GoSSHProxyPasswordRequiredException, match="needs its passphrase"):
        reach(session, server, proxy, users, sshproxy_password=None, sshproxy_key_filename=str(keys / "locked"))
    assert not session.is_connected()


def test_a_login_that_the_server_refuses_is_not_the_proxy_s(
    session: X2GoControlSession, server: Sshd, proxy: Sshd, users: tuple[Account, Account]
) -> None:
    with pytest.raises(paramiko.AuthenticationException, match=users[0].name):
        session.connect(
            "127.0.0.1",
            server.port,
            users[0].name,
            "wrong",
            use_sshproxy=True,
            sshproxy_host=f"127.0.0.1:{proxy.port}",
            sshproxy_user=users[1].name,
            sshproxy_password=PROXY_PASSWORD,
        )
    wait_until(lambda: not proxy.connections(), "the end of the connection to the proxy")


def test_host_keys_of_both(
    session: X2GoControlSession, server: Sshd, proxy: Sshd, users: tuple[Account, Account], tmp_path: Path
) -> None:
    path = known(tmp_path, server)
    with pytest.raises(X2GoSSHProxyHostKeyException, match="is not known"):
        reach(session, server, proxy, users)
    no, yes = Asked(False), Asked(True)
    with pytest.raises(X2GoSSHProxyHostKeyException):
        reach(session, server, proxy, users, session_instance=no)
    reach(session, server, proxy, users, session_instance=yes)
    assert [question[1] for question in (*no.questions, *yes.questions)] == [proxy.port, proxy.port]
    path.write_text("")
    both = Asked(True)
    reach(session, server, proxy, users, session_instance=both)
    assert [question[1] for question in both.questions] == [proxy.port, server.port]
    words = make_key(tmp_path / "other").split()
    path.write_text(proxy.host_key_lines("127.0.0.1") + f"[127.0.0.1]:{server.port} {words[0]} {words[1]}\n")
    with pytest.raises(BadHostKeyException):
        reach(session, server, proxy, users)
    path.write_text(f"[127.0.0.1]:{proxy.port} {words[0]} {words[1]}\n")
    with pytest.raises(X2GoSSHProxyHostKeyException, match="is not the known one"):
        reach(session, server, proxy, users, add_to_known_hosts=True)


def test_a_proxy_that_forbids_forwarding_or_does_not_get_there(
    session: X2GoControlSession, server: Sshd, proxy: Sshd, users: tuple[Account, Account], tmp_path: Path
) -> None:
    with sshd(tmp_path / "strict", config="AllowTcpForwarding no", kinds=("ed25519",)) as strict:
        known(tmp_path, server, strict)
        with pytest.raises(X2GoSSHProxyException, match="AllowTcpForwarding"):
            reach(session, server, strict, users)
    known(tmp_path, server, proxy)
    with pytest.raises(X2GoSSHProxyException, match="the proxy cannot reach it"):
        reach(session, server, proxy, users, sshproxy_tunnel=f"localhost:0:127.0.0.1:{free_port()}")


def test_a_proxy_that_is_not_there(
    session: X2GoControlSession, server: Sshd, proxy: Sshd, users: tuple[Account, Account]
) -> None:
    with pytest.raises(X2GoSSHProxyException, match="Connection refused"):
        reach(session, server, proxy, users, sshproxy_port=free_port())
    with pytest.raises(X2GoSSHProxyException, match="cannot be resolved"):
        reach(session, server, proxy, users, sshproxy_host="no-such-host.invalid")
    for name in (None, "", "a b"):
        with pytest.raises(X2GoSSHProxyException, match=r"sshproxy_host names no host|cannot be used"):
            reach(session, server, proxy, users, sshproxy_host=name)


def test_the_proxy_goes_away(
    session: X2GoControlSession, server: Sshd, proxy: Sshd, users: tuple[Account, Account]
) -> None:
    reach(session, server, proxy, users)
    proxy.end_connections()
    with pytest.raises(X2GoControlSessionException):
        session.command("sleep 20")
    assert session.has_session_died()
    assert session.disconnect() is False


def test_sshproxy_tunnel_names_the_server_and_opens_a_port_here(
    session: X2GoControlSession, server: Sshd, proxy: Sshd, users: tuple[Account, Account]
) -> None:
    local = free_port()
    tunnel = f"localhost:{local}:127.0.0.1:{server.port}"
    session.connect(
        "elsewhere.invalid",
        22,
        users[0].name,
        PASSWORD,
        use_sshproxy=True,
        sshproxy_host="127.0.0.1",
        sshproxy_port=proxy.port,
        sshproxy_user=users[1].name,
        sshproxy_password=PROXY_PASSWORD,
        sshproxy_tunnel=tunnel,
    )
    assert (session.get_hostname(), session.get_port()) == ("127.0.0.1", server.port)
    with socket.create_connection(("127.0.0.1", local), 10) as visitor:
        assert visitor.recv(4) == b"SSH-"
    session.disconnect()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", local), 10)


@pytest.mark.parametrize("tunnel", ["22", "a:b:c:d", "localhost:1:host:70000", "::1:1:host:22", ":1:h:2"])
def test_a_tunnel_that_is_none(
    session: X2GoControlSession, server: Sshd, proxy: Sshd, users: tuple[Account, Account], tunnel: str
) -> None:
    with pytest.raises(X2GoSSHProxyException, match="<local-address>:<local-port>:<remote-address>:<remote-port>"):
        reach(session, server, proxy, users, sshproxy_tunnel=tunnel)


def test_an_address_of_another_machine_cannot_be_listened_on(
    session: X2GoControlSession, server: Sshd, proxy: Sshd, users: tuple[Account, Account]
) -> None:
    with pytest.raises(X2GoSSHProxyException, match=r"192\.0\.2\.1"):
        reach(session, server, proxy, users, sshproxy_tunnel=f"192.0.2.1:4000:127.0.0.1:{server.port}")
