"""What `x2gobroker x2go` prints: tables and trees for people, JSON for programs. A session's cookie is never shown."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from x2gobroker.logs import field
from x2gobroker.x2go import X2GoSession
from x2gobroker.x2go.errors import X2GoControlSessionException
from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo

SESSION_HEAD = ("SESSION", "STATE", "TYPE", "COMMAND", "DISPLAY", "STARTED", "SINCE")
STATES = {"R": "running", "S": "suspended", "T": "ending"}
TYPES = {"D": "desktop", "R": "application", "S": "view", "P": "published", "K": "kdrive"}
LONGEST_CELL = 120
LONGEST_MESSAGE = 2000
GAP = "  "


def show_log(debug: bool) -> None:
    """Show what the library says: warnings, or everything. Errors, the command tells itself."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("x2gobroker: %(message)s"))
    if not debug:
        handler.addFilter(lambda record: record.levelno == logging.WARNING)
    for name, level in (("x2go", logging.DEBUG if debug else logging.WARNING), ("broker", logging.CRITICAL)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level)


def print_json(values: Mapping[str, Any], indent: int | None = 2) -> None:
    """One JSON object; in one line where `indent` is None."""
    print(json.dumps(values, indent=indent, ensure_ascii=False), flush=True)


def shown(text: object, limit: int = LONGEST_CELL) -> str:
    """Text from a server, fit for a terminal: nothing in it moves the cursor."""
    plain = str(text)[:limit]
    return "".join(character if character.isprintable() else "?" for character in plain)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table with its head."""
    lines = [[shown(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    for line in lines:
        print(GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


# ---------------------------------------------------------------- sessions


def sessions_of(session: X2GoSession) -> list[X2GoServerSessionInfo]:
    """The user's sessions, the oldest first. Raises X2GoControlSessionException."""
    control = session.get_control_session()
    if control is None:
        raise X2GoControlSessionException("the connection to the server is lost")
    found = control.list_sessions(refresh=True).values()
    return sorted(found, key=lambda info: (info.date_created, info.name))


def state_word(info: X2GoServerSessionInfo) -> str:
    """running, suspended, or ending."""
    return STATES.get(info.status, "unknown")


def command_of(name: str) -> str:
    """The command in the name of a session, as far as it is in there; empty where it is not."""
    command = name.partition("_st")[2].rpartition("_dp")[0][1:]
    return command.removeprefix("PUBLISHED") if command == "PUBLISHED" else command


def session_values(info: X2GoServerSessionInfo) -> dict[str, Any]:
    """A session for programs. Times are the server's own, without a zone."""
    return {
        "name": info.name,
        "state": state_word(info),
        "type": TYPES.get(info.get_session_type() or "", "unknown"),
        "command": command_of(info.name),
        "display": info.display,
        "server": info.hostname,
        "user": info.username,
        "started": info.date_created,
        "since": info.date_suspended,
        "age_seconds": info.age,
    }


def session_row(info: X2GoServerSessionInfo) -> tuple[str, ...]:
    """A session for people."""
    values = session_values(info)
    since = str(values["since"]).replace("T", " ")
    started = str(values["started"]).replace("T", " ")
    command = str(values["command"]) or "-"
    return (info.name, values["state"], values["type"], command, f":{info.display}", started, since)


def place_of(session: X2GoSession) -> dict[str, Any]:
    """The server and the user, for programs."""
    return {
        "server": session.get_server_hostname(),
        "port": session.get_server_port(),
        "user": session.get_username(),
    }


# ---------------------------------------------------------------- applications


def menus_of(tree: Mapping[str, Any], icons: bool) -> list[dict[str, Any]]:
    """The menus of one language, with their applications; `TOP` is the one that is always open."""
    menus: list[dict[str, Any]] = []
    for items_by_menu in tree.values():
        for name, items in items_by_menu.items():
            keys = ("name", "comment", "exec", *(("icon",) if icons else ()))
            menus.append({"menu": name, "applications": [{key: item.get(key) for key in keys} for item in items]})
    return menus


def print_tree(menus: Sequence[Mapping[str, Any]]) -> None:
    """Each menu, and under it its applications with their commands."""
    widest = max(len(shown(item["name"])) for menu in menus for item in menu["applications"])
    for menu in menus:
        print(field(str(menu["menu"])).replace("\\x20", " "))
        for item in menu["applications"]:
            print(f"  {shown(item['name']).ljust(widest)}  {shown(item['exec'])}")
