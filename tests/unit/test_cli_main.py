"""The program `x2gobroker` as a whole: its sub-commands, its exit statuses, the reference's command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from x2gobroker import __version__
from x2gobroker.cli.main import COMMANDS, build_parser, main, wants_daemon, wants_task
from x2gobroker.plugins import GROUPS


@pytest.mark.parametrize(
    ("words", "daemon"),
    [
        ("-M HTTP", True),
        ("--mode HTTP", True),
        ("--mode=HTTP -b :1", True),
        ("-C x -D", True),
        ("--daemonize", True),
        ("", False),
        ("--help", False),
        ("check-config", False),
        ("passwd -M", False),
    ],
)
def test_the_references_http_mode_is_told_from_sub_commands(words: str, daemon: bool) -> None:
    assert wants_daemon(words.split()) is daemon


@pytest.mark.parametrize(
    ("words", "task"),
    [
        ("--task listsessions", True),
        ("--user anna --task=listsessions", True),
        ("--event X -- a b", True),
        ("-M SSH", True),
        ("--mode=ssh --task testcon", True),
        ("-M HTTP --task testcon", False),
        ("-D --task testcon", False),
        ("explain --task x", False),
        ("", False),
        ("--help", False),
    ],
)
def test_the_references_ssh_mode_is_told_from_the_rest(words: str, task: bool) -> None:
    assert wants_task(words.split()) is task


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["explain"], ["passwd"], ["check-config", "--nonsense"]])
def test_a_wrong_command_line_is_status_2_with_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: x2gobroker" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check-config", "explain", "passwd", "plugins", "demo"])
def test_help_names_every_command_and_each_has_its_own(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], [command, "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
        assert command in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"x2gobroker {__version__}\n"


def test_the_references_command_line_starts_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("X2GOBROKER_DEFAULTS", str(tmp_path / "none"))
    monkeypatch.setenv("X2GOBROKER_LOGCONFIG", "")
    config = tmp_path / "x2gobroker.conf"
    assert main(["-M", "FTP", "-C", str(config)]) == 2
    assert "mode FTP is not available" in capsys.readouterr().err
    assert main(["-M", "HTTP", "-C", str(config), "-b", "nonsense:port"]) == 2
    assert "cannot listen on 'nonsense:port'" in capsys.readouterr().err


@pytest.mark.parametrize("program", ["x2gobroker", "x2gobroker-daemon"])
def test_the_programs_are_installed(program: str) -> None:
    path = Path(sys.executable).parent / program
    done = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == f"x2gobroker {__version__}\n"


def test_plugins_lists_every_family_with_its_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    lines = capsys.readouterr().out.splitlines()
    groups = [line for line in lines if not line.startswith(" ")]
    assert groups == list(GROUPS)
    (inifile,) = [line.split() for line in lines if line.startswith("  inifile ")]
    assert inifile[1] == "x2gobroker"
    assert inifile[-1] == "x2gobroker.backends.inifile:InifileBackend"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_sub_command_is_where_the_table_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser((name,)).parse_args([name, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: x2gobroker {name} ")


def test_a_sub_command_does_not_load_what_only_others_need() -> None:
    script = (
        "import contextlib, sys\n"
        "from x2gobroker.cli.main import main\n"
        "with contextlib.suppress(SystemExit):\n"
        "    main(['x2go', '--help'])\n"
        "print([name for name in ('flask', 'paramiko', 'sqlalchemy') if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=20)
    assert done.stderr == "[]\n"
