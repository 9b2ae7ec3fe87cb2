"""Where settings come from, which wins, and what happens when a file is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.configured import Files
from tests.unit.properties import SOME
from x2gobroker.app import create_app
from x2gobroker.cli.daemon.program import build_parser, variables_of
from x2gobroker.model.options import Kind, Option
from x2gobroker.settings import IniError, IniFile, Problem, Settings, SettingsSource, broker_variables, parse_ini
from x2gobroker.settings.source import _take_value, read_config

SECRET = "s3cret-0f-mine"
PROFILES = ("broker_inifile", "session-profiles")


def profiles_of(settings: Settings) -> str:
    return settings.text(*PROFILES)


class TestPrecedence:
    """Built-in < defaults.conf < x2gobroker.conf < environment < request environment < command line."""

    @pytest.mark.parametrize(
        ("layers", "winner"),
        [
            ("", "/etc/x2go/broker/x2gobroker-sessionprofiles.conf"),
            ("defaults", "/by/defaults"),
            ("defaults file", "/by/file"),
            ("defaults file environment", "/by/environment"),
            ("defaults file environment request", "/by/request"),
            ("defaults file environment request command", "/by/command"),
            ("file", "/by/file"),
            ("defaults environment", "/by/environment"),
            ("file request", "/by/request"),
            ("defaults command", "/by/command"),
        ],
    )
    def test_each_layer_wins_over_those_below(self, tmp_path: Path, layers: str, winner: str) -> None:
        given_layers = layers.split()
        variables = tuple(
            {"X2GOBROKER_SESSIONPROFILES": f"/by/{layer}"} if layer in given_layers else {}
            for layer in ("environment", "request", "command")
        )
        files = Files(tmp_path, variables)
        if "defaults" in given_layers:
            files.write_defaults("[common]\nX2GOBROKER_SESSIONPROFILES = /by/defaults\n")
        if "file" in given_layers:
            files.write("[broker_inifile]\nsession-profiles = /by/file\n")
        assert profiles_of(files.source.current()) == winner
        assert files.said() == []

    def test_the_program_section_of_defaults_wins_over_common(self, files: Files) -> None:
        files.write_defaults(
            "[common]\nX2GOBROKER_DEFAULT_BACKEND = zeroconf\nX2GOBROKER_DEBUG = 0\n[daemon]\nX2GOBROKER_DEBUG = 1\n"
            "[loadchecker]\nX2GOBROKER_DEFAULT_BACKEND = other\n"
        )
        settings = files.source.current()
        assert settings.debug() is True
        assert settings.environment("X2GOBROKER_DEFAULT_BACKEND") == "zeroconf"

    def test_the_main_file_may_be_named_by_defaults(self, tmp_path: Path) -> None:
        named, defaults = tmp_path / "named.conf", tmp_path / "defaults.conf"
        named.write_text("[global]\nverify-ip = no\n")
        defaults.write_text(f"[common]\nX2GOBROKER_CONFIG = {named}\n")
        source = SettingsSource({"X2GOBROKER_DEFAULTS": str(defaults)})
        assert source.current().boolean("global", "verify-ip") is False

    def test_only_variables_of_the_broker_are_taken_from_an_environment(self) -> None:
        environ = {"X2GOBROKER_DEBUG": "1", "DAEMON_BIND_ADDRESS": ":1", "HOME": "/", "wsgi.input": object()}
        assert broker_variables(environ) == {"X2GOBROKER_DEBUG": "1", "DAEMON_BIND_ADDRESS": ":1"}

    def test_the_processes_environment_is_below_what_is_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("X2GOBROKER_CONFIG", "/nonexistent/x2gobroker.conf")
        monkeypatch.setenv("X2GOBROKER_DEFAULTS", "/nonexistent/defaults.conf")
        monkeypatch.setenv("X2GOBROKER_DEFAULT_BACKEND", "one")
        monkeypatch.setenv("X2GOBROKER_DAEMON_USER", "somebody")
        settings = SettingsSource.of_process({"X2GOBROKER_DEFAULT_BACKEND": "two"}).current()
        assert settings.environment("X2GOBROKER_DEFAULT_BACKEND") == "two"
        assert settings.environment("X2GOBROKER_DAEMON_USER") == "somebody"

    def test_the_daemons_command_line_becomes_the_strongest_layer(self, tmp_path: Path) -> None:
        command = variables_of(build_parser().parse_args(["-b", ":9", "-d", "-C", str(tmp_path / "c.conf")]))
        below = {"DAEMON_BIND_ADDRESS": ":1", "X2GOBROKER_DEBUG": "0", "X2GOBROKER_DEFAULTS": str(tmp_path / "d")}
        settings = SettingsSource(below, command).current()
        assert settings.environment("DAEMON_BIND_ADDRESS") == ":9"
        assert settings.debug() is True
        assert settings.environment("X2GOBROKER_CONFIG") == str(tmp_path / "c.conf")


class TestProblems:
    """Unknown names, wrong types: with file, line and what would be right; never a silent default."""

    def test_an_unknown_option_has_file_line_and_nearest_name(self, files: Files) -> None:
        files.write("[global]\nverify-ip = yes\nrequire-pasword = true\n")
        (text,) = files.said()
        assert text.startswith(f"{files.config}:3: error: unknown option require-pasword in [global]")
        assert 'did you mean "require-password"?' in text

    def test_an_unknown_section_has_file_line_and_nearest_name(self, files: Files) -> None:
        files.write("[globl]\nverify-ip = no\n")
        (text,) = files.said()
        assert text.startswith(f"{files.config}:1: error: unknown section [globl]")
        assert 'did you mean "global"?' in text
        assert files.source.current().boolean("global", "verify-ip") is True

    def test_an_unknown_variable_of_defaults_has_file_line_and_nearest_name(self, files: Files) -> None:
        files.write_defaults("[common]\nX2GOBROKER_DEFAULT_BACKENDS = zeroconf\n[deamon]\n")
        texts = files.said()
        assert any(
            text.startswith(f"{files.defaults}:2: error: unknown variable") and "X2GOBROKER_DEFAULT_BACKEND" in text
            for text in texts
        )
        assert any(text.startswith(f"{files.defaults}:3: error:") and '"daemon"' in text for text in texts)

    def test_an_unknown_variable_of_the_environment_is_named(self, tmp_path: Path) -> None:
        files = Files(tmp_path, ({"X2GOBROKER_DEFAULT_BAKEND": "x"},))
        (text,) = files.said()
        assert "unknown variable X2GOBROKER_DEFAULT_BAKEND" in text
        assert "environment" in text

    @pytest.mark.parametrize(
        ("section", "name", "text", "message"),
        [
            ("global", "verify-ip", "maybe", "true or false"),
            ("global", "auth-timeout", "long", "digits"),
            ("global", "load-checker-intervals", "0", "least is 1"),
            ("global", "plain-refusal", "statis", '"status"'),
            ("broker_inifile", "enable", "not-set", "true or false"),
            ("authmech_https_get", "port", "65536", "most is 65535"),
        ],
    )
    def test_a_value_of_the_wrong_kind_has_file_line_and_what_is_right(
        self, files: Files, section: str, name: str, text: str, message: str
    ) -> None:
        files.write(f"[{section}]\n{name} = {text}\n")
        found = [said for said in files.said() if said.startswith(f"{files.config}:2: error: {name}:")]
        assert found
        assert message in found[0]

    def test_a_switch_that_cannot_be_read_at_the_start_is_off(self, files: Files) -> None:
        settings = files.write("[global]\nenable-plain-output = maybe\n[broker_inifile]\nenable = perhaps\n")
        assert settings.boolean("global", "enable-plain-output") is False
        assert settings.backend_enabled("inifile") is False

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[global]\nmy-cookie = 1\n", "my-cookie-file"),
            ("[global]\ncheck-credentials = true\n", "require-password"),
            ("[broker_inifile]\nload-checker = true\n", "use-load-checker"),
        ],
    )
    def test_a_deprecated_option_is_a_warning_that_says_what_to_use(
        self, files: Files, text: str, message: str
    ) -> None:
        files.write(text)
        (said,) = files.said()
        assert f"{files.config}:2: warning: " in said
        assert "deprecated" in said
        assert message in said

    def test_problems_are_in_the_log_at_the_start(self, files: Files, said: pytest.LogCaptureFixture) -> None:
        files.write("[global]\nrequire-pasword = true\nmy-cookie = 1\n")
        assert "unknown option require-pasword" in said.text
        assert "my-cookie is deprecated" in said.text

    def test_a_broker_open_to_everybody_is_warned_of(self, files: Files) -> None:
        files.write("[global]\nrequire-password = false\n")
        assert any("everybody is let in" in text for text in files.said())


class TestDeprecated:
    """Options of old go on working."""

    def test_check_credentials_off_opens_the_broker(self, files: Files) -> None:
        settings = files.write("[global]\ncheck-credentials = false\n")
        assert settings.boolean("global", "require-password") is False
        assert settings.boolean("global", "require-cookie") is False

    def test_check_credentials_on_changes_nothing(self, files: Files) -> None:
        assert files.write("[global]\ncheck-credentials = true\n").boolean("global", "require-password") is True

    def test_my_cookie_is_there(self, files: Files) -> None:
        assert files.write("[global]\nmy-cookie = abc\n").text("global", "my-cookie") == "abc"

    def test_load_checker_is_the_former_name_and_the_new_one_wins(self, files: Files) -> None:
        key = "broker_inifile", "use-load-checker"
        assert files.write("[broker_inifile]\nload-checker = true\n").boolean(*key) is True
        both = "[broker_inifile]\nload-checker = true\nuse-load-checker = false\n"
        assert files.write(both).boolean(*key) is False

    def test_the_former_name_of_the_socket_works_and_the_new_one_wins(self, tmp_path: Path) -> None:
        old, new = {"X2GOBROKER_AUTHSOCKET": "/old"}, {"X2GOBROKER_AUTHSERVICE_SOCKET": "/new"}
        assert Files(tmp_path, (old,)).source.current().environment("X2GOBROKER_AUTHSERVICE_SOCKET") == "/old"
        assert Files(tmp_path, (old, new)).source.current().environment("X2GOBROKER_AUTHSERVICE_SOCKET") == "/new"


class TestChanges:
    """A change counts with the next look; a broken one leaves the last good settings in service."""

    def test_the_same_object_is_given_while_nothing_changes(self, files: Files) -> None:
        first = files.write("[global]\nauth-timeout = 5\n")
        assert files.source.current() is first

    def test_a_change_counts_at_once(self, files: Files) -> None:
        assert files.write("[global]\nauth-timeout = 5\n").integer("global", "auth-timeout") == 5
        assert files.write("[global]\nauth-timeout = 6\n").integer("global", "auth-timeout") == 6
        assert files.write_defaults("[common]\nX2GOBROKER_DEBUG = 1\n").debug() is True

    @pytest.mark.parametrize(
        ("broken", "line"),
        [
            ("[global]\nauth-timeout = 7\nnonsense\n", 3),
            ("[global]\nauth-timeout = soon\n", 2),
            ("[global]\nauth-timeout = 7\nverify-ip = maybe\n", 3),
            ("auth-timeout = 7\n", 1),
        ],
    )
    def test_a_broken_edit_keeps_the_last_good_and_names_file_and_line(
        self, files: Files, broken: str, line: int, said: pytest.LogCaptureFixture
    ) -> None:
        files.write("[global]\nauth-timeout = 5\n")
        settings = files.write(broken)
        assert settings.integer("global", "auth-timeout") == 5
        assert settings.usable
        assert f"{files.config}:{line}: error:" in said.text
        assert "last good" in said.text
        assert any(str(fault).startswith(f"{files.config}:{line}:") for fault in files.source.faults)

    @pytest.mark.parametrize("broken", ["[global]\nnonsense\n", "[global]\nauth-timeout = soon\n"])
    def test_a_fix_is_taken_and_the_fault_is_gone(self, files: Files, broken: str) -> None:
        files.write("[global]\nauth-timeout = 5\n")
        files.write(broken)
        assert files.write("[global]\nauth-timeout = 8\n").integer("global", "auth-timeout") == 8
        assert files.source.faults == ()

    def test_a_broken_edit_of_defaults_keeps_the_last_good(self, files: Files) -> None:
        files.write("[global]\n")
        files.write_defaults("[common]\nX2GOBROKER_DEFAULT_BACKEND = zeroconf\n")
        settings = files.write_defaults("[common]\nnonsense\n")
        assert settings.environment("X2GOBROKER_DEFAULT_BACKEND") == "zeroconf"
        assert any(str(files.defaults) in text for text in files.said())

    def test_a_main_file_that_breaks_by_a_new_name_keeps_the_last_good(self, tmp_path: Path) -> None:
        good, broken, defaults = tmp_path / "good", tmp_path / "broken", tmp_path / "defaults.conf"
        good.write_text("[global]\nauth-timeout = 5\n")
        broken.write_text("nonsense\n")
        defaults.write_text(f"[common]\nX2GOBROKER_CONFIG = {good}\n")
        source = SettingsSource({"X2GOBROKER_DEFAULTS": str(defaults)})
        assert source.current().integer("global", "auth-timeout") == 5
        defaults.write_text(f"[common]\nX2GOBROKER_CONFIG = {broken}\n# changed\n")
        settings = source.current()
        assert settings.usable
        assert settings.integer("global", "auth-timeout") == 5

    def test_a_main_file_that_is_gone_by_a_new_name_keeps_the_last_good(self, tmp_path: Path) -> None:
        good, defaults = tmp_path / "good", tmp_path / "defaults.conf"
        good.write_text("[global]\nauth-timeout = 5\n")
        defaults.write_text(f"[common]\nX2GOBROKER_CONFIG = {good}\n")
        source = SettingsSource({"X2GOBROKER_DEFAULTS": str(defaults)})
        source.current()
        defaults.write_text(f"[common]\nX2GOBROKER_CONFIG = {tmp_path}/slip-of-the-pen\n")
        assert source.current().integer("global", "auth-timeout") == 5
        assert any("slip-of-the-pen" in str(fault) for fault in source.faults)

    @pytest.mark.parametrize("which", ["config", "defaults"])
    def test_a_file_that_is_gone_keeps_the_last_good_and_is_a_fault(
        self, files: Files, which: str, said: pytest.LogCaptureFixture
    ) -> None:
        files.write_defaults("[common]\nX2GOBROKER_DEFAULT_BACKEND = zeroconf\n")
        before = files.write("[global]\nauth-timeout = 5\ndefault-second-factor = required\n")
        path = files.config if which == "config" else files.defaults
        path.rename(path.with_name(path.name + "~"))
        for _ in range(3):
            settings = files.source.current()
            assert settings.usable
            assert settings.text("global", "default-second-factor") == "required"
            assert settings.environment("X2GOBROKER_DEFAULT_BACKEND") == "zeroconf"
            (fault,) = files.source.faults
            assert str(fault).startswith(f"{path}: error: cannot be read")
        assert said.text.count("the last good version of the file stays in service") == 1
        path.with_name(path.name + "~").rename(path)
        assert files.source.current().integer("global", "auth-timeout") == before.integer("global", "auth-timeout")
        assert files.source.faults == ()

    def test_a_file_that_is_gone_and_comes_back_broken_keeps_the_last_good(self, files: Files) -> None:
        files.write("[global]\nauth-timeout = 5\n")
        files.config.unlink()
        files.source.current()
        assert files.write("nonsense\n").integer("global", "auth-timeout") == 5

    def test_a_bad_variable_of_the_environment_does_not_stop_edits_from_counting(self, tmp_path: Path) -> None:
        files = Files(tmp_path, ({"X2GOBROKER_DEBUG": "perhaps"},))
        files.write("[global]\nauth-timeout = 5\n")
        assert files.write("[global]\nauth-timeout = 6\n").integer("global", "auth-timeout") == 6

    def test_an_edit_beside_a_mistake_that_was_there_before_counts(self, files: Files) -> None:
        files.write("[global]\nload-checker-intervals = often\nauth-timeout = 5\n")
        settings = files.write("[global]\nload-checker-intervals = often\nauth-timeout = 6\n")
        assert settings.integer("global", "auth-timeout") == 6

    def test_a_first_load_that_fails_serves_nothing_until_it_is_mended(self, files: Files) -> None:
        settings = files.write("[global\n[broker_zeroconf]\nenable = true\n")
        assert settings.usable is False
        assert not settings.backend_enabled("inifile")
        assert not settings.backend_enabled("zeroconf")
        mended = files.write("[broker_zeroconf]\nenable = true\n")
        assert mended.usable is True
        assert mended.backend_enabled("zeroconf")

    def test_a_first_load_that_fails_does_not_keep_the_application_from_being_made(self, files: Files) -> None:
        files.write("[global\n")
        response = create_app(source=files.source).test_client().post("/plain/inifile/", data={"user": "anna"})
        assert response.status_code == 404

    def test_no_main_file_means_defaults(self, files: Files) -> None:
        settings = files.source.current()
        assert settings.usable
        assert settings.backend_enabled("inifile")
        assert settings.text("global", "default-auth-mech") == "pam"
        assert files.said() == []


class TestSecrets:
    """No text about a problem ever repeats a secret."""

    @pytest.mark.parametrize(
        "text",
        [
            f"[global]\nmy-cookie {SECRET}\n",
            f"[global]\nmy-cookie = {SECRET}\n",
            f"[global]\nmy-cookie = {SECRET}\nmy-cookie = {SECRET}\n",
            f"my-cookie = {SECRET}\n",
            f"[global]\nmy-cooky = {SECRET}\n",
            f"[globl]\nmy-cookie = {SECRET}\n",
            f"[global]\ndatabase-url = nonsense://x:{SECRET}@h\n",
            f"[global]\ndatabase-url = postgresql://x:{SECRET}@h/d\nverify-ip = maybe\n",
        ],
    )
    def test_no_problem_and_no_log_line_holds_it(self, files: Files, text: str, said: pytest.LogCaptureFixture) -> None:
        files.write(text)
        assert SECRET not in "".join(files.said())
        assert SECRET not in said.text

    def test_a_secret_of_the_wrong_kind_is_not_repeated_either(self) -> None:
        option = Option("global", "pin", Kind.INTEGER, 0, "A number.", secret=True)
        problems: list[Problem] = []
        _take_value({}, problems, option, ("global", "pin"), SECRET, IniFile("f"), "global")
        assert len(problems) == 1
        assert "pin" in str(problems[0])
        assert SECRET not in str(problems[0])


NAMES = st.one_of(st.sampled_from(["verify-ip", "auth-timeout", "plain-refusal", "my-cookie", "enable"]), st.text())
SECTIONS = st.one_of(
    st.sampled_from(["global", "broker_inifile", "broker_x", "authmech_pam", "environment"]), st.text()
)
LINES = st.text("abc01-=:[] \n#;'\"%é", max_size=40)


@SOME
@given(st.lists(st.one_of(LINES, SECTIONS.map("[{}]".format), st.builds("{} = {}".format, NAMES, LINES))))
def test_no_configuration_that_parses_makes_reading_raise(lines: list[str]) -> None:
    try:
        config = parse_ini("\n".join(lines), "f")
    except IniError:
        return
    values, problems = read_config(config)
    for section, options in config.sections.items():
        for name in options:
            assert (section, name) in values or problems
