"""Deflated data, piece by piece in several threads: by zlib-ng, where that is installed, else by
Python's own zlib.

Pieces are packed without looking at each other, so that what comes out is the same for any number
of threads; at a megabyte a piece that costs a fifth of a percent.
"""

from __future__ import annotations

import os
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
_threads = os.cpu_count() or 1


def set_threads(number: int) -> None:
    """Pack with so many threads from now on, `MOST_THREADS` at most; by default one a core."""
    global _threads
    _threads = max(1, number)


def compress(data: bytes | memoryview) -> bytes:
    """One whole zlib stream."""
    return zlib.compress(data, LEVEL)


def in_order(work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
    """The results of the work on each piece, in their order, made in several threads; only so many
    pieces are taken in advance as there are threads."""
    threads = min(MOST_THREADS, _threads)
    rest = iter(pieces)
    if threads > 1:
        waiting: deque[Future[Result]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            for piece in rest:
                try:
                    waiting.append(pool.submit(work, piece))
                except RuntimeError:  # The system has no room for another thread.
                    yield from (one.result() for one in waiting)
                    waiting.clear()
                    yield work(piece)
                    break
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    yield from map(work, rest)


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
