"""Qt's QSettings, which X2Go Client reads profiles and its own session files with, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PYTHON = "/usr/bin/python3"
PROGRAM = """
import json, sys
from PyQt5.QtCore import QSettings
for line in sys.stdin:
    asked = json.loads(line)
    if "write" in asked:
        settings = QSettings(asked["path"], QSettings.IniFormat)
        for name, value in asked["write"].items():
            settings.setValue(name, value)
        settings.sync()
        print(json.dumps(int(settings.status())), flush=True)
        continue
    settings = QSettings(asked["path"], QSettings.IniFormat)
    found = {}
    for section in settings.childGroups():
        settings.beginGroup(section)
        found[section] = {name: settings.value(name) for name in settings.allKeys()}
        settings.endGroup()
    found[""] = {name: settings.value(name) for name in settings.childKeys()}
    print(json.dumps(found, default=repr), flush=True)
"""


class Reader:
    """Reads and writes INI files by QSettings."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._count = 0

    def read(self, text: str) -> dict[str, dict[str, Any]]:
        """What QSettings reads in a file of this text: options by section, those of none under an empty name."""
        path = self._new_path()
        path.write_bytes(text.encode())
        found: dict[str, dict[str, Any]] = self._ask({"path": str(path)})
        path.unlink()
        return found

    def written(self, values: Mapping[str, Any]) -> bytes:
        """The file that QSettings makes of values by their `section/option`."""
        path = self._new_path()
        assert self._ask({"path": str(path), "write": dict(values)}) == 0
        return path.read_bytes()

    def _new_path(self) -> Path:
        self._count += 1  # QSettings remembers files by their path
        return self._folder / f"{self._count}.ini"

    def _ask(self, question: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def qsettings() -> Iterator[Reader]:
    """QSettings, while the block runs."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "LC_ALL": "C.UTF-8"}
    with (
        tempfile.TemporaryDirectory(prefix="x2gobroker-qsettings-") as folder,
        subprocess.Popen(
            [PYTHON, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as process,
    ):
        try:
            yield Reader(process, Path(folder))
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)
