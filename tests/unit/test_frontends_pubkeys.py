"""Public keys ready for authorized_keys: only what is a key, each with its restrictions."""

from __future__ import annotations

import pwd
import socket
import subprocess
from pathlib import Path

import pytest

from x2gobroker.frontends.pubkeys import authorized_keys
from x2gobroker.settings import Settings
from x2gobroker.ssh.authorized_keys import RESTRICTIONS, public_keys

USER = "somebody"
BASE64 = "AAAAC3NzaC1lZDI1NTE5AAAAIJ5Zc3Rlc3RrZXl0ZXN0a2V5dGVzdGtleXRlc3Q="


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of the broker's user, with an .ssh folder."""
    (tmp_path / ".ssh").mkdir()
    entry = pwd.struct_passwd((USER, "x", 7000, 7000, "", str(tmp_path), "/bin/sh"))
    monkeypatch.setattr("pwd.getpwnam", {USER: entry}.__getitem__)
    return tmp_path


def settings(user: str = USER, command: str = "/usr/lib/x2go/x2gobroker-agent") -> Settings:
    return Settings({("environment", "X2GOBROKER_DAEMON_USER"): user, ("environment", "X2GOBROKER_AGENT_CMD"): command})


@pytest.mark.parametrize("kind", ["rsa", "ed25519", "ecdsa"])
def test_keys_of_ssh_keygen_are_given_with_command_restrictions_and_owner(home: Path, kind: str) -> None:
    path = home / ".ssh" / f"id_{kind}"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "a comment", "-f", str(path)], check=True, timeout=30
    )
    words = path.with_suffix(".pub").read_text().split()
    assert authorized_keys(settings()) == (
        f'command="/usr/lib/x2go/x2gobroker-agent",{RESTRICTIONS} {words[0]} {words[1]} {USER}@{socket.gethostname()}\n'
    )


@pytest.mark.parametrize(
    "kind",
    [
        "ssh-rsa",
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    ],
)
def test_every_type_of_key_that_openssh_has_is_a_key(tmp_path: Path, kind: str) -> None:
    (tmp_path / "id_x.pub").write_text(f"{kind} {BASE64} me@here\n")
    assert public_keys(tmp_path) == [(kind, BASE64)]


@pytest.mark.parametrize("comment", ["Schlüssel des Brokers".encode(), "Schlüssel".encode("latin-1")])
def test_a_key_whose_comment_is_not_ascii_is_a_key(tmp_path: Path, comment: bytes) -> None:
    (tmp_path / "id_x.pub").write_bytes(b"ssh-ed25519 " + BASE64.encode() + b" " + comment + b"\n")
    assert public_keys(tmp_path) == [("ssh-ed25519", BASE64)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ssh-rsa",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n",
        b'command="x" ssh-rsa AAAA',
        b"ssh-rsa not_base64!",
        b"ssh-rsa AAA",
        b"ssh-rsa\xff AAAA",
        b"ssh-rsa AAA\xff",
        b"SSH-RSA AAAA",
        b"ssh-rsa,x AAAA",
    ],
)
def test_what_is_no_key_is_left_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "id_bad.pub").write_bytes(content)
    (tmp_path / "id_good.pub").write_text(f"ssh-ed25519 {BASE64}\n")
    assert public_keys(tmp_path) == [("ssh-ed25519", BASE64)]


def test_only_files_of_public_keys_are_opened_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("id_b.pub", "id_a.pub", "id_rsa", "other.pub", "authorized_keys"):
        (tmp_path / name).write_text(f"ssh-{name.replace('_', '-')} {BASE64}\n")
    (tmp_path / "id_folder.pub").mkdir()
    assert [kind for kind, _ in public_keys(tmp_path)] == ["ssh-id-a.pub", "ssh-id-b.pub"]


def test_the_folder_of_the_keys_may_be_another_one(home: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "id_a.pub").write_text(f"ssh-ed25519 {BASE64}\n")
    values = {**settings("nobody-of-this-name").values, ("environment", "X2GOBROKER_SSH_FOLDER"): f"{tmp_path}/keys"}
    assert BASE64 in authorized_keys(Settings(values))


def test_several_keys_are_several_lines(home: Path) -> None:
    for name in ("id_a.pub", "id_b.pub"):
        (home / ".ssh" / name).write_text(f"ssh-ed25519 {BASE64}\n")
    assert len(authorized_keys(settings()).splitlines()) == 2


def test_a_user_without_keys_or_no_user_at_all_has_no_lines(home: Path) -> None:
    assert authorized_keys(settings()) == ""
    assert authorized_keys(settings("nobody-of-this-name")) == ""
    (home / ".ssh").rmdir()
    assert authorized_keys(settings()) == ""


@pytest.mark.parametrize("command", ['/x"; rm -rf /; "', "/x\ny"])
def test_a_command_cannot_leave_its_quotes_or_its_line(home: Path, command: str) -> None:
    (home / ".ssh" / "id_a.pub").write_text(f"ssh-ed25519 {BASE64}\n")
    (line,) = authorized_keys(settings(command=command)).splitlines()
    assert line.count('"') == 2
    assert line.endswith(f"ssh-ed25519 {BASE64} {USER}@{socket.gethostname()}")
