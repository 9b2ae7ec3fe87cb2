"""X2Go Client's program itself, which says with --debug what the broker answers.

That of Debian 12 does. In Debian 13, /usr/bin/x2goclient is a script, which hands no signal on to the program, and the
program (4.1.2.3) is silent about answers. A library that is loaded before Qt says there what Qt has given it.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.client_home import ClientHome

SCRIPT = Path("/usr/bin/x2goclient")
BEHIND = Path("/usr/libexec/x2goclient")
PROGRAM = BEHIND if BEHIND.exists() else SCRIPT
SAID = b"A http request returned. Result was: "
COMPILER_DEADLINE = 60.0
# QByteArray QIODevice::readAll() of Qt 5, on machines where the place of the result is the first argument (x86-64);
# the first function in the table of a QObject is metaObject()
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

struct array { int uses, size; unsigned allocated; long offset; };
typedef struct array **bytes;

bytes _ZN9QIODevice7readAllEv(bytes result, void ***device)
{
    bytes (*real)(bytes, void *) = dlsym(RTLD_NEXT, "_ZN9QIODevice7readAllEv");
    const char *(*name)(const void *) = dlsym(RTLD_NEXT, "_ZNK11QMetaObject9classNameEv");
    bytes read = real(result, device);
    const void *(*meta)(void *) = (const void *(*)(void *))(*device)[0];
    if (strncmp(name(meta(device)), "QNetworkReply", 13) != 0) return read;
    const char *text = (const char *)*result + (*result)->offset;
    flockfile(stderr);
    fputs("A http request returned. Result was: \"", stderr);
    for (const char *end = text + (*result)->size; text < end; text++)
        switch (*text) {
        case '\n': fputs("\\n", stderr); break;
        case '\t': fputs("\\t", stderr); break;
        case '"': fputs("\\\"", stderr); break;
        case '\\': fputs("\\\\", stderr); break;
        default: fputc(*text, stderr);
        }
    fputs("\"\n", stderr);
    fflush(stderr);
    funlockfile(stderr);
    return read;
}
"""


def variables(home: ClientHome) -> dict[str, str]:
    """What its environment has to have beside that of the account."""
    if PROGRAM == SCRIPT:
        return {}
    own = {"QT_QPA_PLATFORM": "xcb", "QT_AUTO_SCREEN_SCALE_FACTOR": "1"}  # as the script sets them
    return own if SAID in PROGRAM.read_bytes() else own | {"LD_PRELOAD": str(home.copy(_library()))}


@functools.cache
def _library() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="x2goclient-answers-"))
    atexit.register(shutil.rmtree, folder)
    source, target = folder / "answers.c", folder / "answers.so"
    source.write_text(SOURCE, encoding="ascii")
    words = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(target), str(source)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=COMPILER_DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    return target
