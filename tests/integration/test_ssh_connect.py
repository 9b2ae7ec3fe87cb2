"""Connections and commands over a real sshd."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from tests.support.accounts import Account, account_with_home
from tests.support.processes import free_port, wait_until
from tests.support.sshd import KINDS, Sshd, make_key, sshd
from x2gobroker.errors import SshError
from x2gobroker.model.hosts import Endpoint
from x2gobroker.ssh.connect import connect
from x2gobroker.ssh.execute import Executed, execute
from x2gobroker.ssh.failures import HostKeyRefused, LoginRefused, SshTimeout, Unreachable
from x2gobroker.ssh.keys import fingerprint
from x2gobroker.ssh.routes import AUTO_ADD, Login, Route, Trust
from x2gobroker.ssh.wire import Wire

PASSWORD = "Right-pw-1 é ☃"
SECONDS = 10.0


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    with account_with_home(PASSWORD) as made:
        yield made


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys of all kinds, all authorized."""
    folder = tmp_path_factory.mktemp("keys")
    for kind in KINDS:
        make_key(folder / f"id_{kind}", kind)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, user: Account, keys: Path) -> Iterator[Sshd]:
    lines = "\n".join(path.read_text().strip() for path in keys.glob("*.pub"))
    with sshd(tmp_path_factory.mktemp("sshd"), authorized={user.name: lines}) as running:
        yield running


@pytest.fixture
def route(server: Sshd, user: Account, keys: Path, tmp_path: Path) -> Route:
    (tmp_path / "known_hosts").write_text(server.host_key_lines("127.0.0.1"))
    endpoint = Endpoint("srv", "127.0.0.1", server.port)
    return Route(endpoint, Login(user.name, keys), Trust((tmp_path / "known_hosts",)))


@pytest.fixture
def transport(route: Route) -> Iterator[paramiko.Transport]:
    with connect(route, SECONDS) as connected:
        yield connected


def run(route: Route, command: str = "echo done", seconds: float = SECONDS) -> Executed:
    with connect(route, seconds) as transport:
        return execute(transport, command, seconds)


def only(folder: Path, keys: Path, *kinds: str) -> Path:
    """A folder with these keys only."""
    folder.mkdir()
    for kind in kinds:
        (folder / f"id_{kind}").symlink_to(keys / f"id_{kind}")
    return folder


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_kind_of_key_logs_in(route: Route, keys: Path, tmp_path: Path, kind: str, server: Sshd) -> None:
    login = Login(route.login.user, only(tmp_path / "only", keys, kind))
    assert run(replace(route, login=login)).output == b"done\n"
    words = (keys / f"id_{kind}.pub").read_text().split()
    assert f"Accepted publickey for {login.user}" in server.log_text()
    assert f"ssh2: {kind.upper()} {fingerprint(words[1])}" in server.log_text()


