"""X2Go Servers as session profiles name them: `name`, `name:port`, `name (address)`, `name (address:port)`.

The name is what the server calls itself (its `hostname`); the address is how a client reaches it. The broker itself
takes whichever of the two it reaches (`Endpoint.ways`). IPv6 addresses may stand with or without brackets; a port
behind an IPv6 address needs the brackets. Names outside ASCII stay as they are written; who resolves them writes them
as DNS has them (`ascii_name`).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address

DEFAULT_SSH_PORT = 22
HOST_NAME = re.compile(r"(?=.{1,253}\.?$)(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?$")
LONGEST_NAME = 253
DOTS = re.compile("[.\u3002\uff0e\uff61]")  # RFC 3490, 3.1: what separates labels in any script
MIDDLE_DOT, KATAKANA_DOT, NON_JOINER, JOINER = "\u00b7", "\u30fb", "\u200c", "\u200d"
JOINERS = (NON_JOINER, JOINER)
VIRAMA = 9  # the combining class of the signs that stop an Indic letter's own vowel
JAPANESE = ("HIRAGANA LETTER", "KATAKANA LETTER", "CJK UNIFIED IDEOGRAPH")
ZONE = re.compile(r"[A-Za-z0-9_.-]{1,32}")
WITH_ADDRESS = re.compile(r"(?P<name>[^()]*?)\s*\((?P<address>[^()]*)\)\s*$")


@dataclass(frozen=True)
class Endpoint:
    """Where the SSH server of an X2Go Server answers. `name` is what the server calls itself; it may be the address."""

    name: str
    address: str
    port: int = DEFAULT_SSH_PORT

    @property
    def ways(self) -> tuple[str, ...]:
        """What the broker connects to: the name, and the address where that does not lead there.

        Behind NAT the one leads there from inside and the other from outside; 0.0.4.3 tries them in this order.
        """
        is_same = self.name.lower() == self.address.lower()
        if is_same or not self.name or (self.address, self.name.lower()) == ("127.0.0.1", "localhost"):
            return (self.address,)
        return (self.name, self.address)

    @cached_property
    def key(self) -> str:
        """The same text for the same SSH server, however profiles name it: the key of what is stored about it."""
        address = self.address.lower()
        return f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"


@dataclass(frozen=True)
class Host:
    """One X2Go Server. `address` is empty where the name is the address; `port` is None where the profile decides."""

    name: str
    address: str = ""
    port: int | None = None

    @property
    def target(self) -> str:
        """What to connect to: the address if there is one, else the name."""
        return self.address or self.name

    def port_or(self, default: int) -> int:
        """The SSH port of this server, `default` where it has none of its own."""
        return default if self.port is None else self.port

    def endpoint(self, default_port: int) -> Endpoint:
        """Where this server's sshd answers; at `default_port` where it has no port of its own."""
        return Endpoint(self.name, self.target, self.port_or(default_port))

    @property
    def speakable(self) -> str:
        """The target as the plain protocol can carry it: `SERVER:` lines are split at colons, so no IPv6 address."""
        return self.name if ":" in self.target and ":" not in self.name else self.target


def is_host_name(text: str) -> bool:
    """Whether this can be the name of a host: labels of letters and digits of any script, `-` and `_`, with dots.

    So there is nothing in it that a shell, an INI file, a URL or a line of a protocol could take for its own. Four
    signs more count where IDNA 2008 has them, between letters that need them.
    """
    if text.isascii():
        return bool(HOST_NAME.fullmatch(text))
    labels = DOTS.split(text)
    if labels and not labels[-1]:
        labels.pop()
    if not labels or len(text) > LONGEST_NAME:
        return False
    for label in labels:
        if not 0 < len(label) <= 63 or label[0] == "-" or label[-1] == "-":
            return False
        if not all(
            sign in "-_" or unicodedata.category(sign)[0] in "LMN" or _joins_letters(label, at)
            for at, sign in enumerate(label)
        ):
            return False
    return True


