"""Control sessions log in: keys, agent, passwords, in the documented order, over a real sshd."""

from __future__ import annotations

import getpass
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from tests.support.accounts import Account, account_with_home
from tests.support.control import PASSPHRASE, control, known, logins, new_key, ssh_agent
from tests.support.leftovers import nothing_left
from tests.support.processes import wait_until
from tests.support.sshd import KINDS, Sshd, make_key, sshd
from x2gobroker.ssh import login
from x2gobroker.ssh.keys import fingerprint
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.errors import X2GoControlSessionException
from x2gobroker.x2go.wire.commands import word

PASSWORD = "Right-pw-1 é ☃"
HOLD_AGENT = """
import os, socket, time
agent = socket.socket(socket.AF_UNIX)
agent.connect(os.environ["SSH_AUTH_SOCK"])
time.sleep(60)
"""


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    with account_with_home(PASSWORD) as made:
        yield made


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys that the server takes: one of each kind, and one that is locked."""
    folder = tmp_path_factory.mktemp("keys")
    for kind in KINDS:
        make_key(folder / kind, kind)
    new_key(folder, "locked", locked=True)
    new_key(folder, "locked_rsa", locked=True, kind="rsa")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, user: Account, keys: Path) -> Iterator[Sshd]:
    lines = "\n".join(path.read_text().strip() for path in keys.glob("*.pub"))
    config = "Subsystem sftp /usr/lib/openssh/sftp-server"
    with sshd(tmp_path_factory.mktemp("sshd"), authorized={user.name: lines}, config=config) as running:
        yield running


@pytest.fixture
def session(server: Sshd, tmp_path: Path) -> Iterator[X2GoControlSession]:
    """One that knows the server; nothing is left of it."""
    with nothing_left():
        made = control(known(tmp_path, server), tmp_path)
        yield made
        made.disconnect()


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A key that no server takes."""
    return new_key(tmp_path / "stranger", "id")[0]


def of_key(path: Path) -> str:
    """The fingerprint of a key."""
    return fingerprint(Path(f"{path}.pub").read_text().split()[1])


def test_a_password_logs_in_and_the_session_can_be_asked(
    session: X2GoControlSession, server: Sshd, user: Account
) -> None:
    assert (session.is_connected(), session.is_alive(), session.get_hostname(), session.get_port()) == (
        False,
        False,
        None,
        None,
    )
    assert session.connect("127.0.0.1", server.port, user.name, PASSWORD) is True
    assert session.is_connected()
    assert session.is_alive()
    assert not session.has_session_died()
    assert session.home_exists()
    assert session.remote_home == str(user.home)
    assert session.remote_username() == user.name
    assert session.remote_peername() == ("127.0.0.1", server.port)
    assert (session.get_hostname(), session.get_port()) == ("127.0.0.1", server.port)
    transport = session.get_transport()
    assert transport is not None
    assert transport.is_authenticated()
    session.set_profile_name("another")
    assert session.profile_name == "another"
    assert session.disconnect() is True
    assert session.disconnect() is False
    assert not session.is_connected()
    assert not session.has_session_died()
    with pytest.raises(X2GoControlSessionException, match="not connected"):
        session.command("true")


def test_what_commands_say_comes_back(session: X2GoControlSession, server: Sshd, user: Account) -> None:
    (user.home / ".bashrc").write_text("echo hello from .bashrc\n")
    session.connect("127.0.0.1", server.port, user.name, PASSWORD)
    reply = session.command("echo 'ä \"$HOME\"'; echo problem >&2; exit 3")
    assert (reply.output, reply.errors, reply.status) == ('ä "$HOME"\n', "problem\n", 3)
    assert session.command("cat", input=b"some \xff input").output == "some � input"
    assert session.command("kill -9 $$").status is None
    with pytest.raises(X2GoControlSessionException, match="more than 1000 bytes"):
        session.command("head -c 100000 /dev/zero", max_bytes=1000)
    assert session.is_alive()
    (user.home / ".bashrc").unlink()


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_key_file_logs_in(session: X2GoControlSession, server: Sshd, user: Account, keys: Path, kind: str) -> None:
    before = len(server.log_text())
    session.connect("127.0.0.1", server.port, user.name, key_filename=str(keys / kind))
    assert logins(server, user, before) == ["accepted publickey"]
    assert of_key(keys / kind) in server.log_text()[before:]


