"""A photo comes out as it went in, as others read it: format, depth, palette, pages, metadata."""

from __future__ import annotations

import io
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from inpaintcli import photo
from inpaintcli.arrays import Pixels
from inpaintcli.errors import PhotoError
from inpaintcli.photo import Metadata, Photo, isobmff, jxl
from tests.test_photo import noise, oriented, png_chunk, refusal, refused, saved, tiff

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r dc:title="Oma"/></x:xmpmeta>'
IPTC = b"\x1c\x02\x78\x00\x05Leipz"
THUMBNAIL = b"8BIM\x04\x0c\0\0" + struct.pack(">I", 4) + b"ABCD"
RESOURCES = b"8BIM\x03\xee\0\0" + struct.pack(">I", 3) + b"abc\0"


def again(data: bytes, suffix: str, **options: Any) -> bytes:
    """A file read and written."""
    return photo.encode(photo.decode(data, "x"), suffix, "x", **options)


def opened(data: bytes) -> Any:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


# ---- Palettes and few bits -----------------------------------------------------------------------


@pytest.mark.parametrize("colours", [2, 4, 16, 200])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_a_palette_comes_back(suffix: str, colours: int) -> None:
    image = Image.fromarray(noise(13, 11, 3)).quantize(colours)
    options = {"bits": max(1, (colours - 1).bit_length())} if colours < 200 else {}
    data = saved(image, {".png": "PNG", ".tif": "TIFF", ".bmp": "BMP"}[suffix], **options)
    written = opened(again(data, suffix))
    assert written.mode == "P"
    np.testing.assert_array_equal(written.convert("RGB"), image.convert("RGB"))
    if suffix == ".png":
        assert again(data, suffix)[24] == data[24]  # Bits of the numbers


def test_a_transparent_palette_comes_back() -> None:
    image = Image.fromarray(noise(13, 11, 3)).quantize(8)
    data = saved(image, "PNG", transparency=bytes([0, 9, 255]))
    written = opened(again(data, ".png"))
    assert written.mode == "P"
    np.testing.assert_array_equal(written.convert("RGBA"), opened(data).convert("RGBA"))


def test_filled_pixels_get_the_nearest_colour() -> None:
    image = Image.fromarray(noise(40, 30, 3)).quantize(16)
    read = photo.decode(saved(image, "PNG"), "x")
    pixels = read.pixels.copy()
    pixels[5:20, 5:20] = noise(15, 15, 3, seed=1)
    written = np.asarray(
        opened(photo.encode(replace(read, pixels=pixels), ".png", "x")).convert("RGB")
    )
    outside = np.ones((40, 30), bool)
    outside[5:20, 5:20] = False
    np.testing.assert_array_equal(written[outside], read.pixels[outside])
    entries = np.unique(read.pixels.reshape(-1, 3), axis=0).astype(int)
    filled, drawn = pixels[~outside].astype(int), written[~outside].astype(int)
    least = ((filled[:, None] - entries) ** 2).sum(2).min(1)
    assert ((filled - drawn) ** 2).sum(1) == pytest.approx(least)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_one_bit_comes_back(suffix: str) -> None:
    on = noise(10, 11, 1)[..., 0] > 127
    data = saved(Image.fromarray(on), {".png": "PNG", ".tif": "TIFF", ".bmp": "BMP"}[suffix])
    read = photo.decode(data, "x")
    pixels = read.pixels.copy()
    pixels[3, :2, 0] = 127, 128
    on[3, :2] = False, True
    written = opened(photo.encode(replace(read, pixels=pixels), suffix, "x"))
    assert written.mode == "1"
    np.testing.assert_array_equal(np.asarray(written), on)


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_grey_of_few_bits_comes_back(suffix: str, bits: int) -> None:
    grey = (noise(9, 7, 1)[..., 0] >> (8 - bits)) * np.uint8(255 // (2**bits - 1))
    before = Photo(grey[..., None].astype(np.uint8), metadata=Metadata(bits=bits))
    written = photo.encode(before, suffix, "x")
    np.testing.assert_array_equal(opened(written).convert("L"), grey)
    if suffix == ".png":
        assert written[24] == bits
    if suffix == ".tif":
        assert tifffile.TiffFile(io.BytesIO(written)).pages.first.bitspersample == bits
    np.testing.assert_array_equal(photo.decode(written, "x").pixels[..., 0], grey)


def test_a_palette_does_not_follow_the_photo_into_a_jpeg() -> None:
    data = saved(Image.fromarray(noise(13, 11, 3)).quantize(8), "PNG")
    assert opened(again(data, ".jpg")).mode == "RGB"
    read = photo.decode(data, "x")
    grey = replace(read, pixels=noise(13, 11, 1))
    np.testing.assert_array_equal(opened(photo.encode(grey, ".png", "x")), grey.pixels[..., 0])


def test_numbers_beyond_the_palette_are_refused() -> None:
    data = saved(Image.fromarray(noise(13, 11, 3)).quantize(8), "PNG", bits=8)
    at, end = data.index(b"PLTE") - 4, data.index(b"IDAT") - 4
    assert "palette" in refused(data[:at] + png_chunk(b"PLTE", b"abc") + data[end:])


# ---- PNG -----------------------------------------------------------------------------------------


def adam7(pixels: Pixels) -> bytes:
    """An interlaced PNG without filters."""
    import zlib

    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
              (0, 1, 1, 2))  # fmt: skip
    height, width, channels = pixels.shape
    rows = b"".join(
        b"\0" + row.astype(pixels.dtype.newbyteorder(">")).tobytes()
        for x, y, dx, dy in passes
        for row in pixels[y::dy, x::dx]
        if row.size
    )
    kind = (width, height, pixels.dtype.itemsize * 8, (0, 4, 2, 6)[channels - 1], 0, 0, 1)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", *kind)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 9)])
