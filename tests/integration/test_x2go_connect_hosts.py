"""Control sessions and host keys: unknown, wrong and changed ones, who is asked, and where they are remembered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from tests.support.accounts import Account, account_with_home
from tests.support.control import Asked, control, known
from tests.support.leftovers import nothing_left
from tests.support.processes import free_port
from tests.support.sshd import Sshd, make_key, sshd
from x2gobroker.ssh.keys import fingerprint
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.errors import BadHostKeyException, X2GoHostKeyException

PASSWORD = "Right-pw-1"


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    with account_with_home(PASSWORD) as made:
        yield made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd"), kinds=("ed25519",)) as running:
        yield running


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with nothing_left():
        yield


@pytest.fixture
def known_hosts(tmp_path: Path) -> Path:
    return tmp_path / "of-its-own" / "known_hosts"


@pytest.fixture
def session(known_hosts: Path, tmp_path: Path) -> Iterator[X2GoControlSession]:
    """One that knows no server yet."""
    made = control(known_hosts, tmp_path)
    yield made
    made.disconnect()


def shown(server: Sshd) -> tuple[str, str]:
    """Fingerprint and type of a server's key, as the hook is told."""
    words = (server.folder / "host_ed25519.pub").read_text().split()
    return fingerprint(words[1]), "SSH-ED25519"


def wrong_key(folder: Path, server: Sshd, name: str = "127.0.0.1") -> str:
    """A line of known_hosts with another key than the server's."""
    words = make_key(folder / "another_host_key").split()
    return f"[{name}]:{server.port} {words[0]} {words[1]}\n"


def test_an_unknown_host_key_is_refused(
    session: X2GoControlSession, server: Sshd, user: Account, known_hosts: Path
) -> None:
    before = len(server.log_text())
    with pytest.raises(paramiko.SSHException, match="is not known: ED25519 SHA256:") as refusal:
        session.connect("127.0.0.1", server.port, user.name, PASSWORD)
    assert isinstance(refusal.value, X2GoHostKeyException)
    assert not isinstance(refusal.value, BadHostKeyException)
    assert not session.is_connected()
    assert user.name not in server.log_text()[before:]
    assert known_hosts.read_text() == ""
    assert known_hosts.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("where", ["constructor", "connect", "policy"])
def test_an_unknown_host_key_is_remembered_where_that_is_wanted(
    server: Sshd, user: Account, known_hosts: Path, tmp_path: Path, where: str
) -> None:
    session = control(known_hosts, tmp_path, add_to_known_hosts=where == "constructor")
    if where == "policy":
        session.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    wish = True if where == "connect" else None
    session.connect("127.0.0.1", server.port, user.name, PASSWORD, add_to_known_hosts=wish)
    assert known_hosts.read_text() == server.host_key_lines("127.0.0.1")
    session.disconnect()
    stranger = control(known_hosts, tmp_path)
    stranger.connect("127.0.0.1", server.port, user.name, PASSWORD)
    assert stranger.get_host_keys().lookup(f"[127.0.0.1]:{server.port}") is not None
    stranger.disconnect()


@pytest.mark.parametrize("file", [True, False])
def test_add_to_known_hosts_false_takes_it_back(
    server: Sshd, user: Account, known_hosts: Path, tmp_path: Path, file: bool
) -> None:
    session = control(known_hosts if file else None, tmp_path, add_to_known_hosts=True)
    with pytest.raises(X2GoHostKeyException):
        session.connect("127.0.0.1", server.port, user.name, PASSWORD, add_to_known_hosts=False)


def test_the_hook_decides(session: X2GoControlSession, server: Sshd, user: Account, known_hosts: Path) -> None:
    no, yes = Asked(False), Asked(True)
    with pytest.raises(X2GoHostKeyException):
        session.connect("127.0.0.1", server.port, user.name, PASSWORD, session_instance=no)
    assert no.questions == [("127.0.0.1", server.port, *shown(server))]
    session.connect("127.0.0.1", server.port, user.name, PASSWORD, session_instance=yes)
    session.connect("127.0.0.1", server.port, user.name, PASSWORD, session_instance=yes)
    assert yes.questions == no.questions, "asked once"
    assert known_hosts.read_text() == server.host_key_lines("127.0.0.1")


