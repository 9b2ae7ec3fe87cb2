"""Which page a request comes from, as far as browsers tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.model.origins import Callers, is_own_origin, may_come, split_origin

OWN = "broker.example"
EVIL = "https://evil.example"


@pytest.mark.parametrize(
    ("origin", "parts"),
    [
        ("https://a.example", ("https", "a.example", 443)),
        ("https://A.Example:8443", ("https", "a.example", 8443)),
        ("http://[::1]:80", ("http", "::1", 80)),
        ("https://a.example/page?x#y", ("https", "a.example", 443)),
        ("null", None),
        ("", None),
        ("https://", None),
        ("ftp://a.example", None),
        ("https://[", None),
        ("https://a:b", None),
        ("https://a.example@evil.example", None),
        ("javascript:a.example", None),
    ],
)
def test_the_parts_of_an_origin(origin: str, parts: tuple[str, str, int] | None) -> None:
    assert split_origin(origin) == parts


@given(st.text())
def test_no_text_in_an_origin_raises_or_becomes_ours_by_chance(text: str) -> None:
    found = split_origin(text)
    assert found is None or found[1] in text.lower()


@pytest.mark.parametrize(
    ("origin", "scheme", "host", "own"),
    [
        ("https://broker.example", "https", OWN, True),
        ("https://broker.example", "https", f"{OWN}:443", True),
        ("https://broker.example:443", "https", OWN, True),
        ("http://broker.example", "http", OWN, True),
        ("https://broker.example", "http", OWN, True),  # TLS was taken off on the way
        ("http://broker.example", "https", OWN, False),  # anybody on the way could have written that page
        ("https://broker.example:8443", "https", OWN, False),
        ("https://broker.example.evil.example", "https", OWN, False),
        ("https://evil.example", "https", OWN, False),
        ("null", "https", OWN, False),
        ("https://", "https", "", False),
        ("https://broker.example, https://evil.example", "https", OWN, False),
    ],
)
def test_whose_origin_it_is(origin: str, scheme: str, host: str, own: bool) -> None:
    assert is_own_origin(origin, scheme, host) is own


NOTHING: dict[str, str] = {}
FROM_A_PROGRAM = [NOTHING, {"User-Agent": "Mozilla/5.0", "Accept-Language": "en-US,*"}]
OWN_PAGES = [
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://name-that-a-proxy-hides.example"},
    {"Origin": "https://broker.example"},
    {"Referer": "https://broker.example/portal/"},
]
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "https://broker.example"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Mode": "navigate"},
    {"sec-fetch-dest": "document"},
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Origin": ""},
    {"origin": EVIL, "Referer": "https://broker.example/"},
    {"Referer": f"{EVIL}/page"},
    {"Referer": ""},
]
TYPED = [{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}]  # the address bar, and a link in a mail


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS", "BREW"])
@pytest.mark.parametrize(
    ("pages", "programs", "links", "forms"),
    [
        (FROM_A_PROGRAM, True, True, False),
        (OWN_PAGES, True, True, True),
        (FOREIGN, False, False, False),
        (TYPED, False, False, False),
    ],
)
def test_who_may_come(method: str, pages: list[dict[str, str]], programs: bool, links: bool, forms: bool) -> None:
    safe = method in ("GET", "HEAD", "OPTIONS")
    for headers in pages:
        for callers, may in (
            (Callers.PROGRAMS, programs),
            (Callers.LINKS, links or safe),
            (Callers.FORMS, forms or safe),
        ):
            found = may_come(callers, method, headers, "https", OWN)
            assert found is may, (callers, headers)
