"""Restored JPEGs keep the coefficients of all blocks that hold no filled pixel, and their metadata.

Coefficients are read with jpeglib's own classes, pixels with Pillow; which blocks hold a filled
pixel is found block by block here.
"""

from __future__ import annotations

import functools
import io
import struct
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image

from inpaintcli import jpeg_blocks
from inpaintcli.arrays import Mask, Pixels
from inpaintcli.jpeg_blocks import NotPatchable, patched
from tests.helpers import picture

jpeglib = pytest.importorskip("jpeglib")

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
SAMPLINGS = ("4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", "grey", "RGB")


def jpeg(pixels: Pixels, sampling: str = "4:2:0", quality: int = 85, **options: Any) -> bytes:
    """A JPEG of the pixels, by Pillow where it can and by jpeglib where not."""
    if sampling in ("4:4:0", "4:1:1"):
        return by_jpeglib(pixels, {"4:4:0": (2, 1), "4:1:1": (1, 4)}[sampling], quality)
    image = Image.fromarray(pixels)
    if sampling == "grey":
        image = image.convert("L")
    elif sampling == "RGB":
        options["keep_rgb"] = True
    else:
        options["subsampling"] = sampling
    with io.BytesIO() as file:
        image.save(file, "JPEG", quality=quality, **options)
        return file.getvalue()


def by_jpeglib(pixels: Pixels, luma: tuple[int, int], quality: int = 85) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jpg")
        spatial = jpeglib.from_spatial(np.ascontiguousarray(pixels))
        spatial.samp_factor = np.array([luma, (1, 1), (1, 1)])
        spatial.write_spatial(str(path), qt=quality)
        return path.read_bytes()


def decoded(data: bytes) -> Pixels:
    """(h, w, channels), not turned upright."""
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.array(image)
    return pixels.reshape(*pixels.shape[:2], -1)


