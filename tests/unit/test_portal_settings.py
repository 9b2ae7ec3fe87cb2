"""The portal's options."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.configured import Files
from x2gobroker.settings import GLOBAL, Settings


def test_the_portal_is_off_until_it_is_turned_on() -> None:
    settings = Settings()
    assert not settings.boolean(GLOBAL, "enable-portal")
    assert settings.integer(GLOBAL, "portal-idle-minutes") == 30
    assert settings.integer(GLOBAL, "portal-absolute-hours") == 10
    assert settings.boolean(GLOBAL, "portal-keep-password")


@pytest.mark.parametrize("variable", ["CEI_NEXUS_REMOTE_WEBSOCKETURL", "X2GOBROKER_REMOTE_WEBSOCKETURL"])
def test_the_websocket_url_comes_from_either_variable(tmp_path: Path, variable: str) -> None:
    files = Files(tmp_path, ({variable: "wss://desktops.example.org/websockify"},))
    assert files.write("[global]\nremote-websocket-url = wss://other/").text(GLOBAL, "remote-websocket-url") == (
        "wss://desktops.example.org/websockify"
    )


def test_our_own_variable_counts_before_the_other_one(tmp_path: Path) -> None:
    variables = {"CEI_NEXUS_REMOTE_WEBSOCKETURL": "wss://theirs/", "X2GOBROKER_REMOTE_WEBSOCKETURL": "wss://ours/"}
    files = Files(tmp_path, (variables,))
    assert files.write("[global]").text(GLOBAL, "remote-websocket-url") == "wss://ours/"


def test_what_cannot_be_read_keeps_no_password(files: Files) -> None:
    assert not files.write("[global]\nportal-keep-password = perhaps").boolean(GLOBAL, "portal-keep-password")
