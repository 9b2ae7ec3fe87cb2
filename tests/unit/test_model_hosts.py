"""Host entries of session profiles; F19 of the reference is what they must not become."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.properties import MANY
from x2gobroker.model.hosts import JOINERS, Host, ascii_name, is_ip_address, parse_host, parse_port, split_address

PIECES = (
    "h",
    "a.b",
    "10.0.2.18",
    "::1",
    "[::1]",
    "2001:db8::7",
    "(",
    ")",
    ":",
    "22",
    "0",
    "65536",
    " ",
    "-",
    "%",
    "é",
    "..",
)
HOSTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=7).map("".join))


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("h", Host("h")),
        (" h.example.org ", Host("h.example.org")),
        ("h:2222", Host("h", "", 2222)),
        ("10.0.2.18", Host("10.0.2.18")),
        ("10.0.2.18:2222", Host("10.0.2.18", "", 2222)),
        ("h (10.0.2.18)", Host("h", "10.0.2.18")),
        ("h(10.0.2.18)", Host("h", "10.0.2.18")),
        ("h (10.0.2.18:2222)", Host("h", "10.0.2.18", 2222)),
        ("h (other.example:2222)", Host("h", "other.example", 2222)),
        ("server-d (server-d.domain.internet)", Host("server-d", "server-d.domain.internet")),
        ("fe80::1", Host("fe80::1")),
        ("[fe80::1]", Host("fe80::1")),
        ("[fe80::1]:2222", Host("fe80::1", "", 2222)),
        ("under_score", Host("under_score")),
        ("büro.example", Host("büro.example")),
        ("büro (пример.испытание:2222)", Host("büro", "пример.испытание", 2222)),
        ("दिल्ली.example", Host("दिल्ली.example")),
        ("例え。テスト", Host("例え。テスト")),
        # signs that IDNA 2008 has between the letters that need them
        ("paral·lel.example", Host("paral·lel.example")),
        ("データ・センター.example", Host("データ・センター.example")),
        ("日・本.example", Host("日・本.example")),
        ("نامه\u200cای.example", Host("نامه\u200cای.example")),
        ("क्\u200dष.example", Host("क्\u200dष.example")),
        ("क्\u200cष.example", Host("क्\u200cष.example")),
        ("xn--bro-hoa.example", Host("xn--bro-hoa.example")),
        ("127.1", Host("127.1")),
        ("0x7f000001", Host("0x7f000001")),
        ("fe80::1%eth0", Host("fe80::1%eth0")),
        ("h.example.", Host("h.example.")),
    ],
)
def test_documented_forms_are_read(text: str, host: Host) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("h (::1)", Host("h", "::1")),
        ("h (2001:db8::7)", Host("h", "2001:db8::7")),
        ("h ([2001:db8::7]:22)", Host("h", "2001:db8::7", 22)),
        ("h  (10.0.2.18)", Host("h", "10.0.2.18")),
        ("h (2222)", Host("h", "", 2222)),
        ("h (:2222)", Host("h", "", 2222)),
        ("h:2222", Host("h", "", 2222)),
        ("10.0.2.17 (10.0.2.18)", Host("10.0.2.17", "10.0.2.18")),
    ],
)
def test_f19_forms_that_the_reference_mangled_keep_name_address_and_port(text: str, host: Host) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "h ()",
        "h ( )",
        "my own (10.0.2.19)",
        "h (-1)",
        "h (10.0.2.18:-1)",
        "h (10.0.2.18:65536)",
        "h (10.0.2.18:99999999999)",
        "h (10.0.2.18:0)",
        "h:0",
        "h:65536",
        "h:-22",
        "h:",
        ":22",
        "22",
        "",
        " ",
        "a..b",
        "x" * 64,
        "-h",
        "h-",
        "h (a..b)",
        "h (1.2.3.4) x",
        "(10.0.2.18)",
        "h:٢٢",
        "bü ro",
        "bü..ro",
        "-büro",
        "büro-",
        "bü'ro",
        'bü"ro',
        "bü;ro",
        "bü=ro",
        "bü\nro",
        "bü\u2028ro",
        "bü\u202ero",
        "bü\u00a0ro",
        "bü|ro",
        "bü/ro",
        "ü" * 64,
        ".".join(["ü" * 60] * 5),
        "a·b",
        "·ll",
        "ll·",
        "a・b",
        "・",
        "a\u200db",
        "a\u200cb",
        "\u200cای",
        "نامه\u200c",
        "را\u200cن",  # the letter before it joins nothing on that side
        "نامه\u200dای",
        "क\u200dष",
        "क\u00b7ष",
    ],
)
def test_f19_and_f14_forms_that_mean_nothing_are_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_host(text)


@pytest.mark.parametrize("text", ["fe80::1%a b", "h (fe80::1%a b)", "fe80::1%\u2028x"])
def test_a_zone_with_blanks_or_line_ends_is_no_host(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_host(text)


@MANY
@given(HOSTS)
@example("h (10.0.2.18:65535)")
@example("[::1]:1")
def test_every_host_accepted_has_a_name_and_a_port_that_exists_or_none(text: str) -> None:
    try:
        host = parse_host(text)
    except ValueError as error:
        assert str(error)
        return
    assert host.name
    assert host.target
    assert host.port is None or 1 <= host.port <= 65535
    assert not set("()[]") & set(host.target)


@MANY
@given(st.text(max_size=30), st.sampled_from(["{}", "h ({})", "{}:22", "h ({}:22)", "{}.example"]))
def test_nothing_of_another_language_gets_through_in_a_name_of_any_script(text: str, form: str) -> None:
    try:
        host = parse_host(form.format(text))
    except ValueError:
        return
    for part in (host.name, host.address):
        assert part.translate(dict.fromkeys(map(ord, JOINERS))).isprintable()
        assert not set(" \t\r\n\"'`\\|,;()[]{}<>=$&*?!#@/^~") & set(part)
        assert not part.startswith("-")
        assert ascii_name(part).isprintable()


def test_a_name_is_resolved_as_dns_has_it() -> None:
    assert ascii_name("büro.example") == "xn--bro-hoa.example"
    assert ascii_name("ts1.example") == "ts1.example"
    assert ascii_name("ü" * 300) == "ü" * 300
    # Python has IDNA 2003, which drops the joiner: that is another domain. The name is UTS 46's own example
    assert ascii_name("نامه\u200cای.com.") == "xn--mgba3gch31f060k.com."
    assert ascii_name("büro.क्\u200dष.example") == "xn--bro-hoa.xn--11b2ezcw70k.example"


@MANY
@given(HOSTS)
def test_what_is_accepted_is_read_the_same_when_written_in_full(text: str) -> None:
    try:
        host = parse_host(text)
    except ValueError:
        return
    address = f"[{host.target}]" if ":" in host.target else host.target
    again = parse_host(f"{host.name} ({address}:{host.port_or(22)})")
    assert (again.name, again.target, again.port) == (host.name, host.target, host.port_or(22))


def test_a_port_of_its_own_wins_over_the_default() -> None:
    assert parse_host("h:2222").port_or(22) == 2222
    assert parse_host("h").port_or(2200) == 2200


def test_the_plain_protocol_gets_a_name_where_the_address_has_colons() -> None:
    assert parse_host("h (2001:db8::7)").speakable == "h"
    assert parse_host("h (10.0.2.18)").speakable == "10.0.2.18"
    assert parse_host("h").speakable == "h"


@pytest.mark.parametrize(("text", "port"), [("1", 1), ("65535", 65535), ("00022", 22)])
def test_ports_from_1_to_65535_are_read(text: str, port: int) -> None:
    assert parse_port(text) == port


@pytest.mark.parametrize("text", ["", "0", "65536", "-1", "+1", "1 ", "22x", "000022", "²"])
def test_other_ports_are_refused_with_the_range(text: str) -> None:
    with pytest.raises(ValueError, match="1 to 65535"):
        parse_port(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("", None)),
        ("8080", ("", 8080)),
        (":8080", ("", 8080)),
        ("::1", ("::1", None)),
        ("[::1]:8080", ("::1", 8080)),
    ],
)
def test_address_and_port_are_told_apart(text: str, parts: tuple[str, int | None]) -> None:
    assert split_address(text) == parts


@pytest.mark.parametrize(
    ("text", "yes"), [("10.0.0.1", True), ("[::1]", True), ("::1", True), ("h", False), ("", False)]
)
def test_ip_addresses_are_recognised(text: str, yes: bool) -> None:
    assert is_ip_address(text) is yes
