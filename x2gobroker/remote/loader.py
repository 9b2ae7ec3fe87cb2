"""Scripts of session types, loaded from the files that an administrator named in the file of session types.

A script is Python that runs with the rights of the service. So its file, and every folder above it, must belong to
root or to the service's account, and nobody else may write there. What was looked at is what runs: it is read once, by
a descriptor. Its name comes from a file that was checked in the same way, never from a user.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import os
import sys
from importlib.abc import SourceLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from x2gobroker.errors import BrokerError
from x2gobroker.privilege import TrustError, read_trusted
from x2gobroker.remote.keys import OUT
from x2gobroker.remote.limits import Limits
from x2gobroker.remote.script import RemoteServiceScript

if TYPE_CHECKING:
    from x2gobroker.remote.types import SessionType

SHIPPED = Path(__file__).resolve().parent / "scripts"
SUFFIX = ".py"
REALIZE = "realize_service"
LARGEST_SCRIPT = 1 << 20


class ScriptError(BrokerError):
    """A script cannot be used. The text says which, why, and what to do."""


class _LoaderOfBytes(SourceLoader):
    """Python's own way to load a module, of a text that has been read already: nothing is opened by name again.

    It knows no time of a change, so that no `__pycache__` is read, or left beside an administrator's files.
    """

    def __init__(self, path: Path, source: bytes) -> None:
        self._path = path
        self._source = source

    def get_filename(self, fullname: str) -> str:
        """Where the script lies, for its `__file__` and for tracebacks."""
        return str(self._path)

    def get_data(self, path: str | bytes) -> bytes:
        """The text of the script."""
        return self._source


def script_path(folder: Path, name: str) -> Path:
    """Where a script lies: in the folder of the file of session types, or else among those that ship.

    Raises ScriptError for a name that is no plain file name with the suffix .py, and for one that is nowhere.
    """
    if Path(name).name != name or name.startswith(".") or not name.endswith(SUFFIX) or not name.isprintable():
        raise ScriptError(f"script {name!r} must be the plain name of a file, such as desktop.py, without a folder")
    for place in (folder, SHIPPED):
        path = place / name
        if name != "__init__.py" and os.path.lexists(path):
            return path
    raise ScriptError(f"script {name} is not in {folder}, and none of that name ships: put it there")


def ships(folder: Path, name: str) -> bool:
    """Whether the script of this name is the one that ships, for a file of session types in this folder."""
    try:
        return script_path(folder, name).parent == SHIPPED
    except ScriptError:
        return False


def owners() -> set[int]:
    """Whose files are believed: root's, and those of the account that reads them."""
    return {0, os.geteuid()}


def read_script(path: Path) -> bytes:
    """The text of a script. Raises ScriptError unless only root and our own account can have written it."""
    if path.parent == SHIPPED:
        return path.read_bytes()  # as much to be trusted as we are
    if path.is_symlink() or not path.is_file():
        reason = "is a link, or no file: put the script itself there" if os.path.lexists(path) else "is not there"
        raise ScriptError(f"{path} {reason}")
    try:
        return read_trusted(path, owners(), LARGEST_SCRIPT)
    except TrustError as error:
        raise ScriptError(str(error)) from error


def load_script(folder: Path, name: str) -> ModuleType:
    """The module of a script, run now. Raises ScriptError when it cannot be trusted, fails, or has no realize_service.

    The script can take as long as it likes: call this where a deadline can end it.
    """
    path = script_path(folder.resolve(), name)
    source = read_script(path)
    module_name = "x2gobroker_remote_script_" + hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    loader = _LoaderOfBytes(path, source)
    spec = importlib.util.spec_from_file_location(module_name, path, loader=loader)
    if spec is None:
        raise ScriptError(f"script {path} is nothing that Python can load")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        raise ScriptError(f"script {path} does not load: {describe(error)}") from error
    if not callable(getattr(module, REALIZE, None)):
        raise ScriptError(f"script {path} has no function {REALIZE}(name, count, index, common_options)")
    return module


def realize(
    session_type: SessionType, index: int, state_folder: Path | None = None, module: ModuleType | None = None
) -> RemoteServiceScript:
    """The script object of one slot. `module` is what `load_script` gave, for the next slots of the same type.

    Raises ScriptError when the script does not give a RemoteServiceScript with `start` and `stop` of its own.
    """
    module = module or load_script(session_type.folder, session_type.script)
    path = module.__file__
    try:
        found = module.realize_service(
            name=session_type.name,
            count=session_type.count,
            index=index,
            common_options=copy.deepcopy(dict(session_type.options)),
        )
    except (Exception, SystemExit) as error:
        raise ScriptError(f"script {path}: {REALIZE} failed for index {index}: {describe(error)}") from error
    if not isinstance(found, RemoteServiceScript):
        kind = type(found).__name__
        raise ScriptError(f"script {path}: {REALIZE} must return a RemoteServiceScript, and returned a {kind}")
    for method in ("start", "stop"):
        if getattr(type(found), method) is getattr(RemoteServiceScript, method):
            raise ScriptError(f"script {path}: {type(found).__name__} has no method {method} of its own")
    # a script whose constructor does not call ours has none of our attributes; then nothing else of it would work
    if not hasattr(found, "_common_options") or not hasattr(found, "_listener"):
        raise ScriptError(f"script {path}: {type(found).__name__}.__init__ must call that of RemoteServiceScript")
    found._state_folder = state_folder
    found._limits = Limits(session_type.memory_megabytes, session_type.tasks, session_type.cpu_percent)
    found._pam_service = session_type.pam_service
    found._is_one_of_several = session_type.per_user > 1
    found._wants_sound = session_type.sound == OUT
    found._clipboard_bytes = session_type.clipboard_kilobytes << 10
    return found


def realize_all(session_type: SessionType, state_folder: Path | None = None) -> list[RemoteServiceScript]:
    """The script objects of all slots of a type, in the order of their index. Raises ScriptError."""
    module = load_script(session_type.folder, session_type.script)
    return [realize(session_type, index, state_folder, module) for index in range(session_type.count)]


def describe(error: BaseException) -> str:
    """What went wrong in a script, with the line of the script when it is known."""
    line = ""
    step = error.__traceback__
    while step is not None:
        line, step = f" (line {step.tb_lineno})", step.tb_next
    if isinstance(error, SyntaxError):
        line = f" (line {error.lineno})"
        return f"{type(error).__name__}: {error.msg}{line}"
    return f"{type(error).__name__}: {error}{line}"[:500]
