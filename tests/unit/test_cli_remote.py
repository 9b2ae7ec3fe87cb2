"""How `x2gobroker-remote` starts: its socket, TLS, and what the configuration says of who may connect."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from x2gobroker.cli.remote.service import go_on_as, listen_at, main, rules_of, tls_of
from x2gobroker.errors import ConfigurationError
from x2gobroker.settings import GLOBAL, Settings


def test_the_port_sends_at_once() -> None:
    """asyncio turns TCP_NODELAY on only for sockets that name TCP; without it each picture waits 30 ms."""
    with listen_at("127.0.0.1:0", os.getegid()) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        address, port = listener.getsockname()
        assert address == "127.0.0.1"
        with pytest.raises(ConfigurationError, match="cannot listen on"):
            listen_at(f"127.0.0.1:{port}", os.getegid())
    with listen_at("[::1]:0", os.getegid()) as listener:
        assert listener.getsockname()[0] == "::1"


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "remote.sock"
    with listen_at(str(path), os.getegid()):
        status = path.stat()
        assert stat.S_ISSOCK(status.st_mode)
        assert status.st_mode & 0o777 == 0o660


@pytest.mark.parametrize("place", ["6080x", "127.0.0.1:", "127.0.0.1:99999", "nowhere.invalid:6080"])
def test_what_is_no_place_to_listen(place: str) -> None:
    with pytest.raises(ConfigurationError, match="remote-listen"):
        listen_at(place, os.getegid())


def test_certificates(tmp_path: Path) -> None:
    assert tls_of(Settings()) is None
    nonsense = tmp_path / "cert.pem"
    nonsense.write_text("nothing", encoding="ascii")
    for path in (nonsense, tmp_path / "missing.pem"):
        settings = Settings({(GLOBAL, "remote-tls-certificate"): str(path)})
        with pytest.raises(ConfigurationError, match="remote-tls-certificate"):
            tls_of(settings)


def test_the_rules_of_a_configuration() -> None:
    rules = rules_of(Settings())
    assert (rules.origins, rules.most, rules.per_user, rules.per_address) == ((), 2000, 20, 200)
    assert [str(network) for network in rules.proxies] == ["127.0.0.0/8", "::1/128"]
    assert rules.password is None
    given = Settings({(GLOBAL, "remote-vnc-password"): "Vnc-pw-1", (GLOBAL, "remote-origins"): ("https://a.example",)})
    assert rules_of(given).password == "Vnc-pw-1"
    assert rules_of(given).origins == ("https://a.example",)


def test_rights_cannot_be_given_to_nobody_known() -> None:
    with pytest.raises(ConfigurationError, match="X2GOBROKER_DAEMON_USER"):
        go_on_as("x2gt-no-such-user")


def test_it_says_why_it_does_not_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "x2gobroker.conf"
    config.write_text("[global]\n", encoding="utf-8")
    assert main(["-C", str(config)]) == 2
    assert "names no file of session types" in capsys.readouterr().err
