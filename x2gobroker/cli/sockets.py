"""What services on a Unix socket have in common: the socket itself, and how they tell the init system."""

from __future__ import annotations

import argparse
import contextlib
import grp
import os
import pwd
import socket
import stat
from pathlib import Path

from x2gobroker.cli.common import add_debug_options
from x2gobroker.errors import ConfigurationError
from x2gobroker.privilege import ServiceFolder, TrustError, service_folder

FIRST_PASSED_DESCRIPTOR = 3
BACKLOG = 1024


def add_socket_options(parser: argparse.ArgumentParser, variable: str) -> None:
    """The options of every service on a Unix socket, the path of which `variable` of the environment may name."""
    parser.add_argument("-s", "--socket-file", metavar="FILE", help=f"the socket ({variable})")
    parser.add_argument("-o", "--owner", default="root", metavar="USER", help="owner of the socket, who may use it")
    parser.add_argument(
        "-g", "--group", default="root", metavar="GROUP", help="group of the socket, whose members may use it"
    )
    parser.add_argument("-p", "--permissions", default="0660", metavar="MODE", help="mode of the socket, in octal")
    add_debug_options(parser)


def account_ids(owner: str, group: str) -> tuple[int, int]:
    """User and group ID of the socket. Raises ConfigurationError for unknown names."""
    try:
        return pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigurationError(f"there is no user {owner} or no group {group}; give others with -o and -g") from None


def mode_of(text: str, for_all: bool = False) -> int:
    """A socket's mode from octal digits, with or without 0o; one for all users only with `for_all`.

    Raises ConfigurationError.
    """
    try:
        mode = int(text, 8)
    except ValueError:
        raise ConfigurationError(f"{text!r} is no file mode; write octal digits such as 0660") from None
    if not 0 <= mode <= 0o777:
        raise ConfigurationError(f"{text} is no mode of a socket; write octal digits such as 0660")
    if mode & 0o007 and not for_all:
        raise ConfigurationError(f"{text} would let everybody ask for passwords; write 0660 or less")
    return mode


def passed_socket() -> socket.socket | None:
    """The listening socket that an init system passes (sd_listen_fds), if it does."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    listener = socket.socket(fileno=FIRST_PASSED_DESCRIPTOR)
    listener.set_inheritable(False)
    return listener


def make_socket(path: Path, owner: int, group: int, mode: int) -> socket.socket:
    """Listen at `path`, with this owner and mode from the first moment on. Raises ConfigurationError."""
    try:
        with service_folder(path.parent) as folder:
            _remove_stale(folder, path)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            folder.bind(listener, path.name, owner, group, mode)
            listener.listen(BACKLOG)
    except TrustError as error:
        raise ConfigurationError(f"root cannot listen on {path}: {error}; or choose another with -s") from None
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {path}: {error.strerror}; choose another with -s") from None
    return listener


def remove_socket(path: Path) -> None:
    """Remove a socket that `make_socket` has made, where this process still may."""
    with contextlib.suppress(OSError, TrustError), service_folder(path.parent) as folder:
        folder.remove(path.name)


def _remove_stale(folder: ServiceFolder, path: Path) -> None:
    """Remove a socket that nobody listens on. Raises ConfigurationError when somebody does, or it is no socket."""
    status = folder.status(path.name)
    if status is None:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise ConfigurationError(f"{path} is there already, and no socket; remove it or choose another with -s")
    if folder.is_listening(path.name):
        raise ConfigurationError(f"another process listens on {path} already; stop it, or choose another with -s")
    folder.remove(path.name)


def notify_init_system(state: str, *descriptors: int) -> None:
    """Tell systemd how far we are (sd_notify), or what it is to keep; nothing where it does not ask for it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        notifier.connect(address)
        socket.send_fds(notifier, [state.encode()], descriptors)
