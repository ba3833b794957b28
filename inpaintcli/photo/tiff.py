"""TIFF as it is read: pages, infrared, and every layout that scanners write."""

from __future__ import annotations

import functools
import io
import math
import struct
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

import numpy as np
from PIL import Image

from inpaintcli.arrays import Pixels
from inpaintcli.errors import PhotoError
from inpaintcli.photo import exif, iptc, orientation, pillow
from inpaintcli.photo.picture import Metadata, Photo, check_size
from inpaintcli.photo.problems import AGAIN
from inpaintcli.silence import silence

if TYPE_CHECKING:
    from tifffile import TiffPage

#: A sample of which such a share is fully transparent or opaque is alpha, where it is called so.
ALPHA_SHARE = 0.99
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class _Scan(NamedTuple):
    """A picture, and the page that has its infrared."""

    page: TiffPage
    infrared: TiffPage | None = None


def is_tiff(data: bytes) -> bool:
    """Whether the bytes begin as a TIFF does, or a BigTIFF."""
    return data.startswith(_MAGIC)


def count_pages(file: BinaryIO, infrared: bool) -> int:
    """How many pages there are: thumbnails are none, and a photo and its infrared are one; see
    `_scans`. Of the file only their directories are read."""
    return len(_scans(_full_pages(file), infrared))


class Tiff:
    """A TIFF's bytes, of which each page's directory is parsed once."""

    def __init__(self, data: bytes):
        self._data = data
        self._found: dict[bool, list[_Scan]] = {}

    def count_pages(self, infrared: bool) -> int:
        """As the function of that name."""
        return len(self._scans(infrared))

    def decode(self, limit: int, number: int | None) -> Photo:
        """The photo on this page, from 0, or on the only one."""
        page, infrared = _chosen(self._scans(), number)
        if infrared is not None:
            return _with_infrared_page(page, infrared, self._data, limit)
        if _extras(page) == 1 and _extra_kind(page) == 0:
            check_size(page.imagewidth, page.imagelength, limit)
            with suppress(PhotoError):  # Not every layout that is read can be read with it.
                return _with_infrared_sample(page, self._data, limit)
        return _tiff_photo(page, self._data, limit)

    def decode_infrared(self, limit: int, number: int | None) -> Photo:
        """A photo whose metadata hold its infrared."""
        data = self._data
        if number is None:
            page, *others = self._pages
        else:
            page, infrared = _chosen(self._scans(infrared=True), number)
            others = [] if infrared is None else [infrared]
        _check_tiff(page, len(data))
        extra = _extras(page)
        if extra > 1:
            raise PhotoError(f"{extra} extra channels, not infrared alone: try --infrared-file")
        if extra:
            photo = _with_infrared_sample(page, data, limit)
            assert photo.metadata.infrared is not None
            if _extra_kind(page) == 0 or not _looks_like_alpha(photo.metadata.infrared):
                return photo
        return _with_infrared_page(page, _infrared_page(page, others), data, limit)

    @functools.cached_property
    def _pages(self) -> list[TiffPage]:
        return _full_pages(io.BytesIO(self._data))

    def _scans(self, infrared: bool = False) -> list[_Scan]:
        if infrared not in self._found:
            self._found[infrared] = _scans(self._pages, infrared)
        return self._found[infrared]


def _chosen(scans: list[_Scan], number: int | None) -> _Scan:
    if number is None:
        if len(scans) > 1:
            raise PhotoError(f"has several pages, {len(scans)}: save the one that is meant alone")
        return scans[0]
    if number >= len(scans):
        pages = "one page" if len(scans) == 1 else f"{len(scans)} pages"
        raise PhotoError(f"has {pages}, there is no page {number + 1}: see --page")
    return scans[number]


def _scans(pages: list[TiffPage], infrared: bool) -> list[_Scan]:
    """The pages, and the infrared of those that have it.

    infrared: of two grey pages the second is taken for the infrared of the first, too; as it is
    of a photo in colour without saying.
    """
    # A photo and its infrared are two pages; with more of them, each is a photo of its own.
    if len(pages) == 2 and (infrared or _colours(pages[0]) == 3):
        with suppress(PhotoError):
            return [_Scan(pages[0], _infrared_page(pages[0], pages[1:]))]
    return [_Scan(page, _sub_infrared(page)) for page in pages]


