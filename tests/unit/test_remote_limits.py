"""Limits of desktops, as control groups and systemd are told them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from x2gobroker.remote import limits
from x2gobroker.remote.limits import MEMORY_SECONDS, NO_LIMITS, Limits, LimitsError, MemoryWatch


def test_limits_of_a_control_group_are_written_as_the_kernel_reads_them(tmp_path: Path) -> None:
    for name in ("memory.max", "pids.max", "cpu.max"):
        (tmp_path / name).touch()
    Limits(2, 300, 150).write(tmp_path)
    assert (tmp_path / "memory.max").read_text() == str(2 << 20)
    assert (tmp_path / "pids.max").read_text() == "300"
    assert (tmp_path / "cpu.max").read_text() == "150000 100000"
    (tmp_path / "pids.max").unlink()
    Limits(2).write(tmp_path)
    with pytest.raises(LimitsError, match="need control groups of version 2"):
        Limits(0, 300).write(tmp_path)


def test_limits_that_systemd_could_not_set_are_seen(tmp_path: Path) -> None:
    """Where the kernel's controllers are of version 1, it says nothing."""
    (tmp_path / "memory.max").write_text("2097152\n", encoding="ascii")
    (tmp_path / "pids.max").write_text("max\n", encoding="ascii")
    (tmp_path / "cpu.max").write_text("max 100000\n", encoding="ascii")
    Limits(2).check(tmp_path)
    for wanted in (Limits(2, 300), Limits(cpu_percent=50)):
        with pytest.raises(LimitsError, match=NO_LIMITS):
            wanted.check(tmp_path)
    (tmp_path / "cpu.max").write_text("50000 100000\n", encoding="ascii")
    Limits(cpu_percent=50).check(tmp_path)
    (tmp_path / "pids.max").unlink()
    with pytest.raises(LimitsError, match=NO_LIMITS):
        Limits(2, 300).check(tmp_path)


def systemctl(folder: Path, monkeypatch: pytest.MonkeyPatch, rest: str) -> Path:
    """A systemctl that writes down what it is told."""
    said = folder / "said"
    program = folder / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" > {said}\n{rest}\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return said


def test_systemd_is_told_the_limits_of_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = systemctl(tmp_path, monkeypatch, "exit 0")
    Limits(512, 99, 150).tell_systemd("session-c1.scope")
    words = "set-property --runtime session-c1.scope MemoryMax=512M TasksMax=99 CPUQuota=150%"
    assert said.read_text() == f"{words}\n"


@pytest.mark.parametrize(
    ("rest", "why"), [("echo no such unit >&2; exit 1", "no such unit"), ("exec sleep 60", "timed out")]
)
def test_a_systemd_that_does_not_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rest: str, why: str) -> None:
    systemctl(tmp_path, monkeypatch, rest)
    monkeypatch.setattr(limits, "SYSTEMD_SECONDS", 0.5)
    with pytest.raises(LimitsError, match=why):
        Limits(512).tell_systemd("session-c1.scope")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(LimitsError, match="cannot be told"):
        Limits(512).tell_systemd("session-c1.scope")


def test_only_what_ends_soon_after_a_kill_ends_for_want_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, now = tmp_path / "memory.events", 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    events.write_text("low 0\noom 7\noom_kill 3\noom_group_kill 0\n", encoding="ascii")
    watch = MemoryWatch(tmp_path)
    assert not watch.killed_lately()  # those were before it
    events.write_text("low 0\noom 8\noom_kill 4\noom_group_kill 0\n", encoding="ascii")
    assert watch.killed_lately()
    now += MEMORY_SECONDS - 1
    assert watch.killed_lately()
    now += 2
    assert not watch.killed_lately()
    events.unlink()
    assert not MemoryWatch(tmp_path).killed_lately()
