"""A control session lets terminal sessions go."""

from __future__ import annotations

from typing import Any

from x2gobroker.x2go.control import X2GoControlSession


def test_a_terminal_session_is_let_go() -> None:
    control = X2GoControlSession()
    mine: Any = object()
    other: Any = object()
    control.associated_terminals.update(mine=mine, other=other)
    control.dissociate(mine)
    control.dissociate(mine)
    assert control.associated_terminals == {"other": other}
    control.associated_terminals.clear()
