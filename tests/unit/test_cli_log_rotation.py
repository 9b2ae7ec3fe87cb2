"""Log files that logrotate would have twice."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from x2gobroker.cli.log_rotation import rotated, rotation_problems

SAMPLE = Path(__file__).resolve().parents[2] / "etc/logrotate.d/x2gobroker"
DEBIAN = "/var/log/x2gobroker/broker.log /var/log/x2gobroker/access.log {\n\tweekly\n}\n# {\n/var/log/other.log {\n}\n"


def test_the_sample_names_all_our_files() -> None:
    names = {Path(log).stem for log in rotated(SAMPLE)}
    assert names == {"access", "broker", "error", "loadchecker"}


def test_a_file_beside_ours_with_the_same_logs_is_named(tmp_path: Path) -> None:
    other = tmp_path / "x2gobroker-daemon"
    other.write_text(DEBIAN)
    assert rotation_problems(tmp_path) == []
    shutil.copy(SAMPLE, tmp_path / "x2gobroker")
    (problem,) = rotation_problems(tmp_path)
    assert not problem.error
    assert str(problem).startswith(str(other))
    assert "access.log, /var/log/x2gobroker/broker.log" in problem.message


@pytest.mark.parametrize("text", ["/var/log/x2gobroker/*.log {\n}\n", '"/var/log/x2gobroker/error.log"\n{\n}\n'])
def test_patterns_and_quotes_are_understood(tmp_path: Path, text: str) -> None:
    shutil.copy(SAMPLE, tmp_path / "x2gobroker")
    (tmp_path / "x2gobroker-wsgi").write_text(text)
    assert rotation_problems(tmp_path)


@pytest.mark.parametrize("text", ["", "\xff", "/var/log/x2gobroker/wsgi.log {\n}\n", '"/var/log {\n'])
def test_others_are_left_alone(tmp_path: Path, text: str) -> None:
    shutil.copy(SAMPLE, tmp_path / "x2gobroker")
    (tmp_path / "x2gobroker-wsgi").write_text(text, encoding="latin-1")
    assert rotation_problems(tmp_path) == []


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="no logrotate here")
def test_logrotate_says_the_same(tmp_path: Path) -> None:
    shutil.copy(SAMPLE, tmp_path / "x2gobroker")
    (tmp_path / "x2gobroker-daemon").write_text(DEBIAN)
    argv = [str(shutil.which("logrotate")), "--debug", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert "duplicate log entry" in done.stderr
