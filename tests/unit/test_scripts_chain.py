"""The scripts that the configuration names: their order, what each stage may change, and what a failure means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.site_scripts import SEEN, register_site_scripts
from tests.unit.configured import Files
from x2gobroker.scripts.base import ScriptValues
from x2gobroker.scripts.chain import ScriptChain, script_problems
from x2gobroker.settings import Settings

VALUES = ScriptValues("Anna@site", "s3cret-pw", "listsessions", "staff", "192.0.2.7", "s3cret-id")
FAILING = ["crash", "nothing", "number", "seven", "unmade", "broken", "stranger", "nonesuch", "os", "../chain"]


@pytest.fixture(autouse=True)
def _site(monkeypatch: pytest.MonkeyPatch) -> None:
    register_site_scripts(monkeypatch)


@pytest.fixture
def chain() -> ScriptChain:
    """The scripts of an application that has just started."""
    return ScriptChain()


def configured(files: Files, stage: str, *names: str) -> Settings:
    """Settings that name these scripts for a stage."""
    return files.write(f"[global]\n{stage} = {', '.join(names)}\n")


def test_without_scripts_nothing_changes(files: Files, chain: ScriptChain) -> None:
    settings = files.write("[global]\npre_auth_scripts =\n")
    assert chain.before_login(settings, VALUES).values is VALUES
    assert chain.after_login(settings, VALUES).values is VALUES
    assert chain.after_selection(settings, replace(VALUES, server="a")) == "a"


def test_scripts_run_in_their_order(files: Files, chain: ScriptChain) -> None:
    settings = configured(files, "pre_auth_scripts", "watch", "domain", "watch", "lowercase", "former", "watch")
    assert chain.before_login(settings, VALUES).values == replace(VALUES, username="anna")
    assert [values.username for values in SEEN] == ["Anna@site", "Anna", "anna"]


def test_before_the_login_nothing_can_be_granted(files: Files, chain: ScriptChain) -> None:
    settings = configured(files, "pre_auth_scripts", "grant", "outside", "watch")
    assert chain.before_login(configured(files, "pre_auth_scripts", "grant", "watch"), VALUES).refused_by == ""
    assert SEEN[0].authed is None
    assert chain.before_login(settings, VALUES).refused_by == "outside"


@pytest.mark.parametrize("name", ["refuse", *FAILING])
def test_before_the_login_a_failure_refuses(
    files: Files, chain: ScriptChain, name: str, said: pytest.LogCaptureFixture
) -> None:
    settings = configured(files, "pre_auth_scripts", "lowercase", name, "watch")
    assert chain.before_login(settings, VALUES).refused_by == name
    assert SEEN == []
    assert f"login user=anna@site address=192.0.2.7 refused by script {name} of pre_auth_scripts" in said.text
    assert "s3cret" not in said.text


def test_after_the_login_a_script_changes_task_and_profile_only(files: Files, chain: ScriptChain) -> None:
    settings = configured(files, "post_auth_scripts", "desk", "grant", "watch")
    granted = replace(VALUES, authed=True)
    ruling = chain.after_login(settings, granted)
    assert ruling.values == replace(granted, task="selectsession", profile_id="desk")
    assert ruling.refused_by == ""


def test_after_the_login_a_refusal_stays_one(files: Files, chain: ScriptChain) -> None:
    settings = configured(files, "post_auth_scripts", "grant", "watch")
    assert chain.after_login(settings, replace(VALUES, authed=False)).values.authed is False
    assert SEEN[0].authed is False


@pytest.mark.parametrize("name", ["refuse", *FAILING])
def test_after_the_login_a_failure_refuses(files: Files, chain: ScriptChain, name: str) -> None:
    settings = configured(files, "post_auth_scripts", name, "watch")
    assert chain.after_login(settings, replace(VALUES, authed=True)).refused_by == name
    assert SEEN == []


def test_a_script_names_another_server(files: Files, chain: ScriptChain) -> None:
    settings = configured(files, "select_session_scripts", "outside", "watch")
    assert chain.after_selection(settings, replace(VALUES, authed=True, server="a")) == "outside.example"
    assert (SEEN[0].server, SEEN[0].authed) == ("outside.example", True)


@pytest.mark.parametrize("name", ["refuse", "forge", *FAILING])
def test_a_failure_leaves_the_server(files: Files, chain: ScriptChain, name: str) -> None:
    settings = configured(files, "select_session_scripts", name, "watch")
    assert chain.after_selection(settings, replace(VALUES, authed=True, server="2001:db8::7")) == "2001:db8::7"
    assert SEEN[0].server == "2001:db8::7"


def test_a_server_that_is_none_is_said(files: Files, chain: ScriptChain, said: pytest.LogCaptureFixture) -> None:
    chain.after_selection(configured(files, "select_session_scripts", "forge"), replace(VALUES, server="a"))
    assert "script forge names the server evil\\nSESSION_INFO:1|2, which is neither" in said.text


def test_one_object_is_made_for_all_requests(files: Files, chain: ScriptChain) -> None:
    settings = configured(files, "pre_auth_scripts", "watch")
    made = {id(chain._script("watch", "x")) for _ in range(3) if chain.before_login(settings, VALUES)}
    assert len(made) == 1


def test_check_config_names_what_is_not_installed(files: Files) -> None:
    settings = files.write(
        "[global]\npre_auth_scripts = lowercse, broken\npost_auth_scripts = watch\nselect_session_scripts = stranger\n"
    )
    said = [str(problem) for problem in script_problems(settings)]
    assert len(said) == 3
    assert "pre_auth_scripts" in said[0]
    assert 'did you mean "lowercase"' in said[0]
    assert "every login is refused" in said[1]
    assert "select_session_scripts" in said[2]
    assert "it is left out" in said[2]
