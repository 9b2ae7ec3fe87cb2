"""Every log message of the package stands in docs/reference/log-messages.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from x2gobroker.logs import AUDIT_EVENTS, AuditEvent

LEVELS = ("debug", "info", "warning", "error", "critical", "exception", "log")
LOGGER = re.compile(r"(_log|logger)$")


def is_logging(call: ast.Call) -> bool:
    """Whether this is a call such as `broker_log.warning(...)`, or of one of two such methods."""
    functions = [call.func.body, call.func.orelse] if isinstance(call.func, ast.IfExp) else [call.func]
    return all(
        isinstance(function, ast.Attribute)
        and function.attr in LEVELS
        and isinstance(function.value, ast.Name)
        and LOGGER.search(function.value.id)
        for function in functions
    )


def messages(root: Path) -> Iterator[tuple[str, str]]:
    """Place and format string of every logging call of the package."""
    for path in sorted((root / "x2gobroker").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and is_logging(node):
                words = [argument for argument in node.args if isinstance(argument, ast.Constant)]
                place = f"{path.relative_to(root)}:{node.lineno}"
                assert words, f"{place}: the message must be a plain string, so that it can be found"
                assert isinstance(words[0].value, str)
                yield place, words[0].value
    for event in AUDIT_EVENTS:
        yield f"the event {event.name}", event.template


def listed(text: str) -> list[str]:
    """The messages of the page: inline code alone on a line, with its meaning on the next."""
    return re.findall(r"^`([^`]+)`\n: ", text, re.MULTILINE)


def test_every_message_is_listed(root: Path, page: Callable[[str], str]) -> None:
    known = set(listed(page("log-messages.md")))
    found = list(messages(root))
    assert len(found) > 25
    missing = [f"{place}: {message}" for place, message in found if message not in known]
    assert not missing


def test_every_listed_message_exists(root: Path, page: Callable[[str], str]) -> None:
    used = {message for _, message in messages(root)}
    gone = [message for message in listed(page("log-messages.md")) if message not in used]
    assert not gone


def test_no_message_is_written_around_the_loggers(root: Path) -> None:
    """Calls of `logging.warning` and the like would write to the root logger, and be missed here."""
    for path in sorted((root / "x2gobroker").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                owner = node.func.value
                assert not (isinstance(owner, ast.Name) and owner.id == "logging"), f"{path}:{node.lineno}"


@pytest.mark.parametrize("event", AUDIT_EVENTS, ids=lambda event: event.name)
def test_every_audit_event_is_listed_with_its_fields(event: AuditEvent, page: Callable[[str], str]) -> None:
    words = ", ".join(f"`{name}`" for name in ("event", *event.fields))
    assert f"| `{event.name}` | {words} |" in page("log-messages.md").splitlines()


def test_audit_events_are_made_in_one_place(root: Path) -> None:
    """Whoever wrote to their logger directly would leave fields out, and be missed by the test above."""
    users = [
        str(path.relative_to(root / "x2gobroker"))
        for path in sorted((root / "x2gobroker").rglob("*.py"))
        if re.search(r"audit_log\.(?!setLevel|level\b)|getLogger\(.broker\.audit", path.read_text(encoding="utf-8"))
    ]
    assert users == ["logs/audit.py", "logs/loggers.py"]


def test_every_audit_event_is_one_of_the_table(root: Path) -> None:
    made = [
        node
        for path in sorted((root / "x2gobroker").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == AuditEvent.__name__
    ]
    assert len(made) == len(AUDIT_EVENTS)
