"""Deflated data, piece by piece in several threads: by zlib-ng, where that is installed, else by
Python's own zlib.

Pieces are packed without looking at each other, so that what comes out is the same for any number
of threads; at a megabyte a piece that costs a fifth of a percent. OpenCV says how many threads
there may be: what the process gives it is meant for all that it computes (`cv2.setNumThreads`).
"""

from __future__ import annotations

import zlib as plain
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

try:
    from zlib_ng import zlib_ng as zlib

    #: Within 2 % as small as zlib's level 6, in a quarter of its time (a photo of 12 megapixels).
    LEVEL = 5
except ImportError:
    import zlib  # type: ignore[no-redef]

    LEVEL = 6

Piece = TypeVar("Piece")
Result = TypeVar("Result")
#: Threads beyond these wait for memory.
MOST_THREADS = 8
#: The end of deflated data: an empty last block.
_END = b"\x03\x00"


def compress(data: bytes | memoryview) -> bytes:
    """One whole zlib stream."""
    return zlib.compress(data, LEVEL)


def in_order(work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
    """The results of the work on each piece, in their order, made in several threads; only so many
    pieces are taken in advance as there are threads."""
    import cv2

    threads = min(MOST_THREADS, cv2.getNumThreads())
    if threads < 2:
        yield from map(work, pieces)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for piece in pieces:
            waiting.append(pool.submit(work, piece))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def stream(
    pieces: Iterable[Piece], unpacked: Callable[[Piece], bytes], *, filtered: bool
) -> Iterator[bytes]:
    """One zlib stream of what `unpacked` makes of all pieces, in parts.

    filtered: the bytes are differences, small and at random, rather than pictures of one colour.
    """

    def packed(piece: Piece) -> tuple[bytes, bytes]:
        data = unpacked(piece)
        strategy = plain.Z_FILTERED if filtered else plain.Z_DEFAULT_STRATEGY
        packer = zlib.compressobj(LEVEL, plain.DEFLATED, -15, 8, strategy)
        return data, packer.compress(data) + packer.flush(plain.Z_FULL_FLUSH)

    yield b"\x78\x9c"
    total = plain.adler32(b"")
    for data, part in in_order(packed, pieces):
        total = plain.adler32(data, total)
        yield part
    yield _END + total.to_bytes(4, "big")
