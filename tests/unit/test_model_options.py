"""Options: text to typed value and back."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.model.options import (
    Kind,
    Option,
    Value,
    did_you_mean,
    format_value,
    parse_boolean,
    parse_choice,
    parse_integer,
    parse_list,
    parse_value,
    unquote,
)

WORDS = st.text(string.ascii_letters + string.digits + "._-@/ é", min_size=1).map(str.strip).filter(bool)
CHOICES = ("NONE", "LOCAL", "SSH")


def option(kind: Kind, default: Value = "", **more: object) -> Option:
    return Option("global", "x", kind, default, "help", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["1", "yes", "true", "on", "YES", "True", " oN "])
def test_spellings_of_true_are_true(text: str) -> None:
    assert parse_boolean(text) is True


@pytest.mark.parametrize("text", ["0", "no", "false", "off", "NO", "False", " oFF "])
def test_spellings_of_false_are_false(text: str) -> None:
    assert parse_boolean(text) is False


@pytest.mark.parametrize("text", ["", "2", "maybe", "truee", "y", "not-set", "t"])
def test_anything_else_is_no_boolean_and_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write true or false"):
        parse_boolean(text)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("-3", -3), ("+3", 3), (" 42 ", 42)])
def test_decimal_integers_are_read(text: str, number: int) -> None:
    assert parse_integer(text) == number


@pytest.mark.parametrize("text", ["", "-", "+", "--1", "1.0", "1e3", "0x10", "1_000", "1 000", "٣", "²", "9" * 19])
def test_anything_else_is_no_integer(text: str) -> None:
    with pytest.raises(ValueError, match="is not an integer"):
        parse_integer(text)


@pytest.mark.parametrize(("text", "message"), [("0", "least is 1"), ("11", "most is 10")])
def test_integers_outside_the_limits_are_refused_with_the_limit(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_integer(text, 1, 10)


@pytest.mark.parametrize("text", ["1", "10"])
def test_the_limits_themselves_are_allowed(text: str) -> None:
    assert parse_integer(text, 1, 10) == int(text)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("", ()),
        (",", ()),
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        (" a , b ,", ("a", "b")),
        ("[a, 'b', \"c\"]", ("a", "b", "c")),
        ("[]", ()),
        ("['a']", ("a",)),
        ("a b,c", ("a b", "c")),
        ("h (10.0.2.18:2222)", ("h (10.0.2.18:2222)",)),
        ("[2001:db8::7]", ("[2001:db8::7]",)),
        ("[2001:db8::7]:2222", ("[2001:db8::7]:2222",)),
        ("x, [2001:db8::7]", ("x", "[2001:db8::7]")),
    ],
)
def test_lists_are_split_at_commas_with_or_without_brackets(text: str, items: tuple[str, ...]) -> None:
    assert parse_list(text) == items


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("[2001:db8::7], [2001:db8::8]", ("[2001:db8::7]", "[2001:db8::8]")),
        ("[2001:db8::7]:2222,[2001:db8::8]", ("[2001:db8::7]:2222", "[2001:db8::8]")),
    ],
)
def test_a_list_of_bracketed_ipv6_addresses_keeps_each_address_whole(text: str, items: tuple[str, ...]) -> None:
    assert parse_list(text) == items


def test_a_list_in_brackets_is_never_evaluated() -> None:
    assert parse_list("[__import__('os').getpid()]") == ("__import__('os').getpid()",)


@pytest.mark.parametrize(("text", "choice"), [("ssh", "SSH"), (" Local ", "LOCAL"), ("NONE", "NONE")])
def test_choices_are_compared_without_case_and_given_as_declared(text: str, choice: str) -> None:
    assert parse_choice(text, CHOICES) == choice


def test_a_wrong_choice_names_all_and_the_nearest() -> None:
    with pytest.raises(ValueError, match="NONE, LOCAL, SSH") as caught:
        parse_choice("LOCLA", CHOICES)
    assert 'did you mean "LOCAL"?' in str(caught.value)


@pytest.mark.parametrize(
    ("text", "path"),
    [("/a", "/a"), (" '/a' ", "/a"), ('"/a"', "/a"), ("'/a", "'/a"), ("'", "'"), ("'/a\"", "'/a\"")],
)
def test_paths_may_stand_in_one_pair_of_quotes(text: str, path: str) -> None:
    assert parse_value(option(Kind.PATH), text) == path


def test_text_is_taken_as_it_stands() -> None:
    assert parse_value(option(Kind.TEXT), " 'a', [b] ") == " 'a', [b] "


@pytest.mark.parametrize("text", ["'", '"', "''", "", "a"])
def test_unquote_takes_a_pair_only(text: str) -> None:
    assert unquote(text) == ("" if text == "''" else text)


def test_the_nearest_known_name_is_offered_and_nothing_for_what_is_far() -> None:
    assert did_you_mean("requir-password", ["require-password", "verify-ip"]) == '; did you mean "require-password"?'
    assert did_you_mean("zzz", ["require-password", "verify-ip"]) == ""


def test_the_value_on_error_is_the_safe_one_where_there_is_one() -> None:
    assert option(Kind.BOOLEAN, True, on_error=False).fallback is False
    assert option(Kind.BOOLEAN, True).fallback is True


TYPED = st.one_of(
    st.tuples(st.just(Kind.BOOLEAN), st.booleans()),
    st.tuples(st.just(Kind.INTEGER), st.integers(-(10**18) + 1, 10**18 - 1)),
    st.tuples(st.just(Kind.LIST), st.lists(WORDS).map(tuple)),
    st.tuples(st.just(Kind.PATH), WORDS),
    st.tuples(st.just(Kind.TEXT), st.text()),
    st.tuples(st.just(Kind.CHOICE), st.sampled_from(CHOICES)),
)


@SOME
@given(TYPED)
def test_what_format_value_writes_parse_value_reads_back(typed: tuple[Kind, Value]) -> None:
    kind, value = typed
    assert parse_value(option(kind, choices=CHOICES), format_value(value)) == value


@SOME
@given(st.sampled_from(Kind), st.text())
def test_no_text_makes_parse_value_raise_anything_but_value_error(kind: Kind, text: str) -> None:
    declared = option(kind, choices=CHOICES, minimum=1, maximum=10)
    try:
        value = parse_value(declared, text)
    except ValueError as error:
        assert str(error)
        return
    match kind:
        case Kind.BOOLEAN:
            assert isinstance(value, bool)
        case Kind.INTEGER:
            assert isinstance(value, int)
            assert 1 <= value <= 10
        case Kind.LIST:
            assert isinstance(value, tuple)
            assert all(value)
        case Kind.CHOICE:
            assert value in CHOICES
        case _:
            assert isinstance(value, str)
