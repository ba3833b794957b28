"""The boxes of AVIF and HEIC files: what must be known of a picture before it is decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator

#: Boxes that have a version and flags before what they hold.
_FULL = 4


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Each box's type, and where its body begins and ends, until one is broken or cut short."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        stop = end if size == 0 else start + size
        if stop > end or stop < body:
            return
        yield kind, body, stop
        start = stop


def brands(data: bytes) -> set[bytes]:
    """What the file says it is: its brand and those it is compatible with; empty if it is none."""
    for kind, start, end in boxes(data[:4096]):
        if kind != b"ftyp":
            break
        names = data[start : start + 4] + data[start + 8 : end]
        return {names[at : at + 4] for at in range(0, len(names), 4)}
    return set()


def is_whole(data: bytes) -> bool:
    """Whether the last box ends where the file does."""
    return max((end for _, _, end in boxes(data)), default=0) == len(data)


def bits(data: bytes) -> int:
    """Bits per channel of the primary picture, or of the tiles that it is put together from.

    Other pictures, such as a gain map, do not count. 0 if the file does not say.

    Raises an exception of any kind where the boxes are damaged.
    """
    parts = _parts(data, *_parts(data)[b"meta"], skip=_FULL)
    start, _ = parts[b"pitm"]
    primary = _number(data, start + _FULL, 4 if data[start] else 2)
    items = {primary, *_tiles(data, *parts.get(b"iref", (0, 0)), primary)}
    described = _parts(data, *parts[b"iprp"])
    properties = list(boxes(data, *described[b"ipco"]))
    return max(
        (
            _depth(data, *properties[number - 1])
            for item, numbers in _associations(data, *described[b"ipma"])
            if item in items
            for number in numbers
            if number
        ),
        default=0,
    )


def _parts(
    data: bytes, start: int = 0, end: int | None = None, skip: int = 0
) -> dict[bytes, tuple[int, int]]:
    """Where the boxes in a box are, by their types."""
    return {kind: (at, stop) for kind, at, stop in boxes(data, start + skip, end)}


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")


def _tiles(data: bytes, start: int, end: int, item: int) -> Iterator[int]:
    """The items that this one is put together from, as the `iref` box says."""
    if start == end:
        return
    size = 4 if data[start] else 2
    for kind, at, _ in boxes(data, start + _FULL, end):
        if kind == b"dimg" and _number(data, at, size) == item:
            count = _number(data, at + size, 2)
            first = at + size + 2
            yield from (_number(data, first + size * k, size) for k in range(count))


def _associations(data: bytes, start: int, end: int) -> Iterator[tuple[int, list[int]]]:
    """Each item and the numbers of its properties, as the `ipma` box says."""
    size, wide = (4 if data[start] else 2), data[start + 3] & 1
    count, at = _number(data, start + _FULL, 4), start + _FULL + 4
    for _ in range(count):
        if at >= end:
            return
        item, numbers = _number(data, at, size), data[at + size]
        at += size + 1
        width = 1 + wide
        # The highest bit says that a reader must know the property.
        mask = 0x7FFF if wide else 0x7F
        yield item, [_number(data, at + width * k, width) & mask for k in range(numbers)]
        at += width * numbers


def _depth(data: bytes, kind: bytes, start: int, end: int) -> int:
    """Bits per channel that a property tells of, else 0."""
    if kind == b"pixi":
        return max(data[start + _FULL + 1 : end], default=0)
    if kind == b"av1C":
        return 12 if data[start + 2] & 0x20 else 10 if data[start + 2] & 0x40 else 8
    if kind == b"hvcC":
        return 8 + max(data[start + 17] & 7, data[start + 18] & 7)
    return 0