def test_without_a_file_what_was_accepted_counts_as_long_as_the_session_lives(
    server: Sshd, user: Account, tmp_path: Path
) -> None:
    session, asked = control(None, tmp_path), Asked(True)
    for _ in range(2):
        session.connect("127.0.0.1", server.port, user.name, PASSWORD, session_instance=asked)
    assert len(asked.questions) == 1
    session.disconnect()
    learning = control(None, tmp_path, add_to_known_hosts=True)
    learning.connect("127.0.0.1", server.port, user.name, PASSWORD)
    learning.connect("127.0.0.1", server.port, user.name, PASSWORD, add_to_known_hosts=False)
    learning.disconnect()
    with pytest.raises(X2GoHostKeyException):
        control(None, tmp_path).connect("127.0.0.1", server.port, user.name, PASSWORD)


def test_keys_that_paramiko_s_store_was_given_count(server: Sshd, user: Account, tmp_path: Path) -> None:
    right, wrong = control(None, tmp_path), control(None, tmp_path)
    name = f"[127.0.0.1]:{server.port}"
    right.get_host_keys().add(name, "ssh-ed25519", paramiko.Ed25519Key(filename=str(server.folder / "host_ed25519")))
    right.connect("127.0.0.1", server.port, user.name, PASSWORD)
    right.disconnect()
    make_key(tmp_path / "other")
    wrong.get_host_keys().add(name, "ssh-ed25519", paramiko.Ed25519Key(filename=str(tmp_path / "other")))
    with pytest.raises(BadHostKeyException):
        wrong.connect("127.0.0.1", server.port, user.name, PASSWORD)


def test_other_files_of_known_hosts_count(
    session: X2GoControlSession, server: Sshd, user: Account, tmp_path: Path, known_hosts: Path
) -> None:
    path = known(tmp_path, server)
    path.write_text("this is no line\nhost ssh-ed25519 %%%\n" + path.read_text())
    session.load_system_host_keys(str(path))
    session.connect("127.0.0.1", server.port, user.name, PASSWORD)
    other = control(None, tmp_path)
    other.load_host_keys(str(path))
    other.connect("127.0.0.1", server.port, user.name, PASSWORD)
    other.disconnect()
    with pytest.raises(OSError, match="No such file"):
        other.load_host_keys(str(tmp_path / "missing"))


def test_a_policy_of_somebody_s_own(session: X2GoControlSession, server: Sshd, user: Account) -> None:
    class Policy(paramiko.MissingHostKeyPolicy):
        def __init__(self, takes: bool) -> None:
            self.takes, self.seen = takes, ""

        def missing_host_key(self, client: object, hostname: str, key: paramiko.PKey) -> None:
            self.seen = f"{hostname} {key.get_name()}"
            if not self.takes:
                raise paramiko.SSHException("I do not want it")

    never, always = Policy(False), Policy(True)
    session.set_missing_host_key_policy(never)
    with pytest.raises(paramiko.SSHException, match="I do not want it"):
        session.connect("127.0.0.1", server.port, user.name, PASSWORD)
    session.set_missing_host_key_policy(always)
    session.connect("127.0.0.1", server.port, user.name, PASSWORD)
    assert always.seen == never.seen == f"[127.0.0.1]:{server.port} ssh-ed25519"


@pytest.mark.parametrize("add", [False, True])
def test_a_wrong_host_key_is_refused_whatever_is_wanted(
    session: X2GoControlSession, server: Sshd, user: Account, known_hosts: Path, tmp_path: Path, add: bool
) -> None:
    known_hosts.parent.mkdir()
    known_hosts.write_text(wrong_key(tmp_path, server))
    before, asked = len(server.log_text()), Asked(True)
    with pytest.raises(BadHostKeyException) as refusal:
        session.connect("127.0.0.1", server.port, user.name, PASSWORD, add_to_known_hosts=add, session_instance=asked)
    error = refusal.value
    assert f"{known_hosts}:1" in str(error)
    assert error.hostname == "127.0.0.1"
    assert fingerprint(error.key.get_base64()) == shown(server)[0]
    assert error.expected_key.get_base64() in known_hosts.read_text()
    assert asked.questions == []
    assert user.name not in server.log_text()[before:]


