"""What a script prints: passed on up to a limit, and said so."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.remote.bounded import DROPPED, BoundedOutput


@given(st.lists(st.text(max_size=40), max_size=20), st.integers(1, 200))
def test_it_passes_on_what_fits_and_says_that_it_drops(texts: list[str], most: int) -> None:
    inner = io.StringIO(newline="")
    stream = BoundedOutput(inner, most)
    for text in texts:
        assert stream.write(text) == len(text)
    whole = "".join(texts).encode("utf-8", "replace")
    said = inner.getvalue()
    if len(whole) < most:
        assert said.encode("utf-8", "replace") == whole
    else:
        assert said.endswith(DROPPED)
        assert said.count(DROPPED) == 1
        assert whole.startswith(said.removesuffix(DROPPED).encode("utf-8", "replace"))
        assert len(said.removesuffix(DROPPED).encode("utf-8", "replace")) <= most
    stream.begin()
    before = len(inner.getvalue())
    print("x", file=stream, end="")
    assert inner.getvalue()[before:].startswith("x")
