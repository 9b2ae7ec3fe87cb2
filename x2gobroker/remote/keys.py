"""The keys of a session type in its JSON file: one table, for the parser, the schema and the reference page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

LONGEST_NAME = 100
LONGEST_TEXT = 1000
MOST_ITEMS = 1000
MOST_SLOTS = 1000
MOST_PER_USER = 20
DAY_SECONDS = 86400
YEAR_MINUTES = 366 * 1440
EVERYBODY = "ALL"
BOTH, IN, OUT, NEITHER = "both", "in", "out", "none"
GROUP_SIGN = "@"
SIZES = (
    "1024x768",
    "1280x720",
    "1280x1024",
    "1440x900",
    "1600x900",
    "1600x1200",
    "1920x1080",
    "1920x1200",
    "2560x1440",
)
PICTURE = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*\.(png|jpg|jpeg|webp|svg)$"
WINDOW = "window"  # as a size: that of the browser's window
# half a character, which is in no UTF-8; and what has no look of its own
UNFIT = re.compile(r"[\ud800-\udfff\x00-\x1f\x7f-\x9f\u2028\u2029]")
NO_CONTROL = r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]"
NO_HALF = r"^[^\u0000\ud800-\udfff]*$"
HALF = re.compile(r"[\ud800-\udfff\x00]")
SERVICE = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"
PAM_SERVICE = "x2gobroker-desktop"
SCRIPT = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*\.py$"
PASSWORD_BYTES = 8  # of a password, in UTF-8, VNC knows no more
# how much text VNC servers take, in kilobytes: those of scripts that ship, and Xvnc of any other that does not say more
USUAL_CLIPBOARD = 256
CLIPBOARDS = {"tigervnc.py": 8192, "x11vnc.py": 1024}
EXAMPLES = {SCRIPT: "desktop.py", PICTURE: "desktop.png", SERVICE: PAM_SERVICE}  # of what the patterns take


class Shape(Enum):
    """What a value of JSON must be."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXTS = "list of texts"
    OBJECT = "object"
    TEXTS_BY_NAME = "object of lists of texts"


@dataclass(frozen=True)
class Key:
    """One key. `minimum` and `maximum` are for integers, `choices` are all texts that it may have, where there are any;
    `access` marks those that say who may use a type.
    """

    name: str
    shape: Shape
    default: Any
    help: str
    minimum: int = 0
    maximum: int = 0
    pattern: str = ""
    required: bool = False
    access: bool = False
    choices: tuple[str, ...] = ()


