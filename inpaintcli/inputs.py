"""What names photos besides their own paths: patterns that no shell has expanded, and lists."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from inpaintcli.errors import UsageError

_MAGIC = re.compile(r"[*?[]")


def is_pattern(path: Path) -> bool:
    """True for `scans/*.tif` and the like; not if a file or folder has exactly that name."""
    return bool(_MAGIC.search(str(path))) and not os.path.lexists(path)


def expanded(pattern: Path) -> tuple[Path, list[Path]]:
    """What a pattern matches, in order of name, and the folder above its first wildcard.

    `*`, `?` and `[...]` match within a name, `**` any folders or none; not what is hidden, and
    `**` goes into no folder that is a link.
    """
    parts = pattern.parts
    fixed = next(i for i, part in enumerate(parts) if _MAGIC.search(part))
    base = Path(*parts[:fixed])
    return base, sorted(set(_matches(base, parts[fixed:])))


def _matches(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    head, *rest = parts
    try:
        inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return
    if head == "**":
        yield from _matches(folder, rest or ["*"])
        for path in inside:
            if path.is_dir() and not path.is_symlink():
                yield from _matches(path, parts)
        return
    for path in inside:
        if fnmatch(path.name, head):
            if not rest:
                yield path
            elif path.is_dir():
                yield from _matches(path, rest)


def read_list(path: Path) -> list[Path]:
    """The paths in a file, or in standard input for `-`: one a line, or NUL after each.

    They are bytes, as file systems have them; empty ones are passed over. Raises UsageError where
    the list cannot be read or names nothing.
    """
    if str(path) == "-":
        if sys.stdin is None:
            raise UsageError("--from-file -: standard input is closed: send a list to it")
        name, data = "standard input", sys.stdin.buffer.read()
    else:
        try:
            name, data = str(path), path.read_bytes()
        except FileNotFoundError:
            raise UsageError(f"--from-file {path}: no such file: check the name") from None
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise UsageError(f"--from-file {path}: cannot be read: {why}: give another") from None
    data = data.removeprefix(b"\xef\xbb\xbf")  # Some editors begin every text with it.
    names = data.split(b"\0") if b"\0" in data else re.split(rb"\r?\n", data)
    paths = [Path(os.fsdecode(one)) for one in names if one]
    if not paths:
        raise UsageError(f"--from-file {path}: {name} names no photo: write one path a line")
    return paths
