"""Configuration files of a test, and the settings made from them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from x2gobroker.settings import Settings, SettingsSource


@dataclass
class Files:
    """A folder with x2gobroker.conf and defaults.conf, and a settings source that reads them."""

    folder: Path
    variables: tuple[dict[str, str], ...] = ()
    _source: SettingsSource | None = field(default=None, init=False)

    @property
    def config(self) -> Path:
        """The main configuration file."""
        return self.folder / "x2gobroker.conf"

    @property
    def defaults(self) -> Path:
        """The file of variables."""
        return self.folder / "defaults.conf"

    @property
    def source(self) -> SettingsSource:
        """The source, made at first use."""
        if self._source is None:
            mine = {"X2GOBROKER_CONFIG": str(self.config), "X2GOBROKER_DEFAULTS": str(self.defaults)}
            self._source = SettingsSource(mine, *self.variables)
        return self._source

    def write(self, text: str) -> Settings:
        """Replace the main configuration file; the settings as of then."""
        replace(self.config, text)
        return self.source.current()

    def write_defaults(self, text: str) -> Settings:
        """Replace the file of variables; the settings as of then."""
        replace(self.defaults, text)
        return self.source.current()

    def said(self) -> list[str]:
        """All problems as an administrator reads them."""
        return [str(problem) for problem in (*self.source.faults, *self.source.current().problems)]


def replace(path: Path, text: str) -> None:
    """Replace a file as editors do, whole."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)