def _sub_infrared(page: TiffPage) -> TiffPage | None:
    with suppress(PhotoError):
        return _infrared_page(page, [])
    return None


def _full_pages(file: BinaryIO) -> list[TiffPage]:
    import tifffile

    pages: list[TiffPage] = []
    places: set[int] = set()
    for page in tifffile.TiffFile(file).pages:
        if page.offset in places:  # And so on, without end.
            raise PhotoError("a TIFF that is damaged, its pages go round in a circle")
        places.add(page.offset)
        if isinstance(page, tifffile.TiffPage):
            pages.append(page)
    if not pages:
        raise PhotoError("a TIFF that is cut short or damaged")
    if _next_page(pages[-1], file) >= file.seek(0, io.SEEK_END):
        raise PhotoError("a TIFF that is cut short")
    # Scanners add thumbnails as pages of their own, before the photo or after it.
    return [page for page in pages if not page.is_reduced] or pages


def _next_page(page: TiffPage, file: BinaryIO) -> int:
    """Where the file says that the next page is, 0 if there is none."""
    order, big = page.parent.byteorder, page.parent.tiff.offsetsize == 8

    def number(kind: str, at: int) -> int:
        file.seek(at)
        return int(struct.unpack(order + kind, file.read(struct.calcsize(kind)))[0])

    entries = number("Q" if big else "H", page.offset)
    link = page.offset + (8 + 20 * entries if big else 2 + 12 * entries)
    return number("Q" if big else "I", link)


def _with_infrared_sample(page: TiffPage, data: bytes, limit: int) -> Photo:
    """The photo in this page, its last sample as infrared."""
    check_size(page.imagewidth, page.imagelength, limit)
    _check_tiff(page, len(data))
    samples = orientation.upright(_samples(page, data), _tiff_orientation(page))
    metadata = replace(_tiff_metadata(page, data), infrared=samples[..., -1].copy())
    return Photo(np.ascontiguousarray(samples[..., :-1]), "TIFF", metadata)


def _with_infrared_page(page: TiffPage, infrared: TiffPage, data: bytes, limit: int) -> Photo:
    """The photo in this page, and its infrared in the other."""
    photo = _tiff_photo(page, data, limit)
    _check_tiff(infrared, len(data))
    # It lies in the file as the photo does, so it is turned alike, whatever its own tag says.
    turned = orientation.upright(_samples(infrared, data), _tiff_orientation(page))[..., 0]
    metadata = replace(photo.metadata, infrared=turned.copy(), infrared_page=True)
    return replace(photo, metadata=metadata)


def _looks_like_alpha(sample: Pixels) -> bool:
    """True if nearly all of it is fully transparent or opaque, as no infrared is."""
    ends = (sample == 0) | (sample == np.iinfo(sample.dtype).max)
    return float(ends.mean()) >= ALPHA_SHARE


def _infrared_page(page: TiffPage, others: list[TiffPage]) -> TiffPage:
    """The one of the other pages, and of this one's sub-images, that is its infrared.

    Raises PhotoError where there is none, or where it is not certain.
    """
    import tifffile

    others = others + [sub for sub in page.pages or () if isinstance(sub, tifffile.TiffPage)]
    others = [other for other in others if not other.is_reduced]
    if not others:
        found = {2: "RGB", 3: "palette colours", 6: "YCbCr"}.get(int(page.photometric), "grey")
        found += " and transparency" if _extras(page) else ""
        raise PhotoError(f"no infrared channel, {found} alone: try --infrared-file")
    alike = [other for other in others if other.shape[:2] == page.shape[:2]]
    if not alike:
        sizes = (f"{p.imagewidth}x{p.imagelength}" for p in (others[0], page))
        raise PhotoError(
            "the other page is {}, the photo {}: infrared must be of the same size".format(*sizes)
        )
    if len(alike) > 1:
        raise PhotoError(
            f"{1 + len(alike)} pages, not a photo and its infrared: try --infrared-file"
        )
    if alike[0].samplesperpixel > 1 or int(alike[0].photometric) not in (0, 1):
        raise PhotoError("the other page is in colour, so no infrared: try --infrared-file")
    if alike[0].sampleformat != 1 or alike[0].bitspersample not in (8, 16):
        floating = alike[0].sampleformat == 3
        kind = "in floating point" if floating else f"of {alike[0].bitspersample}-bit depth"
        raise PhotoError(f"infrared {kind} is not supported: try --infrared-file")
    return alike[0]


