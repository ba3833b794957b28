"""Damaged files of every format, and whole pictures of every size, depth and number of channels."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaintcli import load_model, photo, restore
from inpaintcli.arrays import Pixels
from inpaintcli.errors import PhotoError
from inpaintcli.photo import Photo
from tests import corpus, fuzz
from tests.helpers import MeanFill

Depth = type[np.uint8 | np.uint16]

#: So many damaged files are decoded, and so many go through the command as well.
FILES, BATCHED = 2100, 140
DEPTHS: tuple[Depth, ...] = (np.uint8, np.uint16)


def noise(height: int, width: int, channels: int, dtype: Depth) -> Pixels:
    """A picture of which no two pixels are likely to be the same."""
    values = np.random.default_rng(height * 7 + width)
    top = int(np.iinfo(dtype).max) + 1
    return values.integers(0, top, (height, width, channels)).astype(dtype)


def read_all(path: Path) -> list[Photo]:
    """All pages of a photo."""
    return [photo.read(path, page=page) for page in range(photo.pages(path))]


def test_damaged_files_end_in_photos_or_in_one_line() -> None:
    result = fuzz.fuzz(FILES, BATCHED)
    assert not result.wrong, "\n".join(result.wrong)
    read, refused = result.counts["damaged files decoded"], result.counts["files refused"]
    assert read + refused == FILES
    # Both ends are looked at: neither is all refused, nor does damage leave most as they were.
    assert min(read, refused) > FILES / 10
    assert result.counts["restored by the command"] + result.counts["refused by the command"] == (
        BATCHED
    )


def test_a_crash_and_a_hang_are_pinned_to_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What finds them is tried on a decoder that really does this for files 3 and 5."""
    corpus.whole_files(tmp_path)
    guard = tmp_path / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "if '--child' in sys.argv or 'tests.fuzz' in sys.orig_argv:\n"
        "    from inpaintcli import photo\n"
        "    pages = photo.pages\n"
        "    def broken(path):\n"
        "        number = int(path.name[:6])\n"
        "        if number == 3: os.abort()\n"
        "        if number == 5:\n"
        "            signal.setitimer(signal.ITIMER_PROF, 0.1)  # It would take half a minute.\n"
        "            while True: pass\n"
        "        if number == 6: raise ValueError('a fault')\n"
        "        return pages(path)\n"
        "    photo.pages = broken\n"
    )
    plain = fuzz.environment()
    changed = plain | {"PYTHONPATH": f"{guard}:{plain['PYTHONPATH']}"}
    monkeypatch.setattr(fuzz, "environment", lambda: changed)
    result = fuzz.decode_all(tmp_path, 0, 9)
    told = {line.split(" (")[0]: line for line in result.wrong}
    assert set(told) == {"file 3", "file 5", "file 6"}
    assert "crashes" in told["file 3"]
    assert "hangs" in told["file 5"]
    assert "a fault" in told["file 6"]
    assert result.counts.total() == 9


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("name", [*corpus.KINDS, *corpus.FURTHER_KINDS])
def test_what_is_whole_is_read_and_what_is_cut_short_is_not(name: str, tmp_path: Path) -> None:
    kind = (corpus.KINDS | corpus.FURTHER_KINDS)[name]
    data = kind.make(corpus.WIDTH, corpus.HEIGHT)
    path = tmp_path / name
    path.write_bytes(data)
    if kind.refused:
        with pytest.raises(PhotoError, match=r"not supported"):
            photo.read(path)
    else:
        shape = photo.read(path, page=0).pixels.shape[:2]
        assert shape == ((24, 20) if kind.turned else (20, 24))
    for cut in corpus.tenths(data):
        path.write_bytes(cut)
        with pytest.raises(PhotoError) as caught:
            read_all(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", corpus.bombs())
def test_bombs_are_refused_before_they_are_decoded(name: str) -> None:
    data = corpus.bombs()[name]
    with pytest.raises(PhotoError, match=r"(60000 x 60000|65000 x 65000) pixels are too many"):
        photo.decode(data, name)


@pytest.mark.parametrize(
    "name",
    [
        *(f"rgb.{suffix}" for suffix in ("png", "jpg", "tif", "webp", "avif", "bmp", "ppm")),
        "rgb-16.ppm",
        *corpus.FURTHER_KINDS,
    ],
)
def test_a_lower_limit_counts_for_every_format(name: str) -> None:
    data = (corpus.KINDS | corpus.FURTHER_KINDS)[name].make(24, 20)
    assert photo.decode(data, name, max_pixels=480).pixels.shape[:2] == (20, 24)
    with pytest.raises(PhotoError, match="24 x 20 pixels are too many"):
        photo.decode(data, name, max_pixels=479)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".ppm", ".webp", ".jpg"])