def coefficients(data: bytes) -> tuple[list[NDArray[np.int16]], list[tuple[int, int]], list[Any]]:
    """Of each component: its blocks, (rows, columns, 8, 8); its pixels a sample; its table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jpg")
        path.write_bytes(data)
        read = jpeglib.read_dct(str(path))
        read.load()
    planes = [plane for plane in (read.Y, read.Cb, read.Cr) if plane is not None]
    steps = [tuple(read.samp_factor.max(0) // each) for each in read.samp_factor]
    return planes, steps, [read.get_component_qt(k).tolist() for k in range(len(planes))]


def touched(filled: Mask, step: tuple[int, int]) -> Mask:
    """Which blocks of a component hold a filled pixel."""
    down, across = 8 * step[0], 8 * step[1]
    return np.array(
        [
            [filled[y : y + down, x : x + across].any() for x in range(0, filled.shape[1], across)]
            for y in range(0, filled.shape[0], down)
        ]
    )


def restored(source: bytes, filled: Mask) -> Pixels:
    """What the source shows, paler where it is filled."""
    pixels = decoded(source)
    pixels[filled] = (pixels[filled] // 2) + 60
    return pixels


def spots(height: int, width: int, seed: int = 0, share: float = 0.01) -> Mask:
    filled = np.random.default_rng(seed).random((height, width)) < share
    filled[height // 2, width // 3] = True
    return filled


def rough(height: int, width: int, seed: int = 0) -> Pixels:
    """A picture with the grain of a film, colours at the ends of the range included."""
    noise = np.random.default_rng(seed).integers(-40, 41, (height, width, 1))
    grown = (picture(height, width).astype(int) - 128) * 1.3 + 128 + noise
    return np.clip(grown, 0, 255).astype(np.uint8)


def check_kept(source: bytes, result: bytes, filled: Mask) -> None:
    """Blocks without a filled pixel have their coefficients; sampling and tables are the same."""
    old, steps, tables = coefficients(source)
    new, *same = coefficients(result)
    assert same == [steps, tables]
    for before, after, step in zip(old, new, steps, strict=True):
        free = ~touched(filled, step)
        assert before.shape == after.shape
        np.testing.assert_array_equal(before[free], after[free])


# ---- Blocks --------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    sampling=st.sampled_from(SAMPLINGS),
    quality=st.integers(30, 100),
    progressive=st.booleans(),
    seed=st.integers(0, 99),
    share=st.sampled_from([0.0, 0.002, 0.05, 1.0]),
)
def test_blocks_without_a_filled_pixel_keep_their_coefficients(
    size: tuple[int, int],
    sampling: str,
    quality: int,
    progressive: bool,
    seed: int,
    share: float,
) -> None:
    options = {"progressive": progressive} if sampling not in ("4:4:0", "4:1:1") else {}
    source = jpeg(rough(*size, seed), sampling, quality, **options)
    filled = spots(*size, seed, share)
    result = patched(source, restored(source, filled), filled)
    check_kept(source, result, filled)
    with Image.open(io.BytesIO(source)) as old, Image.open(io.BytesIO(result)) as new:
        assert bool(new.info.get("progressive")) == bool(old.info.get("progressive"))


def test_no_filled_pixel_gives_the_source() -> None:
    source = jpeg(rough(20, 30))
    assert patched(source, decoded(source), np.zeros((20, 30), bool)) == source


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_filled_pixels_that_show_the_same_change_no_coefficient_much(sampling: str) -> None:
    # All blocks are made anew: the DCT, colours and sampling here are those of the file.
    source = jpeg(picture(48, 64), sampling, 90)
    filled = np.ones((48, 64), bool)
    old, _, tables = coefficients(source)
    new, *_ = coefficients(patched(source, decoded(source), filled))
    for before, after, table in zip(old, new, tables, strict=True):
        assert (np.abs(before.astype(int) - after) * np.array(table)).max() <= 2 * np.max(table)
        assert (before != after).mean() < 0.05


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("quality", [60, 90])
def test_filled_pixels_are_as_good_as_in_a_picture_encoded_whole(
    sampling: str, quality: int
) -> None:
    encode = functools.partial(jpeg, sampling=sampling, quality=quality)
    source = encode(rough(96, 128))
    filled = np.zeros((96, 128), bool)
    filled[20:80, 10:110] = spots(60, 100, share=0.3)
    wanted = restored(source, filled)
    whole = encode(wanted if wanted.shape[2] == 3 else np.repeat(wanted, 3, 2))

    def error(data: bytes) -> float:
        return float(np.mean((decoded(data).astype(float) - wanted)[filled] ** 2))

    assert error(patched(source, wanted, filled)) < 1.1 * error(whole)


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", "grey"])
def test_what_a_decoder_changes_beyond_the_blocks_is_one_pixel_wide_and_bounded(
    sampling: str,
) -> None:
    source = jpeg(rough(80, 96), sampling, 90)
    filled = np.zeros((80, 96), bool)
    filled[37:41, 50:54] = True
    wanted = decoded(source)
    wanted[filled] = (255, 0, 0)[: wanted.shape[2]]
    result = patched(source, wanted, filled)

    _, steps, _ = coefficients(source)
    blocks = np.zeros_like(filled)
    for step in steps:
        whole = np.kron(touched(filled, step), np.ones((8 * step[0], 8 * step[1]), bool))
        blocks |= whole[:80, :96]
    change = np.abs(decoded(result).astype(int) - decoded(source)).max(2)
    assert change[filled].max() > 50
    assert not change[~grown(blocks)].any()
    edge = grown(blocks) & ~blocks
    if sampling in ("4:4:4", "grey"):
        assert not change[edge].any()
    # A chroma sample counts a quarter, with as much as 255 of chroma's 1.772 in it.
    assert change[edge].max() <= 255 * 1.772 / 4


def grown(blocks: Mask) -> Mask:
    """With the pixels beside them, corners included."""
    padded = np.pad(blocks, 1)
    height, width = blocks.shape
    near: Mask = np.logical_or.reduce(
        [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    )
    return near


def test_scans_of_one_component_each_and_restart_markers() -> None:
    pixels = rough(40, 56)
    whole = jpeg(pixels, "4:2:0", restart_marker_blocks=2)
    assert b"\xff\xdd" in whole
    assert b"\xff\xd1" in whole
    for source in (whole, by_component(pixels)):
        filled = spots(40, 56)
        check_kept(source, patched(source, restored(source, filled), filled), filled)


def by_component(pixels: Pixels) -> bytes:
    """A JPEG whose components are three grey pictures, each in a scan of its own."""
    greys = [jpeg(np.repeat(pixels[..., k : k + 1], 3, 2), "grey") for k in range(3)]
    at = greys[0].index(b"\xff\xc0")
    head, height_width = greys[0][:at], greys[0][at + 5 : at + 9]
    frame = (
        b"\xff\xc0\0\x11\x08"
        + height_width
        + b"\3"
        + b"".join(bytes([k, 0x11, 0]) for k in (1, 2, 3))
    )
    tables = greys[0][at + 13 : greys[0].index(b"\xff\xda")]
    scans = b"".join(
        b"\xff\xda\0\x08\x01" + bytes([k]) + grey[grey.index(b"\xff\xda") + 6 : -2]
        for k, grey in zip((1, 2, 3), greys, strict=True)
    )
    return head + frame + tables + scans + EOI


def test_tables_of_16_bits_stay() -> None:
    narrow = jpeg(rough(32, 40))
    at = narrow.index(b"\xff\xdb")
    wide = b"\xff\xdb\0\x83\x10" + b"".join(struct.pack(">H", 250 + k) for k in range(64))
    source = narrow[:at] + wide + narrow[at + 69 :]
    assert max(coefficients(source)[2][0][0]) > 255
    filled = spots(32, 40)
    check_kept(source, patched(source, restored(source, filled), filled), filled)


def test_threads_at_once_get_what_one_gets() -> None:
    sources = [jpeg(rough(40, 60, k), progressive=bool(k % 2)) for k in range(8)]
    filled = spots(40, 60)

    def one(source: bytes) -> bytes:
        return patched(source, restored(source, filled), filled)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, sources)) == [one(source) for source in sources]


# ---- Metadata ------------------------------------------------------------------------------------

THUMBNAIL = jpeg(picture(8, 8))


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def segments(data: bytes) -> list[bytes]:
    """APPn and COM segments up to the first scan."""
    found, at = [], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xE0 <= data[at + 1] <= 0xEF or data[at + 1] == 0xFE:
            found.append(data[at:end])
        at = end
    return found


def exif(order: str, tail: bytes = b"", thumbnail: bytes = THUMBNAIL) -> bytes:
    """A TIFF block with orientation, make, an EXIF directory with a maker note and a thumbnail."""
    make, note = b"Kodak\0", b"maker note"

    def directory(*entries: tuple[int, int, int, int], following: int) -> bytes:
        packed = b"".join(
            struct.pack(order + "HHI", tag, kind, count)
            + struct.pack(order + ("HH" if kind == 3 else "I"), *((v, 0) if kind == 3 else (v,)))
            for tag, kind, count, v in entries
        )
        return struct.pack(order + "H", len(entries)) + packed + struct.pack(order + "I", following)

    at_make = 8 + 2 + 12 * 3 + 4
    at_exif = at_make + len(make)
    at_note = at_exif + 2 + 12 + 4
    second = at_note + len(note)
    at_thumbnail = second + 2 + 12 * 2 + 4
    return (
        (b"II*\0" if order == "<" else b"MM\0*")
        + struct.pack(order + "I", 8)
        + directory(
            (271, 2, len(make), at_make), (274, 3, 1, 6), (34665, 4, 1, at_exif), following=second
        )
        + make
        + directory((37500, 7, len(note), at_note), following=0)
        + note
        + directory((513, 4, 1, at_thumbnail), (514, 4, 1, len(thumbnail)), following=0)
        + thumbnail
        + tail
    )


def with_segments(*added: bytes, tail: bytes = b"", **options: Any) -> bytes:
    """A JPEG with these segments in place of Pillow's JFIF."""
    source = jpeg(rough(24, 32), **options)
    start = 2 + len(segments(source)[0])
    return SOI + b"".join(added) + source[start:] + tail