KEYS = (
    Key(
        "script",
        Shape.TEXT,
        "",
        "File name of the script, in the folder of this file; or a script that ships with the broker: `tigervnc.py`, "
        "`x11vnc.py`.",
        pattern=SCRIPT,
        required=True,
    ),
    Key(
        "count",
        Shape.INTEGER,
        0,
        "How many sessions of this type may run at the same time. 0: none start.",
        maximum=MOST_SLOTS,
        required=True,
    ),
    Key(
        "per-user",
        Shape.INTEGER,
        1,
        "How many sessions of this type one user may have at the same time.",
        minimum=1,
        maximum=MOST_PER_USER,
    ),
    Key("options", Shape.OBJECT, {}, "What the script gets as `common_options`; see below."),
    Key("description", Shape.TEXT, "", "A sentence about the session type, for users."),
    Key(
        "picture",
        Shape.TEXT,
        "",
        "File name of a picture of the desktop, in the folder of this file: png, jpg, webp or svg.",
        pattern=PICTURE,
    ),
    Key(
        "users",
        Shape.TEXTS,
        [],
        "Users who may use this type, regardless of their groups; `ALL`: everybody.",
        access=True,
    ),
    Key(
        "users-deny",
        Shape.TEXTS,
        [],
        "Users who may not use this type, whatever else the rules say. All others need `users` or groups to get in.",
        access=True,
    ),
    Key(
        "groups",
        Shape.TEXTS,
        [],
        "Groups whose members may use this type, in addition to the one in the option `group`.",
        access=True,
    ),
    Key(
        "groups-deny",
        Shape.TEXTS,
        [],
        "Groups whose members may not use this type, unless `users` names them. All others need `groups` to get in.",
        access=True,
    ),
    Key(
        "addresses",
        Shape.TEXTS,
        [],
        "The only addresses, networks and host names from which this type may be used.",
        access=True,
    ),
    Key(
        "addresses-deny",
        Shape.TEXTS,
        [],
        "Addresses, networks and host names from which this type may not be used; set `addresses` to `ALL` to allow "
        "all others.",
        access=True,
    ),
    Key(
        "arguments",
        Shape.TEXTS_BY_NAME,
        {},
        "What the script gets as `arguments` when it starts: a list for each user name, `@group` or `ALL`. The user's "
        "own list applies, or else the first one for a group of the user, or else the one for `ALL`.",
    ),
    Key(
        "start-seconds",
        Shape.INTEGER,
        30,
        "Seconds that the script and its VNC server may take to start.",
        minimum=1,
        maximum=600,
    ),
    Key("stop-seconds", Shape.INTEGER, 20, "Seconds that the script may take to stop.", minimum=1, maximum=600),
    Key(
        "grace-seconds",
        Shape.INTEGER,
        900,
        "Seconds that a session keeps running after the last connection of its user has ended, so that the user can "
        "come back.",
        maximum=30 * DAY_SECONDS,
    ),
    Key(
        "idle-minutes",
        Shape.INTEGER,
        0,
        "Minutes without keyboard or mouse input after which a session is stopped. 0: no limit.",
        maximum=YEAR_MINUTES,
    ),
    Key(
        "absolute-minutes",
        Shape.INTEGER,
        0,
        "Minutes after its start at which a session is stopped, even if it is in use. 0: no limit.",
        maximum=YEAR_MINUTES,
    ),
    Key(
        "memory-megabytes",
        Shape.INTEGER,
        0,
        "Megabytes of memory that a session may use, including all its programs. 0: no limit. For scripts that ship "
        "with the broker.",
        maximum=1 << 22,
    ),
    Key(
        "tasks",
        Shape.INTEGER,
        0,
        "Processes and threads that a session may have, including its VNC server. 0: no limit. For scripts that ship "
        "with the broker.",
        maximum=1 << 20,
    ),
    Key(
        "cpu-percent",
        Shape.INTEGER,
        0,
        "Processor time that a session may use, including all its programs: 100 is one processor. 0: no limit. For "
        "scripts that ship with the broker.",
        maximum=100_000,
    ),
    Key(
        "pam-service",
        Shape.TEXT,
        PAM_SERVICE,
        "PAM service (a file in `/etc/pam.d`) that lets users in and opens a session for each desktop. Empty: "
        "neither. For `tigervnc.py`.",
        pattern=SERVICE,
    ),
    Key("stop-at-logout", Shape.BOOLEAN, False, "Stop the user's session when the user signs out of the portal."),
    Key(
        "clipboard",
        Shape.TEXT,
        BOTH,
        "Which way the clipboard works: only `in` to the session, only `out` of it, `both`, or `none`.",
        choices=(BOTH, IN, OUT, NEITHER),
    ),
    Key(
        "clipboard-kilobytes",
        Shape.INTEGER,
        1024,
        "Kilobytes that the clipboard can carry into the session; with `x11vnc.py`, 1024 at most. With a script of "
        "your own, 256 unless this key is set. If it says more, the VNC server that the script starts has to accept as "
        "much: `Xvnc -MaxCutText`, in bytes.",
        minimum=1,
        maximum=8192,
    ),
    Key(
        "sound",
        Shape.TEXT,
        NEITHER,
        "Whether the browser plays the sound of a session: `out`, or `none`. There is no microphone. For "
        "`tigervnc.py`.",
        choices=(OUT, NEITHER),
    ),
    Key(
        "files",
        Shape.TEXT,
        NEITHER,
        "Which way users can transfer files between the browser and the home folder of the session's user: only `in` "
        "to the session, only `out` of it, `both`, or `none`.",
        choices=(BOTH, IN, OUT, NEITHER),
    ),
    Key(
        "files-megabytes",
        Shape.INTEGER,
        4096,
        "Size in megabytes that a file may have to go in or out.",
        minimum=1,
        maximum=1 << 22,
    ),
)
OPTION_KEYS = (
    Key("sizes", Shape.TEXTS, list(SIZES), "Window sizes to choose from; the first one is preselected."),
    Key(
        "group",
        Shape.TEXT,
        "",
        "Only members of this group may use the session type, and those that `users` and `groups` name.",
        access=True,
    ),
)
BY_NAME = {key.name: key for key in KEYS}


def fault_of(key: Key, value: object) -> str:
    """What is wrong with the value of a key; nothing when it is right."""
    return next(_faults(key, value), "")


