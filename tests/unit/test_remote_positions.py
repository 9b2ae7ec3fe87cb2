"""Lines of keys in a JSON text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.remote.positions import positions

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def every_key(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all keys."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from every_key(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from every_key(inner, (*path, index))


@SOME
@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_every_key_is_found_where_it_stands(value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=1)
    found = positions(text)
    lines = text.split("\n")
    for path in every_key(value):
        assert json.dumps(path[-1]) + ":" in lines[found.lines[path] - 1]
    assert not found.twice


def test_what_is_not_known_has_the_line_around_it() -> None:
    found = positions('{\n"a": {\n"b": 1}}')
    assert found.line(("a", "c", "d")) == 2
    assert found.line(("z",)) == 0


def test_keys_that_stand_twice() -> None:
    found = positions('{"a": {"b": 1,\n"b": 2}, "c": {"b": 3}, "\\u0061": 1}')
    assert found.twice == [("a", "b"), ("a",)]
