"""JSON of strangers: whatever it is, it is read or it is an error."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.model.json_text import MOST_DEPTH, JsonError, read_json, read_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_is_json_is_read(value: object) -> None:
    try:
        text = json.dumps(value, ensure_ascii=True)
        text.encode()
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    try:
        assert read_json(text, 1 << 20) == value
    except JsonError as error:
        assert "deep" in str(error)


@given(st.binary(max_size=200) | st.text('[]{}",:\\u0dnulNaI1e', max_size=200))
def test_no_text_raises_anything_else(data: bytes | str) -> None:
    try:
        read_json(data, 1000)
    except JsonError:
        return


@pytest.mark.parametrize(
    "text",
    [
        "[" * 20_000,
        "[" * 20_000 + "]" * 20_000,
        '{"a":' * 20_000,
        "[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1),
        "NaN",
        "[Infinity]",
        "9" * 10_000,
        '"\\ud800"',
        "",
        '{"a": 1} x',
        '"' + "a" * 2_000_000 + '"',
        "\ud800",
    ],
)
def test_what_is_too_deep_too_long_or_no_json_is_an_error(text: str) -> None:
    began = time.process_time()
    with pytest.raises(JsonError):
        read_json(text, 1 << 20)
    assert time.process_time() - began < 1.0


def test_brackets_in_texts_do_not_count() -> None:
    assert read_json(json.dumps("[" * 1000 + '\\"['), 10_000) == "[" * 1000 + '\\"['


@pytest.mark.parametrize("text", ["[]", "1", "null", '"a"'])
def test_an_object_is_an_object(text: str) -> None:
    with pytest.raises(JsonError):
        read_object(text, 100)
    assert read_object('{"a": 1}', 100) == {"a": 1}
