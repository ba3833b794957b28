"""Packed data is what zlib unpacks, however many threads pack it, and whoever does."""

from __future__ import annotations

import importlib
import sys
import threading
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaintcli.photo import deflate


@pytest.fixture
def threads() -> Iterator[None]:
    """Puts the number of threads back."""
    before = deflate._threads
    yield
    deflate.set_threads(before)


def packed(pieces: list[bytes], filtered: bool = True) -> bytes:
    return b"".join(deflate.stream(pieces, bytes, filtered=filtered))


@given(pieces=st.lists(st.binary(max_size=300), max_size=12), filtered=st.booleans())
def test_zlib_unpacks_what_was_packed(pieces: list[bytes], filtered: bool) -> None:
    assert zlib.decompress(packed(pieces, filtered)) == b"".join(pieces)


def test_any_number_of_threads_packs_the_same(threads: None) -> None:
    rng = np.random.default_rng(0)
    pieces = [rng.integers(0, 9, 50_000, np.uint8).tobytes() for _ in range(20)]
    deflate.set_threads(1)
    alone = packed(pieces)
    deflate.set_threads(4)
    assert packed(pieces) == alone


def test_pieces_are_taken_as_they_are_needed(threads: None) -> None:
    """A large photo is never turned into rows of bytes as a whole."""
    deflate.set_threads(3)
    taken, most = 0, 0

    def pieces() -> Iterator[int]:
        nonlocal taken
        for number in range(50):
            taken += 1
            yield number

    for done, number in enumerate(deflate.in_order(lambda piece: piece, pieces())):
        assert number == done
        most = max(most, taken - done)
    assert most <= 3 + 2


def test_what_fails_in_a_thread_fails(threads: None) -> None:
    deflate.set_threads(2)

    def work(piece: int) -> int:
        if piece == 3:
            raise ValueError("three")
        return piece

    before = threading.active_count()
    results = deflate.in_order(work, range(9))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert threading.active_count() == before


@pytest.mark.parametrize("most", [0, 1, 3])
def test_where_no_thread_can_be_started_it_packs_all_the_same(
    threads: None, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    deflate.set_threads(4)
    start, started = threading.Thread.start, 0

    def limited(thread: threading.Thread) -> None:
        nonlocal started
        if started == most:
            raise RuntimeError("can't start new thread")
        started += 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    assert list(deflate.in_order(lambda piece: 2 * piece, range(30))) == list(range(0, 60, 2))


def test_without_zlib_ng_zlib_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zlib_ng", None)
    plain = importlib.reload(deflate)
    try:
        assert plain.zlib is zlib
        data = b"".join(plain.stream([b"abc" * 99, b"", b"xyz"], bytes, filtered=False))
        assert zlib.decompress(data) == b"abc" * 99 + b"xyz"
    finally:
        monkeypatch.undo()
        importlib.reload(deflate)
