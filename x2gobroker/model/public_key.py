"""Public keys as `authorized_keys` lines hold them: options, type, base64, comment.

Source: the AUTHORIZED_KEYS FILE FORMAT of sshd(8). Clients send lines with options of their own; only the key itself is
ever taken from them.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

KEY_TYPES = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
LONGEST_LINE = 16384
KEY = re.compile(rf"(?:^|[ \t])({'|'.join(map(re.escape, KEY_TYPES))})[ \t]+([A-Za-z0-9+/]+=*)(?=[ \t]|$)")
UNSAFE = re.compile(r"[^A-Za-z0-9@._-]")


@dataclass(frozen=True)
class PublicKey:
    """A public key: its type, and its blob in base64."""

    kind: str
    blob: str

    def line(self, options: str = "", comment: str = "") -> str:
        """The line of an authorized_keys file. What has no place in a comment is left out of it."""
        words = [options, self.kind, self.blob, UNSAFE.sub("", comment)[:100]]
        return " ".join(word for word in words if word)


def parse_public_key(text: str) -> PublicKey:
    """The key in a line, whatever options stand before it. Raises ValueError with what is wrong."""
    text = text.strip().replace("\t", " ")
    if len(text) > LONGEST_LINE or not text.isprintable():
        raise ValueError("the public key is too long, or more than one line")
    # quoted options may hold anything, even what looks like a key
    found = KEY.search(re.sub(r'"(?:[^"\\]|\\.)*"', '""', text))
    if found is None:
        raise ValueError(f"this is no public key of the types {', '.join(KEY_TYPES)}")
    kind, blob = found.groups()
    try:
        data = base64.b64decode(blob, validate=True)
    except binascii.Error:
        raise ValueError("the public key is cut off") from None
    name = kind.encode()
    if not data.startswith(len(name).to_bytes(4, "big") + name) or len(data) < 40:
        raise ValueError("the public key is not of the type it says")
    return PublicKey(kind, blob)
