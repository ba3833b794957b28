"""Photos in files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from inpaintcli.arrays import Pixels
from inpaintcli.errors import PhotoError
from inpaintcli.files import write_whole
from inpaintcli.photo.codec import File, count_pages, encode
from inpaintcli.photo.picture import MAX_PIXELS, Photo
from inpaintcli.photo.problems import unread, unwritten


def opened(path: Path) -> File:
    """A file that is read now, and only once whatever is decoded of it.

    `read`, `pages` and `read_with_infrared` take it in place of its path.

    Raises:
        PhotoError: There is no such file, or it cannot be opened.
    """
    with _open(path) as file:
        return File(file.read(), str(path))


def read(path: Path | File, *, max_pixels: int = MAX_PIXELS, page: int | None = None) -> Photo:
    """Read a photo; its content, not its suffix, tells the format.

    A film scanner's infrared in a TIFF goes into the metadata, as `read_with_infrared` says, but
    for a sample that is called alpha: that is taken for alpha.

    Args:
        path: The file, or what `opened` has made of it.
        max_pixels: More pixels are refused before they are decoded.
        page: Which of the file's `pages`, from 0; where it is None there must be but one.

    Raises:
        PhotoError: There is no such file, or it cannot be opened, or see `decode`.
    """
    return _file(path).decode(max_pixels=max_pixels, page=page)


def pages(path: Path | File, *, infrared: bool = False) -> int:
    """How many pages a TIFF has; any other file has one.

    Thumbnails do not count, and a photo in colour and its infrared are one page. Nothing is
    decoded, and of a file that is not `opened` no more is read than tells its pages.

    Args:
        path: As for `read`.
        infrared: So are a grey photo and its infrared, which else are two.

    Raises:
        PhotoError: There is no such file, or it cannot be opened, or is a broken TIFF.
    """
    if isinstance(path, File):
        return path.pages(infrared)
    with _open(path) as file:
        return count_pages(file, str(path), infrared)


def read_with_infrared(
    path: Path | File, *, max_pixels: int = MAX_PIXELS, page: int | None = None
) -> tuple[Photo, Pixels]:
    """Read a film scanner's TIFF: the photo, grey or RGB, and its infrared channel.

    Infrared is the one extra sample of each pixel, as VueScan writes it, be it called alpha or
    not, unless it is called so and looks like it; or the one other page (or sub-image) of the same
    size, grey, as SilverFast does. Of a photo with both, it is the sample. Thumbnails are passed
    over.

    Returns the photo as `read` would without the infrared, and the infrared, upright as the photo
    is, (height, width), uint8 or uint16, read-only. The photo's metadata hold it too, so that
    `write` puts it into a TIFF in the way in which it came; other formats have no room for it.

    Args:
        path: As for `read`.
        max_pixels: As for `read`.
        page: As for `read`.

    Raises:
        PhotoError: The file cannot be read, is no TIFF, has no infrared or in another size.
    """
    photo = _file(path).decode_infrared(max_pixels=max_pixels, page=page)
    infrared = photo.metadata.infrared
    assert infrared is not None
    return photo, infrared


def _file(path: Path | File) -> File:
    return path if isinstance(path, File) else opened(path)


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """The open file; raises PhotoError where it cannot be opened or read."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise PhotoError(f"{path}: not a regular file: give a photo that is one")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise PhotoError(f"{path}: {unread(error)}") from error


def write(photo: Photo | Sequence[Photo], path: Path, *, quality: int | None = None) -> None:
    """Write a photo in the format that the path's suffix names: the whole file or none.

    An older file of that name stays until the new one is complete, and if writing fails; see
    `write_whole` for its mode and for links.

    Args:
        photo: One, or several: the pages of one TIFF.
        path: Where it is to go.
        quality: As `encode` takes it.

    Raises:
        PhotoError: The path cannot be written to, or see `encode`.
    """
    write_bytes(encode(photo, path.suffix, str(path), quality=quality), path)


def write_bytes(data: bytes, path: Path) -> None:
    """Write what is encoded already, as `write` does.

    Raises:
        PhotoError: The path cannot be written to.
    """
    try:
        write_whole(path, data)
    except OSError as error:
        raise PhotoError(f"{path}: {unwritten(error)}") from error


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises:
        PhotoError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(f"{folder}: {unwritten(error)}") from error
