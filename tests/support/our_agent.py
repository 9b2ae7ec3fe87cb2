"""The project's broker agent, installed on this machine under a name of the test's own, with its rule for sudo."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "x2gobroker/agents/server.py"
RULE = ROOT / "etc/sudoers.d/x2gobroker-agent"
INSTALLED = "/usr/lib/x2go/x2gobroker-agent"
BROKER_ACCOUNT = "x2gobroker"
KEY_OPTIONS = "no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty"
_NUMBERS = itertools.count(1)


@contextlib.contextmanager
def our_agent(sudo: bool = True) -> Iterator[Path]:
    """The path of the installed agent, for the length of a `with` block. Needs root.

    Without `sudo` there is no rule for it. The account x2gobroker comes with Debian's packages.
    """
    name = f"x2gobroker-agent-test-{os.getpid()}-{next(_NUMBERS)}"
    path, rule = Path(INSTALLED).with_name(name), Path("/etc/sudoers.d") / name
    shutil.copy(SOURCE, path)
    path.chmod(0o755)
    try:
        if sudo:
            rule.touch(mode=0o440)
            rule.write_text(RULE.read_text(encoding="ascii").replace(INSTALLED, str(path)), encoding="ascii")
            subprocess.run(["visudo", "-c"], check=True, capture_output=True, timeout=20)
        yield path
    finally:
        path.unlink()
        for compiled in path.parent.glob(f"__pycache__/{name}cpython-*"):
            compiled.unlink()
        rule.unlink(missing_ok=True)


def forced_key(agent: Path, public_key: str) -> str:
    """The line that lets the broker's key in to run the agent and nothing else, as the broker's /pubkeys/ writes it."""
    return f'command="{agent}",{KEY_OPTIONS} {public_key}'
