"""Files up and down behind each web server with TLS, as `x2gobroker remote print-config` tells it, in both browsers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.accounts import Account, account_with_home
from tests.support.browser import tab
from tests.support.cable import ADDRESS
from tests.support.person import Person
from tests.support.portal_site import Site, site_with_apache, site_with_haproxy, site_with_nginx
from tests.support.processes import free_port
from tests.support.tls import Certificates

DISPLAYS = 42000 + os.getpid() % 2000 * 10  # displays that no other test has
TYPES = {
    "Desktop": {
        "script": "plain.py", "count": 1, "files": "both", "files-megabytes": 100,
        "options": {"display_base": DISPLAYS},
    }
}  # fmt: skip
SIZE = (20 << 20) + 1
# the requests of the page's script: a first part of an upload, and the rest of it
SENT = "return performance.getEntriesByType('resource').filter((each) => each.name.endsWith('/websockify')).length"
STATES = "return [...document.querySelectorAll('.transfer')].map((each) => each.dataset.state).join(' ')"
Opened = Callable[..., AbstractContextManager[Site]]


@pytest.fixture(
    scope="module",
    params=[(site_with_apache, True), (site_with_nginx, False), (site_with_haproxy, True)],
    ids=["Apache, and TLS up to the service", "nginx, and a Unix socket", "HAProxy, and TLS up to the service"],
)
def site(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Site]:
    opened: Opened
    opened, has_tls = request.param
    with tempfile.TemporaryDirectory(prefix="x2gt-") as folder:
        Path(folder).chmod(0o755)
        setup = [f"remote-listen={folder}/remote.sock"]
        if has_tls:
            setup = [
                f"remote-listen=127.0.0.1:{free_port()}",
                f"remote-tls-certificate={certificates.certificate}",
                f"remote-tls-key={certificates.key}",
            ]
        with opened(certificates, TYPES, setup=setup) as made:
            yield made


@pytest.fixture(scope="module")
def anna() -> Iterator[Account]:
    with account_with_home("Files & ways 1") as made:
        yield made


def up_and_down(site: Site, person: Person, anna: Account, folder: Path) -> None:
    """Somebody's whole way."""
    data = os.urandom(SIZE)
    (folder / "up.bin").write_bytes(data)
    slot = site.service.desktops.reserve("Desktop", 1, anna.name, {"size": "640x480"}, ADDRESS)
    assert slot is not None
    person.sign_in(site.url, anna.name, anna.password)
    person.go(f"{site.url}desktop/{slot.id}")
    person.wait_for_phase("connected")
    person.click("#files")
    person.choose_files("Upload files…", folder / "up.bin")
    person.wait_for("the upload", lambda: person.run(STATES) == "done")
    assert (anna.home / "up.bin").read_bytes() == data
    assert (anna.home / "up.bin").owner() == anna.name
    assert person.run(SENT) == 2
    assert person.download("Download up.bin").read_bytes() == data
    person.wait_for("the download", lambda: person.run(STATES) == "done done")
    (anna.home / "up.bin").unlink()
    site.stop_all(anna.name)


def test_in_chromium(site: Site, running_chromium: Browser, anna: Account, tmp_path: Path) -> None:
    with tab(running_chromium) as person:
        up_and_down(site, person, anna, tmp_path)
        person.assert_well()


def test_in_firefox(site: Site, running_firefox: Person, anna: Account, tmp_path: Path) -> None:
    up_and_down(site, running_firefox, anna, tmp_path)
    running_firefox.go("about:blank")
