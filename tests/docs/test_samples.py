"""The samples that are written by hand work, and so do the INI examples in the pages."""

from __future__ import annotations

import logging.config
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from x2gobroker.backends.inifile import compile_profiles
from x2gobroker.settings import IniFile, SettingsSource, parse_ini

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("loadchecker", "broker", "error")
CONFIG_SECTION = re.compile(r"^\[(global|broker_\w+|authmech_\w+)\]$", re.MULTILINE)
UNIT_SECTION = re.compile(r"^\[Service\]$", re.MULTILINE)


def test_the_sample_session_profiles_are_right() -> None:
    path = ROOT / "etc/x2gobroker-sessionprofiles.conf"
    text = path.read_text(encoding="utf-8")
    assert compile_profiles(parse_ini(text, str(path))).problems == ()
    everything = re.sub(r"^#(\[|[a-z]+[a-z-]* = )", r"\1", text, flags=re.MULTILINE)
    compiled = compile_profiles(parse_ini(everything, str(path)))
    assert compiled.problems == ()
    assert [profile.id for profile in compiled.profiles.profiles] == [
        "desktop",
        "laboratory",
        "library",
        "staff-desktop",
    ]


def test_the_sample_of_the_loggers_works(tmp_path: Path) -> None:
    text = (ROOT / "etc/x2gobroker-loggers.conf").read_text(encoding="utf-8")
    assert text.count("/var/log/x2gobroker/") == 3
    sample = tmp_path / "loggers.conf"
    sample.write_text(text.replace("/var/log/x2gobroker/", f"{tmp_path}/"), encoding="utf-8")
    names = ("broker", "access", "error")
    loggers = [logging.getLogger(name) for name in ("", "broker.audit", *names)]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    try:
        logging.config.fileConfig(sample, disable_existing_loggers=False)
        for name in names:
            logging.getLogger(name).info("a line for %s", name)
            assert f"- {name} - INFO - a line for {name}" in (tmp_path / f"{name}.log").read_text(encoding="utf-8")
    finally:
        for logger, handlers, level, propagate in before:
            for handler in logger.handlers:
                if handler not in handlers:
                    handler.close()
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)


def test_the_sample_of_the_load_checkers_loggers_works(tmp_path: Path) -> None:
    text = (ROOT / "etc/x2gobroker-loadchecker-logger.conf").read_text(encoding="utf-8")
    assert text.count("/var/log/x2gobroker/") == 1
    sample = tmp_path / "loggers.conf"
    sample.write_text(text.replace("/var/log/x2gobroker/", f"{tmp_path}/"), encoding="utf-8")
    script = "import logging.config, sys; logging.config.fileConfig(sys.argv[1]);"
    script += "[logging.getLogger(name).info('a line of %s', name) for name in ('loadchecker', 'broker', 'error')]"
    done = subprocess.run([sys.executable, "-c", script, str(sample)], capture_output=True, timeout=30, check=True)
    assert done.stderr == b""
    lines = (tmp_path / "loadchecker.log").read_text(encoding="utf-8").splitlines()
    assert [line.rpartition(" - ")[2] for line in lines] == [f"a line of {name}" for name in NAMES]


def examples() -> Iterator[tuple[str, str]]:
    """The INI examples of all pages, with where they stand."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"^```ini\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text[: match.start()].count("\n") + 2
            yield f"{path.relative_to(ROOT)}:{line}", match[1]


@pytest.mark.parametrize(("where", "text"), [pytest.param(*example, id=example[0]) for example in examples()])
def test_the_examples_are_right(where: str, text: str, tmp_path: Path) -> None:
    """Examples of the configuration have no problem; of session profiles, only the one that a page warns of."""
    if UNIT_SECTION.search(text):
        assert "ExecStart=/" in text
    elif CONFIG_SECTION.search(text):
        config = tmp_path / "x2gobroker.conf"
        config.write_text(text, encoding="utf-8")
        source = SettingsSource({"X2GOBROKER_CONFIG": str(config), "X2GOBROKER_DEFAULTS": str(tmp_path / "none")})
        assert source.current().problems == (), where
        assert source.faults == (), where
    else:
        ini: IniFile = parse_ini(text, where)
        problems = compile_profiles(ini).problems
        trap = "acl-groups-deny = ALL" in text
        assert len(problems) == (1 if trap else 0), problems
        assert not trap or "wins over acl-groups-allow" in str(problems[0])
