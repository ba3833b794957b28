"""What goes into a file comes out of it; what cannot be read or written is refused in one line."""

from __future__ import annotations

import errno
import io
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from inpaintcli import photo
from inpaintcli.arrays import Pixels
from inpaintcli.errors import PhotoError
from inpaintcli.photo import Metadata, Photo
from inpaintcli.silence import silence

DEEP, SHALLOW = (np.uint8, np.uint16), (np.uint8,)
#: What each suffix takes: types, channels.
HOLDS: dict[str, tuple[tuple[Any, ...], tuple[int, ...]]] = {
    ".png": (DEEP, (1, 2, 3, 4)),
    ".tif": (DEEP, (1, 2, 3, 4)),
    ".TIFF": (DEEP, (1, 2, 3, 4)),
    ".webp": (SHALLOW, (3, 4)),
    ".bmp": (SHALLOW, (1, 3)),
    ".ppm": (DEEP, (3,)),
    ".pgm": (DEEP, (1,)),
    ".pnm": (DEEP, (1, 3)),
}
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6" dc:title="Oma"/></x:xmpmeta>'


def noise(height: int, width: int, channels: int, dtype: Any = np.uint8, seed: int = 0) -> Pixels:
    most = int(np.iinfo(dtype).max)
    return (
        np.random.default_rng(seed)
        .integers(0, most + 1, (height, width, channels))
        .astype(dtype, copy=False)
    )


@st.composite
def photos(draw: st.DrawFn, suffix: str) -> Photo:
    dtypes, channels = HOLDS[suffix]
    size = draw(st.integers(1, 40)), draw(st.integers(1, 40)), draw(st.sampled_from(channels))
    pixels = noise(*size, draw(st.sampled_from(dtypes)), draw(st.integers(0, 99)))
    if size[2] == 4:
        # Not opaque all over: WebP drops an alpha channel that says nothing.
        pixels[0, 0, 3] = 0
    return Photo(pixels)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    with io.BytesIO() as file:
        image.save(file, format, **options)
        return file.getvalue()


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    with io.BytesIO() as file:
        tifffile.imwrite(file, pixels, metadata=None, **options)
        return file.getvalue()


def patched(data: bytes, tag: int, value: int) -> bytes:
    """A TIFF with another value of a tag, of type SHORT, in all its pages."""
    changed = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        for page in file.pages:
            assert isinstance(page, tifffile.TiffPage)
            struct.pack_into(file.byteorder + "H", changed, page.tags[tag].valueoffset, value)
    return bytes(changed)


def lzw(pixels: NDArray[Any], order: Any) -> bytes:
    """Pixels as LZW that saves nothing: its table is cleared before a code needs a tenth bit."""
    raw = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    codes = [code for at in range(0, len(raw), 250) for code in (256, *raw[at : at + 250])]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def lzw_tiff(pixels: NDArray[Any], byteorder: Any = "<", **options: Any) -> bytes:
    """What `tiff` writes, but under LZW, for which tifffile needs another package."""
    options |= {"shape": pixels.shape, "dtype": pixels.dtype, "rowsperstrip": len(pixels)}
    strips: Any = iter([lzw(pixels, byteorder)])
    return patched(tiff(strips, compression="zlib", byteorder=byteorder, **options), 259, 5)


def cv2_encoded(suffix: str, pixels: NDArray[Any], *options: int) -> bytes:
    order = [2, 1, 0, 3][: pixels.shape[2]] if pixels.shape[2] > 1 else [0]
    return cv2.imencode(suffix, pixels[..., order], options)[1].tobytes()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def exif() -> Image.Exif:
    block = Image.Exif()
    block[271], block[315], block[306] = "Rollei", "Lilo", "1950:06:01 12:00:00"
    block[34665] = {36867: "1950:06:01 12:00:00", 37386: 80.0}
    block[34853] = {1: "N", 2: (52.0, 30.0, 0.0)}
    return block


# ---- Pixels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", HOLDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_lossless_round_trip(suffix: str, data: st.DataObject) -> None:
    before = data.draw(photos(suffix))
    after = photo.decode(photo.encode(before, suffix, "x"), "x")
    assert after.pixels.dtype == before.pixels.dtype
    np.testing.assert_array_equal(after.pixels, before.pixels)
    again = photo.decode(photo.encode(after, suffix, "x"), "x")
    np.testing.assert_array_equal(again.pixels, before.pixels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", DEEP)
def test_others_read_what_we_write(channels: int, dtype: Any) -> None:
    pixels = noise(70, 50, channels, dtype)
    np.testing.assert_array_equal(
        tifffile.imread(io.BytesIO(photo.encode(Photo(pixels), ".tif", "x"))), pixels.squeeze()
    )
    for suffix in (".png", ".tif"):
        if (suffix, channels, dtype) == (".tif", 2, np.uint16):
            continue  # Pillow does not know that one.
        image = Image.open(io.BytesIO(photo.encode(Photo(pixels), suffix, "x")))
        image.load()
        if dtype == np.uint8:
            np.testing.assert_array_equal(np.asarray(image), pixels.squeeze())


def test_strips_of_a_big_tiff() -> None:
    pixels = noise(900, 700, 3, np.uint16)
    data = photo.encode(Photo(pixels), ".tif", "x")
    np.testing.assert_array_equal(photo.decode(data, "x").pixels, pixels)
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(data)), pixels)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_tiff_layouts(
    compression: str | None, planar: Any, order: Any, channels: int
) -> None:
    pixels = noise(13, 9, channels, np.uint16)
    data = tiff(
        pixels if planar == "contig" else pixels.transpose(2, 0, 1),
        photometric="rgb",
        planarconfig=planar,
        byteorder=order,
        compression=compression,
        rowsperstrip=4,
    )
    np.testing.assert_array_equal(photo.decode(data, "x").pixels, pixels)


