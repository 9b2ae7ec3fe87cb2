"""Where C code calls back into Python: in one module, which only processes load that were started by exec.

What ctypes makes for that lies in memory which processes share after a fork, where memory may not be writable and
executable. So no process may make it that forks, or that was forked.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import x2gobroker

PACKAGE = Path(x2gobroker.__file__).parent
CALLED_BACK = "authservice/libpam.py"
# what loads it, directly or not; the last ones are loaded by nobody: `start.py` and `kept.py` execute them
LOADERS = {
    "authservice/libpam.py": {
        "authservice/pamcall.py",
        "authservice/taking.py",
        "authservice/worker.py",
        "remote/pamsession.py",
    },
    "authservice/pamcall.py": {"authservice/worker.py"},
    "authservice/taking.py": {"authservice/worker.py"},
    "authservice/worker.py": set[str](),
    "remote/pamsession.py": {"remote/login.py"},
    "remote/login.py": {"remote/keeper.py", "remote/programs.py"},
    "remote/programs.py": {"remote/keeper.py"},
    "remote/keeper.py": set[str](),
}
MAKERS = {"CFUNCTYPE", "PYFUNCTYPE", "WINFUNCTYPE", "callback", "new_handle", "ffi"}
PROGRAMS = (
    "x2gobroker.app",
    "x2gobroker.cli.daemon.program",
    "x2gobroker.cli.authservice",
    "x2gobroker.cli.loadchecker",
    "x2gobroker.cli.main",
    "x2gobroker.cli.remote.service",
    "x2gobroker.cli.testauth",
    "x2gobroker.wsgi",
    "x2gobroker.auth.pam",
)


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(tree: ast.AST) -> set[str]:
    """The modules and names that a file imports."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{name.name}" for name in node.names} | {str(node.module)}
    return found


def test_callbacks_are_made_in_one_module_only() -> None:
    for path in files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        uses_c = any(name.partition(".")[0] in ("ctypes", "cffi", "pamela") for name in imported(tree))
        makes = uses_c and bool(names & MAKERS)
        assert makes == (str(path.relative_to(PACKAGE)) == CALLED_BACK), path


@pytest.mark.parametrize("loaded", LOADERS)
def test_only_executed_programs_load_it_and_nobody_loads_those(loaded: str) -> None:
    module = "x2gobroker." + loaded.removesuffix(".py").replace("/", ".")
    found = {path for path in files() if module in imported(ast.parse(path.read_text(encoding="utf-8")))}
    assert {str(path.relative_to(PACKAGE)) for path in found} == LOADERS[loaded]


def test_no_program_that_forks_has_made_a_callback_when_it_is_loaded() -> None:
    """With all that it loads of others, as PyPI has it."""
    script = (
        "import ctypes, sys\n"
        "made = []\n"
        "def watch(make):\n"
        "    def watched(*arguments, **named):\n"
        "        kind = make(*arguments, **named)\n"
        "        class Watched(kind):\n"
        "            _flags_, _restype_, _argtypes_ = kind._flags_, kind._restype_, kind._argtypes_\n"
        "            def __new__(cls, *given):\n"
        "                if given and callable(given[0]): made.append(repr(given[0]))\n"
        "                return kind.__new__(cls, *given)\n"
        "        return Watched\n"
        "    return watched\n"
        "ctypes.CFUNCTYPE = watch(ctypes.CFUNCTYPE)\n"
        f"import {', '.join(PROGRAMS)}\n"
        "assert 'x2gobroker.authservice.libpam' not in sys.modules\n"
        "sys.exit('\\n'.join(made) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
