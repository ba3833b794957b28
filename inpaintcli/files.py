"""Files that are whole or absent, folders for a while, and what is left of those that were not
finished."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if os.name == "posix":
    import fcntl

#: How a file is called while it is written. Part of its name to come is in it, for people; no more
#: of it, because the longest name that the file system takes has no room for more.
_PARTIAL = re.compile(r"\..{0,25}-[0-9a-f]{16}\.inpaint-part", re.DOTALL)
#: How a temporary folder is called, with the letters that `mkdtemp` takes.
_FOLDER = re.compile(r"inpaint-[a-z0-9_]{8}\.inpaint-part")
#: The files that this process is writing, and its temporary folders.
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


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder in the system's temporary folder, for this process alone, removed in the end.

    So it is by `abandon`, and where the process is killed by the next `clear_leftovers`.

    Raises:
        OSError: There is no place for it.
    """
    folder, descriptor = _made_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _unfinished.discard(folder)
        if descriptor is not None:
            os.close(descriptor)


def _made_folder() -> tuple[Path, int | None]:
    """A new folder, and what holds its lock where there are locks."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix="inpaint-", suffix=".inpaint-part"))
        _unfinished.add(folder)
        if os.name != "posix":
            return folder, None
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            _lock(descriptor)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)
        # It was taken for a leftover between its making and its lock.
        _unfinished.discard(folder)


def abandon() -> None:
    """Remove what this process has not finished, because it ends now."""
    for path in list(_unfinished):
        with suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def clear_leftovers(folders: Iterable[Path] = ()) -> None:
    """Remove what runs that were killed had not finished: from these folders their files, from the
    system's temporary folder their folders.

    What a live process holds stays: it has a lock. (Its number would tell less: containers that
    share a folder do not share their numbers.) Folders that are not there, and what cannot be
    removed, are passed over.
    """
    for folder in folders:
        _clear(folder, _PARTIAL, Path.unlink)
    if os.name == "posix":  # Elsewhere a folder has no lock.
        with suppress(OSError):
            _clear(Path(tempfile.gettempdir()), _FOLDER, _remove_own)


def _clear(folder: Path, names: re.Pattern[str], remove: Callable[[Path], None]) -> None:
    with suppress(OSError):
        for path in [path for path in folder.iterdir() if names.fullmatch(path.name)]:
            with suppress(OSError):
                _remove_unlocked(path, remove)


def _remove_own(folder: Path) -> None:
    """Remove a folder, unless it is another user's: all users share the temporary folder."""
    if folder.lstat().st_uid == os.geteuid():
        shutil.rmtree(folder)


def _remove_unlocked(path: Path, remove: Callable[[Path], None]) -> None:
    """Remove a path unless it is locked; raises OSError where it is, or cannot be removed."""
    if os.name != "posix":
        remove(path)  # Elsewhere what is open cannot be removed.
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(path)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Hold a lock on an open file or folder until it is closed, where the file system has locks."""
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