def patch_some(source: bytes) -> bytes:
    filled = spots(*decoded(source).shape[:2])
    return patched(source, restored(source, filled), filled)


def test_segments_stay_byte_for_byte_and_in_order() -> None:
    kept = [
        segment(0xE0, b"JFIF\0\1\2\1\1\x2c\1\x2c\0\0"),
        segment(0xE1, b"Exif\0\0not TIFF"),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>"),
        segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + b"<more/>"),
        segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(range(200))),
        segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\0"),
        segment(0xFE, b"Oma, 1952 \xff\xda"),
        segment(0xEE, b"Adobe\0\x64\0\0\0\0\1"),
        *(segment(0xEB, bytes([k]) * 9) for k in range(60)),
    ]
    source = with_segments(*kept, tail=b"a phone's video")
    result = patch_some(source)
    assert segments(result) == kept
    assert result.endswith(EOI + b"a phone's video")
    with Image.open(io.BytesIO(result)) as image:
        assert image.info["dpi"] == (300, 300)


def test_comments_after_the_frame_stay() -> None:
    source = jpeg(rough(24, 32))
    at = source.index(b"\xff\xda")
    assert segment(0xFE, b"late") in segments(
        patch_some(source[:at] + segment(0xFE, b"late") + source[at:])
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tail", [b"", b"data of somebody else"])
def test_the_thumbnail_goes_and_the_rest_of_exif_stays(order: str, tail: bytes) -> None:
    source = with_segments(segment(0xE1, b"Exif\0\0" + exif(order, tail)))
    result = patch_some(source)
    with Image.open(io.BytesIO(source)) as image:
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)
    with Image.open(io.BytesIO(result)) as image:
        read = image.getexif()
        assert not read.get_ifd(ExifTags.IFD.IFD1)
        assert dict(read) == {271: "Kodak", 274: 6, 34665: 56}
        assert read.get_ifd(34665) == {37500: b"maker note"}
    (block,) = segments(result)
    assert THUMBNAIL[2:40] not in block
    assert block.endswith(tail)
    if tail:
        assert len(block) == len(segments(source)[0])


