"""`x2gobroker-keygen`. These tests run as root, and make the keys of the account `nobody`."""

from __future__ import annotations

import errno
import os
import pwd
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from x2gobroker.cli import keygen
from x2gobroker.ssh.authorized_keys import public_keys
from x2gobroker.ssh.keys import load_keys

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program takes the home folder of the account that it becomes: that is not to last."""
    monkeypatch.setenv("HOME", os.environ["HOME"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the keys go; it is not there yet."""
    monkeypatch.setenv("X2GOBROKER_SSH_FOLDER", str(tmp_path / "ssh"))
    monkeypatch.setenv("X2GOBROKER_DAEMON_USER", "nobody")
    monkeypatch.setenv("X2GOBROKER_DAEMON_GROUP", "nogroup")
    monkeypatch.setenv("X2GOBROKER_CONFIG", str(tmp_path / "x2gobroker.conf"))
    return tmp_path / "ssh"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ([], "id_rsa"),
        (["-t", "RSA"], "id_rsa"),
        (["---key-type", "rsa"], "id_rsa"),
        (["-t", "ecdsa"], "id_ecdsa"),
        (["--key-type=ED25519"], "id_ed25519"),
    ],
)
def test_a_key_is_written_for_the_broker(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], name: str
) -> None:
    assert keygen.main(arguments) == 0
    assert sorted(os.listdir(folder)) == [name, f"{name}.pub"]
    for path, mode in ((folder, 0o40700), (folder / name, 0o100600), (folder / f"{name}.pub", 0o100644)):
        status = path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode) == (NOBODY.pw_uid, NOBODY.pw_gid, mode)
    done = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(folder / f"{name}.pub")], capture_output=True, text=True, check=True, timeout=30
    )
    _, fingerprint, comment, kind = done.stdout.split()
    out = capsys.readouterr().out
    assert f"{kind.strip('()')} {fingerprint}" in out
    assert "x2gobroker-pubkeyauthorizer" in out
    assert comment == f"nobody@{socket.gethostname()}"
    (key,) = load_keys(folder)
    assert key.get_base64() == (folder / f"{name}.pub").read_text().split()[1]


def test_a_key_that_is_there_stays_unless_it_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keygen.main(["-t", "ed25519"]) == 0
    before = (folder / "id_ed25519").read_bytes(), (folder / "id_ed25519.pub").read_bytes()
    assert keygen.main(["-t", "ed25519"]) == 1
    assert "--force" in capsys.readouterr().err
    assert ((folder / "id_ed25519").read_bytes(), (folder / "id_ed25519.pub").read_bytes()) == before
    assert keygen.main(["-t", "ed25519", "--force"]) == 0
    assert (folder / "id_ed25519").read_bytes() != before[0]
    assert sorted(os.listdir(folder)) == ["id_ed25519", "id_ed25519.pub"]


def test_the_old_key_stays_beside_a_new_one_until_it_is_removed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keygen.main(["-t", "ed25519", "--keep-old"]) == 0  # there is none yet
    before = {name: (folder / name).read_bytes() for name in ("id_ed25519", "id_ed25519.pub")}
    assert sorted(os.listdir(folder)) == sorted(before)
    assert keygen.main(["-t", "ed25519", "--keep-old"]) == 0
    assert (folder / "id_ed25519_old").read_bytes() == before["id_ed25519"]
    assert (folder / "id_ed25519_old.pub").read_bytes() == before["id_ed25519.pub"]
    status = (folder / "id_ed25519_old").stat()
    assert (status.st_uid, status.st_mode) == (NOBODY.pw_uid, 0o100600)
    new, old = load_keys(folder)
    assert old.get_base64() == before["id_ed25519.pub"].decode().split()[1] != new.get_base64()
    assert {key for _kind, key in public_keys(folder)} == {new.get_base64(), old.get_base64()}
    now = (folder / "id_ed25519").read_bytes()
    assert keygen.main(["-t", "ed25519", "--keep-old"]) == 1
    assert "id_ed25519_old is there already, and nothing was changed" in capsys.readouterr().err
    assert (folder / "id_ed25519").read_bytes() == now