def test_a_key_that_changed_between_two_connections(tmp_path: Path, user: Account, known_hosts: Path) -> None:
    session, port = control(known_hosts, tmp_path, add_to_known_hosts=True), free_port()
    with sshd(tmp_path / "before", port=port, kinds=("ed25519",)):
        session.connect("127.0.0.1", port, user.name, PASSWORD)
        session.disconnect()
    with sshd(tmp_path / "after", port=port, kinds=("ed25519",)) as other:
        with pytest.raises(BadHostKeyException, match="really has a new key, remove that line"):
            session.connect("127.0.0.1", port, user.name, PASSWORD)
        known_hosts.write_text(other.host_key_lines("127.0.0.1"))
        assert session.connect("127.0.0.1", port, user.name, PASSWORD, add_to_known_hosts=False)
        session.disconnect()


def test_localhost_is_known_under_both_names(
    session: X2GoControlSession, server: Sshd, user: Account, known_hosts: Path
) -> None:
    session.connect(" localhost ", server.port, user.name, PASSWORD, add_to_known_hosts=True)
    assert known_hosts.read_text().startswith(f"[localhost]:{server.port},[127.0.0.1]:{server.port} ")
    assert session.get_hostname() == "localhost"


def test_unique_aliases_name_the_profile(server: Sshd, user: Account, known_hosts: Path, tmp_path: Path) -> None:
    """Two profiles with one address, which leads to different servers."""
    known_hosts.parent.mkdir()
    known_hosts.write_text(wrong_key(tmp_path, server))
    session = control(known_hosts, tmp_path, unique_hostkey_aliases=True)
    mine, other = Asked(True, "profile-1"), Asked(True, "profile 2*")
    session.connect("127.0.0.1", server.port, user.name, PASSWORD, session_instance=mine)
    session.connect("127.0.0.1", server.port, user.name, PASSWORD, session_instance=other)
    assert len(mine.questions) == len(other.questions) == 1
    names = [line.split()[0] for line in known_hosts.read_text().splitlines()]
    assert names == [f"[127.0.0.1]:{server.port}", "profile-1", "profile_2_"]
    with pytest.raises(BadHostKeyException):
        session.connect("127.0.0.1", server.port, user.name, PASSWORD, unique_hostkey_aliases=False)
    assert session.unique_hostkey_aliases is False
    known_hosts.write_text(known_hosts.read_text().replace("profile-1", f"[127.0.0.1]:{server.port}"))
    words = make_key(tmp_path / "changed").split()
    known_hosts.write_text(f"profile-1 {words[0]} {words[1]}\n")
    with pytest.raises(BadHostKeyException):
        session.connect(
            "127.0.0.1", server.port, user.name, PASSWORD, unique_hostkey_aliases=True, session_instance=mine
        )


def test_unique_aliases_without_a_profile_have_the_port_always(
    session: X2GoControlSession, server: Sshd, user: Account, known_hosts: Path
) -> None:
    session.connect("127.0.0.1", server.port, user.name, PASSWORD, unique_hostkey_aliases=True, add_to_known_hosts=True)
    assert known_hosts.read_text() == server.host_key_lines("127.0.0.1")


def test_check_host(session: X2GoControlSession, server: Sshd, known_hosts: Path, tmp_path: Path) -> None:
    assert session.check_host("127.0.0.1", server.port) is False
    assert session.shown_host_key == shown(server)
    known_hosts.write_text(wrong_key(tmp_path, server))
    deceived = control(known_hosts, tmp_path)
    assert deceived.check_host("127.0.0.1", server.port) is False
    assert deceived.shown_host_key is None, "nobody is asked about a key that changed"
    known_hosts.write_text(server.host_key_lines("127.0.0.1"))
    knowing = control(known_hosts, tmp_path)
    assert knowing.check_host(" localhost", server.port) is True
    assert knowing.shown_host_key is None
    assert session.check_host("127.0.0.1", free_port()) is False
    assert session.check_host("no-such-host.invalid") is False
    assert not session.is_connected()


def test_load_session_host_keys_makes_the_file(session: X2GoControlSession, known_hosts: Path, tmp_path: Path) -> None:
    session.load_session_host_keys()
    assert known_hosts.read_text() == ""
    without = control(None, tmp_path)
    without.load_session_host_keys()
    assert without.get_host_keys() == {}
