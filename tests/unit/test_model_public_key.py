"""Public keys from lines of strangers: the key is taken, and nothing else."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import MANY, SOME
from x2gobroker.model.public_key import KEY_TYPES, LONGEST_LINE, PublicKey, parse_public_key


def blob_of(kind: str, data: bytes = bytes(40)) -> str:
    name = kind.encode()
    return base64.b64encode(len(name).to_bytes(4, "big") + name + len(data).to_bytes(4, "big") + data).decode()


ED25519 = blob_of("ssh-ed25519", bytes(range(32)))
KEY = PublicKey("ssh-ed25519", ED25519)


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_each_type_is_known(kind: str) -> None:
    assert parse_public_key(f"{kind} {blob_of(kind)} anna@home") == PublicKey(kind, blob_of(kind))


@pytest.mark.parametrize(("kind", "bits"), [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "521"), ("rsa", "2048")])
def test_keys_of_openssh(tmp_path: Path, kind: str, bits: str) -> None:
    path = tmp_path / "key"
    argv = ["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-C", "anna at home", "-f", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    line = path.with_suffix(".pub").read_text(encoding="ascii")
    assert parse_public_key(line).line() == " ".join(line.split()[:2])


@pytest.mark.parametrize(
    "line",
    [
        f"ssh-ed25519 {ED25519}",
        f"  ssh-ed25519\t{ED25519}  \n",
        f"ssh-ed25519 {ED25519} a comment of several words",
        f"no-pty,no-user-rc ssh-ed25519 {ED25519} c",
        f'command="rm -rf /",from="*" ssh-ed25519 {ED25519} c',
        f'command="ssh-rsa {blob_of("ssh-rsa")} x" ssh-ed25519 {ED25519}',
        f'command="a \\" ssh-rsa {blob_of("ssh-rsa")} \\" b" ssh-ed25519 {ED25519}',
        f"cert-authority ssh-ed25519 {ED25519}",
    ],
)
def test_only_the_key_is_taken_from_a_line(line: str) -> None:
    assert parse_public_key(line) == KEY


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("", "no public key"),
        ("ssh-ed25519", "no public key"),
        (f"ssh-dss {blob_of('ssh-dss')}", "no public key"),
        (f"xssh-ed25519 {ED25519}", "no public key"),
        (f'"ssh-ed25519 {ED25519}"', "no public key"),
        (f"ssh-ed25519 {ED25519}!", "no public key"),
        ("ssh-ed25519 AAAAA", "cut off"),
        (f"ssh-ed25519 {ED25519[:-1]}", "cut off"),
        (f"ssh-ed25519 {ED25519[:32]}", "type"),
        (f"ssh-ed25519 {blob_of('ssh-rsa')}", "type"),
        (f"ssh-rsa {ED25519}", "type"),
        (f"ssh-ed25519 {ED25519}\nssh-ed25519 {ED25519}", "more than one line"),
        (f"ssh-ed25519 {ED25519} \x1b[2J", "more than one line"),
        (f"ssh-ed25519 {ED25519} {'x' * LONGEST_LINE}", "too long"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "no public key"),
    ],
)
def test_other_lines_are_none(line: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse_public_key(line)


def test_a_line_is_written_with_a_comment_that_does_no_harm() -> None:
    assert KEY.line() == f"ssh-ed25519 {ED25519}"
    assert KEY.line("no-user-rc", "x2gobroker-anna") == f"no-user-rc ssh-ed25519 {ED25519} x2gobroker-anna"
    assert KEY.line(comment="a b;c\nd!e'\"$") == f"ssh-ed25519 {ED25519} abcde"
    assert len(KEY.line(comment="x" * 1000)) < len(KEY.line()) + 102


@MANY
@given(st.text(max_size=120))
def test_any_text_is_a_key_or_a_value_error(text: str) -> None:
    try:
        key = parse_public_key(text)
    except ValueError as error:
        assert str(error).isprintable()
        return
    assert key.kind in KEY_TYPES


@SOME
@given(
    st.text(st.characters(exclude_categories=["C", "Zl", "Zp"], exclude_characters='"\\'), max_size=40),
    st.text(max_size=30),
)
def test_what_is_written_is_read_again(quoted: str, comment: str) -> None:
    line = KEY.line(f'environment="{quoted}"', comment)
    if quoted.isprintable():
        assert parse_public_key(line) == KEY
