"""Lines of authorized_keys that let a broker run one program: written, read back strictly, and merged into a file.

Source of the format: AUTHORIZED_KEYS FILE FORMAT of sshd(8). The order and spelling of our options are those of the
former broker, whose `x2gobroker-pubkeyauthorizer` compares lines as text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

RESTRICTIONS = "no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty"
NEEDED = frozenset(word.lower() for word in RESTRICTIONS.split(","))
KNOWN = NEEDED | {"restrict", "no-user-rc"}
KEY_TYPE = re.compile(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]{3,60}")
OPTION = re.compile(r'(?P<name>[A-Za-z0-9-]{1,60})(="(?P<value>(?:[^"\\]|\\.)*)")?')
MAX_KEY_SIZE = 16384


@dataclass(frozen=True)
class AuthorizedKey:
    """One line. `options` are pairs of a name in small letters and its value, None where it has none."""

    options: tuple[tuple[str, str | None], ...]
    kind: str
    blob: str
    comment: str
    line: str


def broker_line(command: str, kind: str, blob: str, comment: str) -> str:
    """The line that lets the holder of a key run `command`, and nothing else."""
    safe = "".join(character for character in command if character.isprintable() and character not in '"\\')
    return f'command="{safe}",{RESTRICTIONS} {kind} {blob} {comment}'


def public_keys(folder: Path) -> list[tuple[str, str]]:
    """Type and base64 text of every public key `id_*.pub` of a folder; what is no key is left out. Raises OSError."""
    keys = []
    for path in sorted(folder.glob("id_*.pub")):
        try:
            # the comment may be in any language; in the key itself, a sign that is not ASCII is found below
            with path.open(encoding="ascii", errors="replace") as stream:
                words = stream.read(MAX_KEY_SIZE).split()
            if len(words) >= 2 and KEY_TYPE.fullmatch(words[0]):
                base64.b64decode(words[1], validate=True)
                keys.append((words[0], words[1]))
        except (OSError, ValueError):
            continue
    return keys


def parse_line(line: str) -> AuthorizedKey:
    """A line of authorized_keys. Raises ValueError with what is wrong."""
    text = line.strip()
    options: list[tuple[str, str | None]] = []
    if not KEY_TYPE.match(text.split(" ", 1)[0]) or "=" in text.split(" ", 1)[0]:
        options, text = _parse_options(text)
    words = text.split(None, 2)
    if len(words) < 2 or not KEY_TYPE.fullmatch(words[0]):
        raise ValueError("there is no key of a known type behind the options")
    try:
        data = base64.b64decode(words[1], validate=True)
    except ValueError:
        raise ValueError("the key is cut off") from None
    name = words[0].encode()
    if not data.startswith(len(name).to_bytes(4, "big") + name) or len(data) < 40:
        raise ValueError("the key is not of the type it says")
    return AuthorizedKey(tuple(options), words[0], words[1], words[2] if len(words) > 2 else "", line.strip())


def _parse_options(text: str) -> tuple[list[tuple[str, str | None]], str]:
    """The options at the beginning of a line, and what stands behind the blank that ends them."""
    options = []
    at = 0
    while True:
        option = OPTION.match(text, at)
        if option is None:
            raise ValueError("the options before the key cannot be read")
        options.append((option["name"].lower(), option["value"]))
        at = option.end()
        if text[at : at + 1] in (" ", "\t"):
            return options, text[at:].lstrip()
        if text[at : at + 1] != ",":
            raise ValueError("the options before the key cannot be read")
        at += 1


def check_broker_line(line: str, commands: Collection[str]) -> AuthorizedKey:
    """A line as a broker gives it: one of `commands` forced, and restrictions. Raises ValueError on anything else."""
    if len(line) > MAX_KEY_SIZE or not line.isprintable():
        raise ValueError("it is too long, or holds characters that no key has")
    key = parse_line(line)
    names = {name for name, _ in key.options}
    forced = [value for name, value in key.options if name == "command"]
    if len(forced) != 1:
        raise ValueError("it forces no command: the key would open the whole account")
    if forced[0] not in commands:
        raise ValueError(
            f"it forces a command that is not {' or '.join(sorted(commands))}; where the agent is another program, "
            "X2GOBROKER_AGENT_CMD has to say so here as well"
        )
    for name, value in key.options:
        if name != "command" and (name not in KNOWN or value is not None):
            raise ValueError(f"its option {name} is none of the restrictions that a broker needs")
    if "restrict" not in names and not names >= NEEDED:
        raise ValueError(f"it lacks restrictions: {', '.join(sorted(NEEDED - names))}")
    return key


@dataclass(frozen=True)
class Merged:
    """The new text of a file, and the keys by what became of them."""

    text: str
    added: tuple[AuthorizedKey, ...]
    replaced: tuple[AuthorizedKey, ...]
    kept: tuple[AuthorizedKey, ...]


def merge(existing: str, keys: Sequence[AuthorizedKey]) -> Merged:
    """Bring keys into the text of an authorized_keys file. Other lines stay as they are, comments too.

    A line of the same key is replaced, unless it restricts the key further (`from=` and the like). As sshd reads the
    file, nothing but a line feed ends a line: what a comment holds does not become a key.
    """
    wanted = {key.blob: key for key in keys}
    done: dict[str, bool] = {}  # whether the line was as wanted, or stricter
    lines = []
    for line in existing.removesuffix("\n").split("\n") if existing else ():
        present = _key_in(line)
        key = wanted.get(present.blob) if present else None
        if present is None or key is None:
            lines.append(line)
        elif key.blob not in done:
            is_as_strict = set(present.options) >= set(key.options)
            lines.append(line if is_as_strict else key.line)
            done[key.blob] = is_as_strict
    added = [key for blob, key in wanted.items() if blob not in done]
    lines += [key.line for key in added]
    return Merged(
        "".join(f"{line}\n" for line in lines),
        tuple(added),
        tuple(wanted[blob] for blob, was_fine in done.items() if not was_fine),
        tuple(wanted[blob] for blob, was_fine in done.items() if was_fine),
    )


def _key_in(line: str) -> AuthorizedKey | None:
    if not line.strip() or line.lstrip().startswith("#"):
        return None
    try:
        return parse_line(line)
    except ValueError:
        return None
