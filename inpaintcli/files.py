"""Files that are whole or absent."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name beside it and give it its name when it is complete.

    An older file stays until then, and if writing fails; its mode goes to the new one. Where
    `path` is a symbolic link, the file that it points to is written and the link stays.

    Raises:
        OSError: The file cannot be written; nothing of it is left.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    mode = _mode(target)
    # Short, because the longest name that the file system takes has no room for more.
    partial = target.with_name(f".{secrets.token_hex(8)}.part")

    def create(name: str, flags: int) -> int:
        # Never more open than the older file, not even for a moment; the umask comes on top.
        return os.open(name, flags, 0o666 if mode is None else mode)

    try:
        with open(partial, "xb", opener=create) as file:
            if mode is not None:
                with suppress(OSError):  # Not every file system has modes to set.
                    partial.chmod(mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


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
