"""The program `x2gobroker` of the package that has no broker: one sub-command, and a word on where the others are."""

from __future__ import annotations

import pytest

from x2gobroker.cli import main as with_broker
from x2gobroker.cli.x2go import alone as x2go_alone


def test_it_takes_what_the_program_of_the_broker_takes() -> None:
    words = ["x2go", "start", "anna@ts01.example.org", "--command", "xterm", "--detach"]
    alone, whole = (module.build_parser().parse_args(words) for module in (x2go_alone, with_broker))
    assert alone.run == whole.run
    assert set(vars(alone)) == set(vars(whole))


@pytest.mark.parametrize("words", [["check-config"], ["-M", "HTTP"], []])
def test_other_commands_are_said_to_be_elsewhere(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        x2go_alone.main(words)
    assert caught.value.code == 2
    assert "are in the package x2gobroker" in capsys.readouterr().err


def test_a_wrong_word_behind_the_sub_command_is_no_matter_of_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        x2go_alone.main(["x2go", "list", "--nonsense"])
    assert "package" not in capsys.readouterr().err


def test_what_is_refused_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert x2go_alone.main(["x2go", "list", "--profile", "none", "--sessions-file", "/none"]) == 1
    captured = capsys.readouterr().err
    assert captured.startswith("x2gobroker: ")
    assert captured.count("\n") == 1
