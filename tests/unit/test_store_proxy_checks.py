"""Tokens of `check-proxy`: for one connection, for a while, and for no desktop."""

from __future__ import annotations

from pathlib import Path

from tests.support.remote_folders import store_in
from x2gobroker.store import ProxyChecks, RemoteDesktops
from x2gobroker.store.proxy_checks import SECONDS


def test_a_token_counts_once(tmp_path: Path) -> None:
    with store_in(tmp_path) as store:
        checks = ProxyChecks(store)
        token = checks.token()
        assert checks.redeem(token)
        assert not checks.redeem(token)
        assert not checks.redeem("0" * 40)


def test_a_token_counts_for_a_while(tmp_path: Path) -> None:
    with store_in(tmp_path) as store:
        checks = ProxyChecks(store)
        late, early = checks.token(1000), checks.token(1000)
        assert not checks.redeem(late, 1000 + SECONDS + 1)
        assert checks.redeem(early, 1000 + SECONDS - 1)
        assert not checks.redeem(checks.token(5000), 1000), "made while a clock was ahead"
        checks.token(1000)
        RemoteDesktops(store).sweep(1000 + SECONDS + 1)
        with store.begin() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM remote_tokens").scalar_one() == 0


def test_neither_is_good_for_the_other(tmp_path: Path) -> None:
    """It opens no desktop, and the token of a desktop says nothing about the service."""
    with store_in(tmp_path) as store:
        checks, desktops = ProxyChecks(store), RemoteDesktops(store)
        slot = desktops.reserve("Desk", 1, "anna", {}, "")
        assert slot is not None
        token = desktops.token(slot, "anna", "")
        assert not checks.redeem(token)
        assert desktops.redeem(token, "127.0.0.1") is not None, "and is not spent by that"
        assert desktops.redeem(checks.token(), "127.0.0.1") is None