def _faults(key: Key, value: object) -> Iterator[str]:
    match key.shape:
        case Shape.INTEGER:
            if isinstance(value, bool) or not isinstance(value, int):
                yield "must be a whole number"
            elif not key.minimum <= value <= key.maximum:
                yield f"must be from {key.minimum} to {key.maximum}, and is {value}"
        case Shape.BOOLEAN:
            if not isinstance(value, bool):
                yield "must be true or false"
        case Shape.TEXT:
            yield from _text_faults(key, value)
        case Shape.TEXTS:
            yield from _list_faults(value)
        case Shape.OBJECT | Shape.TEXTS_BY_NAME:
            if not isinstance(value, dict):
                yield "must be an object: { ... }"
            elif key.shape is Shape.TEXTS_BY_NAME:
                for name, items in value.items():
                    yield from (f"{name!r} {fault}" for fault in _list_faults(items))


def _text_faults(key: Key, value: object) -> Iterator[str]:
    if not isinstance(value, str):
        yield 'must be a text, in "quotes"'
    elif len(value) > LONGEST_TEXT:
        yield f"must not be longer than {LONGEST_TEXT} characters"
    elif key.required and not value:
        yield "is empty"
    elif UNFIT.search(value):
        yield "has a control character, or half a character; write it anew"
    elif key.choices and value not in key.choices:
        yield f"must be one of {', '.join(key.choices)}"
    elif key.pattern and value and not re.search(key.pattern, value):
        yield f"must be a plain file name, such as {EXAMPLES[key.pattern]}"


def _list_faults(value: object) -> Iterator[str]:
    if not isinstance(value, list):
        yield 'must be a list of texts: ["...", "..."]'
    elif len(value) > MOST_ITEMS:
        yield f"must not have more than {MOST_ITEMS} items"
    elif not all(isinstance(item, str) and 0 < len(item) <= LONGEST_TEXT for item in value):
        yield f"must have texts of 1 to {LONGEST_TEXT} characters only"
    elif any(HALF.search(item) for item in value):
        yield "must have no text with a zero or half a character"


def name_fault(name: str) -> str:
    """What is wrong with the name of a session type; nothing when it is right. Forms give it back as it is."""
    if not 0 < len(name) <= LONGEST_NAME:
        return f"the name must have 1 to {LONGEST_NAME} characters"
    if UNFIT.search(name):
        return "the name has a control character, or half a character"
    return "the name must not begin or end with a blank" if name != name.strip() else ""


def schema_of(key: Key) -> dict[str, Any]:
    """The JSON schema of one key's value: takes exactly what `fault_of` finds right."""
    texts: dict[str, Any] = {
        "type": "array",
        "maxItems": MOST_ITEMS,
        "items": {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT, "pattern": NO_HALF},
    }
    match key.shape:
        case Shape.INTEGER:
            kind: dict[str, Any] = {"type": "integer", "minimum": key.minimum, "maximum": key.maximum}
        case Shape.BOOLEAN:
            kind = {"type": "boolean"}
        case Shape.TEXT:
            kind = {"type": "string", "maxLength": LONGEST_TEXT}
            if key.choices:
                kind["enum"] = list(key.choices)
            elif not key.pattern:
                kind["pattern"] = f"^{NO_CONTROL}*$"
            if key.pattern:
                kind["pattern"] = key.pattern if key.required else f"^$|{key.pattern}"
        case Shape.TEXTS:
            kind = texts
        case Shape.OBJECT:
            kind = {"type": "object"}
        case Shape.TEXTS_BY_NAME:
            kind = {"type": "object", "additionalProperties": texts}
    return (
        {"description": key.help, **kind} if key.required else {"description": key.help, "default": key.default, **kind}
    )


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a file of session types; it ships as `schema.json`."""
    properties = {key.name: schema_of(key) for key in KEYS}
    properties["options"]["properties"] = {key.name: schema_of(key) for key in OPTION_KEYS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Session types of x2gobroker",
        "description": "Sessions in the browser: for each session type its script, how many may run, and options.",
        "type": "object",
        "propertyNames": {
            "minLength": 1,
            "maxLength": LONGEST_NAME,
            "pattern": f"^(?!\\s){NO_CONTROL}*(?<!\\s)$",
        },
        "additionalProperties": {
            "type": "object",
            "required": [key.name for key in KEYS if key.required],
            "properties": properties,
        },
    }
