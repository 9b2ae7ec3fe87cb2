"""One file that comes: beside its target under a hidden name until it is whole, then under its own, over nothing.

Where it breaks off, what has come stays, with the file's own date. Whatever writes to it later gives it another one,
so that only what this program has left is gone on with, and only after the page has compared the end of it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Callable

from x2gobroker.remote.files.folders import free_bytes
from x2gobroker.remote.files.names import is_partial, numbered, partial_name
from x2gobroker.remote.files.refusals import RefusedError, refusal

TAIL_BYTES = 1 << 20  # of what has come, compared before the rest is sent
MOST_NUMBERS = 1000  # of files with one name
OLD_SECONDS = 7 * 86400.0  # after which nobody comes back for an upload
MOST_LOOKED_AT = 10000
PRIVATE = 0o600
WHOLE = 0o644  # as programs make files with the usual umask
FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
FLUSH_BYTES = 1 << 25
RENAME_NOREPLACE = 1
SYNC_FILE_RANGE_WRITE = 2
NOT_KNOWN = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
HOPELESS = ("quota", "full", "too-large")  # what has come only takes room

_library = ctypes.CDLL(None, use_errno=True)


class Upload:
    """A file on its way into an open folder, of `size` bytes; `modified` is its date, milliseconds of the epoch.

    All methods raise RefusedError. `there`: how many bytes have come, before and now.
    """

    def __init__(self, folder: int, name: bytes, size: int, modified: int) -> None:
        self._folder = folder
        self._name = name
        self._partial = partial_name(name, size, modified, os.geteuid())
        self._date = modified * 1_000_000
        self.size = size
        self._flushed = 0
        try:
            self._number, resumes = self._open()
        except OSError as error:
            raise refusal(error, missing="no-folder") from error
        self.there = os.fstat(self._number).st_size if resumes else 0
        self._is_open = True
        try:
            if free_bytes(self._number) < size - self.there:
                raise RefusedError("full")
        except RefusedError:
            self.keep()
            raise

    def _open(self) -> tuple[int, bool]:
        """The partial file, locked, and whether what is in it can be gone on with. Raises OSError, RefusedError."""
        for _attempt in range(3):
            try:
                number = os.open(self._partial, FLAGS | os.O_CREAT | os.O_EXCL, PRIVATE, dir_fd=self._folder)
                resumes = False
            except FileExistsError:
                if not self._is_ours():
                    continue
                try:
                    number = os.open(self._partial, FLAGS, dir_fd=self._folder)
                except FileNotFoundError:
                    continue
                resumes = True
            try:
                locked = self._lock(number)
                if self._is_there(number):
                    if resumes and not (locked and self._is_left_by_us(number)):
                        os.ftruncate(number, 0)
                        resumes = False
                    return number, resumes
            except BaseException:
                os.close(number)
                raise
            os.close(number)  # another one has just been done with it
        raise RefusedError("busy")

    def _is_ours(self) -> bool:
        """Whether what has the name is a file of the user's own; else it makes way, where the user may have it so."""
        try:
            status = os.stat(self._partial, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid():
            return True
        os.unlink(self._partial, dir_fd=self._folder)
        return False

    @staticmethod
    def _lock(number: int) -> bool:
        """Whether there is a lock now; False on file systems without. Raises RefusedError where another one has it."""
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError("busy") from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            return False
        return True

    def _is_there(self, number: int) -> bool:
        """Whether the open file is the one that has the name."""
        try:
            found = os.stat(self._partial, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(number))

    def _is_left_by_us(self, number: int) -> bool:
        status = os.fstat(number)
        return status.st_mtime_ns // 10**9 == self._date // 10**9 and 0 < status.st_size <= self.size

    def tail(self) -> tuple[int, str]:
        """How many of the last bytes there are to be compared, and their SHA-256; 0 where nothing has come yet."""
        length = min(TAIL_BYTES, self.there)
        if not length:
            return 0, ""
        digest = hashlib.sha256()
        at = self.there - length
        while length and (data := os.pread(self._number, min(length, 1 << 18), at)):
            digest.update(data)
            at += len(data)
            length -= len(data)
        return min(TAIL_BYTES, self.there), digest.hexdigest()

    def begin(self, offset: int) -> None:
        """Go on from here: where it was, or from the beginning. Anything else is refused."""
        if offset not in (0, self.there):
            raise RefusedError("changed")
        try:
            os.ftruncate(self._number, offset)
            os.lseek(self._number, offset, os.SEEK_SET)
        except OSError as error:
            raise refusal(error) from error
        self.there = self._flushed = offset

    def write(self, data: bytes) -> None:
        """The next bytes. What was told to be too large for the disk is dropped at once."""
        if self.there + len(data) > self.size:
            raise RefusedError("changed")
        view = memoryview(data)
        try:
            while view:
                count = os.write(self._number, view)
                view = view[count:]
                self.there += count
        except OSError as error:
            refused = refusal(error)
            if refused.why in HOPELESS:
                self.drop()
            raise refused from error
        if self.there - self._flushed >= FLUSH_BYTES:  # so that the end of a large file is not a long wait
            _begin_flush(self._number, self._flushed, self.there - self._flushed)
            self._flushed = self.there

    def finish(self, alive: Callable[[], None] = lambda: None) -> bytes:
        """All bytes have come: it gets its name, or one with a number; which one. `alive` is for between steps."""
        if self.there != self.size:
            raise RefusedError("changed")
        try:
            os.fsync(self._number)
            alive()
            os.fchmod(self._number, WHOLE)
            os.utime(self._number, ns=(time.time_ns(), self._date))
            if not self._is_there(self._number):
                raise RefusedError("changed")
            name = self._place()
            _flush_folder(self._folder)
        except OSError as error:
            refused = refusal(error)
            if refused.why in HOPELESS:
                self.drop()
            raise refused from error
        self._close()
        return name

    def _place(self) -> bytes:
        for number in range(MOST_NUMBERS):
            wanted = numbered(self._name, number) if number else self._name
            try:
                rename_new(self._folder, self._partial, wanted)
            except FileExistsError:
                continue
            return wanted
        raise RefusedError("too-many")

    def keep(self) -> None:
        """It breaks off: what has come can be gone on with."""
        if not self._is_open:
            return
        if not os.fstat(self._number).st_size:
            self.drop()
            return
        try:
            os.fsync(self._number)  # before it is called ours: else, after a power cut, it might be zeros
            os.utime(self._number, ns=(time.time_ns(), self._date))
        except OSError as error:
            raise refusal(error) from error
        finally:
            self._close()

    def drop(self) -> None:
        """It is not wanted: what has come goes."""
        if not self._is_open:
            return
        try:
            if self._is_there(self._number):
                os.unlink(self._partial, dir_fd=self._folder)
        except OSError as error:
            raise refusal(error) from error
        finally:
            self._close()

    def _close(self) -> None:
        self._is_open = False
        os.close(self._number)


def rename_new(folder: int, old: bytes, new: bytes) -> None:
    """Give a file another name in its folder, never that of one that is there. Raises FileExistsError, OSError.

    By renameat2(2); where a file system does not know that, as NFS, by a link; else in the place of an empty file.
    """
    if _library.renameat2(folder, old, folder, new, RENAME_NOREPLACE) == 0:
        return
    number = ctypes.get_errno()
    if number not in NOT_KNOWN:
        raise OSError(number, os.strerror(number))
    try:
        os.link(old, new, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
    else:
        os.unlink(old, dir_fd=folder)
        return
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE, dir_fd=folder))
    os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)


