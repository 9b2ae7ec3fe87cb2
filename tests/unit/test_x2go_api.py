"""The library has all that Python X2Go's API documents list, with the same parameters and defaults."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tests.support.x2go_api import exercised, faults, members, our_class, table

EVERYTHING = [pytest.param(name, member, id=f"{name}.{member['name']}") for name, member in members()]


def test_the_table_is_whole() -> None:
    counts = {name: (len(entry["parameters"]), len(entry["members"])) for name, entry in table().items()}
    assert counts == {"X2GoSession": (42, 96), "X2GoSessionRegistry": (3, 33), "X2GoControlSession": (17, 33)}


@pytest.mark.parametrize("name", list(table()))
def test_constructors_have_their_parameters_and_defaults(name: str) -> None:
    entry = table()[name]
    assert list(faults(our_class(name, entry), entry["parameters"], bound=False)) == []


@pytest.mark.parametrize(("name", "member"), EVERYTHING)
def test_methods_and_properties_are_there(name: str, member: dict[str, Any]) -> None:
    found = inspect.getattr_static(our_class(name, table()[name]), member["name"])
    if member["kind"] == "property":
        assert isinstance(found, property)
    else:
        assert callable(found)
        assert list(faults(found, member["parameters"])) == []


@pytest.mark.parametrize(("name", "member"), EVERYTHING)
def test_methods_and_properties_are_documented_and_exercised(name: str, member: dict[str, Any]) -> None:
    assert inspect.getdoc(inspect.getattr_static(our_class(name, table()[name]), member["name"]))
    assert exercised(name, member), "no test of this class uses it"


def example(first: str, second: int = 2, third: tuple[str, ...] = (), **more: Any) -> None:
    """Something to compare with."""


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([{"name": "first"}, {"name": "second", "default": 2}, {"name": "third", "default": []}], []),
        ([{"name": "first"}, {"name": "second", "default": 3}], ["has parameter second with default 2, not 3"]),
        ([{"name": "first"}, {"name": "other"}], ["has no parameter other"]),
        ([{"name": "second", "default": 2}], ["has parameter second at place 2, not 1"]),
        ([{"name": "first"}, {"name": "second", "default_below_home": "x"}], ["has parameter second with another"]),
        ([{"name": "first", "default": None}], ["has parameter first with default"]),
    ],
)
def test_the_comparison_finds_what_is_missing(wanted: list[dict[str, Any]], found: list[str]) -> None:
    """A comparison that finds nothing would hold nothing."""
    said = list(faults(example, wanted, bound=False))
    assert len(said) == len(found)
    assert all(text.startswith(start) for text, start in zip(said, found, strict=True))


def test_the_comparison_wants_further_parameters() -> None:
    assert list(faults(lambda first: first, [{"name": "kwargs", "kind": "any"}], bound=False)) != []
