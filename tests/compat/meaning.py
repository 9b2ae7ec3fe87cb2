"""The meaning of an answer: what a client takes from it, however it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from tests.compat.exchange import Answer, Request

Profile = tuple[tuple[str, Any], ...]
Profiles = tuple[tuple[str, Profile], ...]
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Meaning:
    """One answer, taken apart. What does not apply to the frontend keeps its default."""

    status: int
    granted: bool = False
    authid: str = ""  # "", "new", or "same" (as the one that was sent)
    connection: bool = False  # the connection test says OK
    profiles: Profiles | None = None  # plain: keys in the order of the answer
    server: tuple[str, ...] | None = None
    payload: Any = None  # what else a JSON answer or a page holds
    rest: tuple[str, ...] = ()  # lines that mean nothing to a client of today
    content_type: str = ""
    caching: str = ""
    challenge: bool = False


def differences(expected: Meaning, got: Meaning) -> list[str]:
    """Where two meanings differ, one line each."""
    lines = []
    for item in fields(Meaning):
        mine, yours = getattr(expected, item.name), getattr(got, item.name)
        if mine == yours:
            continue
        if item.name == "profiles" and mine is not None and yours is not None:
            lines += _profile_differences(mine, yours)
            continue
        lines.append(f"{item.name}: expected {mine!r}, got {yours!r}")
    return lines


def _profile_differences(expected: Profiles, got: Profiles) -> list[str]:
    names, others = [name for name, _ in expected], [name for name, _ in got]
    if names != others:
        return [f"profiles: expected {names}, got {others}"]
    lines = []
    for (name, one), (_, two) in zip(expected, got, strict=True):
        if one != two:
            left, right = [p for p in one if p not in two], [p for p in two if p not in one]
            order = "" if left or right else f"; keys in the order {[k for k, _ in one]}, got {[k for k, _ in two]}"
            lines.append(f"profile {name}: expected {left}, got {right}{order}")
    return lines


def _authid(given: str, sent: str) -> str:
    if not given:
        return ""
    return "same" if given == sent else "new"


def read_quoted(text: str) -> str:
    """A value as QSettings, which X2Go Client reads the list with, takes it: escapes count between quotes."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    units: list[int] = []
    for escaped, short, kept in re.findall(r"\\x([0-9a-f]+)|\\([nrt])|\\?(.)", text[1:-1]):
        units.append(int(escaped, 16) if escaped else ord({"n": "\n", "r": "\r", "t": "\t"}.get(short, kept)))
    data = b"".join(unit.to_bytes(2, "big") for unit in units)
    return as_text(data.decode("utf-16-be"))


def as_text(text: str) -> str:
    """How a value stands in a `Meaning` that was sent between quotes: such that nothing in it is special."""
    return f"<text> {text}"


def _sessions(lines: list[str]) -> Profiles:
    profiles: list[tuple[str, list[tuple[str, Any]]]] = []
    for line in lines:
        if line.startswith("[") and line.endswith("]"):
            profiles.append(("<uuid>" if UUID.fullmatch(line[1:-1]) else line[1:-1], []))
        elif "=" in line:
            # of host=NAME=... nothing is ever sent; the first "=" parts key and value
            key, _, value = line.partition("=")
            profiles[-1][1].append((key, read_quoted(value)))
        elif line:
            key, value = profiles[-1][1][-1]
            profiles[-1][1][-1] = (key, f"{value}\n{line}")
    return tuple((name, tuple(values)) for name, values in profiles)


def _plain(body: str, sent: str, parts: dict[str, Any]) -> None:
    text = body
    if "START_USER_SESSIONS\n" in text:
        before, _, after = text.partition("START_USER_SESSIONS\n")
        inside, end, behind = after.partition("END_USER_SESSIONS\n")
        parts["profiles"] = _sessions(inside.split("\n"))
        text = before + ("" if end else "<no end>\n") + behind
    rest = []
    for line in text.split("\n"):
        if line.startswith("AUTHID:"):
            parts["authid"] = _authid(line[7:], sent)
        elif line == "Access granted":
            parts["granted"] = True
        elif line == "OK":
            parts["connection"] = True
        elif line.startswith("SERVER:"):
            parts["server"] = tuple(line.split(":")[1:])
        elif line:
            rest.append(line.partition(" NO:")[0] if line.startswith("PASSWORD CHANGED: NO") else line)
    parts["rest"] = tuple(rest)


def _freeze(profile: Mapping[str, Any]) -> Profile:
    return tuple(sorted((k, tuple(v) if isinstance(v, list) else v) for k, v in profile.items()))


def _json(body: str, sent: str, parts: dict[str, Any]) -> None:
    if not body:
        return
    payload = json.loads(body)
    parts["granted"] = payload.pop("auth-status", "") == "Access granted"
    parts["authid"] = _authid(payload.pop("next-authid", ""), sent)
    if "profiles" in payload:
        parts["profiles"] = tuple(
            ("<uuid>" if UUID.fullmatch(name) else name, _freeze(profile))
            for name, profile in sorted(payload.pop("profiles").items())
        )
    if "selected_session" in payload:
        selected = payload.pop("selected_session")
        if selected:
            parts["server"] = (selected.pop("server", "<none>"), selected.pop("port", "<none>"))
        payload["selected_session"] = selected
    if payload.get("password-changed") is False:
        payload["reason"] = bool(payload["reason"])
    parts["payload"] = payload


def _page(path: str, body: str) -> str:
    if path.startswith("/pubkeys"):
        return "keys" if all(line.startswith("command=") for line in body.splitlines()) else body
    if "<p>It works...</p>" in body:
        return "It works"
    return "page" if "X2Go" in body and "<html" in body else body


def meaning(request: Request, answer: Answer, sent: str) -> Meaning:
    """Take an answer apart; `sent` is the authid that went with the request."""
    parts: dict[str, Any] = {}
    headers = answer.headers
    body = answer.body.decode("utf-8", "backslashreplace")
    if answer.status == 200:
        parts["content_type"] = headers.get("content-type", "").lower().replace(" ", "")
        if "cache-control" in headers:
            parts["caching"] = "Cache-Control: " + headers["cache-control"]
        elif "expires" in headers:
            parts["caching"] = "Expires: " + headers["expires"]
        if request.frontend == "plain":
            _plain(body, sent, parts)
            if "zeroconf" in request.path and "profiles" in parts:
                # written in code, not in a file: its order means nothing
                parts["profiles"] = tuple((name, tuple(sorted(keys))) for name, keys in parts["profiles"])
            if parts.keys() == {"content_type", "caching", "rest"}:
                parts["rest"] = ()  # only "Access granted" counts; what a refusal says is for humans
        elif request.frontend == "json":
            _json(body, sent, parts)
        elif request.frontend == "uccs" and "/api/" in request.path:
            parts["payload"] = json.loads(body)
        elif request.frontend == "uccs":
            parts["payload"] = "time" if re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|$)", body) else body
        else:
            parts["payload"] = _page(request.path, body)
    parts["challenge"] = "basic" in headers.get("www-authenticate", "").lower()
    return Meaning(answer.status, **parts)


def handed_out(request: Request, answer: Answer) -> str:
    """The authid in an answer, to be used in the next request."""
    if answer.status != 200:
        return ""
    if request.frontend == "json" and answer.body:
        return str(json.loads(answer.body).get("next-authid", ""))
    found = re.match(rb"AUTHID:(.+)\n", answer.body)
    return found.group(1).decode() if found else ""