def test_a_thumbnail_that_is_not_where_exif_says_costs_nothing_else() -> None:
    block = exif("<", thumbnail=b"no JPEG at all")
    (result,) = segments(patch_some(with_segments(segment(0xE1, b"Exif\0\0" + block))))
    assert len(result) == 10 + len(block)
    assert result.endswith(b"no JPEG at all")


@given(st.integers(0, 120), st.binary(max_size=8))
@settings(max_examples=40, deadline=None)
def test_exif_that_is_cut_or_broken_stays_or_loses_its_thumbnail(cut: int, junk: bytes) -> None:
    block = exif(">")[:cut] + junk
    (result,) = segments(patch_some(with_segments(segment(0xE1, b"Exif\0\0" + block))))
    assert len(result) == 10 + len(block)


def test_thumbnails_of_jfif_go() -> None:
    jfif = b"JFIF\0\1\2\1\0\x48\0\x48"
    source = with_segments(
        segment(0xE0, jfif + b"\2\1" + b"RGBRGB"), segment(0xE0, b"JFXX\0\x10" + THUMBNAIL)
    )
    assert segments(patch_some(source)) == [segment(0xE0, jfif + b"\0\0")]


def test_an_mpo_becomes_its_first_picture() -> None:
    pictures = [Image.fromarray(rough(24, 32, k)) for k in range(2)]
    with io.BytesIO() as file:
        pictures[0].save(file, "MPO", save_all=True, append_images=pictures[1:])
        source = file.getvalue()
    result = patch_some(source)
    with Image.open(io.BytesIO(result)) as image:
        assert image.format == "JPEG"
    assert result.endswith(EOI)
    assert result.count(b"MPF\0") == 0
    assert len(result) < 0.7 * len(source)


