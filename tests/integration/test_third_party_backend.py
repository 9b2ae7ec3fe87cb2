"""A backend of somebody else's package, really installed: served at its name, without a line changed in ours."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from tests.support.our_broker import OurBroker

PACKAGE = Path(__file__).parents[1] / "packages" / "x2gobroker_weekdays"
CONFIG = "[global]\ndefault-auth-mech = none\ncookie-directory = {state}\n[broker_weekdays]\nenable = true\n"


@pytest.fixture(scope="module")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"  # building leaves files beside the source
    shutil.copytree(PACKAGE, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(source)], check=True, timeout=120)
    return folder / "site"


def test_it_is_served_at_its_name(site_packages: Path) -> None:
    with OurBroker(CONFIG, env={"PYTHONPATH": str(site_packages)}) as broker:
        data = {"user": "anna", "password": "x", "task": "listsessions"}
        plain = requests.post(f"{broker.url}/plain/weekdays/", data=data, timeout=10)
        assert re.findall(r"^\[(\w+)\]$", plain.text, re.MULTILINE)
        payload = requests.post(f"{broker.url}/json/weekdays", data=data, timeout=10).json()
        assert len(payload["profiles"]) == 7


def test_its_script_runs(site_packages: Path) -> None:
    """On the day that it is: the script looks at the real clock."""
    config = CONFIG.replace("[global]", "[global]\npost_auth_scripts = weekend")
    with OurBroker(config, env={"PYTHONPATH": str(site_packages), "TZ": "UTC"}) as broker:
        before = datetime.now(UTC).weekday() >= 5
        answer = requests.post(f"{broker.url}/plain/weekdays/", data={"user": "anna", "password": "x"}, timeout=10)
        if before == (datetime.now(UTC).weekday() >= 5):  # else it was midnight meanwhile
            assert ("Access granted" in answer.text) is not before
            assert ("refused by script weekend" in broker.log()) is before


def test_it_is_not_there_without_the_package() -> None:
    with OurBroker(CONFIG) as broker:
        assert requests.post(f"{broker.url}/plain/weekdays/", data={"user": "anna"}, timeout=10).status_code == 404
        assert "broker_weekdays" in broker.log()


def test_it_is_listed(site_packages: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "x2gobroker"), "plugins"],
        env={"PYTHONPATH": str(site_packages)},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    for name in ("weekdays", "weekend"):
        assert re.search(rf"^  {name} +x2gobroker-weekdays ", done.stdout, re.MULTILINE), done.stdout