def drop_old(folder: int, now: float | None = None) -> int:
    """Remove the user's uploads that nobody has come back for; how many there were. What cannot be removed stays.

    When it was changed last counts, not its date, which is that of the file.
    """
    moment = time.time() if now is None else now
    try:
        listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return 0  # one may write into such a folder, and not list it
    try:
        with os.scandir(listed) as found:
            names = [os.fsencode(entry.name) for _, entry in zip(range(MOST_LOOKED_AT), found, strict=False)]
    finally:
        os.close(listed)
    return sum(_drop_if_old(folder, name, moment) for name in names if is_partial(name))


def _drop_if_old(folder: int, name: bytes, now: float) -> bool:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        mine = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if not mine or now - status.st_ctime < OLD_SECONDS:
            return False
        os.unlink(name, dir_fd=folder)
    except OSError:
        return False
    return True


def _flush_folder(folder: int) -> None:
    """Have the new name on the disk, where the folder may be read; without that it still has the name."""
    try:
        number = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno != errno.EINVAL:  # file systems that have no such thing
            raise
    finally:
        os.close(number)


def _begin_flush(number: int, offset: int, size: int) -> None:
    """Let the kernel begin to write to the disk, without waiting. It need not: what counts is fsync at the end."""
    _library.sync_file_range(number, ctypes.c_int64(offset), ctypes.c_int64(size), SYNC_FILE_RANGE_WRITE)