def test_interlaced_pngs(size: tuple[int, int], dtype: Any, channels: int) -> None:
    pixels = noise(*size, channels, dtype)
    np.testing.assert_array_equal(photo.decode(adam7(pixels), "x").pixels, pixels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strips_of_a_png(dtype: Any, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Smooth, so that every filter is in use, and each strip needs the row above it.
    monkeypatch.setattr("inpaintcli.photo.png._STRIP", 999)
    y, x = np.mgrid[:60, :50]
    most = np.iinfo(dtype).max
    planes = [(np.sin(x / 9 + k) * np.cos(y / (5 + k)) + 1) / 2 * most for k in range(channels)]
    pixels = np.stack(planes, 2).astype(dtype)
    pixels[40:] = noise(20, 50, channels, dtype)
    data = photo.encode(Photo(pixels), ".png", "x")
    np.testing.assert_array_equal(photo.decode(data, "x").pixels, pixels)
    if dtype == np.uint8:
        np.testing.assert_array_equal(opened(data), pixels.squeeze())


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_grey_with_alpha_stays_that(mode: str) -> None:
    pixels = noise(9, 8, len(mode.replace("RGB", "abc")))
    for suffix in (".png", ".tif"):
        assert opened(photo.encode(Photo(pixels), suffix, "x")).mode == mode


# ---- Newer formats -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".avif", ".heic", ".heif", ".jxl"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (33, 20)])
def test_newer_formats(size: tuple[int, int], channels: int, suffix: str) -> None:
    if suffix != ".avif":
        pytest.importorskip("pillow_jxl" if suffix == ".jxl" else "pillow_heif")
    pixels = noise(*size, channels)
    read = photo.decode(photo.encode(Photo(pixels), suffix, "x"), "x")
    assert read.format == photo.format_of(f"x{suffix}")
    found, expected = read.pixels.astype(int), pixels.astype(int)
    if channels == 2 and suffix != ".jxl":  # They have no grey with alpha.
        found = found[..., (0, 3)]
    assert np.abs(found - expected).max() <= (3 if suffix == ".avif" and channels > 2 else 0)


@pytest.mark.parametrize("suffix", [".avif", ".heic", ".jxl", ".webp", ".jpg"])
def test_quality(suffix: str) -> None:
    if suffix in (".heic", ".jxl"):
        pytest.importorskip("pillow_jxl" if suffix == ".jxl" else "pillow_heif")
    y, x = np.mgrid[:64, :96]
    pixels = (128 + 90 * np.sin(np.stack([x, y, x + y], 2) / 7)).astype(np.uint8)
    pixels += noise(64, 96, 3) % 16
    files = [photo.encode(Photo(pixels), suffix, "x", quality=q) for q in (20, 60, 95)]
    errors = [np.abs(photo.decode(f, "x").pixels.astype(int) - pixels).mean() for f in files]
    assert errors == sorted(errors, reverse=True)
    assert [len(file) for file in files] == sorted(len(file) for file in files)
    assert len(photo.encode(Photo(pixels), suffix, "x", quality=1)) < len(files[0])
    photo.encode(Photo(pixels), suffix, "x", quality=100)


def test_a_quality_decides_over_a_jpegs_own_tables() -> None:
    source = saved(Image.fromarray(noise(16, 16, 3)), "JPEG", quality=61, subsampling="4:2:0")
    for quality, sampling in ((80, (2, 2)), (90, (1, 1))):
        written = opened(again(source, ".jpg", quality=quality))
        expected = opened(saved(Image.fromarray(noise(8, 8, 3)), "JPEG", quality=quality))
        assert written.quantization == expected.quantization
        assert written.layer[0][1:3] == sampling


def test_lossless_formats_have_no_quality(tmp_path: Path) -> None:
    picture = Photo(noise(4, 4, 3))
    for suffix in (".png", ".tif", ".bmp", ".ppm"):
        path = tmp_path / f"x{suffix}"
        assert "lossless: leave --quality" in refusal(
            path, lambda path=path: photo.check_fits(picture, path, 90)
        )
        with pytest.raises(PhotoError, match="lossless"):
            photo.write(picture, path, quality=90)
    with pytest.raises(ValueError, match="1 to 100"):
        photo.encode(picture, ".jpg", "x", quality=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("suffix", "module"), [(".heic", "pillow_heif"), (".jxl", "pillow_jxl")])
def test_what_is_not_installed_is_named(
    suffix: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {".heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ".jxl": b"\xff\x0a" + bytes(40)}[suffix]
    monkeypatch.setitem(sys.modules, module, None)
    assert photo.is_photo_name(f"x{suffix}")
    assert "pip install 'inpaintcli[formats]'" in refused(data)
    said = refusal("x", lambda: photo.encode(Photo(noise(4, 4, 3)), suffix, "x"))
    assert "pip install 'inpaintcli[formats]'" in said


@pytest.mark.parametrize("suffix", [".avif", ".heic", ".jxl"])
def test_newer_formats_cut_short(suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    if suffix != ".avif":
        pytest.importorskip("pillow_jxl" if suffix == ".jxl" else "pillow_heif")
    data = photo.encode(Photo(noise(30, 40, 3)), suffix, "x")
    for length in range(0, len(data), len(data) // 40):
        refused(data[:length])
    refused(data[:-1])
    assert capfd.readouterr() == ("", "")


def test_deeper_newer_formats_are_refused() -> None:
    data = bytearray(photo.encode(Photo(noise(30, 40, 3)), ".avif", "x"))
    data[data.index(b"av1C") + 6] |= 0x40  # It says that it is 10-bit.
    assert isobmff.bits(bytes(data)) == 10
    assert "10-bit AVIF" in refused(bytes(data))
    pillow_heif = pytest.importorskip("pillow_heif")
    with io.BytesIO() as file:
        pillow_heif.encode("RGB;16", (8, 6), noise(6, 8, 3, np.uint16).tobytes(), file)
        assert "10-bit HEIC" in refused(file.getvalue())


def test_sequences_are_refused() -> None:
    image, other = (Image.fromarray(noise(16, 16, 3, seed=seed)) for seed in (0, 1))
    several: dict[str, Any] = {"save_all": True, "append_images": [other]}
    assert "animations" in refused(saved(image, "AVIF", **several))
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    assert "several pictures" in refused(saved(image, "HEIF", **several))


def test_jpeg_xl_of_16_bits() -> None:
    pytest.importorskip("pillow_jxl")
    deep = noise(9, 8, 1, np.uint16)
    np.testing.assert_array_equal(
        photo.decode(photo.encode(Photo(deep), ".jxl", "x"), "x").pixels, deep
    )
    said = refusal("x", lambda: photo.encode(Photo(noise(9, 8, 3, np.uint16)), ".jxl", "x"))
    assert "PNG or TIFF" in said
    wide = Photo(noise(9, 8, 3), metadata=Metadata(icc_profile=b"a printer's"))
    assert "colour profile" in refusal("x", lambda: photo.encode(wide, ".jxl", "x"))


@pytest.mark.parametrize(
    ("fields", "bits"),
    # Not the default; no extra fields; whole numbers; 8, 10, 12 bits or so many and one.
    [("1", 8), ("0 0 0 00", 8), ("0 0 0 01", 10), ("0 0 0 10", 12), ("0 0 0 11 001111", 16)],
)
def test_depth_in_the_header_of_a_jpeg_xl(fields: str, bits: int) -> None:
    # 300 x 200: not small, 9 bits of height less 1, no ratio, 9 bits of width less 1.
    text = ["0", "00", f"{199:09b}", "000", "00", f"{299 & 511:09b}", *fields.split()]
    number = int("".join(reversed(text)), 2)
    header = jxl._Header(b"\xff\x0a" + number.to_bytes(32, "little"))
    assert (header.width, header.height, header.bits) == (300, 200, bits)
    assert not header.animated


def test_a_jpeg_in_a_jpeg_xl_is_refused() -> None:
    package = pytest.importorskip("pillow_jxl")
    source = saved(Image.fromarray(noise(16, 24, 3)), "JPEG")
    encoder = package.Encoder(mode="RGB", use_container=True, num_threads=1)
    assert "a JPEG in a JPEG XL" in refused(encoder(source, 24, 16, jpeg_encode=True))


@pytest.mark.parametrize(
    "suffix", [".png", ".jpg", ".tif", ".webp", ".bmp", ".ppm", ".avif", ".heic", ".jxl"]
)
def test_the_most_pixels_are_the_callers(suffix: str, tmp_path: Path) -> None:
    if suffix in (".heic", ".jxl"):
        pytest.importorskip("pillow_jxl" if suffix == ".jxl" else "pillow_heif")
    path = tmp_path / f"x{suffix}"
    photo.write(Photo(noise(20, 30, 3)), path)
    assert photo.read(path, max_pixels=600).width == 30
    said = refusal(path, lambda: photo.read(path, max_pixels=599))
    assert "30 x 20" in said
    assert "--max-pixels" in said


# ---- Orientation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "PNG16", "WEBP", "TIFF", "TIFF16 LZW"])
def test_stored_is_the_inverse_of_upright(format: str, orientation: int) -> None:
    data, upright = oriented(format, orientation)
    read = photo.decode(data, "x")
    assert read.metadata.orientation == orientation
    stored = photo.stored(read.pixels, read.metadata.orientation)
    assert stored.shape == (24, 16, 3)
    image = Image.fromarray(stored[..., 0].astype(np.int32))
    image.getexif()[274] = orientation
    np.testing.assert_array_equal(ImageOps.exif_transpose(image), upright[..., 0])
    mask = upright[..., 0] > 9
    np.testing.assert_array_equal(photo.stored(mask, orientation), stored[..., 0] > 9)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_upright_once(orientation: int) -> None:
    grey = Image.fromarray(noise(24, 16, 1)[..., 0])
    block = Image.Exif()
    block[274] = orientation
    data = saved(grey, "AVIF", exif=block, quality=100)
    grey.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(grey))
    for file in (data, again(data, ".avif")):
        np.testing.assert_array_equal(photo.decode(file, "x").pixels[..., 0], expected)


# ---- Metadata ------------------------------------------------------------------------------------


def described() -> Image.Exif:
    block = Image.Exif()
    block[271], block[315], block[33432] = "Rollei", "Lilo", "Kin"
    block[34665] = {36867: "1950:06:01 12:00:00", 37386: 80.0, 40965: {1: "R98", 2: b"0100"}}
    block[34853] = {1: "N", 2: (52.0, 30.0, 0.0), 29: "1950:06:01"}
    return block


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif", ".heic", ".jxl"])
def test_every_directory_of_exif_is_kept(suffix: str) -> None:
    if suffix in (".heic", ".jxl"):
        pytest.importorskip("pillow_jxl" if suffix == ".jxl" else "pillow_heif")
    meta = Metadata(described().tobytes(), b"" if suffix == ".jxl" else ICC, XMP, (300.0, 300.0))
    data = photo.encode(Photo(noise(16, 16, 3), metadata=meta), suffix, "x")
    for file in (data, again(data, suffix)):
        if suffix == ".heic":
            import pillow_heif

            pillow_heif.register_heif_opener()
        image = opened(file)
        block = image.getexif()
        assert (block[271], block[315], block[33432]) == ("Rollei", "Lilo", "Kin")
        assert block.get_ifd(34665)[36867] == "1950:06:01 12:00:00"
        assert block.get_ifd(34853)[2] == (52, 30, 0)
        assert block.get_ifd(34853)[29] == "1950:06:01"
        assert block.get_ifd(40965)[1] == "R98"
        if suffix != ".jxl":
            assert image.info["icc_profile"] == ICC
        xmp = photo.decode(file, "x").metadata.xmp
        assert xmp == XMP
        if suffix not in (".jxl",):
            assert XMP in file


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
def test_resolution_is_kept(suffix: str) -> None:
    data = photo.encode(Photo(noise(8, 8, 3), metadata=Metadata(dpi=(300.0, 600.0))), suffix, "x")
    for file in (data, again(data, suffix)):
        assert opened(file).info["dpi"] == pytest.approx((300, 600), abs=0.05)


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    data = saved(Image.fromarray(noise(16, 16, 3)), "JPEG")
    bodies = (bytes((255, kind)) + struct.pack(">H", len(b) + 2) + b for kind, b in segments)
    return data[:2] + b"".join(bodies) + data[2:]


def test_comments_and_iptc_of_a_jpeg() -> None:
    resources = RESOURCES + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC
    resources += b"\0" * (len(IPTC) % 2)
    head = b"Photoshop 3.0\0"
    data = jpeg_with((0xFE, b"Grandmother"), (0xED, head + resources + THUMBNAIL), (0xFE, b"1950"))
    written = again(data, ".jpg")
    image = opened(written)
    assert [body for kind, body in image.applist if kind == "COM"] == [b"Grandmother", b"1950"]
    assert [body for kind, body in image.applist if kind == "APP13"] == [head + resources]
    assert image.info["photoshop"][0x0404] == IPTC
    # Into a TIFF and back.
    scan = again(data, ".tif")
    with tifffile.TiffFile(io.BytesIO(scan)) as file:
        assert bytes(file.pages.first.tags[33723].value) == IPTC
        assert bytes(file.pages.first.tags[34377].value) == resources
    assert opened(again(scan, ".jpg")).info["photoshop"][0x0404] == IPTC
    assert again(scan, ".tif") == scan


def test_iptc_of_a_tiff_alone() -> None:
    tag = (33723, "B", len(IPTC), IPTC, True)
    data = tiff(noise(8, 8, 3), photometric="rgb", extratags=[tag])
    with tifffile.TiffFile(io.BytesIO(again(data, ".tif"))) as file:
        assert bytes(file.pages.first.tags[33723].value) == IPTC
    assert opened(again(data, ".jpg")).info["photoshop"][0x0404] == IPTC


def test_long_and_broken_resources() -> None:
    head = b"Photoshop 3.0\0"
    long = b"8BIM\x04\x04\0\0" + struct.pack(">I", 100_000) + bytes(100_000)
    parts = [(0xED, head + long[at : at + 60_000]) for at in range(0, len(long), 60_000)]
    data = jpeg_with(*parts)
    assert photo.decode(data, "x").metadata.photoshop == long
    assert photo.decode(again(data, ".jpg"), "x").metadata.photoshop == long
    for broken in (b"8BIM", RESOURCES + b"8BIM\x04\x04\xff", RESOURCES + long[:99]):
        read = photo.decode(jpeg_with((0xED, head + broken)), "x")
        assert read.metadata.photoshop in (b"", RESOURCES)


# ---- Pages ---------------------------------------------------------------------------------------


def test_pages_of_a_tiff(tmp_path: Path) -> None:
    palette = photo.decode(saved(Image.fromarray(noise(9, 8, 3)).quantize(8), "PNG"), "x")
    scan = Metadata(infrared=noise(7, 6, 1, np.uint16)[..., 0])
    album = [
        Photo(noise(12, 10, 3), metadata=Metadata(dpi=(240.0, 240.0), icc_profile=ICC)),
        Photo(noise(5, 4, 1, np.uint16), metadata=Metadata(described().tobytes())),
        palette,
        Photo(noise(9, 9, 4)),
        Photo(noise(7, 6, 3, np.uint16), metadata=scan),
    ]
    path = tmp_path / "album.tif"
    photo.write(album, path)
    assert photo.pages(path) == 5
    for number, before in enumerate(album):
        after = photo.read(path, page=number)
        np.testing.assert_array_equal(after.pixels, before.pixels)
        assert after.pixels.dtype == before.pixels.dtype
        assert after.metadata.icc_profile == before.metadata.icc_profile
        assert after.metadata.dpi == before.metadata.dpi
        assert (b"Rollei" in after.metadata.exif) == (number == 1)
        assert (after.metadata.palette is None) == (before.metadata.palette is None)
    found = photo.read_with_infrared(path, page=4)[1]
    np.testing.assert_array_equal(found, scan.infrared)
    with tifffile.TiffFile(path) as file:
        assert all(page.offset % 2 == 0 for page in file.pages)
        np.testing.assert_array_equal(file.pages[0].asarray(), album[0].pixels)
        np.testing.assert_array_equal(file.pages[1].asarray(), album[1].pixels[..., 0])
    assert "several pages, 5: save the one that is meant" in refusal(path, photo.read, path)
    assert "there is no page 6" in refusal(path, lambda: photo.read(path, page=5))
    # The last page is gone, and the file does not pretend to be whole.
    with tifffile.TiffFile(path) as file:
        last = file.pages[4].offset
    path.write_bytes(path.read_bytes()[: last - 1])
    refusal(path, photo.pages, path)
    refusal(path, lambda: photo.read(path, page=0))


def test_pages_that_are_one(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    meta = Metadata(infrared=noise(9, 8, 1)[..., 0], infrared_page=True)
    photo.write(Photo(noise(9, 8, 3), metadata=meta), path)
    assert photo.pages(path) == 1
    assert photo.read(path, page=0).metadata.infrared is not None
    with tifffile.TiffWriter(path) as file:
        for small in (True, False, False):
            file.write(noise(9, 8, 3), photometric="rgb", subfiletype=int(small), metadata=None)
    assert photo.pages(path) == 2
    for suffix in (".png", ".jpg"):
        single = tmp_path / f"x{suffix}"
        photo.write(Photo(noise(9, 8, 3)), single)
        assert photo.pages(single) == 1
        assert photo.read(single, page=0).width == 8
        assert "one page" in refusal(single, lambda single=single: photo.read(single, page=1))
    refusal(tmp_path / "no.tif", photo.pages, tmp_path / "no.tif")


def test_other_formats_have_no_pages(tmp_path: Path) -> None:
    two = [Photo(noise(4, 4, 3)), Photo(noise(5, 5, 3))]
    path = tmp_path / "x.png"
    assert "write TIFF" in refusal(path, photo.write, two, path)
    encoder = photo.Encoder(".png", "x")
    encoder.add(two[0])
    assert "write TIFF" in refusal("x", encoder.add, two[1])
    photo.write(two[:1], path)
    np.testing.assert_array_equal(photo.read(path).pixels, two[0].pixels)
    with pytest.raises(ValueError, match="no photo"):
        photo.write([], tmp_path / "x.tif")


def test_two_grey_pages_are_two_unless_infrared_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "two.tif"
    grey = [Photo(noise(20, 30, 1)), Photo(noise(20, 30, 1)[::-1].copy())]
    photo.write(grey, path)
    assert (photo.pages(path), photo.pages(path, infrared=True)) == (2, 1)
    for number, one in enumerate(grey):
        np.testing.assert_array_equal(photo.read(path, page=number).pixels, one.pixels)
    print_, infrared = photo.read_with_infrared(path)
    np.testing.assert_array_equal(print_.pixels, grey[0].pixels)
    np.testing.assert_array_equal(infrared, grey[1].pixels[..., 0])
