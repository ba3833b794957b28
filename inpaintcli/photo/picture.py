"""What a photo is in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from inpaintcli.arrays import Pixels
from inpaintcli.errors import PhotoError

#: More pixels than this are refused before they are decoded, where no other number is named.
MAX_PIXELS = 1_000_000_000


@dataclass(frozen=True)
class Palette:
    """The colours of a picture that has a number in place of a colour at each pixel."""

    #: Red, green and blue of each entry, a byte each: up to 256 entries.
    colours: bytes
    #: The opacity of the first entries, those after them are opaque; empty if all are.
    alpha: bytes = b""


@dataclass(frozen=True)
class Metadata:
    """What a file says about its pixels; each format keeps what it has room for."""

    #: "Exif\\0\\0" and a TIFF block, without thumbnail and without what describes the encoding.
    exif: bytes = b""
    icc_profile: bytes = b""
    #: An XMP packet; its orientation is 1.
    xmp: bytes = b""
    #: Pixels per inch, across and down.
    dpi: tuple[float, float] | None = None
    #: A PNG's text and colour space, as (type, body).
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    #: A JPEG's quantization tables, by number.
    jpeg_tables: Mapping[int, list[int]] | None = None
    #: A JPEG's chroma subsampling, as Pillow counts: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0.
    jpeg_subsampling: int = 0
    #: A film scanner's infrared, upright, (height, width), uint8 or uint16; TIFF alone keeps it.
    infrared: Pixels | None = field(default=None, compare=False, repr=False)
    #: Whether it is a page of its own, and not a sample of each pixel.
    infrared_page: bool = False
    #: Photoshop's image resources, IPTC among them, without its thumbnails; JPEG and TIFF have it.
    photoshop: bytes = b""
    #: A JPEG's comments.
    comments: tuple[bytes, ...] = ()
    #: EXIF's number, 1 to 8, of how the picture lay in its file. It is undone: encoders write 1.
    orientation: int = 1
    #: What its colours were picked from; PNG, TIFF and BMP pick from it again.
    palette: Palette | None = None
    #: Bits, 1, 2, 4 or 8, of a shallow grey sample or of a palette's number; 8 for all else.
    bits: int = 8


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture in memory, upright, as deep as its file.

    Attributes:
        pixels: (height, width, channels), uint8 or uint16, full range. 1 channel is grey, 2 are
            grey and alpha, 3 are RGB, 4 are RGBA; alpha is straight, not premultiplied. `decode`
            and `read` return them read-only.
        format: What it was read from: "PNG", "JPEG", "TIFF", "WEBP", "BMP", "PPM", "AVIF", "HEIC"
            or "JXL".
        metadata: What else the file said.

    Raises:
        ValueError: `pixels` has another shape or type, or the metadata's infrared another size.
    """

    pixels: Pixels
    format: str = "PNG"
    metadata: Metadata = Metadata()

    def __post_init__(self) -> None:
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if len(shape) != 3 or not 1 <= shape[2] <= 4 or 0 in shape:
            raise ValueError(f"pixels must be (height, width, 1 to 4), not {shape}")
        if dtype not in (np.uint8, np.uint16):
            raise ValueError(f"pixels must be uint8 or uint16, not {dtype}")
        infrared = self.metadata.infrared
        if infrared is not None and infrared.shape != shape[:2]:
            raise ValueError(f"infrared must be {shape[:2]} like pixels, not {infrared.shape}")

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def colour(self) -> Pixels:
        """The pixels without alpha, (height, width, 1 or 3): a view."""
        return self.pixels[..., : 1 if self.pixels.shape[2] < 3 else 3]

    @property
    def alpha(self) -> Pixels | None:
        """Opacity, (height, width), or None where the photo has none: a view."""
        return None if self.pixels.shape[2] % 2 else self.pixels[..., -1]


def check_size(width: int, height: int, limit: int) -> None:
    """Raise PhotoError if a picture has more pixels than `limit`."""
    if width * height > limit:
        raise PhotoError(
            f"{width} x {height} pixels are too many: at most {limit:,} are read; --max-pixels "
            "raises that"
        )
