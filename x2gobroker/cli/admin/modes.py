"""What owners, groups and modes let an account do with files and folders; root itself may do all of it.

Lists of access rights beyond the modes are not looked at, nor are file systems that nobody can write.
"""

from __future__ import annotations

from pathlib import Path

from x2gobroker.privilege.accounts import Account

READ, WRITE, ENTER = 0o4, 0o2, 0o1


def may_read(account: Account, path: Path) -> bool:
    """Whether an account may read a file, and enter the folders above it."""
    return may(account, path, READ)


def may(account: Account, path: Path, bits: int) -> bool:
    """Whether an account has all of these rights at what `path` leads to, and may enter the folders above that."""
    real = path.resolve()
    return all(_allows(account, folder, ENTER) for folder in real.parents) and _allows(account, real, bits)


def folder_fault(account: Account, folder: Path) -> str:
    """Why an account cannot keep files of its own in a folder, nor make it there; empty where it can."""
    real = folder.resolve()
    if real.is_dir():
        wanted = READ | WRITE | ENTER
        return "" if may(account, real, wanted) else f"cannot be read, written and entered by {account.name}"
    if real.exists():
        return "is no folder"
    above = next(parent for parent in real.parents if parent.exists())
    if above.is_dir() and may(account, above, WRITE | ENTER):
        return ""
    return f"does not exist, and {account.name} cannot make it below {above}"


def _allows(account: Account, path: Path, bits: int) -> bool:
    status = path.stat()
    if account.uid == 0:
        return True
    if status.st_uid == account.uid:
        mine = status.st_mode >> 6
    elif status.st_gid in account.groups:
        mine = status.st_mode >> 3
    else:
        mine = status.st_mode
    return mine & bits == bits
