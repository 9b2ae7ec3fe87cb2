"""A source of the name service that fails for every user, as one whose server is down: compiled by gcc."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = """\
int _nss_x2gt_getpwnam_r(const char *name, void *result, char *buffer, unsigned long size, int *error)
{
    *error = 2; /* ENOENT, as nslcd's module says when nslcd does not answer */
    return -1;  /* NSS_STATUS_UNAVAIL */
}
"""
SWITCH = Path("/etc/nsswitch.conf")
COMPILER_DEADLINE = 60.0


def compile_nss_module(folder: Path) -> Path:
    """Compile the module `x2gt` into this folder, which belongs into LD_LIBRARY_PATH; the folder."""
    source, target = folder / "nss.c", folder / "libnss_x2gt.so.2"
    source.write_text(SOURCE, encoding="utf-8")
    words = ["gcc", "-shared", "-fPIC", "-nostdlib", "-O1", "-o", str(target), str(source)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=COMPILER_DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@contextmanager
def source_of_users(name: str) -> Iterator[None]:
    """A source behind /etc/passwd for the length of a `with` block."""
    before = SWITCH.read_text(encoding="utf-8")
    lines = [line for line in before.splitlines() if not line.startswith("passwd:")]
    SWITCH.write_text("\n".join([f"passwd: files {name}", *lines, ""]), encoding="utf-8")
    try:
        yield
    finally:
        SWITCH.write_text(before, encoding="utf-8")
