"""`x2gobroker store`: status, upgrade, backup, restore."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import URL

from tests.support.released_stores import fill
from x2gobroker.cli.main import main
from x2gobroker.store import Drains, Store, schema
from x2gobroker.store.database import FILE_NAME


@dataclass
class Site:
    """A configured broker in a folder."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run `x2gobroker store`: exit status, standard output, standard error."""
        status = main(["store", arguments[0], "-C", str(self.folder / "x.conf"), *arguments[1:]])
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err

    def store(self) -> Store:
        """Its store."""
        return Store(URL.create("sqlite", database=str(self.folder / "state" / FILE_NAME)))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Site:
    """One without a store."""
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(tmp_path / "defaults.conf"))
    (tmp_path / "x.conf").write_text(f"[global]\ncookie-directory = {tmp_path / 'state'}\n")
    return Site(tmp_path, capsys)


def drain(site: Site, name: str) -> None:
    store = site.store()
    Drains(store).start(name, "root", "")
    store.close()


def drained(site: Site) -> list[str]:
    store = site.store()
    found = [drain.name for drain in Drains(store).all()]
    store.close()
    return found


def of_release(site: Site, release: str) -> None:
    (site.folder / "state").mkdir(mode=0o700)
    engine = create_engine(site.store().url)
    with engine.begin() as connection:
        fill(connection, release)
    engine.dispose()


@pytest.mark.parametrize("action", ["status", "upgrade", "backup"])
def test_without_a_store_there_is_nothing_to_show_or_keep(site: Site, action: str) -> None:
    status, printed, said = site.run(action, *([str(site.folder / "b")] if action == "backup" else []))
    assert (status, printed) == (1, "")
    assert "there is no state store" in said
    assert not (site.folder / "state").exists()
    assert not (site.folder / "b").exists()


def test_status_shows_schema_and_rows_and_changes_nothing(site: Site) -> None:
    of_release(site, "1.0.0a1")
    for _ in range(2):
        status, printed, _ = site.run("status")
        assert status == 0
        assert "schema:  1, by x2gobroker 1.0.0a1" in printed
        assert "2 is to come: " in printed
    drain(site, "ts01")
    status, printed, _ = site.run("status")
    assert f"schema:  {schema.newest()}, by" in printed
    assert "        2  drains\n" in printed


def test_upgrade_says_what_it_did(site: Site) -> None:
    of_release(site, "1.0.0a1")
    status, printed, _ = site.run("upgrade")
    assert status == 0
    assert printed.startswith("2: ")
    assert printed.endswith(f"schema {schema.newest()}\n")
    assert site.run("upgrade")[1].endswith(", as before\n")


def test_a_backup_is_for_its_owner_only_and_never_overwrites(site: Site) -> None:
    drain(site, "ts01")
    file = site.folder / "kept"
    status, printed, _ = site.run("backup", str(file))
    assert (status, printed) == (0, f"{file}: {file.stat().st_size} bytes\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    status, _, said = site.run("backup", str(file))
    assert status == 1
    assert "is there already" in said
    assert file.read_bytes() == before
    assert sorted(path.name for path in site.folder.iterdir()) == ["kept", "state", "x.conf"]


def test_a_folder_that_is_not_there_is_said(site: Site) -> None:
    drain(site, "ts01")
    status, _, said = site.run("backup", str(site.folder / "none" / "kept"))
    assert status == 1
    assert "cannot be written: No such file" in said


def test_a_backup_comes_back_on_a_machine_that_has_no_store(site: Site) -> None:
    drain(site, "ts01")
    assert site.run("backup", str(site.folder / "kept"))[0] == 0
    (site.folder / "state").rename(site.folder / "lost")
    status, printed, _ = site.run("restore", str(site.folder / "kept"))
    assert status == 0
    assert "        1  drains\n" in printed
    assert drained(site) == ["ts01"]


def test_what_is_there_is_replaced_only_when_that_is_meant(site: Site) -> None:
    drain(site, "ts01")
    assert site.run("backup", str(site.folder / "kept"))[0] == 0
    drain(site, "ts02")
    status, _, said = site.run("restore", str(site.folder / "kept"))
    assert status == 1
    assert "--replace" in said
    assert drained(site) == ["ts01", "ts02"]
    assert site.run("restore", "--replace", "--without-sign-ins", str(site.folder / "kept"))[0] == 0
    assert drained(site) == ["ts01"]


@pytest.mark.parametrize("content", [None, b"", b"something else"])
def test_a_file_that_is_no_backup_changes_nothing(site: Site, content: bytes | None) -> None:
    drain(site, "ts01")
    file = site.folder / "kept"
    if content is not None:
        file.write_bytes(content)
    status, printed, said = site.run("restore", "--replace", str(file))
    assert (status, printed) == (1, "")
    assert "cannot be read" in said if content is None else "no backup" in said
    assert drained(site) == ["ts01"]