@pytest.mark.parametrize("written", [tiff, lzw_tiff])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", DEEP)
def test_white_is_zero(written: Callable[..., bytes], order: Any, dtype: Any) -> None:
    pixels = noise(13, 9, 1, dtype)
    data = written(pixels[..., 0], photometric="miniswhite", byteorder=order)
    np.testing.assert_array_equal(photo.decode(data, "x").pixels, np.iinfo(dtype).max - pixels)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bit_from_opencv(channels: int, suffix: str) -> None:
    pixels = noise(33, 20, channels, np.uint16)
    # Its TIFFs are LZW with horizontal differences, as Photoshop's often are.
    options = (cv2.IMWRITE_TIFF_COMPRESSION, 5) if suffix == ".tiff" else ()
    data = cv2_encoded(suffix, pixels, *options)
    np.testing.assert_array_equal(photo.decode(data, "x").pixels, pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits", "raw"])
def test_16_bit_grey_tiff_from_pillow(compression: str) -> None:
    pixels = noise(13, 9, 1, np.uint16)
    data = saved(Image.fromarray(pixels[..., 0]), "TIFF", compression=compression)
    np.testing.assert_array_equal(photo.decode(data, "x").pixels, pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits", "raw"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_8_bit_tiff_from_pillow(compression: str, mode: str) -> None:
    pixels = noise(13, 9, {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode])
    data = saved(Image.fromarray(pixels.squeeze()), "TIFF", compression=compression)
    np.testing.assert_array_equal(photo.decode(data, "x").pixels, pixels)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "PPM"])
def test_one_bit_becomes_grey(format: str) -> None:
    on = noise(10, 11, 1)[..., 0] > 127
    read = photo.decode(saved(Image.fromarray(on), format), "x")
    np.testing.assert_array_equal(read.pixels[..., 0], on * np.uint8(255))


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
def test_palette_becomes_rgb(format: str) -> None:
    image = Image.fromarray(noise(10, 11, 3)).quantize(8)
    read = photo.decode(saved(image, format), "x")
    np.testing.assert_array_equal(read.pixels, np.asarray(image.convert("RGB")))


def test_transparent_palette_becomes_rgba() -> None:
    image = Image.fromarray(noise(10, 11, 3)).quantize(8)
    read = photo.decode(saved(image, "PNG", transparency=bytes([0, 9, 255])), "x")
    assert sorted(np.unique(read.pixels[..., 3])) == [0, 9, 255]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", DEEP)
def test_transparent_colour_of_a_png_becomes_alpha(channels: int, dtype: Any) -> None:
    pixels = noise(6, 5, channels, dtype)
    data = photo.encode(Photo(pixels), ".png", "x")
    key = b"".join(struct.pack(">H", int(value)) for value in pixels[2, 3])
    read = photo.decode(data[:33] + png_chunk(b"tRNS", key) + data[33:], "x")
    expected = np.full((6, 5), np.iinfo(dtype).max)
    expected[2, 3] = 0
    assert read.alpha is not None
    np.testing.assert_array_equal(read.alpha, expected)
    np.testing.assert_array_equal(read.colour, pixels)


def test_12_bit_pgm_is_stretched_to_16() -> None:
    data = b"P5 # a comment\n3 1\n4095\n" + struct.pack(">3H", 0, 2048, 4095)
    assert photo.decode(data, "x").pixels.ravel().tolist() == [0, 32776, 65535]


def test_jpeg_is_close_and_keeps_its_tables() -> None:
    smooth = np.add.outer(np.arange(48), np.arange(64))[..., None] * np.array([1, 2, 1])
    pixels = (smooth % 256).astype(np.uint8)
    fine = Image.open(io.BytesIO(photo.encode(Photo(pixels), ".jpg", "x")))
    assert np.abs(np.asarray(fine, int) - pixels).mean() < 2
    assert [layer[1:3] for layer in fine.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]

    source = saved(Image.fromarray(pixels), "JPEG", quality=61, subsampling="4:2:0")
    again = Image.open(io.BytesIO(photo.encode(photo.decode(source, "x"), ".jpeg", "x")))
    first = Image.open(io.BytesIO(source))
    assert again.quantization == first.quantization  # type: ignore[attr-defined]
    assert again.layer == first.layer  # type: ignore[attr-defined]


def test_phone_pictures_with_more_behind_the_jpeg() -> None:
    image, second = (Image.fromarray(noise(16, 16, 3, seed=seed)) for seed in (0, 1))
    expected = photo.decode(saved(image, "JPEG"), "x").pixels
    pair = photo.decode(saved(image, "MPO", save_all=True, append_images=[second]), "x")
    assert pair.format == "JPEG"
    np.testing.assert_array_equal(pair.pixels, expected)
    video = photo.decode(saved(image, "JPEG") + b"ftypmp42" * 50, "x")
    np.testing.assert_array_equal(video.pixels, expected)


