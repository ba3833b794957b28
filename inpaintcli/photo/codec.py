"""Bytes to photos and back: finds the format and reports every failure in one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO, TypeVar

from inpaintcli.errors import PhotoError
from inpaintcli.photo import avif, bmp, heic, isobmff, jpeg, jxl, png, pnm, tiff, tiff_writer, webp
from inpaintcli.photo.formats import fitting_format
from inpaintcli.photo.picture import MAX_PIXELS, Photo
from inpaintcli.photo.problems import AGAIN, advised, reason

Result = TypeVar("Result")

#: The format's first bytes, where they begin, and what reads the rest.
_SIGNATURES: tuple[tuple[bytes, int, Callable[[bytes, int], Photo]], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, png.decode),
    (b"\xff\xd8\xff", 0, jpeg.decode),
    (b"WEBP", 8, webp.decode),
    (b"BM", 0, bmp.decode),
    *((b"P%d" % kind, 0, pnm.decode) for kind in range(1, 7)),
    (b"\xff\x0a", 0, jxl.decode),
    (b"\0\0\0\x0cJXL \r\n\x87\n", 0, jxl.decode),
)
_ENCODERS: dict[str, Callable[[Photo, int | None], bytes]] = {
    "JPEG": jpeg.encode,
    "WEBP": webp.encode,
    "AVIF": avif.encode,
    "HEIC": heic.encode,
    "JXL": jxl.encode,
    "PNG": lambda photo, _: png.encode(photo),
    "BMP": lambda photo, _: bmp.encode(photo),
    "PPM": lambda photo, _: pnm.encode(photo),
}


class File:
    """The bytes of a file of any format. However many of its pages are decoded, it is read once.

    data: all of them. name: what error messages call it.
    """

    def __init__(self, data: bytes, name: str):
        self.data, self._name = data, name
        self._tiff = tiff.Tiff(data) if tiff.is_tiff(data) else None

    def pages(self, infrared: bool = False) -> int:
        """How many pages there are; raises PhotoError for a broken TIFF."""
        file = self._tiff
        return _told(self._name, lambda: file.count_pages(infrared)) if file else 1

    def decode(self, *, max_pixels: int, page: int | None) -> Photo:
        """As the function of that name."""
        return _decoded(self._name, lambda: self._decode(max_pixels, page))

    def decode_infrared(self, *, max_pixels: int, page: int | None) -> Photo:
        """A photo whose metadata hold its infrared; raises PhotoError, as `read_with_infrared`."""
        return _decoded(self._name, lambda: self._decode_infrared(max_pixels, page))

    def _decode(self, limit: int, page: int | None) -> Photo:
        if self._tiff:
            return self._tiff.decode(limit, page)
        if page is not None and page > 0:
            raise PhotoError("has one page: leave --page")
        return _decode(self.data, limit)

    def _decode_infrared(self, limit: int, page: int | None) -> Photo:
        if self._tiff:
            return self._tiff.decode_infrared(limit, page)
        raise PhotoError("not a TIFF, which alone has an infrared channel: try --infrared-file")


def decode(
    data: bytes, name: str, *, max_pixels: int = MAX_PIXELS, page: int | None = None
) -> Photo:
    """A photo from the bytes of a file.

    One bit becomes 8-bit grey, a palette becomes RGB or RGBA, and the metadata tell of either;
    min-is-white becomes min-is-black, and the orientation that EXIF or XMP asks for is applied. Of
    the pictures in an MPO the first counts. EXIF that cannot be parsed is dropped.

    Args:
        data: The whole file.
        name: What error messages call it.
        max_pixels: More pixels are refused before they are decoded.
        page: Which page of a TIFF, from 0; where it is None there must be but one.

    Raises:
        PhotoError: The bytes are no image, or a broken one, or hold what is not supported: several
            frames, several pages where none is named, CMYK, Lab, floating point, 10 or 12 bits of
            HEIC, AVIF or JPEG XL, too many pixels. One line that begins with `name`.
    """
    return File(data, name).decode(max_pixels=max_pixels, page=page)


def count_pages(file: BinaryIO, name: str, infrared: bool = False) -> int:
    """How many pages an open file has, of which no more is read than tells that; raises PhotoError
    for a broken TIFF, OSError where it cannot be read."""
    if not tiff.is_tiff(file.read(4)):
        return 1
    file.seek(0)
    return _told(name, lambda: tiff.count_pages(file, infrared))


def _decode(data: bytes, limit: int) -> Photo:
    """What is no TIFF."""
    if not data:
        raise PhotoError("is empty")
    for signature, at, decoder in _SIGNATURES:
        if data.startswith(signature, at):
            return decoder(data, limit)
    brands = isobmff.brands(data)
    if brands & avif.BRANDS:
        return avif.decode(data, limit)
    if brands & heic.BRANDS:
        return heic.decode(data, limit)
    if data.startswith((b"GIF87a", b"GIF89a")):
        raise PhotoError("GIF is not supported: convert it to PNG first")
    raise PhotoError(f"not an image of a known format, or cut short: convert it to PNG, or {AGAIN}")


def _decoded(name: str, decoder: Callable[[], Photo]) -> Photo:
    photo = _told(name, decoder)
    photo.pixels.flags.writeable = False
    if photo.metadata.infrared is not None:
        photo.metadata.infrared.flags.writeable = False
    return photo


def _told(name: str, call: Callable[[], Result]) -> Result:
    """What `call` returns, with every error of its in one line that begins with `name`."""
    try:
        return call()
    except PhotoError as error:
        raise PhotoError(f"{name}: {advised(str(error))}") from error
    except MemoryError as error:
        raise PhotoError(f"{name}: not enough memory to read it: try fewer --workers") from error
    except Exception as error:  # A broken file makes codecs raise anything, SyntaxError included.
        why = f"not an image that can be read ({reason(error)})"
        raise PhotoError(f"{name}: {why}: {AGAIN}") from error


class Encoder:
    """The bytes of a file to be, of one photo or of the pages of one TIFF. What is added is encoded
    at once, so that many pages need not be in memory together.

    suffix, name, quality: as for `encode`.
    """

    def __init__(self, suffix: str, name: str, *, quality: int | None = None):
        self._suffix, self._name, self._quality = suffix, name, quality
        self._pages = tiff_writer.Pages()
        self._data = b""

    def add(self, photo: Photo) -> None:
        """Encode a photo; raises PhotoError as `encode` does."""
        format = fitting_format(photo, self._suffix, self._name, self._quality)
        try:
            if format == "TIFF":
                self._pages.add(photo)
            elif self._data:
                raise PhotoError(f"{format} has no pages, the photo has several: write TIFF")
            else:
                self._data = _ENCODERS[format](photo, self._quality)
        except PhotoError as error:
            raise PhotoError(f"{self._name}: {error}") from error
        except Exception as error:  # As in decode: codecs have no common exception.
            why = f"cannot be written as {format}: {reason(error)}"
            raise PhotoError(f"{self._name}: {why}") from error

    def data(self) -> bytes:
        """All that has been added."""
        return self._data or self._pages.data()


def encode(
    photo: Photo | Sequence[Photo], suffix: str, name: str, *, quality: int | None = None
) -> bytes:
    """The bytes of a file that holds the photo.

    Where no quality is asked for, all but JPEG and AVIF are lossless, even if what was read was
    lossy. JPEG keeps the quantization tables and the chroma subsampling of the JPEG that was read;
    without one it is of quality 95 and 4:4:4. AVIF is as good as it gets, 4:4:4: grey is exact,
    colours are off by up to 3 of 255. TIFF is deflated, and it alone keeps infrared and several
    pages. A palette, and grey of fewer than 8 bits, come back in PNG, TIFF and BMP. WebP has no
    grey and no DPI; grey comes back as RGB. HEIC and AVIF have no grey with alpha: RGBA.

    Args:
        photo: What to encode, or several: the pages of one TIFF.
        suffix: One of `SUFFIXES`, in upper or lower case: the format.
        name: What error messages call the file.
        quality: 1 to 100: a lossy file of that quality, 4:4:4 from 90 on and 4:2:0 below.

    Raises:
        PhotoError: The suffix is unknown, or the format cannot hold the photo's alpha, depth,
            colour or size, or is lossless and a quality is asked for, or needs a package that is
            not installed. One line that begins with `name`.
        ValueError: The quality is out of range, or there is no photo.
    """
    fitting_format(photo, suffix, name, quality)
    encoder = Encoder(suffix, name, quality=quality)
    for one in [photo] if isinstance(photo, Photo) else photo:
        encoder.add(one)
    return encoder.data()
