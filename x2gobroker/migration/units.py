"""Units of systemd as files: which one counts, what it starts, what drop-ins change, whether it is switched on."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from x2gobroker.migration.reader import Reader
from x2gobroker.migration.site import DropIn, Own, Unit

DAEMON = "x2gobroker-daemon.service"
AUTHSERVICE = "x2gobroker-authservice.service"
SOCKET = "x2gobroker-authservice.socket"
LOADCHECKER = "x2gobroker-loadchecker.service"
REMOTE = "x2gobroker-remote.service"
SERVICES = (AUTHSERVICE, DAEMON, LOADCHECKER)
UNITS = (SOCKET, *SERVICES)
SITE_FOLDER = "/etc/systemd/system"
FOLDERS = (SITE_FOLDER, "/run/systemd/system", "/usr/local/lib/systemd/system", "/lib/systemd/system")
# a drop-in with one of these was made for the former unit, and would spoil ours
SPOILING = frozenset({"ExecStart", "Type", "PIDFile", "User", "Group"})
PLAIN_ARGUMENTS = re.compile(r"[A-Za-z0-9_./:@*=\[\], -]*")
PACKAGED = "/usr/lib/x2gobroker/venv/bin/"
# options of the former daemon that say how to start it, which our unit does otherwise, with how many words follow
STARTING = {"-D": 0, "--daemonize": 0, "--drop-privileges": 0, "-P": 1, "--pidfile": 1, "-M": 1, "--mode": 1}


@dataclass(frozen=True)
class Text:
    """The settings of `[Service]` in a unit file: the last value of each, and ExecStart without its first word."""

    keys: frozenset[str]
    program: str = ""
    arguments: str | None = None


def read_unit_text(text: str) -> Text:
    """What a unit file says of its service. Never raises."""
    section, keys, program, arguments = "", set(), "", None
    for line in text.replace("\\\n", " ").split("\n"):
        words = line.strip()
        if words.startswith("[") and words.endswith("]"):
            section = words[1:-1]
        elif section == "Service" and "=" in words and not words.startswith(("#", ";")):
            name, _, value = (part.strip() for part in words.partition("="))
            keys.add(name)
            if name == "ExecStart" and value:
                program, _, arguments = value.lstrip("@-:+!").partition(" ")
                arguments = arguments.strip()
    return Text(frozenset(keys), program, arguments)


def read_units(reader: Reader, own: Own, active: Collection[str]) -> tuple[Unit, ...]:
    """Our four units, whether Debian's, ours or the site's own. `active`: the names of those that run."""
    wanted = {
        name
        for folder in reader.names(SITE_FOLDER)
        if folder.endswith((".wants", ".requires"))
        for name in reader.names(f"{SITE_FOLDER}/{folder}")
    }
    return tuple(_unit(reader, own, name, name in wanted, name in active) for name in UNITS)


def _unit(reader: Reader, own: Own, name: str, enabled: bool, active: bool) -> Unit:
    path = next((f"{folder}/{name}" for folder in FOLDERS if reader.present(f"{folder}/{name}")), "")
    text = read_unit_text(reader.text(path) or "") if path else Text(frozenset())
    drop_ins = tuple(
        _drop_in(reader, f"{folder}/{name}.d/{file}")
        for folder in reversed(FOLDERS)
        for file in reader.names(f"{folder}/{name}.d")
        if file.endswith(".conf")
    )
    ours = text.program.startswith((f"{own.prefix}/bin/", PACKAGED)) or (name == SOCKET and bool(path))
    arguments = next((each.arguments for each in reversed(drop_ins) if each.arguments is not None), text.arguments)
    return Unit(name, path, ours, enabled, active, arguments or "", drop_ins)


def _drop_in(reader: Reader, path: str) -> DropIn:
    text = read_unit_text(reader.text(path) or "")
    return DropIn(path, text.keys, text.arguments)


def carried_arguments(unit: Unit) -> tuple[str, str]:
    """Arguments of the former daemon that ours gets, and those that cannot be carried over, as texts."""
    if not PLAIN_ARGUMENTS.fullmatch(unit.arguments):
        return "", unit.arguments
    kept: list[str] = []
    skip = 0
    for word in unit.arguments.split():
        name = word.partition("=")[0]
        if skip:
            skip -= 1
        elif name in STARTING:
            skip = 0 if "=" in word else STARTING[name]
        else:
            kept.append(word)
    return " ".join(kept), ""


def bind_of(arguments: str) -> str:
    """The address that arguments of the daemon name by `-b` or `--bind`; empty where they do not."""
    words = arguments.split()
    found = ""
    for at, word in enumerate(words):
        if word in ("-b", "--bind") and at + 1 < len(words):
            found = words[at + 1]
        elif word.startswith("--bind="):
            found = word.removeprefix("--bind=")
        elif word.startswith("-b") and len(word) > 2 and not word.startswith("--"):
            found = word[2:]
    return found


def port_of(bind: str) -> int:
    """The port of `[address:]port`; 0 where there is none that can be read."""
    text = bind.rpartition(":")[2]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
