"""Changes on disk: they count with the next request; a broken edit changes nothing and is reported."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.web.conftest import PASSWORD, Bench, profile_ids

Make = Callable[..., Bench]


def listed(broker: Bench, user: str = "anna") -> list[str]:
    """The profiles that a user is listed."""
    return profile_ids(broker.post(task="listsessions", user=user, password=PASSWORD))


def test_a_new_profile_is_listed_with_the_next_request(broker: Bench) -> None:
    assert listed(broker) == ["desk"]
    broker.write("profiles.conf", "[one]\n\n[two]\n")
    assert listed(broker) == ["one", "two"]


@pytest.mark.parametrize("broken", ["no section", "[a]\n[a]\n", "[a]\nx=1\nx=2\n", "[a\n", "[a]\nline\n", "\0"])
def test_a_broken_profile_file_keeps_the_last_good_one(
    broker: Bench, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert listed(broker) == ["desk"]
    broker.write("profiles.conf", broken)
    assert listed(broker) == ["desk"]
    assert "profiles.conf" in caplog.text
    assert "last good version" in caplog.text
    broker.write("profiles.conf", "[mended]\n")
    assert listed(broker) == ["mended"]


@pytest.mark.parametrize("broken", ["auth-timeout = soon", "require-password = perhaps", "plain-refusal = maybe"])
def test_a_bad_value_keeps_the_last_good_configuration(
    broker_with: Make, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = broker_with("enable-json-output = false")
    assert broker.post("/json/").status_int == 404
    broker.configure(broken)
    assert broker.post("/json/").status_int == 404
    assert "x2gobroker.conf:" in caplog.text
    broker.configure("")
    assert broker.post("/json/", user="anna", password=PASSWORD).status_int == 200


def test_a_configuration_that_never_could_be_read_serves_nothing(broker: Bench) -> None:
    broker.write("x2gobroker.conf", "garbage")
    broker.start()
    assert broker.post(user="anna", password=PASSWORD).status_int == 404
    assert "Nothing is served yet" in broker.app.get("/").text
    broker.configure()
    assert listed(broker) == ["desk"]


def test_one_bad_value_spoils_neither_its_profile_nor_others(broker: Bench) -> None:
    broker.write("profiles.conf", "[a]\nfullscreen = maybe\ndpi = many\nhost = :\n\n[b]\nsshport=not-set\n")
    text = broker.post(task="listsessions", user="anna", password=PASSWORD).text
    assert "fullscreen=0\n" in text
    assert "dpi=96\n" in text
    assert listed(broker) == ["a", "b"]


def test_a_profile_called_like_an_option_changes_no_other(broker: Bench) -> None:
    broker.write("profiles.conf", "[a]\nsound = no\n[sound]\n")
    text = broker.post(task="listsessions", user="anna", password=PASSWORD).text
    assert "sound=0\n" in text.partition("[sound]")[0]


def test_users_of_the_password_file_change_with_the_next_login(broker: Bench) -> None:
    assert "Access granted" in broker.post(user="anna", password=PASSWORD).text
    broker.write("users", "")
    assert "Access granted" not in broker.post(user="anna", password=PASSWORD).text


def test_a_missing_password_file_refuses_and_says_what_to_do(broker: Bench, caplog: pytest.LogCaptureFixture) -> None:
    (broker.folder / "users").unlink()
    assert "Access granted" not in broker.post(user="anna", password=PASSWORD).text
    assert "x2gobroker passwd" in caplog.text


@pytest.mark.parametrize("mechanism", ["no-such-mech", "x;y", "../pam", "os"])
def test_an_unknown_auth_mechanism_refuses(broker: Bench, mechanism: str) -> None:
    broker.write(
        "x2gobroker.conf", f"[global]\ndefault-auth-mech = {mechanism}\ncookie-directory = {broker.folder}/state\n"
    )
    broker.start()
    assert "Access granted" not in broker.post(user="anna", password=PASSWORD).text


def test_a_state_folder_that_cannot_be_made_is_a_503_and_the_log_says_what_to_do(
    broker: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    (broker.folder / "state").write_text("in the way")
    response = broker.post(user="anna", password=PASSWORD)
    assert response.status_int == 503
    assert "Access granted" not in response.text
    assert "cookie-directory" in caplog.text
