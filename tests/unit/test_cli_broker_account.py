"""The broker's account, and who becomes it before working in its places."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.forked import in_a_child
from x2gobroker.cli.broker_account import as_broker, broker_account, work_in
from x2gobroker.errors import ConfigurationError
from x2gobroker.model.options import Value
from x2gobroker.settings import Settings

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root's rights are given away")


@pytest.fixture(autouse=True)
def _stay_who_we_are() -> None:
    """Here it is a child that gives its rights away."""


def environment(**variables: Value) -> Settings:
    """Settings with the account `daemon`."""
    names: dict[str, Value] = {"X2GOBROKER_DAEMON_USER": "daemon", "X2GOBROKER_DAEMON_GROUP": "daemon", **variables}
    return Settings({("environment", name): value for name, value in names.items()})


def who() -> tuple[int, int, list[int], str]:
    """Who this process is."""
    assert len(set(os.getresuid())) == len(set(os.getresgid())) == 1
    return os.getuid(), os.getgid(), os.getgroups(), os.environ["HOME"]


def test_the_group_is_the_one_configured_and_those_of_the_user_stay() -> None:
    account = broker_account(environment(X2GOBROKER_DAEMON_USER="www-data", X2GOBROKER_DAEMON_GROUP="daemon"))
    assert (account.name, account.gid, set(account.groups)) == ("www-data", 1, {1, 33})


def test_an_account_that_is_not_there_says_how_to_make_it() -> None:
    for variables in ({"X2GOBROKER_DAEMON_USER": "no-such-user"}, {"X2GOBROKER_DAEMON_GROUP": "no-such-group"}):
        with pytest.raises(ConfigurationError, match="adduser"):
            broker_account(environment(**variables))


def worked(settings: Settings, folder: Path) -> tuple[int, int, list[int], str]:
    def work() -> tuple[int, int, list[int], str]:
        work_in(settings, folder)
        return who()

    return in_a_child(work)


def test_root_works_by_itself_where_only_root_can_write(tmp_path: Path) -> None:
    before = who()
    assert worked(environment(), tmp_path) == before
    assert worked(environment(X2GOBROKER_DAEMON_USER="no-such-user"), tmp_path / "not" / "there") == before


@pytest.mark.parametrize("below", [".", "deeper/still"])
def test_root_becomes_the_owner_of_a_folder_that_is_somebody_elses(tmp_path: Path, below: str) -> None:
    place = tmp_path / "place"
    (place / below).mkdir(parents=True)
    os.chown(place, 33, 33)
    assert worked(environment(), place / below) == (33, 33, [33], "/var/www")


@pytest.mark.parametrize("mode", [0o770, 0o777])
def test_root_becomes_the_brokers_account_where_others_can_write_as_well(tmp_path: Path, mode: int) -> None:
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, 0, 1)
    place.chmod(mode)
    assert worked(environment(), place)[:3] == (1, 1, [1])


def test_a_link_of_somebody_else_makes_root_that_user(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real")
    os.chown(link, 33, 33, follow_symlinks=False)
    assert worked(environment(), link)[0] == 33


def test_the_place_of_the_store_decides_and_a_server_of_databases_has_none(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 33, 33)

    def work(values: dict[tuple[str, str], Value]) -> int:
        as_broker(Settings({**environment().values, **values}))
        return os.getuid()

    assert in_a_child(lambda: work({("global", "cookie-directory"): str(state)})) == 33
    assert in_a_child(lambda: work({("global", "database-url"): "postgresql://127.0.0.1/x"})) == 0
