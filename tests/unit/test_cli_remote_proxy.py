"""Where `check-proxy` looks: for each address of a broker, where its pages connect to."""

from __future__ import annotations

import pytest

from x2gobroker.cli.remote.proxy import Way, _address_fault, base_of, tls_of
from x2gobroker.cli.remote.web import browser_path
from x2gobroker.errors import ConfigurationError
from x2gobroker.settings import GLOBAL, Settings

TLS = tls_of(None)


def of(**values: str) -> Settings:
    """Settings with these options."""
    return Settings({(GLOBAL, name.replace("_", "-")): value for name, value in values.items()})


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://b.example", "https://b.example/"),
        ("https://b.example/portal/", "https://b.example/"),
        ("https://b.example:8443/x2gobroker/portal", "https://b.example:8443/x2gobroker/"),
        (" https://b.example/x2gobroker/ ", "https://b.example/x2gobroker/"),
    ],
)
def test_the_address_of_the_broker(url: str, base: str) -> None:
    assert base_of(url) == base


@pytest.mark.parametrize("url", ["b.example", "ftp://b.example", "https://", "https://me@b.example/"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is no address of a web page"):
        base_of(url)


@pytest.mark.parametrize(
    ("base", "settings", "url", "origin"),
    [
        ("https://b.example/", of(), "wss://b.example/websockify", "https://b.example"),
        ("http://localhost:8080/", of(), "ws://localhost:8080/websockify", "http://localhost:8080"),
        (
            "https://b.example:8443/x2gobroker/",
            of(daemon_path="/x2gobroker"),
            "wss://b.example:8443/x2gobroker/websockify",
            "https://b.example:8443",
        ),
        (
            "https://b.example/x2gobroker/",
            of(daemon_path="/x2gobroker", remote_websocket_url="wss://d.example/websockify"),
            "wss://d.example/websockify",
            "https://b.example",
        ),
        ("https://b.example/a/", of(remote_websocket_url="/other"), "wss://b.example/other", "https://b.example"),
    ],
)
def test_it_connects_as_the_pages_do_and_web_servers_are_told(
    base: str, settings: Settings, url: str, origin: str
) -> None:
    way = Way.of(settings, base, TLS)
    assert (way.url, way.origin) == (url, origin)
    assert url.endswith(browser_path(settings))


PAGE = '<a href="{root}/plain/inifile/">{root}/plain/inifile/</a>'


@pytest.mark.parametrize(
    ("root", "base", "words"),
    [
        ("https://b.example", "https://b.example/", ""),
        ("https://b.example/x2gobroker", "https://b.example/x2gobroker/", ""),
        ("https://inside.example", "https://b.example/", "pass the header Host on"),
        ("http://b.example", "https://b.example/", "X-Forwarded-Proto"),
        ("https://b.example", "https://b.example/x2gobroker/", "set daemon-path = /x2gobroker"),
        ("https://b.example/other", "https://b.example/x2gobroker/", "takes /other for its path, and not /x2gobroker"),
    ],
)
def test_what_the_broker_takes_for_its_own_address(root: str, base: str, words: str) -> None:
    for page in (PAGE.format(root=root), f"<td>{root}/pubkeys/</td>"):
        fault = _address_fault(page, base)
        assert words in fault
        assert bool(words) == bool(fault)


def test_a_page_that_names_no_address_says_nothing() -> None:
    assert _address_fault("<p>hello</p>", "https://b.example/x2gobroker/") == ""
