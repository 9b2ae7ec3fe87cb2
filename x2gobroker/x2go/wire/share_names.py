"""Names under which a server knows shared folders: nothing in them can be misread by the scripts of X2Go.

Source: x2gomountdirs and x2goumount-session of x2goserver 4.1.0.3. The former puts the folder's name and the place of
the mount into a line for a shell, takes `:` as the end of a name and words like `__REVERSESSH_PORT__` as its own; the
latter takes the place as a regular expression. So the server gets a name of our own making, which is like the folder's.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata

DISK = "disk"
REMOVABLE = "rm"
CDROM = "cdrom"
SPOOL = "spool"
MIMEBOX = "mimebox"
FOLDER_TYPES = (DISK, REMOVABLE, CDROM, SPOOL, MIMEBOX)
SPOOLS = {SPOOL: "__PRINT_SPOOL_", MIMEBOX: "__MIMEBOX_SPOOL_"}
LONGEST_NAME = 160  # bytes; a name of a file may have 255, and something may come behind it
ENCODING = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}")
SESSION_NAME = re.compile(r"[A-Za-z0-9._@-]{1,250}")


def server_name(local_path: str, folder_type: str, number: int = 1) -> str:
    """The name of a local folder on the server, an absolute path of letters, digits, `.`, `-`, `_` and `/`.

    `number` tells folders apart that would have the same one.
    """
    text = unicodedata.normalize("NFC", os.path.abspath(local_path))
    kept = "".join(letter if letter.isalnum() or letter in "./-" else "_" for letter in text)
    name = re.sub("_+", "_", kept)
    if len(name.encode("utf-8")) > LONGEST_NAME:
        digest = hashlib.sha256(os.fsencode(local_path)).hexdigest()[:8]
        end = name.rpartition("/")[2].encode("utf-8")[-LONGEST_NAME // 2 :].decode("utf-8", "ignore")
        name = f"/{digest}_{end}"
    if folder_type == CDROM:  # x2gomountdirs tells discs from other media by this word
        name = f"/CDROM{name}"
    elif folder_type == REMOVABLE:
        name = re.sub("CDROM", "cdrom", name)
    return name if number == 1 else f"{name}-{number}"


def mount_place(name: str, folder_type: str, session_name: str) -> str:
    """Where x2gomountdirs mounts a folder, below `/tmp/.x2go-<user>/` of the server."""
    if folder_type in SPOOLS:
        return f"{folder_type}/C-{session_name}"
    kind = {DISK: "disk", REMOVABLE: "rm", CDROM: "cd"}[folder_type]
    return f"media/{kind}/{name.replace('/', '_')}"


def mount_argument(name: str, folder_type: str, port: int) -> str:
    """The last argument of x2gomountdirs: the folder, what it is for, and the port of the tunnel."""
    return f"{name}{SPOOLS.get(folder_type, '')}__REVERSESSH_PORT__{port}"


def mount_options(server_encoding: str) -> str:
    """Options for sshfs, in the one place where x2gomountdirs lets a client give some: X2GO_ICONV.

    sshfs keeps what it knows of files for 20 s; with one second, either side soon sees what the other one does. When a
    client vanishes, x2gomountdirs lets its mounts hang for a quarter of an hour; here it is two minutes, because ssh
    takes the first value of an option. Names come in UTF-8; where the server's users have another encoding, sshfs
    converts them. Raises ValueError.
    """
    options = "dcache_timeout=1,ServerAliveInterval=20,ServerAliveCountMax=6"
    if server_encoding.upper().replace("-", "") == "UTF8":
        return options
    if not ENCODING.fullmatch(server_encoding):
        raise ValueError("the server's encoding is no name of an encoding")
    return f"{options},modules=iconv,from_code=UTF-8,to_code={server_encoding}"