def _tiff_photo(page: TiffPage, data: bytes, limit: int) -> Photo:
    """The photo in this page of a TIFF."""
    check_size(page.imagewidth, page.imagelength, limit)
    _check_tiff(page, len(data))
    metadata = _tiff_metadata(page, data)
    if page.bitspersample == 16:
        return pillow.photo(_deep_tiff(page, data), "TIFF", metadata)
    # Pillow turns TIFFs upright by itself.
    with silence(2):
        image = Image.open(_FromPage(page, data), formats=("TIFF",))
        palette = pillow.palette(image)
        pixels = pillow.shallow(image)
    if pixels.shape[2] == 1 or palette is not None:
        metadata = replace(metadata, palette=palette, bits=min(8, int(page.bitspersample)))
    return Photo(pixels, "TIFF", metadata)


def _tiff_orientation(page: TiffPage) -> int:
    named = page.tags.valueof(274)
    if named is None:
        named = orientation.in_xmp(_tag_bytes(page, 700))
    return orientation.known(named)


def _tag_bytes(page: TiffPage, number: int) -> bytes:
    value = page.tags.valueof(number)
    return value if isinstance(value, bytes) else b""


def _tiff_metadata(page: TiffPage, data: bytes) -> Metadata:
    """What this page of a TIFF says of its pixels."""
    resources = iptc.kept(_tag_bytes(page, 34377))
    metadata = Metadata(
        icc_profile=bytes(page.tags.valueof(34675, default=b"")),
        xmp=orientation.upright_xmp(_tag_bytes(page, 700)),
        photoshop=iptc.with_iptc(resources, _tag_bytes(page, 33723)),
        dpi=_tiff_dpi(page),
        orientation=_tiff_orientation(page),
    )
    block = Image.Exif()
    with suppress(Exception):  # As in exif.kept; Pillow does not parse that of a BigTIFF.
        block.load_from_fp(_FromPage(page, data))
        metadata = replace(metadata, exif=exif.kept(block))
    return metadata


def _head(page: TiffPage, data: bytes) -> bytes:
    """The file's first bytes, if this page were its first."""
    # 4 bytes of magic and 4 of the page's offset; in a BigTIFF 8 and 8.
    size = page.parent.tiff.offsetsize
    order: Literal["little", "big"] = "little" if page.parent.byteorder == "<" else "big"
    return data[:size] + page.offset.to_bytes(size, order)