# ---- The photo itself ----------------------------------------------------------------------------


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="height, width"):
        Photo(np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        Photo(np.zeros((4, 4, 3), np.float32))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_parts_of_a_photo(channels: int) -> None:
    pixels = noise(5, 4, channels)
    whole = Photo(pixels)
    assert (whole.height, whole.width) == (5, 4)
    np.testing.assert_array_equal(whole.colour, pixels[..., : 1 if channels < 3 else 3])
    if channels % 2:
        assert whole.alpha is None
    else:
        assert whole.alpha is not None
        np.testing.assert_array_equal(whole.alpha, pixels[..., -1])


def test_photo_names() -> None:
    assert photo.is_photo_name("a/b.JPG")
    assert photo.is_photo_name(Path("x.tiff"))
    assert not any(map(photo.is_photo_name, ("a.gif", "png", ".png", "a.png.part", "a.txt")))
    assert photo.format_of("a/b.JPG") == photo.format_of(Path("b.jpeg")) == "JPEG"
    assert photo.format_of("x.pgm") == "PPM"
    assert photo.format_of("x.gif") is photo.format_of("scan") is None


# ---- Pages of a TIFF -----------------------------------------------------------------------------


# Pillow knows no big-endian BigTIFF.
@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("dtype", DEEP)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_thumbnails_are_passed_over(
    at: int, dtype: Any, compression: str | None, order: Any, big: bool
) -> None:
    pixels, small = noise(12, 10, 3, dtype), noise(3, 2, 3)
    with io.BytesIO() as file:
        with tifffile.TiffWriter(file, byteorder=order, bigtiff=big) as writer:
            for number in range(3):
                page, turned, maker = (pixels, 3, "Epson") if number == at else (small, 8, "Other")
                content: Any = page
                options: dict[str, Any] = {}
                if compression == "lzw":
                    content = iter([lzw(page, order)])
                    options = {"shape": page.shape, "dtype": dtype, "rowsperstrip": len(page)}
                writer.write(
                    content,
                    **options,
                    photometric="rgb",
                    compression="zlib" if compression else None,
                    resolution=(240 if number == at else 10,) * 2,
                    subfiletype=int(number != at),
                    extratags=[(274, "H", 1, turned, True), (271, "s", 0, maker, True)],
                    metadata=None,
                )
        data = file.getvalue()
    read = photo.decode(patched(data, 259, 5) if compression == "lzw" else data, "x")
    np.testing.assert_array_equal(read.pixels, pixels[::-1, ::-1])
    assert read.metadata.dpi == (240, 240)
    if not big:  # Pillow does not parse the EXIF of a BigTIFF.
        block = Image.Exif()
        block.load(read.metadata.exif)
        assert block[271] == "Epson"


@pytest.mark.parametrize("kinds", [(0, 0, 1), (1, 1), (0, 2)])
def test_several_pages_that_are_no_thumbnails(kinds: tuple[int, ...]) -> None:
    with io.BytesIO() as file:
        with tifffile.TiffWriter(file) as writer:
            for kind in kinds:
                writer.write(noise(4, 4, 3), photometric="rgb", subfiletype=kind, metadata=None)
        data = file.getvalue()
    assert "several pages" in refused(data)


def test_a_thumbnail_alone_is_a_photo() -> None:
    pixels = noise(4, 5, 3)
    read = photo.decode(tiff(pixels, photometric="rgb", subfiletype=1), "x")
    np.testing.assert_array_equal(read.pixels, pixels)


# ---- Orientation ---------------------------------------------------------------------------------


def oriented(format: str, orientation: int) -> tuple[bytes, Pixels]:
    """A file with that orientation and what it should look like."""
    pixels = noise(24, 16, 3, np.uint16 if "16" in format else np.uint8)
    image = Image.fromarray(pixels.astype(np.uint8))
    block = Image.Exif()
    block[274] = orientation
    match format:
        case "PNG16":
            data = photo.encode(Photo(pixels, metadata=Metadata(block.tobytes())), ".png", "x")
        case "TIFF" | "TIFF16" | "TIFF LZW" | "TIFF16 LZW" | "BigTIFF16 LZW":
            data = (lzw_tiff if "LZW" in format else tiff)(
                pixels,
                photometric="rgb",
                bigtiff="Big" in format,
                extratags=[(274, "H", 1, orientation, True)],
            )
        case "JPEG":
            data = saved(image, "JPEG", exif=block)
            pixels = np.asarray(Image.open(io.BytesIO(data)))
        case _:
            data = saved(image, format, exif=block, lossless=True)
    upright = [
        np.asarray(ImageOps.exif_transpose(with_orientation(plane, orientation)))
        for plane in np.moveaxis(pixels, 2, 0)
    ]
    return data, np.stack(upright, 2).astype(pixels.dtype)


def with_orientation(plane: NDArray[Any], orientation: int) -> Image.Image:
    image = Image.fromarray(plane.astype(np.int32))
    image.getexif()[274] = orientation
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "format",
    [
        *("JPEG", "PNG", "PNG16", "WEBP"),
        *("TIFF", "TIFF16", "TIFF LZW", "TIFF16 LZW", "BigTIFF16 LZW"),
    ],
)
def test_pictures_are_upright_once(format: str, orientation: int) -> None:
    data, upright = oriented(format, orientation)
    read = photo.decode(data, "x")
    np.testing.assert_array_equal(read.pixels, upright)
    for suffix in (".png", ".tif") if "16" in format else (".png", ".tif", ".jpg", ".webp"):
        written = photo.encode(read, suffix, "x")
        assert photo.decode(written, "x").pixels.shape == upright.shape
        assert Image.open(io.BytesIO(written)).getexif().get(274, 1) == 1
        if suffix != ".jpg":
            np.testing.assert_array_equal(photo.decode(written, "x").pixels, upright)


def test_orientation_in_xmp_alone() -> None:
    data = saved(Image.fromarray(noise(24, 16, 3)), "JPEG", xmp=XMP)
    read = photo.decode(data, "x")
    assert (read.height, read.width) == (16, 24)
    assert b'tiff:Orientation="1"' in read.metadata.xmp
    assert photo.decode(photo.encode(read, ".png", "x"), "x").height == 16


@pytest.mark.parametrize("written", [tiff, lzw_tiff])
@pytest.mark.parametrize("dtype", DEEP)
@pytest.mark.parametrize("tag", [None, 1])
def test_orientation_in_the_xmp_of_a_tiff(
    written: Callable[..., bytes], dtype: Any, tag: int | None
) -> None:
    pixels = noise(24, 16, 3, dtype)
    tags: list[Any] = [(700, "B", len(XMP), XMP, True)]
    tags += [] if tag is None else [(274, "H", 1, tag, True)]
    read = photo.decode(written(pixels, photometric="rgb", extratags=tags), "x")
    # The tag counts where there are both.
    np.testing.assert_array_equal(read.pixels, pixels if tag else np.rot90(pixels, -1))
    assert b'tiff:Orientation="1"' in read.metadata.xmp


@pytest.mark.parametrize("dtype", DEEP)
def test_orientation_in_the_xmp_of_a_png_goes_too(dtype: Any) -> None:
    turned = Photo(noise(24, 16, 3, dtype), metadata=Metadata(xmp=XMP))
    read = photo.decode(photo.encode(turned, ".png", "x"), "x")
    assert (read.height, read.width) == (16, 24)
    written = photo.encode(read, ".png", "x")
    assert written.count(b"XML:com.adobe.xmp") == 1
    assert photo.decode(written, "x").height == 16


# ---- Metadata ------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_metadata_goes_from_format_to_format(source: str, suffix: str) -> None:
    options: dict[str, Any] = {"exif": exif().tobytes(), "icc_profile": ICC, "dpi": (300, 300)}
    if source in ("JPEG", "WEBP"):
        options["xmp"] = XMP.replace(b"6", b"1")
    data = saved(Image.fromarray(noise(16, 16, 3)), source, **options)
    first = photo.decode(data, "x")
    read = photo.decode(photo.encode(first, suffix, "x"), "x")
    assert read.metadata.icc_profile == ICC
    if source != "WEBP" and suffix != ".webp":
        assert read.metadata.dpi == pytest.approx((300, 300), abs=0.02)
    if source in ("JPEG", "WEBP"):
        assert read.metadata.xmp == options["xmp"]
    block = Image.Exif()
    block.load(read.metadata.exif)
    assert (block[271], block[315]) == ("Rollei", "Lilo")
    assert block.get_ifd(34665)[36867] == "1950:06:01 12:00:00"
    assert block.get_ifd(34665)[37386] == 80
    assert block.get_ifd(34853)[2] == (52, 30, 0)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_metadata(suffix: str) -> None:
    meta = Metadata(exif().tobytes(), ICC, XMP.replace(b"6", b"1"), (240.0, 240.0))
    before = Photo(noise(9, 8, 2, np.uint16), metadata=meta)
    after = photo.decode(photo.encode(before, suffix, "x"), "x").metadata
    assert (after.icc_profile, after.xmp) == (meta.icc_profile, meta.xmp)
    assert after.dpi == pytest.approx((240, 240), abs=0.02)
    block = Image.Exif()
    block.load(after.exif)
    assert block[271] == "Rollei"
    assert block.get_ifd(34665)[36867] == "1950:06:01 12:00:00"