# ---- What cannot be kept -------------------------------------------------------------------------


def frame_of(source: bytes, marker: int = 0xC0, **put: int) -> bytes:
    """The source with another frame marker, or other bytes in its frame."""
    at = source.index(b"\xff\xc0")
    data = bytearray(source)
    data[at + 1] = marker
    for where, byte in put.items():
        data[at + int(where[1:])] = byte
    return bytes(data)


@pytest.mark.parametrize(
    ("marker", "put", "reason"),
    [
        (0xC9, {}, "arithmetic"),
        (0xC3, {}, "lossless"),
        (0xC5, {}, "hierarchical"),
        (0xC1, {"_4": 12}, "12 bits"),
        (0xC0, {"_5": 0, "_6": 0}, "how high"),
        (0xC0, {"_11": 0x31, "_14": 0x21}, "fractional"),
        (0xC0, {"_11": 0x01}, "broken"),
        (0xC0, {"_9": 4}, "broken"),
    ],
)
def test_other_kinds_are_refused_with_the_reason(
    marker: int, put: dict[str, int], reason: str
) -> None:
    source = jpeg(rough(24, 32))
    with pytest.raises(NotPatchable, match=reason):
        patched(frame_of(source, marker, **put), decoded(source), spots(24, 32))


def test_cmyk_is_refused() -> None:
    with io.BytesIO() as file:
        Image.fromarray(rough(24, 32)).convert("CMYK").save(file, "JPEG")
        source = file.getvalue()
    with pytest.raises(NotPatchable, match="CMYK"):
        patched(source, decoded(source), spots(24, 32))


def test_a_picture_of_another_shape_is_refused() -> None:
    source = jpeg(rough(24, 32))
    with pytest.raises(NotPatchable, match="32x24"):
        patched(source, rough(32, 24), spots(32, 24))
    with pytest.raises(NotPatchable, match="1 channels"):
        patched(source, rough(24, 32)[..., :1], spots(24, 32))


def test_a_progressive_picture_without_its_last_scan_is_refused() -> None:
    source = jpeg(rough(24, 32), progressive=True)
    cut = source[: source.rindex(b"\xff\xda")] + EOI
    with pytest.raises(NotPatchable, match="scans are missing"):
        patched(cut, decoded(cut), spots(24, 32))


def test_without_jpeglib_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    source = jpeg(rough(24, 32))
    monkeypatch.setitem(sys.modules, "jpeglib._bind", None)
    jpeg_blocks._library.cache_clear()
    with pytest.raises(NotPatchable, match="jpeglib"):
        patched(source, decoded(source), spots(24, 32))


@settings(max_examples=150, deadline=None)
@given(
    progressive=st.booleans(),
    where=st.floats(0, 1),
    junk=st.binary(max_size=4),
    lost=st.integers(0, 30),
)
def test_a_damaged_file_is_refused_or_shows_what_it_showed(
    tmp_path_factory: pytest.TempPathFactory,
    progressive: bool,
    where: float,
    junk: bytes,
    lost: int,
) -> None:
    source = jpeg(rough(48, 64), progressive=progressive)
    at = round(2 + where * (len(source) - 4))
    source = source[:at] + junk + source[at + lost :]
    filled = np.zeros((48, 64), bool)
    filled[20, 20] = True
    try:
        before = decoded(source)
    except (OSError, SyntaxError):
        return
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        try:
            after = decoded(patched(source, before, filled))
        except NotPatchable:
            after = before
        finally:
            assert not list(folder.iterdir())
    beyond = np.ones((48, 64), bool)
    beyond[15:33, 15:33] = False
    np.testing.assert_array_equal(after[beyond], before[beyond])


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_a_file_that_is_cut_short_is_refused(share: float) -> None:
    source = jpeg(rough(48, 64))
    with pytest.raises(NotPatchable):
        patched(source[: int(share * len(source))], decoded(source), spots(48, 64))
