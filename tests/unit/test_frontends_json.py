"""Values of session profiles in JSON, as Python X2Go itself takes them."""

from __future__ import annotations

import json
import subprocess

import pytest

from x2gobroker.broker import Offer
from x2gobroker.frontends.json import profile_values
from x2gobroker.model.profile import build_profile
from x2gobroker.model.profile_options import CLIENT_NAMES

PYTHON_X2GO = """
import json, sys
from x2go.backends.profiles.httpbroker import X2GoSessionProfiles
profiles = X2GoSessionProfiles.__new__(X2GoSessionProfiles)
profiles.session_profiles = json.load(sys.stdin)
print(json.dumps({name: profiles.get_profile_config(profile_id=name) for name in profiles.session_profiles}))
"""


def taken(texts: dict[str, str]) -> dict[str, object]:
    """What Python X2Go makes of a profile with these texts in the file."""
    offer = Offer(build_profile("desk", texts, {}, lambda _option, _message: None), "anna", autologin=False)
    done = subprocess.run(
        ["/usr/bin/python3", "-c", PYTHON_X2GO],
        input=json.dumps({"desk": profile_values(offer)}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)["desk"]
    return found


@pytest.mark.parametrize(
    ("written", "folders"),
    [
        ("/home/anna/a:1;", {"/home/anna/a": True}),
        ('"/home/anna/a:1;/home/anna/b:0;"', {"/home/anna/a": True, "/home/anna/b": False}),
        ("/home/anna/a", {"/home/anna/a": True}),
        ("C:\\Users\\anna:0;", {"C:\\Users\\anna": False}),
        ("", {}),
        (";", {}),
    ],
)
def test_shared_folders_arrive(written: str, folders: dict[str, bool]) -> None:
    assert taken({"export": written})["export"] == folders


@pytest.mark.parametrize("text", ["", "1", "true", "a, b", "not-set", "many words; and\n  lines", "@x", '"a"'])
def test_no_value_of_a_known_option_ends_python_x2go(text: str) -> None:
    assert taken(dict.fromkeys(sorted(CLIENT_NAMES), text))
