"""Parameters of sessions: their types, and what an X2Go Server may be given."""

from __future__ import annotations

import re
import shlex
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.x2go.errors import X2GoTerminalSessionException
from x2gobroker.x2go.wire.command_lines import resume_command, run_command_line, start_command
from x2gobroker.x2go.wire.params import FORMS, X2GoSessionParams

NAME = "ann-50-1795167317_stRxterm_dp24"


def params(**values: object) -> X2GoSessionParams:
    made = X2GoSessionParams()
    made.update(**values)
    return made


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({}, "R"),
        ({"session_type": "desktop"}, "D"),
        ({"session_type": "desktop", "kdrive": True}, "K"),
        ({"session_type": "shared"}, "S"),
        ({"cmd": "MATE"}, "D"),
        ({"cmd": "OPENBOX"}, "D"),
        ({"cmd": "/usr/bin/openbox-session --debug"}, "D"),
        ({"cmd": "XDMCP"}, "D"),
        ({"cmd": "xterm -e openbox-session"}, "R"),
        ({"published_applications": True}, "P"),
        ({"published_applications": True, "cmd": "PUBLISHED"}, "P"),
        ({"published_applications": True, "cmd": "xterm"}, "R"),
        ({"cmd": "RDP", "geometry": "fullscreen", "session_type": "application"}, "D"),
        ({"cmd": "RDP", "session_type": "desktop"}, "R"),
        ({"session_type": "shared", "cmd": "0XSHADannXSHAD:50"}, "S"),
    ],
)
def test_the_type_follows_from_the_command(values: dict[str, object], kind: str) -> None:
    assert params(**values).rewrite_session_type() == kind


def test_published_applications_name_their_command() -> None:
    assert params(published_applications=True).cmd == "PUBLISHED"


def test_update_knows_no_other_parameters() -> None:
    with pytest.raises(TypeError, match="colour"):
        params(colour="blue")
    assert params(cmd=None, depth=None).cmd == ""
    assert params(xinerama=1).xinerama is True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("geometry", "1024x768,type=evil"),
        ("geometry", "1/e;touch x;s/a/b"),
        ("link", "lan/;x"),
        ("link", "LAN"),
        ("pack", "16m-jpeg-9,root=/"),
        ("cache_type", "unix kde"),
        ("depth", "24 -query x"),
        ("dpi", "96 -audit 4"),
        ("kbtype", "pc105/us/e"),
        ("kbtype", "a&b"),
        ("kblayout", "us;id"),
        ("clipboard", "always"),
        ("xdmcp_server", "-query"),
        ("xdmcp_server", "host -audit"),
        ("rdp_server", "a b"),
        ("snd_system", "arts2"),
    ],
)
def test_what_the_servers_scripts_would_misread_is_refused(name: str, value: str) -> None:
    with pytest.raises(X2GoTerminalSessionException, match=name) as caught:
        params(**{name: value}).checked(name)
    assert value not in str(caught.value)


@given(st.sampled_from(sorted(FORMS)), st.text(max_size=60))
def test_nothing_that_steers_sed_or_nx_gets_through(name: str, value: str) -> None:
    made = params(**{name: value})
    try:
        passed = made.checked(name)
    except X2GoTerminalSessionException:
        return
    assert not set(passed) & set("\n;&\\'\"`$|<>* =#{}!~")
    assert "," not in passed or name in ("kblayout", "kbvariant")


def test_start_gives_the_server_its_ten_words() -> None:
    made = params(cmd="xterm -title hello", link="lan", depth=24, kbtype="auto", kblayout="us", dpi=100, xinerama=True)
    words = shlex.split(start_command(made))
    at = words.index("X2GO_XINERAMA=true")
    assert words[at + 1] == "X2GODPI=100"
    at = words.index("x2gostartagent")
    assert words[at + 1 : at + 11] == [
        "800x600",
        "lan",
        "16m-jpeg-9",
        "unix-kde-depth_24",
        "us",
        "auto",
        "1",
        "R",
        "xtermX2GO_SPACE_CHAR-titleX2GO_SPACE_CHARhello",
        "both",
    ]


def test_a_shared_desktop_has_no_clipboard_of_its_own() -> None:
    words = shlex.split(start_command(params(cmd="1XSHADannXSHAD:50", session_type="shared")))
    at = words.index("x2gostartagent")
    assert words[at + 8 : at + 11] == ["S", "1XSHADannXSHAD:50", "</dev/null"]


