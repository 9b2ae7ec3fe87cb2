"""SSH keys: made in the form that others read, and read with care. ssh-keygen is the judge."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.sshd import make_key
from x2gobroker.ssh.keys import (
    KINDS,
    LockedKey,
    WrongPassphrase,
    described,
    fingerprint,
    generate_key,
    load_keys,
    load_old_keys,
    read_private_key,
)


def ssh_keygen(*arguments: str) -> str:
    done = subprocess.run(["ssh-keygen", *arguments], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("kind", "beginning"),
    [
        ("rsa", "-----BEGIN RSA PRIVATE KEY-----\n"),
        ("ecdsa", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
        ("ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
    ],
)
def test_a_new_key_is_one_that_ssh_keygen_reads(tmp_path: Path, kind: str, beginning: str) -> None:
    pair = generate_key(kind)
    path = tmp_path / "key"
    path.write_text(pair.private)
    path.chmod(0o600)
    assert pair.private.startswith(beginning)
    assert ssh_keygen("-y", "-f", str(path)).split()[:2] == [pair.public.kind, pair.public.blob]
    (tmp_path / "key.pub").write_text(pair.public.line())
    assert ssh_keygen("-l", "-f", str(tmp_path / "key.pub")).split()[1] == fingerprint(pair.public.blob)
    assert read_private_key(pair.private).get_base64() == pair.public.blob
    assert "PRIVATE" not in repr(pair)


def test_the_size_of_an_rsa_key_can_be_chosen() -> None:
    assert read_private_key(generate_key("rsa").private).get_bits() == 3072
    assert read_private_key(generate_key("rsa", bits=2048).private).get_bits() == 2048


def test_there_are_no_other_kinds() -> None:
    for kind in ("dsa", "RSA", ""):
        with pytest.raises(ValueError, match="rsa, ecdsa, ed25519"):
            generate_key(kind)


def test_a_key_is_described_as_ssh_keygen_does_it(tmp_path: Path) -> None:
    for kind in KINDS:
        words = make_key(tmp_path / kind, kind).split()
        said = ssh_keygen("-l", "-f", str(tmp_path / f"{kind}.pub")).split()
        assert described(words[0], words[1]) == f"{said[-1].strip('()')} {said[1]}"


def test_all_keys_of_a_folder_are_loaded_rsa_last(tmp_path: Path) -> None:
    made = {kind: make_key(tmp_path / f"id_{kind}", kind).split()[1] for kind in KINDS}
    assert [key.get_base64() for key in load_keys(tmp_path)] == [made["ed25519"], made["ecdsa"], made["rsa"]]
    assert load_keys(tmp_path / "missing") == []


def test_keys_that_are_being_replaced_come_last(tmp_path: Path) -> None:
    made = {name: make_key(tmp_path / name, "ed25519").split()[1] for name in ("id_ed25519_old", "id_ed25519")}
    rsa = make_key(tmp_path / "id_rsa", "rsa").split()[1]
    found = [key.get_base64() for key in load_keys(tmp_path)]
    assert found == [made["id_ed25519"], rsa, made["id_ed25519_old"]]
    assert [key.get_base64() for key in load_old_keys(tmp_path)] == [made["id_ed25519_old"]]


def test_the_pem_form_of_other_kinds_is_read_as_well(tmp_path: Path) -> None:
    for kind in ("rsa", "ecdsa"):
        line = make_key(tmp_path / f"id_{kind}", kind)
        ssh_keygen("-p", "-q", "-m", "PEM", "-N", "", "-f", str(tmp_path / f"id_{kind}"))
        assert "OPENSSH" not in (tmp_path / f"id_{kind}").read_text()
        assert line.split()[1] in [key.get_base64() for key in load_keys(tmp_path)]


def test_a_key_that_cannot_be_used_is_a_line_in_the_log(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    make_key(tmp_path / "id_ecdsa", "ecdsa")
    (tmp_path / "id_ecdsa").chmod(0o644)
    make_key(tmp_path / "locked")
    ssh_keygen("-p", "-q", "-N", "secret-words", "-f", str(tmp_path / "locked"))
    (tmp_path / "locked").rename(tmp_path / "id_ed25519")
    (tmp_path / "id_rsa").write_text("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n")
    (tmp_path / "id_rsa").chmod(0o600)
    assert load_keys(tmp_path) == []
    assert "chmod 600" in said.text
    assert "passphrase" in said.text
    assert "no private key" in said.text
    assert "AAAA" not in said.text


def test_what_is_no_file_does_not_hold_anybody_up(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "id_rsa", 0o600)
    (tmp_path / "id_ecdsa").mkdir(mode=0o700)
    assert load_keys(tmp_path) == []
    assert said.text.count("SSH key ") == 2


def test_the_group_may_read_the_key_of_another_user(tmp_path: Path) -> None:
    make_key(tmp_path / "id_ed25519")
    (tmp_path / "id_ed25519").chmod(0o640)
    assert load_keys(tmp_path) == []
    os.chown(tmp_path / "id_ed25519", 65534, -1)
    assert len(load_keys(tmp_path)) == 1


@pytest.mark.parametrize("form", [[], ["-m", "PEM"]])
@pytest.mark.parametrize("kind", KINDS)
def test_a_locked_key_is_read_with_its_passphrase_only(tmp_path: Path, kind: str, form: list[str]) -> None:
    words = make_key(tmp_path / "key", kind).split()
    argv = ["ssh-keygen", "-q", "-p", *form, "-a", "2", "-P", "", "-N", "its passphrase", "-f", str(tmp_path / "key")]
    subprocess.run(argv, check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    text = (tmp_path / "key").read_text()
    assert read_private_key(text, "its passphrase").get_base64() == words[1]
    with pytest.raises(LockedKey, match="locked with a passphrase"):
        read_private_key(text)
    with pytest.raises(WrongPassphrase) as error:
        read_private_key(text, "another one")
    assert "another one" not in str(error.value)