@pytest.mark.parametrize("option", ["--force", "--keep-old"])
def test_a_full_disk_leaves_a_pair_that_matches(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert keygen.main(["-t", "ed25519"]) == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    real = os.open

    def full(path: str, *more: Any, **options: Any) -> int:
        if ".pub." in str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr("os.open", full)
        assert keygen.main(["-t", "ed25519", option]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert keygen.main(["-t", "ed25519", option]) == 0


def test_a_disk_that_is_full_once_the_old_key_is_kept_is_not_in_the_way_of_the_next_try(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keygen.main(["-t", "ed25519"]) == 0
    before = (folder / "id_ed25519").read_bytes()
    real = os.open

    def full(path: str, *more: Any, **options: Any) -> int:
        if str(path).startswith(".id_ed25519."):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr("os.open", full)
        assert keygen.main(["-t", "ed25519", "--keep-old"]) == 1
    assert (folder / "id_ed25519_old").read_bytes() == (folder / "id_ed25519").read_bytes() == before
    assert keygen.main(["-t", "ed25519", "--keep-old"]) == 0
    assert (folder / "id_ed25519_old").read_bytes() == before != (folder / "id_ed25519").read_bytes()
    assert len(load_keys(folder)) == 2


@pytest.mark.parametrize("option", ["--force", "--keep-old"])
def test_a_public_half_that_cannot_be_replaced_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert keygen.main(["-t", "ed25519"]) == 0
    real = os.rename

    def broken(source: str, target: str, **options: Any) -> None:
        if target == "id_ed25519.pub":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(source, target, **options)

    monkeypatch.setattr("os.rename", broken)
    assert keygen.main(["-t", "ed25519", option]) == 1
    said = capsys.readouterr().err
    assert f"{folder / 'id_ed25519'} is a new key, but id_ed25519.pub beside it could not be written" in said
    assert "--force" in said


def test_nothing_is_written_through_a_link(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (tmp_path / "target").write_text("precious")
    for name in ("id_ed25519", "id_ed25519.pub"):
        (folder / name).symlink_to(tmp_path / "target")
    assert keygen.main(["-t", "ed25519"]) == 1
    assert keygen.main(["-t", "ed25519", "-f"]) == 0
    assert (tmp_path / "target").read_text() == "precious"
    assert len(load_keys(folder)) == 1


@pytest.mark.parametrize("name", ["DSA", "dss"])
def test_dsa_is_refused_with_the_reason(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        keygen.main(["-t", name])
    assert ended.value.code == 2
    assert "OpenSSH stopped taking them" in capsys.readouterr().err
    assert not folder.exists()


def test_other_types_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        keygen.main(["-t", "ed448"])
    assert ended.value.code == 2
    assert "RSA, ECDSA, ED25519" in capsys.readouterr().err


def test_what_is_in_the_way_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X2GOBROKER_SSH_FOLDER", str(folder / "no" / "such"))
    assert keygen.main([]) == 1
    assert f"{folder / 'no'} is missing" in capsys.readouterr().err
    folder.symlink_to("/tmp")
    monkeypatch.setenv("X2GOBROKER_SSH_FOLDER", str(folder))
    assert keygen.main([]) == 1
    assert "link" in capsys.readouterr().err
    monkeypatch.setenv("X2GOBROKER_DAEMON_USER", "no-such-user-here")
    assert keygen.main([]) == 1
    assert "there is no user no-such-user-here" in capsys.readouterr().err


@pytest.fixture
def own_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that `nobody` reaches, unlike those of pytest; the keys go into one in it."""
    with tempfile.TemporaryDirectory(prefix="x2gobroker-keygen-") as name:
        os.chown(name, NOBODY.pw_uid, NOBODY.pw_gid)
        monkeypatch.setenv("X2GOBROKER_SSH_FOLDER", f"{name}/ssh")
        monkeypatch.setenv("X2GOBROKER_CONFIG", f"{name}/x2gobroker.conf")
        yield Path(name, "ssh")


@pytest.mark.parametrize(("uid", "status"), [(NOBODY.pw_uid, 0), (12345, 1)])
def test_the_brokers_user_may_do_it_and_nobody_else_but_root(
    own_folder: Path, capsys: pytest.CaptureFixture[str], uid: int, status: int
) -> None:
    os.seteuid(uid)
    try:
        assert keygen.main(["-t", "ed25519"]) == status
    finally:
        os.seteuid(0)
    assert own_folder.exists() == (status == 0)
    if status:
        assert "run this program as root or as nobody" in capsys.readouterr().err
    else:
        assert (own_folder / "id_ed25519").stat().st_uid == uid


def test_it_is_installed_as_a_program() -> None:
    program = Path(sys.executable).with_name("x2gobroker-keygen")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("x2gobroker ")