class _FromPage(io.BytesIO):
    """A file in which this page comes first, for decoders that read the first; nothing is copied.

    `getvalue` has the file as it is: who takes all of it is told where the page is.
    """

    def __init__(self, page: TiffPage, data: bytes):
        super().__init__(data)
        self._head = _head(page, data)

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file."""
        at = self.tell()
        data = super().read(size)
        return (self._head[at:] + data[max(0, len(self._head) - at) :])[: len(data)]


def _with_tags(page: TiffPage, data: bytes, tags: dict[int, int]) -> bytearray:
    """The file with this page before all others, and with other values of those of these tags that
    the page has, a single value each."""
    changed = bytearray(data)
    head = _head(page, data)
    changed[: len(head)] = head
    # A whole entry is written anew, for its type may be any: tag, type, count and value.
    entry = page.parent.byteorder + ("HHQH6x" if page.parent.tiff.offsetsize == 8 else "HHIH2x")
    for number, value in tags.items():
        if tag := page.tags.get(number):
            struct.pack_into(entry, changed, tag.offset, number, 3, 1, value)
    return changed


def _check_tiff(page: TiffPage, size: int) -> None:
    """Raise PhotoError if a TIFF of `size` bytes is cut short or not of a kind that is read."""
    colour = {5: "CMYK", 8: "Lab", 9: "Lab", 10: "Lab"}.get(int(page.photometric))
    if colour is not None:
        raise PhotoError(f"{colour} colour is not supported: convert it to RGB first")
    if page.sampleformat == 3:
        raise PhotoError("floating point is not supported: convert it to 8- or 16-bit RGB first")
    if page.sampleformat != 1 or page.bitspersample not in (1, 2, 4, 8, 16):
        raise PhotoError(
            f"{page.bitspersample} bits per channel, or signed ones, are not supported: "
            "convert it to 8- or 16-bit RGB first"
        )
    starts, counts = page.dataoffsets, page.databytecounts
    ends = [start + count for start, count in zip(starts, counts, strict=False)]
    needed = max(1, math.prod(page.chunked))
    if not len(starts) == len(counts) >= needed or 0 in counts or max(ends) > size:
        raise PhotoError("a TIFF that is cut short")


def _colours(page: TiffPage) -> int:
    """Samples that are no extra ones: of RGB and YCbCr three."""
    return 3 if int(page.photometric) in (2, 6) else 1


def _extras(page: TiffPage) -> int:
    """How many extra samples a pixel has: alpha, infrared or padding."""
    return int(page.samplesperpixel) - _colours(page)


def _extra_kind(page: TiffPage) -> int:
    """What the first extra sample is called: 0 nothing, 1 premultiplied and 2 straight alpha."""
    return int(page.extrasamples[0]) if page.extrasamples else 2


def _deep_tiff(page: TiffPage, data: bytes) -> Pixels:
    """The pixels of a TIFF that has 16 bits per channel, not yet upright."""
    pixels = _samples(page, data)
    colours = _colours(page)
    kind = _extra_kind(page)
    if pixels.shape[2] > colours and kind == 1:
        raise PhotoError("premultiplied 16-bit alpha is not supported: save it with straight alpha")
    # Unspecified extra samples are padding, as they are to Pillow.
    kept = colours + (pixels.shape[2] > colours and kind == 2)
    return np.ascontiguousarray(pixels[..., :kept], np.uint16)


def _samples(page: TiffPage, data: bytes) -> Pixels:
    """All samples of 8 or 16 bits, (height, width, samples), not yet upright; black is 0."""
    if int(page.photometric) not in (0, 1, 2):
        raise PhotoError(
            f"this {page.bitspersample}-bit colour is not supported: convert it to RGB first"
        )
    if page.bitspersample not in (8, 16):
        raise PhotoError(
            f"infrared of {page.bitspersample}-bit depth is not supported: try --infrared-file"
        )
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    if int(page.compression) in _TIFFFILE_CODECS:
        pixels = page.asarray()
        if int(page.planarconfig or 1) == 2 and samples > 1:
            pixels = pixels.transpose(1, 2, 0)
        pixels = pixels.reshape(height, width, samples)
    else:
        # Samples as they are: OpenCV would turn them, multiply by alpha and, of 8 bits, invert.
        plain = _with_tags(page, data, {274: 1, 338: 0, 262: max(1, int(page.photometric))})
        pixels = _cv2_tiff(plain, (height, width, samples), int(page.planarconfig or 1) == 1)
    if int(page.photometric) == 0:
        white = np.iinfo(pixels.dtype).max
        return np.dstack([white - pixels[..., :1], pixels[..., 1:]])
    return pixels


#: None, Deflate (both numbers) and PackBits, which tifffile knows without the imagecodecs package.
_TIFFFILE_CODECS = (1, 8, 32946, 32773)


def _cv2_tiff(data: bytearray, shape: tuple[int, int, int], chunky: bool) -> Pixels:
    """Samples under LZW and what else libtiff knows and tifffile does not."""
    import cv2

    with silence(2):
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise PhotoError(
            f"a TIFF that is damaged or compressed in an unknown way: {AGAIN}, uncompressed"
        )
    decoded = decoded.reshape(*decoded.shape[:2], -1)
    if not chunky or decoded.shape != shape or decoded.dtype not in (np.uint8, np.uint16):
        raise PhotoError("this layout is not supported: save the TIFF uncompressed")
    order = [2, 1, 0, 3][: shape[2]] if shape[2] > 1 else [0]
    return decoded[..., order].astype(decoded.dtype)


def _tiff_dpi(page: TiffPage) -> tuple[float, float] | None:
    unit = {1: math.nan, 3: 2.54}.get(page.tags.valueof(296, default=2), 1.0)
    try:
        across, down = (page.tags.valueof(tag) for tag in (282, 283))
        return exif.dpi(across[0] / across[1] * unit, down[0] / down[1] * unit)
    except (TypeError, ZeroDivisionError):
        return None