def test_several_key_files_and_one_below_the_home_folder(
    session: X2GoControlSession,
    server: Sshd,
    user: Account,
    keys: Path,
    stranger: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = str(stranger.parent / "missing")
    session.connect("127.0.0.1", server.port, user.name, key_filename=[missing, str(stranger), str(keys / "ecdsa")])
    session.disconnect()
    monkeypatch.setenv("HOME", str(keys))
    session.connect("127.0.0.1", server.port, user.name, key_filename="~/ed25519")
    assert session.is_alive()


def test_a_key_object_and_the_text_of_a_key_log_in(
    session: X2GoControlSession, server: Sshd, user: Account, keys: Path
) -> None:
    for key in (paramiko.ECDSAKey.from_private_key_file(str(keys / "ecdsa")), (keys / "ed25519").read_text()):
        before = len(server.log_text())
        session.connect("127.0.0.1", server.port, user.name, pkey=key)
        assert logins(server, user, before) == ["accepted publickey"]


@pytest.mark.parametrize("name", ["locked", "locked_rsa"])
@pytest.mark.parametrize("by", ["passphrase", "password"])
def test_a_locked_key_is_unlocked_by_its_passphrase_or_else_by_the_password(
    session: X2GoControlSession, server: Sshd, user: Account, keys: Path, name: str, by: str
) -> None:
    session.connect("127.0.0.1", server.port, user.name, key_filename=str(keys / name), **{by: PASSPHRASE})  # type: ignore[arg-type]
    assert session.is_alive()


def test_a_locked_key_without_or_with_a_wrong_passphrase(
    session: X2GoControlSession, server: Sshd, user: Account, keys: Path
) -> None:
    locked = str(keys / "locked")
    with pytest.raises(paramiko.PasswordRequiredException, match="locked is locked, and needs its passphrase"):
        session.connect("127.0.0.1", server.port, user.name, key_filename=locked)
    with pytest.raises(paramiko.AuthenticationException, match="the passphrase does not unlock") as refusal:
        session.connect("127.0.0.1", server.port, user.name, key_filename=locked, passphrase="not-this-1")
    assert "not-this-1" not in str(refusal.value)
    assert not isinstance(refusal.value, paramiko.PasswordRequiredException)
    before = len(server.log_text())
    session.connect("127.0.0.1", server.port, user.name, PASSWORD, "not-this-1", key_filename=locked)
    assert logins(server, user, before) == ["accepted password"]


def test_force_password_auth_leaves_keys_alone(
    session: X2GoControlSession, server: Sshd, user: Account, keys: Path
) -> None:
    key = str(keys / "ed25519")
    before = len(server.log_text())
    session.connect("127.0.0.1", server.port, user.name, PASSWORD, key_filename=key, force_password_auth=True)
    assert logins(server, user, before) == ["accepted password"]
    with pytest.raises(paramiko.AuthenticationException, match="no key or password"):
        session.connect("127.0.0.1", server.port, user.name, key_filename=key, force_password_auth=True)


def test_keys_of_the_agent_and_of_the_ssh_folder_and_only_when_they_are_wanted(
    session: X2GoControlSession,
    server: Sshd,
    user: Account,
    keys: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh" / "id_rsa").symlink_to(keys / "rsa")
    (tmp_path / "ssh" / "id_ecdsa").write_text("no key at all")
    with ssh_agent(tmp_path, monkeypatch, keys / "ed25519"):
        with pytest.raises(paramiko.AuthenticationException, match="no key or password"):
            session.connect("127.0.0.1", server.port, user.name)
        for wanted, name in (("allow_agent", "ed25519"), ("look_for_keys", "rsa")):
            before = len(server.log_text())
            session.connect("127.0.0.1", server.port, user.name, **{wanted: True})  # type: ignore[arg-type]
            assert of_key(keys / name) in server.log_text()[before:]
            assert logins(server, user, before) == ["accepted publickey"]


def test_a_locked_key_of_the_ssh_folder_is_unlocked_or_left_out(
    session: X2GoControlSession, server: Sshd, user: Account, keys: Path, tmp_path: Path
) -> None:
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh" / "id_ed25519").symlink_to(keys / "locked")
    session.connect("127.0.0.1", server.port, user.name, passphrase=PASSPHRASE, look_for_keys=True)
    with pytest.raises(paramiko.AuthenticationException) as refusal:
        session.connect("127.0.0.1", server.port, user.name, look_for_keys=True)
    assert not isinstance(refusal.value, paramiko.PasswordRequiredException)
    session.connect("127.0.0.1", server.port, user.name, PASSWORD, look_for_keys=True)
    assert session.is_alive()


def test_the_documented_order(
    session: X2GoControlSession,
    server: Sshd,
    user: Account,
    stranger: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """First pkey and key_filename, then the agent, then ~/.ssh, then the password. The server refuses all keys."""
    in_agent, _ = new_key(tmp_path / "a", "agent")
    in_folder, _ = new_key(tmp_path / "ssh", "id_ed25519")
    given, _ = new_key(tmp_path / "b", "pkey")
    before = len(server.log_text())
    with ssh_agent(tmp_path, monkeypatch, in_agent):
        session.connect(
            "127.0.0.1",
            server.port,
            user.name,
            PASSWORD,
            pkey=paramiko.Ed25519Key.from_private_key_file(str(given)),
            key_filename=str(stranger),
            allow_agent=True,
            look_for_keys=True,
        )
    log = server.log_text()[before:]
    places = [log.index(of_key(path)) for path in (given, stranger, in_agent, in_folder)]
    assert places == sorted(places)
    assert logins(server, user, before)[-1] == "accepted password"


def test_an_agent_that_is_gone_or_hangs_does_not_matter(
    session: X2GoControlSession, server: Sshd, user: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "AGENT_SECONDS", 0.5)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    session.connect("127.0.0.1", server.port, user.name, PASSWORD, allow_agent=True)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "agent"))
        silent.listen()
        session.connect("127.0.0.1", server.port, user.name, PASSWORD, allow_agent=True)
        assert session.is_alive()


def test_two_factors_key_and_password(tmp_path: Path, user: Account, keys: Path) -> None:
    config = "AuthenticationMethods publickey,password"
    lines = (keys / "locked.pub").read_text()
    with sshd(tmp_path / "sshd", authorized={user.name: lines}, config=config, kinds=("ed25519",)) as other:
        session = control(known(tmp_path, other), tmp_path)
        locked = str(keys / "locked")
        assert session.connect("127.0.0.1", other.port, user.name, PASSWORD, PASSPHRASE, key_filename=locked)
        session.disconnect()
        with pytest.raises(paramiko.AuthenticationException):
            session.connect("127.0.0.1", other.port, user.name, passphrase=PASSPHRASE, key_filename=locked)


def test_the_local_user_is_the_default(session: X2GoControlSession, server: Sshd) -> None:
    with pytest.raises(paramiko.AuthenticationException, match=f"^{getpass.getuser()}@"):
        session.connect("127.0.0.1", server.port, password="wrong-pw")


def test_the_forwarded_agent_is_seen_on_the_server(
    session: X2GoControlSession,
    server: Sshd,
    user: Account,
    keys: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ssh_agent(tmp_path, monkeypatch, keys / "ed25519", keys / "ecdsa"):
        session.connect("127.0.0.1", server.port, user.name, PASSWORD, forward_sshagent=True)
        assert session.forward_sshagent is True
        for _ in range(3):
            reply = session.command("ssh-add -l")
            assert reply.status == 0, reply
            assert all(of_key(keys / kind) in reply.output for kind in ("ed25519", "ecdsa"))
        session.connect("127.0.0.1", server.port, user.name, PASSWORD, forward_sshagent=False)
        assert session.command("ssh-add -l").status == 2
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    session.connect("127.0.0.1", server.port, user.name, PASSWORD, forward_sshagent=True)
    assert session.is_alive()


def test_disconnecting_ends_a_program_s_use_of_the_forwarded_agent(
    server: Sshd, user: Account, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ssh_agent(tmp_path, monkeypatch, keys / "ed25519"), nothing_left():
        session = control(known(tmp_path, server), tmp_path, forward_sshagent=True)
        session.connect("127.0.0.1", server.port, user.name, PASSWORD)
        hold = f"python3 -c {word(HOLD_AGENT)}"
        held = threading.Thread(target=lambda: _swallow(session, hold), daemon=True)
        held.start()
        wait_until(lambda: any(t.name == "x2go-ssh-agent" for t in threading.enumerate()), "a use of the agent")
        session.disconnect()
        held.join(10)
        assert not held.is_alive()


def _swallow(session: X2GoControlSession, command: str) -> None:
    with pytest.raises(X2GoControlSessionException):
        session.command(command, 60)


def test_files_can_be_exchanged(session: X2GoControlSession, server: Sshd, user: Account) -> None:
    session.connect("127.0.0.1", server.port, user.name, PASSWORD)
    session.test_sftpclient()
    with session.sftp() as sftp, sftp.open("exchanged", "w") as stream:
        stream.write("content")
    assert (user.home / "exchanged").read_text() == "content"


def test_two_threads_and_many_use_one_session(session: X2GoControlSession, server: Sshd, user: Account) -> None:
    """More at once than sshd allows sessions on one connection."""
    session.connect("127.0.0.1", server.port, user.name, PASSWORD)
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        answers[number] = session.command(f"sleep 0.2; echo {number}").output

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == {number: f"{number}\n" for number in range(24)}


def test_connecting_again_closes_the_connection_before(
    session: X2GoControlSession, server: Sshd, user: Account, keys: Path
) -> None:
    session.connect("127.0.0.1", server.port, user.name, PASSWORD)
    first = session.get_transport()
    assert first is not None
    session.connect(["127.0.0.1"], server.port, f"{user.name}", key_filename=str(keys / "ed25519"))
    assert not first.is_active()
    assert session.is_alive()


def test_a_session_that_is_forgotten_leaves_nothing(server: Sshd, user: Account, tmp_path: Path) -> None:
    with nothing_left():
        session = control(known(tmp_path, server), tmp_path)
        session.connect("127.0.0.1", server.port, user.name, PASSWORD)
        del session
