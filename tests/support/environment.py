"""The environment of a program of ours that has a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path


def own_environment(folder: Path, config: Path) -> dict[str, str]:
    """With this main configuration, and nothing of what this machine or the caller has configured."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "X2GOBROKER_CONFIG": str(config),
        "X2GOBROKER_DEFAULTS": str(folder / "no-defaults.conf"),
        "X2GOBROKER_LOGCONFIG": str(folder / "no-loggers.conf"),
    }