def test_all_small_sizes_depths_and_channels_are_written_and_read(suffix: str) -> None:
    for height, width, channels, dtype in itertools.product(
        range(1, 7), range(1, 7), range(1, 5), DEPTHS
    ):
        one = Photo(noise(height, width, channels, dtype))
        try:
            data = photo.encode(one, suffix, "x")
        except PhotoError:
            assert dtype == np.uint16 or one.alpha is not None, (height, width, channels)
            assert suffix not in (".png", ".tif")
            continue
        again = photo.decode(data, "x")
        assert again.colour.shape[:2] == (height, width)
        assert again.pixels.dtype == dtype
        if suffix != ".jpg":
            # Some have no grey.
            assert (again.colour == one.colour).all()
            assert one.alpha is None or np.array_equal(np.asarray(again.alpha), one.alpha)


@pytest.mark.parametrize("model", ["telea", "navier-stokes", None])
def test_all_small_sizes_depths_and_channels_are_restored(model: str | None) -> None:
    inpainter = load_model(model) if model else MeanFill(tile=8)
    for height, width, channels, dtype in itertools.product(
        range(1, 6), range(1, 6), range(1, 5), DEPTHS
    ):
        if height * width == 1:
            continue
        pixels = noise(height, width, channels, dtype)
        for place in ((0, 0), (height // 2, width // 2), (-1, -1)):
            mask = np.zeros((height, width), bool)
            mask[place] = True
            for damage in (mask, ~mask):
                restored = restore(pixels, damage, inpainter)
                assert restored.shape == pixels.shape
                assert restored.dtype == dtype
                assert np.array_equal(restored[~damage], pixels[~damage])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.sampled_from(DEPTHS),
    st.floats(0, 1), st.integers(0, 2**32 - 1), st.sampled_from([".png", ".tif"]),
)  # fmt: skip
def test_any_photo_and_mask_come_through_files(
    height: int, width: int, channels: int, dtype: Depth, share: float,
    seed: int, suffix: str,
) -> None:  # fmt: skip
    pixels = noise(height, width, channels, dtype)
    mask = np.random.default_rng(seed).random((height, width)) < share
    mask.flat[seed % mask.size] = False
    read = photo.decode(photo.encode(Photo(pixels), suffix, "x"), "x")
    restored = restore(read.pixels, mask, MeanFill())
    again = photo.decode(photo.encode(Photo(restored), suffix, "x"), "x").pixels
    assert again.dtype == dtype
    assert np.array_equal(again[~mask], pixels[~mask])


def test_pages_that_go_round_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    import struct

    data = bytearray(corpus.KINDS["rgb.tif"].make(24, 20))
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    second = len(data)
    struct.pack_into("<I", data, first + 2 + 12 * count, second)
    # Another page, of which the first is the next one.
    data += data[first : first + 2 + 12 * count] + struct.pack("<I", first)
    path = tmp_path / "circle.tif"
    path.write_bytes(data)
    with pytest.raises(PhotoError, match="circle"):
        photo.pages(path)


def test_a_tiff_of_more_rows_than_it_has_strips_is_cut_short(tmp_path: Path) -> None:
    import struct

    import tifffile

    path = tmp_path / "tall.tif"
    path.write_bytes(corpus.KINDS["deflate.tif"].make(24, 20))
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.tags[257].valueoffset
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, place, 2_000_000)
    path.write_bytes(data)
    with pytest.raises(PhotoError, match="cut short"):
        photo.read(path)


def test_a_bmp_with_colours_beyond_its_palette_is_refused() -> None:
    data = bytearray(corpus.KINDS["palette.bmp"].make(24, 20))
    data[-1] = 255
    with pytest.raises(PhotoError, match="beyond its palette"):
        photo.decode(bytes(data), "x")
