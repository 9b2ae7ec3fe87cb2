"""The daemon's certificate: renewed while it runs, and broken for a moment."""

from __future__ import annotations

import os
import shutil
import ssl
from pathlib import Path

import pytest

from tests.support.tls import Certificates, make_certificates
from x2gobroker.gate import TlsContext, tls


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificates, Certificates]:
    """A certificate, and the one that takes its place."""
    return make_certificates(tmp_path_factory.mktemp("one")), make_certificates(tmp_path_factory.mktemp("two"))


@pytest.fixture(autouse=True)
def _curious(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.0)


def install(pair: Certificates, folder: Path) -> tuple[Path, Path]:
    """Copy the files over those that are there."""
    certificate, key = folder / "live.pem", folder / "live.key"
    shutil.copyfile(pair.key, key)
    shutil.copyfile(pair.certificate, certificate)
    return certificate, key


def served(tmp_path: Path, pair: Certificates) -> TlsContext:
    certificate, key = install(pair, tmp_path)
    return TlsContext(str(certificate), str(key))


def unreadable(_certificate: str, _key: str) -> ssl.SSLContext:
    raise PermissionError("Permission denied")


@pytest.mark.parametrize("changes_mode", [True, False], ids=["chmod of the key", "chmod of its folder"])
def test_a_renewed_key_that_can_be_read_a_moment_later_is_taken(
    tmp_path: Path,
    pairs: tuple[Certificates, Certificates],
    monkeypatch: pytest.MonkeyPatch,
    said: pytest.LogCaptureFixture,
    changes_mode: bool,
) -> None:
    """Deploy hooks do `cp key; chown key`, and connections may come in between."""
    files = served(tmp_path, pairs[0])
    before = files.current()
    _, key = install(pairs[1], tmp_path)
    with monkeypatch.context() as then:
        then.setattr(tls, "make_context", unreadable)
        for _ in range(3):
            assert files.current() is before
    assert said.text.count("cannot be read again") == 1
    if changes_mode:
        key.chmod(0o600)
    renewed = files.current()
    assert renewed is not before
    assert files.current() is renewed


def test_a_file_that_changes_in_nothing_but_its_bytes_and_its_ctime_is_taken(
    tmp_path: Path, pairs: tuple[Certificates, Certificates]
) -> None:
    files = served(tmp_path, pairs[0])
    before = files.current()
    certificate, key = tmp_path / "live.pem", tmp_path / "live.key"
    for path in (certificate, key):
        status = path.stat()
        with path.open("r+b") as stream:  # the same bytes again
            stream.write(path.read_bytes())
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert files.current() is not before


def test_a_pair_that_breaks_is_said_once_for_each_state_and_the_good_one_goes_on(
    tmp_path: Path, pairs: tuple[Certificates, Certificates], said: pytest.LogCaptureFixture
) -> None:
    files = served(tmp_path, pairs[0])
    before = files.current()
    key = tmp_path / "live.key"
    for times in (1, 2):
        key.write_text(f"half a key {times}")
        assert [files.current() for _ in range(3)] == [before] * 3
        assert said.text.count("cannot be read again") == times
    key.unlink()
    assert [files.current() for _ in range(3)] == [before] * 3
    assert said.text.count("cannot be read again") == 3
    install(pairs[1], tmp_path)
    assert files.current() is not before
    assert said.text.count("cannot be read again") == 3