def test_the_name_of_a_session_stays_short_whatever_the_command() -> None:
    words = shlex.split(start_command(params(cmd="/opt/some/where/tool " + "x" * 3000)))
    label = words[words.index("x2gostartagent") + 9]
    assert label.startswith("toolX2GO_SPACE_CHARxxx")
    assert len(label) <= 100


@pytest.mark.parametrize("user", ["", "anna", "a" * 32, "EXAMPLE\\" + "a" * 40, "a" * 98])
@pytest.mark.parametrize("command", ["xterm -e " + "x/" * 60, "xterm -T " + ":" * 60, "xterm -T " + "ü" * 60])
def test_the_whole_name_of_a_session_is_one_that_the_agent_lives_with(user: str, command: str) -> None:
    words = shlex.split(start_command(params(cmd=command), user))
    label = words[words.index("x2gostartagent") + 9].replace(":", "PP")  # as x2gostartagent does it
    assert label.startswith("xterm")
    name = f"{user or 'a' * 32}-65535-1795274779_stR{label}_dp24"
    assert len(name.encode()) <= 105 or len(label) == 9


def test_a_long_user_name_leaves_the_mark_of_published_applications_whole() -> None:
    words = shlex.split(start_command(params(cmd="PUBLISHED"), "a" * 98))
    assert words[words.index("x2gostartagent") + 9] == "PUBLISHED"


def test_xdmcp_needs_a_server() -> None:
    with pytest.raises(X2GoTerminalSessionException, match="xdmcp_server"):
        start_command(params(cmd="XDMCP"))
    assert "X2GOXDMCP=10.0.0.1 " in start_command(params(cmd="XDMCP", xdmcp_server="10.0.0.1"))


def test_rdp_becomes_a_call_of_rdesktop() -> None:
    made = params(cmd="RDP", rdp_server="win.example.org", rdp_options="-u ann", depth=17, geometry="1024x768")
    assert made.server_command() == "rdesktop -g 1024x768 -N -u ann win.example.org -a 16"
    with pytest.raises(X2GoTerminalSessionException, match="rdp_server"):
        params(cmd="RDP").server_command()


@pytest.mark.parametrize("command", ["-n", "xterm *", "a\nb", "x" * 5000, "ls ?", "a [b]", "a\\b"])
def test_commands_that_the_server_would_change_are_refused(command: str) -> None:
    with pytest.raises(X2GoTerminalSessionException):
        params(cmd=command).server_command()


def test_no_command_is_a_terminal() -> None:
    assert params(cmd=None).server_command() == "TERMINAL"


def test_resume_gives_the_server_its_words() -> None:
    words = shlex.split(resume_command(params(geometry="640x480", kbtype="pc105/de", kblayout="de"), NAME))
    at = words.index("x2goresume-session")
    assert words[at + 1 : at + 10] == [
        NAME,
        "640x480",
        "adsl",
        "16m-jpeg-9",
        "de",
        "pc105/de",
        "1",
        "both",
        "false",
    ]


@pytest.mark.parametrize("name", ["", "x", "../x-50-1795167317", "ann-50-1795167317_stR x", "$(id)-50-1795167317"])
def test_only_names_of_sessions_reach_the_server(name: str) -> None:
    with pytest.raises(X2GoTerminalSessionException):
        resume_command(params(), name)


@given(st.text(string.printable, min_size=1, max_size=60))
def test_a_shell_sees_a_command_as_one_word(command: str) -> None:
    made = params(cmd="xterm", snd_system="none")
    try:
        line = run_command_line(made, (50, 99, NAME, 38092), command, {"A": command})
    except X2GoTerminalSessionException:
        return
    words = shlex.split(line)
    assert words[0] == f"A={command}"
    assert words[1:7] == ["setsid", "x2goruncommand", "50", "99", NAME, "38092"]
    expected = (command.strip() or "TERMINAL").replace(" ", "X2GO_SPACE_CHAR")
    assert words[7:] == [expected, "none", "R", "</dev/null", ">/dev/null", "2>&1", "&"]


def test_variables_need_names_of_variables() -> None:
    for bad in ({"A B": "x"}, {"1": "x"}, {"A": "x\0"}, {"PATH;id": "x"}):
        with pytest.raises(X2GoTerminalSessionException):
            run_command_line(params(cmd="xterm"), (50, 99, NAME, 1), "xterm", bad)


def test_all_defaults_are_valid() -> None:
    made = X2GoSessionParams()
    for name, (form, _) in FORMS.items():
        assert re.fullmatch(form, str(getattr(made, name)))