def test_a_server_that_has_only_the_key_of_before_is_named(
    route: Route, keys: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = only(tmp_path / "mine", keys, "ecdsa")
    (folder / "id_ecdsa").rename(folder / "id_ecdsa_old")
    login = Login(route.login.user, folder)
    assert run(replace(route, login=login)).status == 0
    assert "old key" not in caplog.text, "there is no new one"
    make_key(folder / "id_ed25519", "ed25519")
    assert run(replace(route, login=login)).status == 0
    words = (keys / "id_ecdsa.pub").read_text().split()
    assert f"takes the old key ECDSA {fingerprint(words[1])} only" in caplog.text
    caplog.clear()
    (folder / "id_rsa").symlink_to(keys / "id_rsa")
    assert run(replace(route, login=login)).status == 0
    assert "old key" not in caplog.text, "the server takes a new one"


def test_a_key_given_as_text_logs_in(route: Route, keys: Path) -> None:
    login = Login(route.login.user, private_key=(keys / "id_ed25519").read_text())
    assert run(replace(route, login=login)).status == 0
    assert "PRIVATE" not in repr(login)


@pytest.mark.parametrize("interactive", [False, True])
def test_a_password_logs_in(route: Route, tmp_path: Path, user: Account, interactive: bool) -> None:
    words = ("no", "yes") if interactive else ("yes", "no")
    config = f"PasswordAuthentication {words[0]}\nKbdInteractiveAuthentication {words[1]}"
    with sshd(tmp_path / "sshd", config=config, kinds=("ed25519",)) as other:
        trust = Trust((tmp_path / "empty",), AUTO_ADD)
        wanted = replace(route, endpoint=replace(route.endpoint, port=other.port), trust=trust)
        good, bad = Login(user.name, password=PASSWORD), Login(user.name, password="wrong-pw-1")
        assert run(replace(wanted, login=good)).status == 0
        with pytest.raises(LoginRefused, match="the password") as refusal:
            connect(replace(wanted, login=bad), SECONDS)
        assert "wrong-pw-1" not in str(refusal.value) + repr(bad)
        assert other.log_text().count("Failed") <= 2


def test_key_and_password_together_where_the_server_wants_both(route: Route, keys: Path, tmp_path: Path) -> None:
    config = "AuthenticationMethods publickey,password"
    lines = (keys / "id_ed25519.pub").read_text()
    user = route.login.user
    with sshd(tmp_path / "sshd", authorized={user: lines}, config=config, kinds=("ed25519",)) as other:
        trust = Trust((tmp_path / "empty",), AUTO_ADD)
        wanted = replace(route, endpoint=replace(route.endpoint, port=other.port), trust=trust)
        assert run(replace(wanted, login=Login(user, keys, PASSWORD))).status == 0
        with pytest.raises(LoginRefused):
            connect(replace(wanted, login=Login(user, keys)), SECONDS)


def test_a_refused_login_says_what_to_do_and_stops_before_it_looks_like_an_attack(
    route: Route, tmp_path: Path, server: Sshd
) -> None:
    folder = tmp_path / "others"
    folder.mkdir()
    made = [make_key(folder / f"id_{kind}", kind).split()[1] for kind in KINDS]
    before = len(server.log_text())
    with pytest.raises(LoginRefused) as refusal:
        connect(replace(route, login=Login(route.login.user, folder)), SECONDS)
    text = str(refusal.value)
    for part in ("x2gobroker-pubkeyauthorizer", f"~{route.login.user}/.ssh/authorized_keys", *map(fingerprint, made)):
        assert part in text
    assert "Too many authentication failures" not in server.log_text()[before:]
    with pytest.raises(LoginRefused, match=f"no key .*{tmp_path}.*x2gobroker-keygen"):
        connect(replace(route, login=Login(route.login.user, tmp_path)), SECONDS)


def test_a_server_that_takes_no_rsa_keys_is_not_asked_with_one(route: Route, keys: Path, tmp_path: Path) -> None:
    lines = "".join((keys / f"id_{kind}.pub").read_text() for kind in ("rsa", "ecdsa"))
    config = "PubkeyAcceptedAlgorithms ssh-ed25519,ecdsa-sha2-nistp256"
    user = route.login.user
    with sshd(tmp_path / "sshd", authorized={user: lines}, config=config, kinds=("ed25519",)) as other:
        trust = Trust((tmp_path / "empty",), AUTO_ADD)
        wanted = replace(route, endpoint=replace(route.endpoint, port=other.port), trust=trust)
        rsa_only = Login(user, only(tmp_path / "rsa", keys, "rsa"), PASSWORD)
        assert run(replace(wanted, login=rsa_only)).status == 0  # by the password
        assert run(replace(wanted, login=Login(user, keys))).status == 0


def test_a_server_that_has_enough_of_it_early_is_a_refusal(route: Route, tmp_path: Path) -> None:
    folder = tmp_path / "others"
    folder.mkdir()
    for kind in KINDS:
        make_key(folder / f"id_{kind}", kind)
    with sshd(tmp_path / "sshd", config="MaxAuthTries 2", kinds=("ed25519",)) as other:
        trust = Trust((tmp_path / "empty",), AUTO_ADD)
        wanted = replace(route, endpoint=replace(route.endpoint, port=other.port), trust=trust)
        with pytest.raises(LoginRefused):
            connect(replace(wanted, login=Login(route.login.user, folder)), SECONDS)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_server_known_by_any_one_of_its_keys_is_known(route: Route, server: Sshd, kind: str) -> None:
    route.trust.files[0].write_text(server.host_key_lines("srv", kind))
    assert run(route).status == 0


def test_an_unknown_server_is_refused_and_can_be_trusted(route: Route, server: Sshd) -> None:
    route.trust.files[0].write_text("")
    with pytest.raises(HostKeyRefused) as refusal:
        connect(route, SECONDS)
    assert refusal.value.unknown
    assert refusal.value.key.blob in server.host_key_lines("x")
    with pytest.raises(HostKeyRefused):
        connect(route, SECONDS)
    learning = replace(route, trust=replace(route.trust, policy=AUTO_ADD))
    assert run(learning).status == 0
    assert run(route).status == 0


def test_a_server_with_another_key_is_refused_before_anybody_logs_in(
    route: Route, server: Sshd, tmp_path: Path
) -> None:
    make_key(tmp_path / "other")
    words = (tmp_path / "other.pub").read_text().split()
    route.trust.files[0].write_text(f"[127.0.0.1]:{server.port} {words[0]} {words[1]}\n")
    before = len(server.log_text())
    with pytest.raises(HostKeyRefused, match="is not the known one"):
        connect(replace(route, trust=replace(route.trust, policy=AUTO_ADD)), SECONDS)
    assert "publickey" not in server.log_text()[before:]


def test_nobody_there_and_no_such_name(route: Route) -> None:
    with pytest.raises(Unreachable, match="Connection refused"):
        connect(replace(route, endpoint=Endpoint("srv", "127.0.0.1", free_port())), SECONDS)
    for address in ("no-such-host.invalid", "fe80::1%no-such-zone", "[::1]"):
        with pytest.raises(Unreachable, match="cannot be resolved"):
            connect(replace(route, endpoint=Endpoint("x", address, 22)), SECONDS)


def test_output_errors_and_exit_status_come_back(transport: paramiko.Transport) -> None:
    done = execute(transport, "echo out; echo err >&2; exit 7", SECONDS)
    assert done == Executed(b"out\n", b"err\n", 7)
    assert execute(transport, "true", SECONDS) == Executed(b"", b"", 0)
    assert execute(transport, "kill -9 $$", SECONDS).status is None
    assert execute(transport, "no-such-command-here", SECONDS).status == 127


def test_much_goes_in_and_out_at_once(transport: paramiko.Transport) -> None:
    data = bytes(range(256)) * 20_000
    done = execute(transport, "cat; echo end >&2", SECONDS * 3, max_bytes=6_000_000, input=data)
    assert done.output == data
    assert done.errors == b"end\n"


def test_more_on_the_error_stream_than_a_window_does_not_jam(transport: paramiko.Transport) -> None:
    done = execute(transport, "head -c 4000000 /dev/zero >&2; echo ok", SECONDS * 3, max_bytes=5_000_000)
    assert (len(done.errors), done.output) == (4_000_000, b"ok\n")


@pytest.mark.parametrize(("mark", "pause"), [(b"LAST", 3.0), (b"", 1.0)])
def test_output_that_comes_after_the_exit_status_is_part_of_the_answer(
    transport: paramiko.Transport, mark: bytes, pause: float
) -> None:
    """On a slow line, sshd is long through with a command while its output is still under way."""
    done = execute(transport, f"(echo first; sleep {pause}; echo LAST) & exit 0", 20, mark=mark)
    assert (done.output, done.status) == (b"first\nLAST\n", 0)


def test_what_is_left_in_the_background_does_not_hold_the_answer_up(transport: paramiko.Transport) -> None:
    begun = time.monotonic()
    assert execute(transport, "sleep 20 & echo ok", SECONDS).output == b"ok\n"
    assert time.monotonic() - begun < 3


def test_too_much_output_ends_the_command(transport: paramiko.Transport) -> None:
    begun = time.monotonic()
    for command in ("head -c 100000000 /dev/zero", "yes >&2"):
        with pytest.raises(SshError, match="more than 100000 bytes"):
            execute(transport, command, SECONDS, max_bytes=100_000)
    assert time.monotonic() - begun < SECONDS
    assert execute(transport, "echo alive", SECONDS).output == b"alive\n"


@pytest.mark.parametrize("command", ["sleep 30", "while :; do echo x; sleep 0.1; done", "exec 1>&- 2>&-; sleep 30"])
def test_a_command_ends_at_its_deadline(transport: paramiko.Transport, command: str) -> None:
    begun = time.monotonic()
    with pytest.raises(SshTimeout, match=r"within 0\.5 s"):
        execute(transport, command, 0.5)
    assert 0.4 < time.monotonic() - begun < 10


def test_small_packets_are_sent_at_once(transport: paramiko.Transport) -> None:
    """A warm command takes 5 ms then, and 44 ms without; bench/ has the figures."""
    wire = transport.sock
    assert isinstance(wire, Wire)
    assert isinstance(wire.inner, socket.socket)
    assert wire.inner.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_through_a_proxy(route: Route, server: Sshd) -> None:
    done = run(replace(route, proxy=route), "echo $SSH_CONNECTION")
    assert done.output.split()[0] == b"127.0.0.1"
    assert run(replace(route, proxy=replace(route, proxy=route))).output == b"done\n"
    nobody = replace(route, endpoint=Endpoint("srv", "127.0.0.1", free_port()), proxy=route)
    with pytest.raises(Unreachable, match="the proxy cannot reach it"):
        connect(nobody, SECONDS)


def test_a_connection_to_the_proxy_ends_with_the_one_through_it(route: Route, server: Sshd) -> None:
    wait_until(lambda: not server.connections(), "the end of earlier connections")
    transport = connect(replace(route, proxy=route), SECONDS)
    assert len(server.connections()) == 2
    transport.close()
    wait_until(lambda: not server.connections(), "the end of both connections")


def test_a_proxy_that_forbids_it_or_is_not_known(route: Route, keys: Path, tmp_path: Path) -> None:
    lines = (keys / "id_ed25519.pub").read_text()
    user = route.login.user
    with sshd(tmp_path / "sshd", authorized={user: lines}, config="AllowTcpForwarding no", kinds=("ed25519",)) as other:
        trust = Trust((tmp_path / "empty",), AUTO_ADD)
        proxy = replace(route, endpoint=replace(route.endpoint, port=other.port), trust=trust)
        with pytest.raises(Unreachable, match="AllowTcpForwarding"):
            connect(replace(route, proxy=proxy), SECONDS)
        other.stop()
        with pytest.raises(Unreachable, match="Connection refused"):
            connect(replace(route, proxy=proxy), SECONDS)
