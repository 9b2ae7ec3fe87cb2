"""Sources of the name service, compiled by gcc: one that fails for every user, as one whose server is down, and
one that knows accounts by names of a domain as well.
"""

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
# `X2GT\anna`, `anna@x2gt.example` and `Anna` are `anna` of /etc/passwd, as with SSSD or winbind
OF_A_DOMAIN = r"""
#include <ctype.h>
#include <errno.h>
#include <nss.h>
#include <pwd.h>
#include <shadow.h>
#include <stdio.h>
#include <string.h>

static int plain(const char *name, char *to, size_t size)
{
    const char *backslash = strchr(name, '\\'), *begin = backslash ? backslash + 1 : name, *at = strchr(begin, '@');
    size_t length = at ? (size_t)(at - begin) : strlen(begin), i;
    if (length >= size)
        return 0;
    for (i = 0; i < length; i++)
        to[i] = tolower((unsigned char)begin[i]);
    to[length] = 0;
    return strcmp(name, to) != 0;
}

static enum nss_status status(int code, int *error)
{
    *error = code;
    return code == 0 ? NSS_STATUS_SUCCESS : code == ERANGE ? NSS_STATUS_TRYAGAIN : NSS_STATUS_NOTFOUND;
}

enum nss_status _nss_x2gu_getpwnam_r(const char *name, struct passwd *result, char *buffer, size_t size, int *error)
{
    char wanted[64];
    struct passwd *found;
    FILE *file;
    int code;
    if (!plain(name, wanted, sizeof wanted) || !(file = fopen("/etc/passwd", "re")))
        return status(ENOENT, error);
    while ((code = fgetpwent_r(file, result, buffer, size, &found)) == 0 && strcmp(result->pw_name, wanted))
        ;
    fclose(file);
    return status(code, error);
}

enum nss_status _nss_x2gu_getspnam_r(const char *name, struct spwd *result, char *buffer, size_t size, int *error)
{
    char wanted[64];
    struct spwd *found;
    FILE *file;
    int code;
    if (!plain(name, wanted, sizeof wanted) || !(file = fopen("/etc/shadow", "re")))
        return status(ENOENT, error);
    while ((code = fgetspent_r(file, result, buffer, size, &found)) == 0 && strcmp(result->sp_namp, wanted))
        ;
    fclose(file);
    return status(code, error);
}
"""
SWITCH = Path("/etc/nsswitch.conf")
COMPILER_DEADLINE = 60.0


def compile_nss_module(folder: Path) -> Path:
    """Compile the module `x2gt`, which fails, into this folder, which belongs into LD_LIBRARY_PATH; the folder."""
    return _compile(folder, "x2gt", SOURCE, "-nostdlib")


def compile_nss_module_of_a_domain(folder: Path) -> Path:
    """The same with the module `x2gu`, which knows accounts of this system by names of a domain."""
    return _compile(folder, "x2gu", OF_A_DOMAIN)


def _compile(folder: Path, name: str, text: str, *options: str) -> Path:
    source, target = folder / f"{name}.c", folder / f"libnss_{name}.so.2"
    source.write_text(text, encoding="utf-8")
    words = ["gcc", "-shared", "-fPIC", *options, "-O1", "-o", str(target), str(source)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=COMPILER_DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@contextmanager
def source_of_users(name: str) -> Iterator[None]:
    """A source behind /etc/passwd and /etc/shadow for the length of a `with` block."""
    before = SWITCH.read_text(encoding="utf-8")
    lines = [line for line in before.splitlines() if not line.startswith(("passwd:", "shadow:"))]
    SWITCH.write_text("\n".join([f"passwd: files {name}", f"shadow: files {name}", *lines, ""]), encoding="utf-8")
    try:
        yield
    finally:
        SWITCH.write_text(before, encoding="utf-8")