def _joins_letters(label: str, at: int) -> bool:
    """Whether the sign at this place is one that RFC 5892 (appendix A) allows between the letters around it."""
    sign, before, after = label[at], label[at - 1 : at], label[at + 1 : at + 2]
    if sign == MIDDLE_DOT:  # of Catalan
        return before.lower() == after.lower() == "l"
    if sign == KATAKANA_DOT:
        return any(unicodedata.name(other, "").startswith(JAPANESE) for other in label)
    if sign in JOINERS and before and unicodedata.combining(before) == VIRAMA:
        return True
    return sign == NON_JOINER and _has_form(before, "INITIAL") and _has_form(after, "FINAL")


def _has_form(letter: str, form: str) -> bool:
    """Whether a letter, of Arabic mostly, is written in a form of its own where it joins its neighbour on that side."""
    try:
        return bool(letter and unicodedata.lookup(f"{unicodedata.name(letter, '')} {form} FORM"))
    except KeyError:
        return False


def ascii_name(host: str) -> str:
    """A name as DNS has it (`xn--...`); a name that is ASCII, or cannot be written so, as it is."""
    if host.isascii():
        return host
    try:
        if not any(sign in host for sign in JOINERS):
            return host.encode("idna").decode("ascii")
        return ".".join(map(_label_in_dns, DOTS.split(host)))
    except UnicodeError:
        return host


def _label_in_dns(label: str) -> str:
    """One label. Python has IDNA 2003, which drops joiners: that would be the name of another host."""
    if not any(sign in label for sign in JOINERS):
        return label.encode("idna").decode("ascii")
    prepared = unicodedata.normalize("NFC", label.lower())
    return "xn--" + prepared.encode("punycode").decode("ascii")


def is_ip_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address, with or without brackets around the latter."""
    address, percent, zone = strip_brackets(text).partition("%")
    try:
        ip_address(address)
    except ValueError:
        return False
    return not percent or (":" in address and bool(ZONE.fullmatch(zone)))


def strip_brackets(text: str) -> str:
    """`text` without the brackets around an IPv6 address."""
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def split_address(text: str) -> tuple[str, int | None]:
    """Address and port of `address`, `address:port`, `:port` or `port`; either may be missing.

    Raises ValueError when a port is no number from 1 to 65535 or the address is neither a name nor an address.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return "", parse_port(text)
    if is_ip_address(text):
        return strip_brackets(text), None
    address, colon, port = text.rpartition(":")
    if not colon:
        address, port = text, ""
    if colon and not port:
        raise ValueError(f"no port behind the colon of {text!r}")
    address = strip_brackets(address)
    if address and not (is_host_name(address) or is_ip_address(address)):
        raise ValueError(f"{address!r} is neither a host name nor an IP address")
    return address, parse_port(port) if port else None


def parse_port(text: str) -> int:
    """A TCP port. Raises ValueError when it is none from 1 to 65535."""
    if not (text.isascii() and text.isdigit()) or not 0 < int(text[:6]) < 65536 or len(text) > 5:
        raise ValueError(f"{text!r} is not a port; write a number from 1 to 65535")
    return int(text)


def parse_host(text: str) -> Host:
    """One entry of a `host` list. Raises ValueError with what is wrong and what would be right."""
    text = text.strip()
    parts = WITH_ADDRESS.match(text)
    if not parts:
        name, port = split_address(text)
        if not name:
            raise ValueError(f"{text!r} has no host name")
        return Host(name, "", port)
    name = strip_brackets(parts["name"].strip())
    if not (is_host_name(name) or is_ip_address(name)):
        raise ValueError(f"{name!r} in {text!r} is not a host name; write the server's own hostname, without blanks")
    if not parts["address"].strip():
        raise ValueError(f"the parentheses of {text!r} are empty; write name (address:port) or the name alone")
    address, port = split_address(parts["address"])
    return Host(name, address, port)