@pytest.mark.parametrize("dtype", DEEP)
def test_png_keeps_its_texts_and_colour_space(dtype: Any) -> None:
    data = photo.encode(Photo(noise(9, 8, 3, dtype)), ".png", "x")
    chunks = [(b"gAMA", struct.pack(">I", 45455)), (b"tEXt", b"Title\0Grandmother, 1950")]
    data = data[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + data[33:]
    written = Image.open(io.BytesIO(photo.encode(photo.decode(data, "x"), ".png", "x")))
    assert written.info["Title"] == "Grandmother, 1950"
    assert written.info["gamma"] == pytest.approx(0.45455)


def test_thumbnail_of_the_damaged_picture_goes() -> None:
    head = b"Exif\0\0II*\0" + struct.pack("<I", 8)
    first = struct.pack("<HHHI4sI", 1, 271, 2, 4, b"Leo\0", 26)
    thumbnail = struct.pack("<HHHIIHHIII", 2, 513, 4, 1, 56, 514, 4, 1, 9, 0) + b"THUMBNAIL"
    data = saved(Image.fromarray(noise(16, 16, 3)), "JPEG", exif=head + first + thumbnail)
    assert b"THUMBNAIL" in data
    written = photo.encode(photo.decode(data, "x"), ".jpg", "x")
    assert b"THUMBNAIL" not in written
    assert Image.open(io.BytesIO(written)).getexif()[271] == "Leo"


def test_exif_sizes_do_not_reach_a_tiff() -> None:
    # Some phones write the picture's size, and its compression, into the EXIF of a JPEG.
    block = exif()
    block[256], block[257], block[259] = 4000, 3000, 6
    data = saved(Image.fromarray(noise(16, 24, 3)), "JPEG", exif=block)
    read = photo.decode(photo.encode(photo.decode(data, "x"), ".tif", "x"), "x")
    assert read.pixels.shape == (16, 24, 3)


def test_nonsense_metadata_does_not_stop_a_photo() -> None:
    image = Image.fromarray(noise(16, 16, 3))
    broken = b"Exif\0\0II*\0" + b"\x08\0\0\0" + b"\xff" * 40
    huge = b"Exif\0\0" + b"MM\0*\0\0\0\x08" + struct.pack(">HHHIII", 1, 270, 2, 70000, 26, 0)
    for block in (broken, huge + b"a" * 70000):
        read = photo.decode(saved(image, "WEBP", exif=block), "x")
        for suffix in (".jpg", ".png", ".tif", ".webp"):
            photo.decode(photo.encode(read, suffix, "x"), "x")


def test_no_resolution_is_invented() -> None:
    plain = Photo(noise(4, 4, 3))
    for suffix in (".png", ".jpg", ".tif", ".bmp", ".webp", ".ppm"):
        assert photo.decode(photo.encode(plain, suffix, "x"), "x").metadata.dpi is None


# ---- What cannot be read -------------------------------------------------------------------------


def refusal(name: object, call: Callable[..., object], *arguments: object) -> str:
    """What the call's PhotoError says in its one line after the file's name."""
    with pytest.raises(PhotoError) as caught:
        call(*arguments)
    text = str(caught.value)
    assert text.startswith(f"{name}: ")
    assert "\n" not in text
    return text.removeprefix(f"{name}: ")


def refused(data: bytes, name: str = "x.tif") -> str:
    return refusal(name, photo.decode, data, name)


def samples() -> dict[str, bytes]:
    smooth = np.add.outer(np.arange(60), np.arange(50))[..., None] * np.array([1, 2, 3])
    pixels = ((smooth + noise(60, 50, 3) % 8) % 256).astype(np.uint8)
    deep = pixels * np.uint16(257)
    files = {
        suffix: photo.encode(Photo(pixels), suffix, "x")
        for suffix in (".jpg", ".png", ".tif", ".webp", ".bmp", ".ppm")
    }
    files |= {
        f"16{suffix}": photo.encode(Photo(deep), suffix, "x") for suffix in (".png", ".tif", ".ppm")
    }
    image = Image.fromarray(pixels)
    files |= {
        name: saved(image, "TIFF", compression=name)
        for name in ("tiff_lzw", "tiff_deflate", "jpeg", "raw", "packbits")
    }
    files["progressive.jpg"] = saved(image, "JPEG", progressive=True)
    files["lossy.webp"] = saved(image, "WEBP")
    files["with exif.webp"] = saved(image, "WEBP", exif=exif())
    files["lzw16"] = cv2_encoded(".tiff", deep, cv2.IMWRITE_TIFF_COMPRESSION, 5)
    return files


@pytest.mark.parametrize("name", samples())
def test_a_file_that_is_cut_short(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = samples()[name]
    photo.decode(data, name)
    for hundredth in (*range(10, 100, 10), 99):
        assert "copy or scan it again" in refused(data[: len(data) * hundredth // 100], name)
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_without_its_end() -> None:
    assert refused(samples()[".jpg"][:-2]) == "a JPEG that is cut short: copy or scan it again"


def test_damaged_files_are_refused_in_silence() -> None:
    # A process of its own, for pytest stands between the codecs' loggers and the terminal.
    script = """
import random, sys
sys.path.insert(0, "tests")
import numpy as np
from test_photo import samples
from inpaintcli import photo
from inpaintcli.errors import PhotoError

random.seed(0)
refused = 0
for name, data in samples().items():
    for k in range(12):
        broken = bytearray(data)
        at = random.randrange(len(data) if k % 2 else 200)
        broken[at : at + 20] = random.randbytes(len(broken[at : at + 20]))
        try:
            photo.decode(bytes(broken), name)
        except PhotoError as error:
            assert len(str(error).splitlines()) == 1
            refused += 1
assert refused > 50, refused
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such shell")
@pytest.mark.parametrize("closed", [(2,), (1, 2), (0, 2), (0, 1, 2)])
def test_tiffs_are_read_without_a_terminal(closed: tuple[int, ...], tmp_path: Path) -> None:
    pixels = noise(5, 4, 3, np.uint16)
    (tmp_path / "8.tif").write_bytes(photo.encode(Photo(noise(5, 4, 3)), ".tif", "x"))
    (tmp_path / "16.tif").write_bytes(lzw_tiff(pixels, photometric="rgb"))
    script = """
import sys
from pathlib import Path
from inpaintcli import photo

folder = Path(sys.argv[1])
try:
    for name in ("8.tif", "16.tif"):
        photo.write(photo.read(folder / name), folder / f"{name}.png")
except Exception as error:
    (folder / "error").write_text(str(error))
"""
    redirections = " ".join(f"{descriptor}>&-" for descriptor in closed)
    subprocess.run(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-c", script, tmp_path],
        cwd=Path(__file__).parents[1],
        check=True,
    )
    assert not (tmp_path / "error").exists(), (tmp_path / "error").read_text()
    np.testing.assert_array_equal(photo.read(tmp_path / "16.tif.png").pixels, pixels)


def test_a_damaged_png_is_noticed() -> None:
    for name in (".png", "16.png"):
        data = bytearray(samples()[name])
        data[len(data) // 2] ^= 1
        assert "damaged" in refused(bytes(data))


def test_a_strange_profile_is_passed_on_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    strange = Photo(noise(9, 8, 3, np.uint16), metadata=Metadata(icc_profile=ICC[:-8] + b"x" * 99))
    read = photo.decode(photo.encode(strange, ".png", "x"), "x")
    np.testing.assert_array_equal(read.pixels, strange.pixels)
    assert read.metadata.icc_profile == strange.metadata.icc_profile
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"Dear diary,\nno picture today.\n", bytes(range(256)) * 9, b"II*\0"]
)
def test_what_is_no_image(data: bytes) -> None:
    assert "copy or scan it again" in refused(data)


def test_an_empty_file_and_a_tiff_that_ends_before_its_picture() -> None:
    assert refused(b"") == "is empty: copy or scan it again"
    # Its one page is behind its pixels, and lost with them.
    lost = struct.pack("<2sHI", b"II", 42, 9999) + bytes(99)
    assert refused(lost) == "a TIFF that is cut short or damaged: copy or scan it again"


def test_what_is_no_photo() -> None:
    image = Image.fromarray(noise(16, 16, 3))
    other = Image.fromarray(noise(16, 16, 3, seed=1))
    several: dict[str, Any] = {"save_all": True, "append_images": [other]}
    grey = noise(8, 8, 1)[..., 0]
    cases = [
        ("CMYK", saved(image.convert("CMYK"), "JPEG")),
        ("CMYK", saved(image.convert("CMYK"), "TIFF")),
        ("CMYK", tiff(noise(8, 8, 4, np.uint16), photometric="separated")),
        ("Lab", saved(image.convert("LAB"), "TIFF")),
        ("YCbCr", saved(image.convert("YCbCr"), "TIFF")),
        ("floating point", tiff(grey.astype(np.float32))),
        ("32 bits", tiff(grey.astype(np.uint32))),
        ("16-bit colour", tiff(noise(8, 8, 3, np.uint16), photometric="ycbcr")),
        ("premultiplied", tiff(noise(8, 8, 4, np.uint16), extrasamples=["assocalpha"])),
        ("animations", saved(image, "PNG", **several)),
        ("animations", saved(image, "WEBP", **several)),
        ("several pages", saved(image, "TIFF", **several)),
        ("GIF", saved(image, "GIF")),
        ("GIF", saved(image, "GIF", **several)),
        ("plain-text", b"P2 2 1 65535 7 9\n"),
    ]
    for expected, data in cases:
        assert expected in refused(data)


def test_too_many_pixels_are_refused_before_decoding() -> None:
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    data = start + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b"")
    assert "too many" in refused(data)
    small = bytearray(tiff(noise(8, 8, 3), photometric="rgb"))
    with tifffile.TiffFile(io.BytesIO(bytes(small))) as file:
        width, height = (file.pages.first.tags[tag].valueoffset for tag in (256, 257))
    for at in (width, height):
        struct.pack_into("<H", small, at, 65000)
    assert "too many" in refused(bytes(small))


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "missing.png"
    assert refusal(missing, photo.read, missing) == "no such file"
    assert refusal(tmp_path, photo.read, tmp_path) == "a folder, not a file"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read and write everything"
)
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    photo.write(Photo(noise(4, 4, 3)), path)
    path.chmod(0)
    assert refusal(path, photo.read, path) == "no permission to read it: make it readable"
    tmp_path.chmod(0o500)
    other = tmp_path / "y.png"
    assert "no permission" in refusal(other, photo.write, Photo(noise(4, 4, 3)), other)
    tmp_path.chmod(0o700)


def test_the_content_tells_the_format(tmp_path: Path) -> None:
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(photo.encode(Photo(noise(5, 4, 2)), ".png", "x"))
    read = photo.read(path)
    assert read.format == "PNG"
    assert read.pixels.shape == (5, 4, 2)


# ---- Writing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", HOLDS)
def test_write_and_read(suffix: str, tmp_path: Path) -> None:
    dtypes, channels = HOLDS[suffix]
    before = Photo(noise(5, 4, channels[0], dtypes[-1]))
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"older")
    photo.write(before, path)
    np.testing.assert_array_equal(photo.read(path).pixels, before.pixels)
    assert list(tmp_path.iterdir()) == [path]


def test_formats_that_cannot_hold_the_photo() -> None:
    rgba, deep = Photo(noise(4, 4, 4)), Photo(noise(4, 4, 3, np.uint16))
    cases = [(rgba, suffix, "transparency") for suffix in (".jpg", ".bmp", ".ppm")]
    cases += [(deep, suffix, "8 bits") for suffix in (".jpg", ".bmp", ".webp")]
    cases += [(Photo(noise(4, 4, 3)), ".pgm", "grey"), (rgba, ".gif", ".png"), (rgba, "", ".png")]
    cases += [
        (Photo(noise(1, 16384, 3)), ".webp", "16383"),
        (Photo(noise(1, 65501, 1)), ".jpg", ""),
    ]
    for picture, suffix, expected in cases:
        said = refusal("x.tif", photo.encode, picture, suffix, "x.tif")
        assert expected in said
        assert "PNG" in said or ".png" in said
        # Known beforehand, in the same words.
        path = Path(f"no/such/scan{suffix}")
        assert refusal(path, photo.check_fits, picture, path) == said
    assert "no suffix" in refusal("scan", photo.check_fits, rgba, Path("scan"))
    for suffix, (dtypes, channels) in HOLDS.items():
        photo.check_fits(Photo(noise(4, 4, channels[0], dtypes[-1])), Path(f"x{suffix}"))


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failed_write_leaves_what_was(
    failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        assert len(list(tmp_path.iterdir())) == 2  # It is written beside the older file.
        raise failure

    path = tmp_path / "x.png"
    path.write_bytes(b"older")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((PhotoError, KeyboardInterrupt)) as caught:
        photo.write(Photo(noise(4, 4, 3)), path)
    if isinstance(failure, OSError):
        why = "cannot be written: no space left: choose another place"
        assert str(caught.value) == f"{path}: {why}"
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"older"


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    picture = Photo(noise(4, 4, 3))
    nowhere, folder = tmp_path / "no" / "x.png", tmp_path / "folder.png"
    folder.mkdir()
    assert "no such folder" in refusal(nowhere, photo.write, picture, nowhere)
    assert "a folder" in refusal(folder, photo.write, picture, folder)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        photo.write(Photo(noise(4, 4, 3)), tmp_path / "x.png")
    finally:
        os.umask(before)
    assert (tmp_path / "x.png").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444])
def test_the_mode_of_an_older_file_stays(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"older")
    path.chmod(mode)
    fsync = os.fsync

    def check(descriptor: int) -> None:
        assert os.fstat(descriptor).st_mode & 0o777 == mode
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", check)
    photo.write(Photo(noise(4, 4, 3)), path)
    assert path.stat().st_mode & 0o777 == mode
    assert path.read_bytes() != b"older"


def link(path: Path, target: Path | str) -> Path:
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("links cannot be made here")
    return path


def test_links_stay_links(tmp_path: Path) -> None:
    target = tmp_path / "archive" / "there.png"
    target.parent.mkdir()
    inner = link(tmp_path / "inner.png", Path("archive") / "there.png")
    outer = link(tmp_path / "outer.png", "inner.png")
    for seed in range(2):  # The file that the link points to is new, then old.
        picture = Photo(noise(4, 4, 3, seed=seed))
        photo.write(picture, outer)
        np.testing.assert_array_equal(photo.read(target).pixels, picture.pixels)
        assert [path.is_symlink() for path in (outer, inner, target)] == [True, True, False]
        assert list(target.parent.iterdir()) == [target]
    loop = link(tmp_path / "loop.png", "loop.png")
    refusal(loop, photo.write, picture, loop)
    assert loop.is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    assert "not a regular file" in refusal(pipe, photo.write, Photo(noise(4, 4, 3)), pipe)
    assert pipe.is_fifo()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows counts otherwise")
def test_the_longest_names(tmp_path: Path) -> None:
    picture = Photo(noise(4, 4, 3))
    for name in ("n" * 251 + ".png", "ü" * 125 + "n.png"):
        assert len(os.fsencode(name)) == 255
        for _ in range(2):
            photo.write(picture, tmp_path / name)
            np.testing.assert_array_equal(photo.read(tmp_path / name).pixels, picture.pixels)
    longer = tmp_path / ("n" * 252 + ".png")
    assert "too long" in refusal(longer, photo.write, picture, longer)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no text")
def test_odd_names(tmp_path: Path) -> None:
    picture = Photo(noise(4, 4, 3))
    for name in (b"gr\xfc\xdfe.png", b"%s \n'$(x).png", b"n" * 251 + b".png"):
        path = tmp_path / os.fsdecode(name)
        photo.write(picture, path)
        np.testing.assert_array_equal(photo.read(path).pixels, picture.pixels)


def test_read_pixels_are_guarded() -> None:
    for name in (".png", "16.png", ".tif", "16.tif", "16.ppm"):
        read = photo.decode(samples()[name], name)
        with pytest.raises(ValueError, match="read-only"):
            read.pixels[0, 0, 0] = 1
        photo.encode(replace(read), ".png", "x")


# ---- Infrared ------------------------------------------------------------------------------------


def saved_tiff(folder: Path, *pages: tuple[NDArray[Any], dict[str, Any]], **options: Any) -> Path:
    """A TIFF of these pages, each of pixels and what tifffile is told of them."""
    path = folder / "scan.tif"
    with tifffile.TiffWriter(path, **options) as file:
        for pixels, told in pages:
            file.write(pixels, metadata=None, **told)
    return path


RGBI: dict[str, Any] = {"photometric": "rgb", "planarconfig": "contig"}
RGB, GREY = {"photometric": "rgb"}, {"photometric": "minisblack"}


@pytest.mark.parametrize("layout", [{}, {"bigtiff": True}, {"byteorder": ">"}])
def test_a_file_that_is_open_has_its_pages_in_any_order(
    layout: dict[str, Any], tmp_path: Path
) -> None:
    pages = [noise(9, 8, 3), noise(7, 6, 3, np.uint16), noise(5, 4, 1)[..., 0]]
    # What is not supported is no hindrance on another page.
    floating = np.ones((3, 2), np.float32)
    path = saved_tiff(
        tmp_path, (floating, GREY), (pages[0], RGB), (pages[1], RGB | {"compression": "zlib"}),
        (pages[2], GREY | {"compression": "zlib"}), **layout,
    )  # fmt: skip
    file = photo.opened(path)
    path.unlink()
    assert photo.pages(file) == 4
    for number in (3, 1, 2, 1, 3):
        read = photo.read(file, page=number)
        np.testing.assert_array_equal(read.pixels.squeeze(), pages[number - 1].squeeze())
    assert "floating point" in refusal(path, lambda: photo.read(file, page=0))
    assert "no infrared" in refusal(path, lambda: photo.read_with_infrared(file, page=1))


@pytest.mark.parametrize("kind", ["unspecified", "assocalpha", "unassalpha"])
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("dtype", DEEP)
@pytest.mark.parametrize("layout", ["chunky", "planar", "deflated", "BigTIFF", "big-endian"])
def test_infrared_as_a_sample(
    layout: str, dtype: Any, channels: int, kind: str, tmp_path: Path
) -> None:
    pixels = noise(9, 8, channels, dtype)
    told: dict[str, Any] = {
        "photometric": "rgb" if channels == 4 else "minisblack",
        "extrasamples": [kind],
        "planarconfig": "separate" if layout == "planar" else "contig",
    }
    if layout == "deflated":
        told |= {"compression": "zlib", "predictor": True}
    stored = pixels.transpose(2, 0, 1) if layout == "planar" else pixels
    path = saved_tiff(
        tmp_path,
        (stored, told),
        bigtiff=layout == "BigTIFF",
        byteorder=">" if layout == "big-endian" else "<",
    )
    read, infrared = photo.read_with_infrared(path)
    np.testing.assert_array_equal(read.pixels, pixels[..., :-1])
    np.testing.assert_array_equal(infrared, pixels[..., -1])
    assert read.pixels.dtype == infrared.dtype == dtype
    assert read.alpha is None
    for guarded in (read.pixels, infrared):
        with pytest.raises(ValueError, match="read-only"):
            guarded[0, 0] = 1


@pytest.mark.parametrize("kind", ["unspecified", "assocalpha", "unassalpha"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", DEEP)
def test_infrared_under_lzw(dtype: Any, order: Any, kind: str, tmp_path: Path) -> None:
    pixels = noise(9, 8, 4, dtype)
    path = tmp_path / "vuescan.tif"
    path.write_bytes(lzw_tiff(pixels, order, **RGBI, extrasamples=[kind]))
    read, infrared = photo.read_with_infrared(path)
    np.testing.assert_array_equal(np.dstack([read.pixels, infrared]), pixels)
    # Two samples are more than OpenCV can read: one line, no wrong pixels.
    grey = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": [kind]}
    path.write_bytes(lzw_tiff(pixels[..., :2], order, **grey))
    assert "uncompressed" in refusal(path, photo.read_with_infrared, path)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", DEEP)
@pytest.mark.parametrize("thumbnail", [None, 0, 1, 2])
def test_infrared_on_a_page(
    thumbnail: int | None, dtype: Any, channels: int, tmp_path: Path
) -> None:
    pixels, infrared = noise(9, 8, channels, dtype), noise(9, 8, 1, np.uint16)[..., 0]
    pages: list[Any] = [(pixels.squeeze(), RGB if channels == 3 else GREY), (infrared, GREY)]
    if thumbnail is not None:
        pages.insert(thumbnail, (noise(3, 3, 3), RGB | {"subfiletype": 1}))
    read, found = photo.read_with_infrared(saved_tiff(tmp_path, *pages))
    np.testing.assert_array_equal(read.pixels, pixels)
    np.testing.assert_array_equal(found, infrared)


@pytest.mark.parametrize("dtype", DEEP)
def test_infrared_on_a_white_is_zero_page(dtype: Any, tmp_path: Path) -> None:
    infrared = noise(9, 8, 1, dtype)
    path = saved_tiff(
        tmp_path, (noise(9, 8, 3), RGB), (infrared[..., 0], {"photometric": "miniswhite"})
    )
    found = photo.read_with_infrared(path)[1]
    np.testing.assert_array_equal(found, np.iinfo(dtype).max - infrared[..., 0])


def test_infrared_in_a_sub_image(tmp_path: Path) -> None:
    pixels, infrared = noise(9, 8, 3, np.uint16), noise(9, 8, 1, np.uint16)[..., 0]
    small = noise(3, 3, 1, np.uint16)[..., 0]
    path = saved_tiff(
        tmp_path,
        (pixels, RGB | {"subifds": 2}),
        (small, GREY | {"subfiletype": 1}),
        (infrared, GREY),
    )
    read, found = photo.read_with_infrared(path)
    np.testing.assert_array_equal(read.pixels, pixels)
    np.testing.assert_array_equal(found, infrared)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("dtype", DEEP)
@pytest.mark.parametrize("in_xmp", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_infrared_is_turned_as_the_photo_is(
    orientation: int, in_xmp: bool, dtype: Any, apart: bool, tmp_path: Path
) -> None:
    pixels = noise(6, 9, 4, dtype)
    digit = str(orientation).encode()
    tag = (700, "B", 0, XMP.replace(b"6", digit), True) if in_xmp else (274, "H", 1, orientation, 1)
    told = RGBI | {"extratags": [tag]}
    pages: list[Any] = [(pixels, told | {"extrasamples": [0]})]
    if apart:
        pages = [(np.ascontiguousarray(pixels[..., :3]), told), (pixels[..., 3].copy(), GREY)]
    read, infrared = photo.read_with_infrared(saved_tiff(tmp_path, *pages))
    for found, before in ((read.pixels[..., 0], pixels[..., 0]), (infrared, pixels[..., 3])):
        image = Image.fromarray(before.astype(np.float32))
        image.getexif()[274] = orientation
        np.testing.assert_array_equal(found, np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("dtype", DEEP)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("apart", [False, True])
def test_infrared_is_written_as_it_came(
    apart: bool, channels: int, dtype: Any, tmp_path: Path
) -> None:
    infrared = noise(700, 900, 1, dtype, seed=1)[..., 0]
    meta = Metadata(
        exif().tobytes(), ICC, XMP.replace(b"6", b"1"), (3200.0, 3200.0),
        infrared=infrared, infrared_page=apart,
    )  # fmt: skip
    before = Photo(noise(700, 900, channels, dtype), metadata=meta)
    path = tmp_path / "restored.tif"
    photo.write(before, path)
    after, found = photo.read_with_infrared(path)
    np.testing.assert_array_equal(after.pixels, before.pixels)
    np.testing.assert_array_equal(found, infrared)
    assert after.metadata == replace(meta, exif=after.metadata.exif)
    block = Image.Exif()
    block.load(after.metadata.exif)
    assert block.get_ifd(34665)[36867] == "1950:06:01 12:00:00"
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1 + apart
        assert all(page.offset % 2 == 0 for page in file.pages)
        assert file.pages.first.extrasamples == (() if apart else (0,))
        pages = [page.asarray() for page in file.pages]
    whole = [before.pixels.squeeze(), infrared] if apart else [np.dstack([before.pixels, infrared])]
    for page, expected in zip(pages, whole, strict=True):
        np.testing.assert_array_equal(page, expected)
    # Who does not ask for infrared keeps it all the same; two grey pages are two photos then.
    plain = [photo.read(path, page=number) for number in range(photo.pages(path))]
    assert len(plain) == (2 if apart and channels == 1 else 1)
    np.testing.assert_array_equal(plain[0].pixels, before.pixels)
    photo.write(plain, path)
    np.testing.assert_array_equal(photo.read_with_infrared(path)[1], infrared)
    assert plain[0].metadata.infrared_page == (apart and channels == 3)
    # Other formats hold the photo alone.
    np.testing.assert_array_equal(photo.decode(photo.encode(after, ".png", "x"), "x").pixels,
                                  before.pixels)  # fmt: skip


@pytest.mark.parametrize("dtype", DEEP)
@pytest.mark.parametrize("kind", ["assocalpha", "unassalpha"])
def test_transparency_is_no_infrared(kind: str, dtype: Any, tmp_path: Path) -> None:
    pixels = np.full((40, 50, 4), np.iinfo(dtype).max, dtype)
    pixels[10:20, 10:20, 3] = 0
    pixels[9, 10:30, 3] = 99  # 1 % is an edge.
    rgba = (pixels, RGBI | {"extrasamples": [kind]})
    path = saved_tiff(tmp_path, rgba)
    said = refusal(path, photo.read_with_infrared, path)
    assert "no infrared channel, RGB and transparency alone: try --infrared-file" in said
    if kind == "unassalpha":
        infrared = noise(40, 50, 1)[..., 0]
        read, found = photo.read_with_infrared(saved_tiff(tmp_path, rgba, (infrared, GREY)))
        np.testing.assert_array_equal(read.pixels, pixels)
        np.testing.assert_array_equal(found, infrared)
    pixels[9, 30, 3] = 99  # More is a scanner's infrared under a wrong name.
    path = saved_tiff(tmp_path, rgba)
    np.testing.assert_array_equal(photo.read_with_infrared(path)[1], pixels[..., 3])
    undeclared = (pixels // 99, RGBI | {"extrasamples": ["unspecified"]})
    path = saved_tiff(tmp_path, undeclared)
    np.testing.assert_array_equal(photo.read_with_infrared(path)[1], pixels[..., 3] // 99)


def test_other_pages_are_no_infrared_to_a_plain_read(tmp_path: Path) -> None:
    rgb, grey = noise(9, 8, 3), noise(9, 8, 1)[..., 0]
    for other in (rgb, grey[:-1], grey > 99, grey.astype(np.float32)):
        told = RGB if other is rgb else GREY
        path = saved_tiff(tmp_path, (rgb, RGB), (other, told))
        assert "several pages" in refusal(path, photo.read, path)
    path = saved_tiff(tmp_path, (rgb, RGB), (grey, GREY), (grey, GREY))
    assert "several pages" in refusal(path, photo.read, path)
    # Sub-images of other kinds are passed over.
    path = saved_tiff(tmp_path, (rgb, RGB | {"subifds": 1}), (rgb, RGB))
    assert photo.read(path).metadata.infrared is None


def test_infrared_of_another_depth_is_written_on_a_page(tmp_path: Path) -> None:
    infrared = noise(5, 4, 1, np.uint16)[..., 0]
    photo.write(Photo(noise(5, 4, 3), metadata=Metadata(infrared=infrared)), tmp_path / "x.tif")
    np.testing.assert_array_equal(photo.read_with_infrared(tmp_path / "x.tif")[1], infrared)


def test_infrared_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="infrared"):
        Photo(noise(5, 4, 3), metadata=Metadata(infrared=noise(4, 4, 1)[..., 0]))


def test_no_infrared(tmp_path: Path) -> None:
    rgb, grey, small = noise(9, 8, 3), noise(9, 8, 1)[..., 0], noise(9, 7, 1)[..., 0]
    reduced = {"subfiletype": 1}
    cases: list[tuple[str, list[Any]]] = [
        ("RGB alone", [(rgb, RGB)]),
        ("grey alone", [(grey, GREY)]),
        (
            "palette colours alone",
            [(grey, {"photometric": "palette", "colormap": noise(3, 256, 1, np.uint16)[..., 0]})],
        ),
        ("RGB alone", [(rgb, RGB), (small, GREY | reduced)]),
        ("RGB alone", [(rgb, RGB), (grey, GREY | reduced)]),
        ("the other page is 7x9, the photo 8x9", [(rgb, RGB), (small, GREY)]),
        ("in colour", [(rgb, RGB), (rgb, RGB)]),
        ("3 pages", [(rgb, RGB), (grey, GREY), (grey, GREY)]),
        ("2 extra channels", [(noise(9, 8, 5), RGBI | {"extrasamples": [0, 0]})]),
        ("CMYK", [(noise(9, 8, 4), RGBI | {"photometric": "separated"})]),
        ("floating point", [(rgb, RGB), (grey.astype(np.float32), GREY)]),
        ("1-bit", [(rgb, RGB), (grey > 99, GREY)]),
    ]
    for expected, pages in cases:
        path = saved_tiff(tmp_path, *pages)
        said = refusal(path, photo.read_with_infrared, path)
        assert expected in said, said
    for suffix in (".png", ".jpg"):
        path = tmp_path / f"x{suffix}"
        photo.write(Photo(rgb), path)
        said = refusal(path, photo.read_with_infrared, path)
        assert "TIFF" in said
        assert "--infrared-file" in said
    refusal(tmp_path / "no.tif", photo.read_with_infrared, tmp_path / "no.tif")


def test_a_scan_that_is_cut_short(tmp_path: Path) -> None:
    path = saved_tiff(
        tmp_path, (noise(60, 50, 3, np.uint16), RGB), (noise(60, 50, 1)[..., 0], GREY)
    )
    data = path.read_bytes()
    for tenth in range(10):
        path.write_bytes(data[: len(data) * tenth // 10])
        refusal(path, photo.read_with_infrared, path)


@pytest.mark.parametrize("dtype", DEEP)
def test_unspecified_samples_are_no_alpha(dtype: Any) -> None:
    pixels = noise(9, 8, 4, dtype)
    read = photo.decode(tiff(pixels, **RGBI, extrasamples=["unspecified"]), "x")
    np.testing.assert_array_equal(read.pixels, pixels[..., :3])
    # They may be infrared, and are kept.
    again = tifffile.imread(io.BytesIO(photo.encode(read, ".tif", "x")))
    np.testing.assert_array_equal(again, pixels)
    # A layout of which the sample cannot be had is read as ever.
    grey = tiff(pixels[..., :3], photometric="rgb", compression="zlib")
    assert photo.decode(grey, "x").metadata.infrared is None


# ---- Silence -------------------------------------------------------------------------------------


def test_silence_ends(capfd: pytest.CaptureFixture[str]) -> None:
    def say(what: bytes) -> None:
        os.write(1, what)
        os.write(2, what)

    def interrupted() -> None:
        with silence():
            say(b"a")
            with silence(2):
                say(b"b")
            say(b"c")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    say(b"d")
    with silence(2):
        say(b"e")
    assert capfd.readouterr() == ("de", "d")


def test_silence_without_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for streams in ((None, closed), (closed, None)):
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        with silence():
            pass


def test_silence_in_many_threads() -> None:
    def whereto() -> list[tuple[int, int]]:
        return [(s.st_dev, s.st_ino) for s in map(os.fstat, (1, 2))]

    def work(number: int) -> None:
        with silence(*((2,) if number % 2 else ())):
            time.sleep(0.0001)

    before = whereto()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(200)))
    assert whereto() == before
