"""Files that are whole or absent, and what is left of those that were not finished."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

if os.name == "posix":
    import fcntl

#: How a file is called while it is written. Part of its name to come is in it, for people; no more
#: of it, because the longest name that the file system takes has no room for more.
_PARTIAL = re.compile(r"\..{0,25}-[0-9a-f]{16}\.inpaint-part", re.DOTALL)
#: The files that this process is writing.
_unfinished: set[Path] = set()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name beside it and give it its name when it is complete.

    An older file stays until then, and if writing fails; its mode goes to the new one. Where
    `path` is a symbolic link, the file that it points to is written and the link stays.

    Raises:
        OSError: The file cannot be written; nothing of it is left.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    mode = _mode(target)
    while not _written(target, mode, data):
        pass


def _written(target: Path, mode: int | None, data: bytes) -> bool:
    """Write a file; False if it was taken for a leftover between its making and its lock."""
    partial = target.with_name(f".{target.name[:25]}-{secrets.token_hex(8)}.inpaint-part")

    def create(name: str, flags: int) -> int:
        # Never more open than the older file, not even for a moment; the umask comes on top.
        return os.open(name, flags, 0o666 if mode is None else mode)

    _unfinished.add(partial)
    try:
        with open(partial, "xb", opener=create) as file:
            _lock(file.fileno())
            if os.name == "posix" and os.fstat(file.fileno()).st_nlink == 0:
                return False
            if mode is not None:
                with suppress(OSError):  # Not every file system has modes to set.
                    partial.chmod(mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if os.name == "posix":
                # Under its lock until it has its name: nobody takes it for a leftover.
                partial.replace(target)
        if os.name != "posix":
            partial.replace(target)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    finally:
        _unfinished.discard(partial)
    return True


def abandon() -> None:
    """Remove what this process has not finished, because it ends now."""
    for partial in list(_unfinished):
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def clear_leftovers(folders: Iterable[Path]) -> None:
    """Remove from these folders what runs that were killed had not finished.

    What a live process is writing stays: it holds a lock. Folders that are not there, and what
    cannot be removed, are passed over.
    """
    for folder in folders:
        with suppress(OSError):
            for path in [path for path in folder.iterdir() if _PARTIAL.fullmatch(path.name)]:
                with suppress(OSError):
                    _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    """Remove a file unless it is locked; raises OSError where it is, or cannot be removed."""
    if os.name != "posix":
        path.unlink()  # Elsewhere what is open cannot be removed.
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Hold a lock on an open file until it is closed, where the file system has locks."""
    if os.name == "posix":
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)


def _mode(target: Path) -> int | None:
    """The permissions of a regular file, None where there is no file yet; else raises OSError."""
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISREG(mode):
        return stat.S_IMODE(mode) & 0o777
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if stat.S_ISLNK(mode):  # What is still a link is one of a loop.
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(target))
    # A device or a pipe: to replace it is never meant.
    raise OSError(errno.EINVAL, "not a regular file", str(target))
