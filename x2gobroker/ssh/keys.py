"""SSH keys: made, read from files, and their fingerprints."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from x2gobroker.logs import broker_log
from x2gobroker.model.public_key import PublicKey, parse_public_key

RSA_BITS = 3072
LARGEST_KEY_FILE = 64 * 1024
KEY_FILES = ("id_ed25519", "id_ecdsa", "id_rsa")
OLD = "_old"  # behind the name of a key that is being replaced: tried last
KINDS = ("rsa", "ecdsa", "ed25519")
CLASSES = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


@dataclass(frozen=True)
class KeyPair:
    """A new key pair. `private` is the text of its file: RSA in PEM (PKCS#1), the others in OpenSSH's own form."""

    private: str = field(repr=False)
    public: PublicKey


def generate_key(kind: str, bits: int = RSA_BITS) -> KeyPair:
    """A new pair of one of KINDS; `bits` counts for RSA. Raises ValueError for another kind.

    RSA is written as `BEGIN RSA PRIVATE KEY`, because X2Go Client before 4.1.2.3 finds no other.
    """
    form = serialization.PrivateFormat.OpenSSH
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    if kind == "rsa":
        key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        form = serialization.PrivateFormat.TraditionalOpenSSL
    elif kind == "ecdsa":
        key = ec.generate_private_key(ec.SECP256R1())
    elif kind == "ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        raise ValueError(f"{kind!r} is no kind of key; there are {', '.join(KINDS)}")
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private.decode("ascii"), parse_public_key(public.decode("ascii")))


def fingerprint(blob: bytes | str) -> str:
    """The fingerprint as ssh-keygen shows it, `SHA256:...`, of a key's blob: bytes, or base64 text."""
    data = base64.b64decode(blob) if isinstance(blob, str) else blob
    return "SHA256:" + base64.b64encode(hashlib.sha256(data).digest()).decode("ascii").rstrip("=")


def described(kind: str, blob: bytes | str) -> str:
    """A key as people compare it: `ED25519 SHA256:...`."""
    name = kind.removeprefix("ssh-").partition("-")[0].upper()
    return f"{name} {fingerprint(blob)}"


class LockedKey(ValueError):  # noqa: N818 - named for what it is
    """The key is locked with a passphrase, and none was given."""


class WrongPassphrase(LockedKey):
    """The key is locked with another passphrase than the one that was given."""


def read_private_key(text: str, passphrase: str = "") -> paramiko.PKey:
    """The key in the text of a private key file. Raises ValueError with what is wrong, never with what is in it."""
    is_locked = False
    for key_class in CLASSES:
        try:
            return key_class.from_private_key(io.StringIO(text))
        except paramiko.PasswordRequiredException:
            is_locked = True
            break
        except Exception:  # noqa: BLE001, S112 - paramiko and cryptography raise whatever comes for what is no key
            continue
    if not is_locked:
        raise ValueError("it is no private key of the types RSA, ECDSA or Ed25519")
    if not passphrase:
        raise LockedKey("it is locked with a passphrase; the broker needs a key without one")
    for key_class in CLASSES:
        with contextlib.suppress(Exception):  # as above; which class is right is known only once it is unlocked
            return key_class.from_private_key(io.StringIO(text), passphrase)
    raise WrongPassphrase("it is locked with another passphrase")


@lru_cache(maxsize=16)
def _known_key(text: str) -> paramiko.PKey:
    """The same, remembered: checking the numbers of an RSA key takes 90 ms of a processor, at every connection."""
    return read_private_key(text)


def load_keys(folder: Path) -> list[paramiko.PKey]:
    """The keys KEY_FILES of a folder, in that order, and the old ones behind them.

    One that cannot be used is left out, with a line in the log.
    """
    return [*_load(folder, KEY_FILES), *load_old_keys(folder)]


def load_old_keys(folder: Path) -> list[paramiko.PKey]:
    """The keys of a folder that are being replaced."""
    return _load(folder, [name + OLD for name in KEY_FILES])


def _load(folder: Path, names: Iterable[str]) -> list[paramiko.PKey]:
    keys = []
    for name in names:
        try:
            keys.append(_known_key(_read_secret(folder / name)))
        except FileNotFoundError:
            continue
        except OSError as error:
            broker_log.warning("SSH key %s cannot be read: %s", folder / name, error.strerror)
        except ValueError as error:
            broker_log.warning("SSH key %s is not used: %s", folder / name, error)
    return keys


def _read_secret(path: Path) -> str:
    """The text of a file that others must not be able to read. Raises OSError, ValueError.

    As with OpenSSH, the group's rights count only where the file is this user's own.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(number, encoding="ascii", errors="replace") as stream:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no file")
        forbidden = 0o077 if status.st_uid == os.geteuid() else 0o007
        if status.st_mode & forbidden:
            raise ValueError(f"others can read it; run chmod 600 {path}")
        return stream.read(LARGEST_KEY_FILE)
