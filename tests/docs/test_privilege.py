"""Code that root may run changes files by way of `privilege/` only, and is told nothing but what is listed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from x2gobroker.remote.crossing import TO_SPAWNER, TO_WORKER

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "x2gobroker"
OF_OS = frozenset(
    "chown lchown fchown chmod lchmod fchmod rename renames replace unlink remove rmdir removedirs link symlink mkdir "
    "makedirs mkfifo mknod truncate utime setxattr chroot mount".split()
)
OF_PATHS = frozenset(
    "chmod lchmod unlink rename rmdir mkdir touch write_text write_bytes symlink_to hardlink_to".split()
)
OF_SHUTIL = frozenset("rmtree move copy copy2 copyfile copytree copymode copystat chown unpack_archive".split())
CREATING = frozenset({"O_CREAT", "O_WRONLY", "O_RDWR", "O_APPEND", "O_TRUNC"})

# what changes files elsewhere, and why nobody can lead root astray there
ALLOWED = {
    "privilege/": "this is the place",
    "x2go/": "a library for programs of users, which work in their own folders",
    "remote/": "the processes of desktops: root in folders of its own, and the user in the user's",
    "agents/server.py": "one file without the rest of us; works as the user, by descriptors",
    "cli/admin/demo.py": "a trial in a folder that is looked at first",
    "cli/admin/demo_desktop.py": "a file in the folder of the trial",
    "cli/streams.py": "the standard streams, by their numbers",
    "cli/ssh/caller.py": "writes into a memory file",
    "ssh/host_keys.py": "appends where the folder was looked at first; follows no link",
    "cli/broker_account.py": "a pipe to the parent",
    "store/sqlite_file.py": "SQLite, where the folder was looked at first",
}


def changes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of each call that makes, changes or removes something by name."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id == "open" and _writes(node, 1):
            yield node.lineno, "open for writing"
        if not isinstance(function, ast.Attribute):
            continue
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
        if owner == "os" and function.attr in OF_OS:
            yield node.lineno, f"os.{function.attr}"
        elif owner == "os" and function.attr == "open" and _creates(node):
            yield node.lineno, "os.open for writing"
        elif owner == "shutil" and function.attr in OF_SHUTIL:
            yield node.lineno, f"shutil.{function.attr}"
        elif owner == "tempfile" and function.attr != "gettempdir":
            yield node.lineno, f"tempfile.{function.attr}"
        elif owner not in ("os", "shutil") and function.attr in OF_PATHS:
            yield node.lineno, f".{function.attr}"
        elif owner != "os" and function.attr == "open" and _writes(node, 0, unknown="r"):
            yield node.lineno, ".open for writing"


def _writes(node: ast.Call, place: int, unknown: str = "w") -> bool:
    """Whether an `open` has a mode that writes; one that cannot be read here counts as `unknown`."""
    modes = [keyword.value for keyword in node.keywords if keyword.arg == "mode"] + node.args[place : place + 1]
    if not modes:
        return False
    text = modes[0].value if isinstance(modes[0], ast.Constant) else unknown
    return isinstance(text, str) and bool(set(text) & set("wax+"))


def _creates(node: ast.Call) -> bool:
    """Whether an `os.open` may write; flags in a variable may. The null device is nobody's file."""
    if node.args and isinstance(node.args[0], ast.Attribute) and node.args[0].attr == "devnull":
        return False
    flags = node.args[1] if len(node.args) > 1 else None
    names = {part.attr for part in ast.walk(flags) if isinstance(part, ast.Attribute)} if flags is not None else set()
    unknown = flags is None or any(isinstance(part, ast.Name) and part.id != "os" for part in ast.walk(flags))
    return unknown or bool(names & CREATING)


def is_allowed(name: str) -> bool:
    """Whether a module may change files itself."""
    return any(name == allowed or (allowed.endswith("/") and name.startswith(allowed)) for allowed in ALLOWED)


def test_files_are_changed_by_way_of_privilege_only() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        if not is_allowed(name):
            found = changes(ast.parse(path.read_text(encoding="utf-8")))
            wrong += [
                f"{name}:{line}: {what}: use x2gobroker.privilege, or say in ALLOWED why not" for line, what in found
            ]
    assert not wrong


def test_nobody_else_changes_accounts() -> None:
    """`privilege.become` is the one way for a process of ours to give root's rights away."""
    changing = {"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "initgroups"}
    changing |= {"seteuid", "setegid"}
    allowed = ("privilege/", "remote/", "agents/server.py", "cli/remote/service.py")
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in changing and not name.startswith(allowed):
                wrong.append(f"{name}:{node.lineno}: {node.attr}")
    assert not wrong


@pytest.mark.parametrize(
    "line",
    [
        "os.chown(path, 0, 0)",
        "os.replace(a, b)",
        "path.chmod(0o600)",
        "Path('x').write_text('y')",
        "(folder / 'x').unlink()",
        "open(path, 'w')",
        "open(path, mode='ab')",
        "open(path, mode)",
        "path.open('x')",
        "os.open(path, os.O_CREAT | os.O_RDWR)",
        "os.open(path, flags)",
        "shutil.rmtree(folder)",
        "tempfile.mkstemp()",
    ],
)
def test_a_change_is_found(line: str) -> None:
    assert list(changes(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    ["open(path)", "open(path, 'rb')", "path.open('rb')", "os.open(p, os.O_RDONLY)", "text.replace('a', 'b')",
     "os.open(os.devnull, os.O_RDWR)", "tempfile.gettempdir()", "folder.remove(name)"],
)  # fmt: skip
def test_reading_is_no_change(line: str) -> None:
    assert not list(changes(ast.parse(line)))


def listed_messages() -> dict[str, set[str]]:
    """The messages that may cross to the privileged half, by docs/security.md, with their fields."""
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    section = text.partition("### x2gobroker-remote\n")[2].partition("\n### ")[0]
    found: dict[str, set[str]] = {}
    for kinds, fields in re.findall(r"^\| ((?:`[a-z]+`(?:, )?)+) \| (.*?) \| ", section, re.MULTILINE):
        for kind in re.findall("`([a-z]+)`", kinds):
            found[kind] = {field[1] for part in fields.split("; ") if (field := re.match("`([a-z]+)`", part))}
    return found


def test_nothing_crosses_to_the_privileged_half_but_what_is_listed() -> None:
    """A field more, such as a place to connect to, would be a right more for whoever takes the service over."""
    assert listed_messages() == {kind: set(form) for kind, form in {**TO_SPAWNER, **TO_WORKER}.items()}
