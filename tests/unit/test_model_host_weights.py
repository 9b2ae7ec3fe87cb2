"""Weights of hosts in session profiles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.model.host_weights import parse_weight
from x2gobroker.model.profile import build_profile


@pytest.mark.parametrize(
    ("entry", "meant"),
    [
        ("ts01:4", ("ts01", 4.0)),
        (" TS01.example.org : 0.5 ", ("ts01.example.org", 0.5)),
        ("ts01:2222:3", ("ts01:2222", 3.0)),
        ("10.0.0.1:0", ("10.0.0.1", 0.0)),
        ("[2001:db8::1]:2", ("2001:db8::1", 2.0)),
        ("[2001:db8::1]:22:2", ("[2001:db8::1]:22", 2.0)),
    ],
)
def test_a_weight_is_read(entry: str, meant: tuple[str, float]) -> None:
    assert parse_weight(entry) == meant


@pytest.mark.parametrize("entry", ["", "ts01", ":4", "ts01:", "ts01:-1", "ts01:many", "ts01:12345", "t s:4", "22:4"])
def test_what_is_no_weight_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"write|neither"):
        parse_weight(entry)


@given(st.text(max_size=40))
def test_any_text_is_a_weight_or_refused(text: str) -> None:
    try:
        name, weight = parse_weight(text)
    except ValueError:
        return
    assert name
    assert 0 <= weight <= 9999.999


def test_a_bad_weight_is_reported_with_its_profile() -> None:
    said: list[tuple[str, str]] = []
    texts = {"host": "ts01, ts02", "broker-host-weights": "ts01:4, ts02"}
    build_profile("p", texts, {}, lambda option, message: said.append((option, message)))
    assert [option for option, _ in said] == ["broker-host-weights"]
    assert "'ts02' has no weight" in said[0][1]
