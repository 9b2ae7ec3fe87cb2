"""Session types: the kinds of sessions in the browser, from the JSON file that `remote-session-config` names.

The form of the file is that of CEI Nexus: an object with the name of each session type, and for it an object with
`script`, `count` and `options`. The keys that come on top are ours, see `keys.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from x2gobroker.logs import broker_log, error_log
from x2gobroker.model.accounts import UserNames
from x2gobroker.model.acl import AccessRules, ClientList, parse_clients
from x2gobroker.model.near_names import looks_like_a_rule
from x2gobroker.model.options import did_you_mean
from x2gobroker.privilege import TrustError, read_trusted
from x2gobroker.remote.keys import (
    BY_NAME,
    CLIPBOARDS,
    EVERYBODY,
    GROUP_SIGN,
    KEYS,
    OPTION_KEYS,
    SIZES,
    USUAL_CLIPBOARD,
    fault_of,
    name_fault,
)
from x2gobroker.remote.loader import ships
from x2gobroker.remote.names import read_access_names, read_arguments
from x2gobroker.remote.positions import Path as Place
from x2gobroker.remote.positions import Positions, positions
from x2gobroker.settings import GLOBAL, IniError, Problem, Settings, WatchedFile
from x2gobroker.settings.text_files import TextFileError, decode_text, read_bytes

LARGEST_FILE = 1 << 20
OPTION = "remote-session-config"
NEAR = 0.75
SIZE = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")
SMALLEST_SIDE = 200
# options of the scripts that ship
SCRIPT_OPTIONS = ("command", "depth", "account", "xvnc", "seconds", "display", "auth", "host", "ssh", "x11vnc")
ACCESS_KEYS = tuple(key.name for key in KEYS if key.access)


@dataclass(frozen=True)
class SessionType:
    """One session type. `folder` is that of the file; times have the unit in their name, limits of 0 are none."""

    name: str
    script: str
    count: int
    options: Mapping[str, Any]
    folder: Path
    per_user: int = BY_NAME["per-user"].default
    sizes: tuple[str, ...] = SIZES
    access: AccessRules = field(default_factory=AccessRules)
    description: str = ""
    picture: str = ""
    arguments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    start_seconds: int = BY_NAME["start-seconds"].default
    stop_seconds: int = BY_NAME["stop-seconds"].default
    grace_seconds: int = BY_NAME["grace-seconds"].default
    idle_minutes: int = BY_NAME["idle-minutes"].default
    absolute_minutes: int = BY_NAME["absolute-minutes"].default
    memory_megabytes: int = BY_NAME["memory-megabytes"].default
    tasks: int = BY_NAME["tasks"].default
    cpu_percent: int = BY_NAME["cpu-percent"].default
    pam_service: str = BY_NAME["pam-service"].default
    stop_at_logout: bool = BY_NAME["stop-at-logout"].default
    clipboard: str = BY_NAME["clipboard"].default
    clipboard_kilobytes: int = BY_NAME["clipboard-kilobytes"].default
    sound: str = BY_NAME["sound"].default
    files: str = BY_NAME["files"].default
    files_megabytes: int = BY_NAME["files-megabytes"].default

    @property
    def picture_path(self) -> Path | None:
        """The file of the picture, where there is one."""
        path = self.folder / self.picture
        return path if self.picture and path.is_file() else None

    def arguments_for(
        self, names: UserNames, groups: Callable[[], frozenset[str] | None] = frozenset
    ) -> tuple[str, ...]:
        """What the script gets as `arguments` for this user, by whichever name; `groups` is only called where a group
        has a list."""
        for user in (names.user, names.account):
            if user in self.arguments and not user.startswith(GROUP_SIGN):
                return self.arguments[user]
        named = [name for name in self.arguments if name.startswith(GROUP_SIGN)]
        mine = (groups() or frozenset()) if named else frozenset()
        for name in named:
            if name.removeprefix(GROUP_SIGN) in mine:
                return self.arguments[name]
        return self.arguments.get(EVERYBODY, ())


def fitting_size(kind: SessionType, size: str) -> str:
    """The size of somebody's window as a desktop of this type may have it: no side longer than the longest of the
    type's sizes, none shorter than SMALLEST_SIDE. Empty for what is no size, and for types whose sizes are none.
    """
    asked = SIZE.fullmatch(size)
    known = [found for text in kind.sizes if (found := SIZE.fullmatch(text))]
    if asked is None or not known:
        return ""
    width, height = (
        max(SMALLEST_SIDE, min(int(asked[side]), max(int(found[side]) for found in known))) for side in (1, 2)
    )
    return f"{width}x{height}"


@dataclass(frozen=True)
class SessionTypes:
    """The session types of one file, in its order, without those with errors; and what is wrong with the file.

    `faults` has the first error of each of those that are left out.
    """

    path: Path = Path()
    types: Mapping[str, SessionType] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    faults: Mapping[str, Problem] = field(default_factory=dict)
    places: Positions = field(default_factory=Positions, repr=False, compare=False)

    def problem(self, name: str, key: str, message: str, error: bool = True) -> Problem:
        """A problem with a key of a session type, or with the whole of it where `key` is empty."""
        place: Place = (name, key) if key else (name,)
        return Problem(str(self.path), self.places.line(place), f"session type {name!r}: {message}", error)


class _Reader:
    """Reads one session type, and collects what is wrong with it."""

    def __init__(self, path: Path, name: str, places: Positions) -> None:
        self.path = path
        self.name = name
        self.places = places
        self.problems: list[Problem] = []

    def complain(self, place: Place, message: str, error: bool = True) -> None:
        line = self.places.line((self.name, *place))
        self.problems.append(Problem(str(self.path), line, f"session type {self.name!r}: {message}", error))

    def read(self, found: object) -> SessionType | None:
        """The type, or None when it has an error."""
        if fault := name_fault(self.name):
            self.complain((), fault)
        if not isinstance(found, dict):
            self.complain((), 'must be an object: {"script": "...", "count": 1, "options": {}}')
            return None
        self._check_names(found)
        for key in KEYS:
            if key.name in found:
                if fault := fault_of(key, found[key.name]):
                    self.complain((key.name,), f"{key.name} {fault}")
            elif key.required:
                self.complain((), f"{key.name} is missing")
        options = found.get("options", {})
        for key in OPTION_KEYS if isinstance(options, dict) else ():
            if key.name in options and (fault := fault_of(key, options[key.name])):
                self.complain(("options", key.name), f"the option {key.name} {fault}")
        if any(problem.error for problem in self.problems):
            return None
        made = self._make(found)
        return None if any(problem.error for problem in self.problems) else made

    def _check_names(self, found: dict[str, Any]) -> None:
        """Unknown keys are warnings; one that looks like an access rule is an error: the type may not stand open."""
        for name in found:
            if name in BY_NAME:
                continue
            near = get_close_matches(name, list(BY_NAME), n=1, cutoff=0.6)
            error = (bool(near) and BY_NAME[near[0]].access) or looks_like_a_rule(name, ACCESS_KEYS)
            if name in {key.name for key in OPTION_KEYS} | set(SCRIPT_OPTIONS):
                self.complain((name,), f"{name!r} belongs into options: {{ ... }}", error)
                continue
            self.complain((name,), f"unknown key {name!r}{did_you_mean(name, BY_NAME)}", error)
        options = found.get("options")
        taken: set[str] = set(options) if isinstance(options, dict) else set()
        known = {key.name for key in OPTION_KEYS}
        for name in sorted(taken - known):
            near = get_close_matches(name, known - taken, n=1, cutoff=NEAR)
            if near:
                self.complain(
                    ("options", name), f'the option {name!r} is for the script; did you mean "{near[0]}"?', False
                )

    def _make(self, found: dict[str, Any]) -> SessionType:
        value = {key.name: found.get(key.name, key.default) for key in KEYS}
        options = value["options"]
        if value["picture"] and not (self.path.parent / value["picture"]).is_file():
            self.complain(("picture",), f"picture {value['picture']} is not in {self.path.parent}", error=False)
        if value["count"] and value["per-user"] > value["count"]:
            message = f"per-user is {value['per-user']}, and count lets nobody have more than {value['count']}"
            self.complain(("per-user",), message, error=False)
        return SessionType(
            name=self.name,
            script=value["script"],
            count=value["count"],
            options=options,
            folder=self.path.parent,
            per_user=value["per-user"],
            sizes=tuple(options.get("sizes") or SIZES),
            access=self._access(value, options.get("group", "")),
            description=value["description"],
            picture=value["picture"],
            arguments=read_arguments(value["arguments"], self.complain),
            start_seconds=value["start-seconds"],
            stop_seconds=value["stop-seconds"],
            grace_seconds=value["grace-seconds"],
            idle_minutes=value["idle-minutes"],
            absolute_minutes=value["absolute-minutes"],
            memory_megabytes=value["memory-megabytes"],
            tasks=value["tasks"],
            cpu_percent=value["cpu-percent"],
            pam_service=value["pam-service"],
            stop_at_logout=value["stop-at-logout"],
            clipboard=value["clipboard"],
            clipboard_kilobytes=self._clipboard_kilobytes(found),
            sound=value["sound"],
            files=value["files"],
            files_megabytes=value["files-megabytes"],
        )

    def _clipboard_kilobytes(self, found: dict[str, Any]) -> int:
        """How much text the VNC server takes, at most as much as the key says. Of what is more, nothing would arrive.

        Of a site's own script, nothing is known but what the key itself says.
        """
        key, script = BY_NAME["clipboard-kilobytes"], found["script"]
        if ships(self.path.parent, script):
            return min(int(found.get(key.name, key.default)), CLIPBOARDS[script])
        return int(found.get(key.name, USUAL_CLIPBOARD))

    def _access(self, value: dict[str, Any], group: str) -> AccessRules:
        groups = self._names("groups", value) | self._names("group", {"group": [group] if group else []})
        for kind, also in (("users", groups), ("groups", {*groups, *value["users"]}), ("addresses", ())):
            if value[f"{kind}-deny"] and not value[kind] and not also:
                message = f'{kind}-deny alone lets nobody in: add "{kind}": ["{EVERYBODY}"]'
                self.complain((f"{kind}-deny",), message, error=False)
        return AccessRules(
            users_allow=self._names("users", value),
            users_deny=self._names("users-deny", value),
            groups_allow=groups,
            groups_deny=self._names("groups-deny", value),
            clients_allow=self._clients("addresses", value),
            clients_deny=self._clients("addresses-deny", value),
        )

    def _names(self, key: str, value: dict[str, Any]) -> frozenset[str]:
        return read_access_names(key, value[key], self.complain)

    def _clients(self, key: str, value: dict[str, Any]) -> ClientList:
        clients = parse_clients(tuple(value[key]))
        for entry in clients.bad:
            self.complain((key,), f"{key}: {entry!r} is no address, network or host name")
        return clients


def parse_types(text: str, path: Path) -> SessionTypes:
    """The session types of a text. Raises IniError, with the line, for what is no JSON object of objects."""
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        hint = _json_hint(text, error)
        raise _unreadable(path, error.lineno, f"is no JSON: {error.msg} (column {error.colno}){hint}") from error
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _unreadable(path, 0, f"is no JSON: {reason}") from error
    if not isinstance(found, dict):
        raise _unreadable(path, 1, "must be an object: the name of each session type with what belongs to it, in { }")
    places = positions(text)
    types: dict[str, SessionType] = {}
    problems: list[Problem] = []
    faults: dict[str, Problem] = {}
    for name, value in found.items():
        reader = _Reader(path, name, places)
        for twice in places.twice:
            if twice[0] == name:
                reader.complain(twice[1:], f"{twice[-1]!r} stands twice; delete one")
        made = reader.read(value)
        if made is not None:
            types[name] = made
        else:
            faults[name] = next(problem for problem in reader.problems if problem.error)
        problems.extend(reader.problems)
    return SessionTypes(path, types, tuple(problems), faults, places)


def _json_hint(text: str, error: json.JSONDecodeError) -> str:
    """What people who write JSON by hand mostly do wrong; the reader only says what it expected."""
    rest, before = text[error.pos :], text[: error.pos].rstrip()
    if text.lstrip()[:1] != "{":
        return "; the file must begin with {"
    if rest[:2] in ("//", "/*") or rest[:1] == "#":
        return "; JSON has no comments"
    if rest[:1] in ("}", "]") and before.endswith(","):
        return f"; delete the comma before {rest[0]}"
    if rest[:1] == "'":
        return "; JSON has texts in double quotes only"
    if error.msg.startswith("Expecting ',' delimiter") and rest[:1] in ('"', "{", "["):
        return "; there is no comma before it"
    return ""


def read_types(path: Path) -> SessionTypes:
    """The session types of a file, as `parse_types`. Raises IniError, also for a file that cannot be read."""
    try:
        data = read_bytes(path, LARGEST_FILE)
    except TextFileError as error:
        raise _unreadable(path, error.line, error.reason) from error
    return _parse_bytes(data, path)


def read_types_trusted(path: Path, owners: Collection[int]) -> SessionTypes:
    """The same, of a file that only `owners` (user numbers) can have written: as whoever runs its scripts has to ask.

    Raises IniError for any other file, too.
    """
    try:
        data = read_trusted(path, owners, LARGEST_FILE)
    except TrustError as error:
        raise _unreadable(path, 0, f"is not to be trusted: {error}") from error
    return _parse_bytes(data, path)


def _parse_bytes(data: bytes, path: Path) -> SessionTypes:
    try:
        text = decode_text(data, path)
    except TextFileError as error:
        raise _unreadable(path, error.line, error.reason) from error
    return parse_types(text, path)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _unreadable(path: Path, line: int, message: str) -> IniError:
    return IniError(Problem(str(path), line, message, blocks=True))


def _read_and_report(path: Path) -> SessionTypes:
    found = read_types(path)
    for problem in found.problems:
        (error_log.error if problem.error else broker_log.warning)("session types: %s", problem)
    return found


def types_path(settings: Settings) -> Path | None:
    """The file of session types; None where none is configured."""
    text = settings.text(GLOBAL, OPTION)
    return Path(text) if text else None


class SessionTypeSource:
    """The session types of the configured file as of now, read again when file or configuration change.

    A file that breaks leaves the last good one in service; a session type that breaks goes out of service, alone.
    """

    def __init__(self) -> None:
        self._file: WatchedFile[SessionTypes] | None = None

    def current(self, settings: Settings) -> SessionTypes:
        """The session types; none where no file is configured or there. Costs one `stat` call."""
        path = types_path(settings)
        if path is None:
            return SessionTypes()
        watched = self._file
        if watched is None or watched.path != path:
            watched = self._file = WatchedFile(path, _read_and_report, SessionTypes(path))
        return watched.current().value
