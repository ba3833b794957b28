"""JPEG."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from PIL import JpegImagePlugin

from inpaintcli.errors import PhotoError
from inpaintcli.photo import iptc, pillow
from inpaintcli.photo.picture import Photo

#: A marker that is not stuffing, a restart or fill.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_APP13, _COMMENT, _END = 0xED, 0xFE, 0xD9
_PHOTOSHOP = b"Photoshop 3.0\0"
#: The longest body of a segment, and the longest EXIF or XMP block that fits one.
_SEGMENT, _BLOCK = 65533, 65504


def decode(data: bytes, limit: int) -> Photo:
    """The photo; what follows its end, such as an MPO's other pictures, is passed over."""
    image = pillow.opened(data, "JPEG", limit)
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    segments = list(_segments(data))
    if segments[-1:] != [(_END, b"")]:
        raise PhotoError("a JPEG that is cut short")
    photoshop = (
        body.removeprefix(_PHOTOSHOP)
        for kind, body in segments
        if kind == _APP13 and body.startswith(_PHOTOSHOP)
    )
    metadata = pillow.metadata(
        image,
        photoshop=iptc.kept(b"".join(photoshop)),
        comments=tuple(body for kind, body in segments if kind == _COMMENT),
        jpeg_tables=dict(image.quantization),
        jpeg_subsampling=max(0, JpegImagePlugin.get_sampling(image)),
    )
    return pillow.photo(pillow.shallow(image), "JPEG", metadata)


def encode(photo: Photo, quality: int | None) -> bytes:
    """Of this quality, or with the tables of the JPEG that was read, or of quality 95."""
    meta = photo.metadata
    options: dict[str, Any] = {"quality": 95, "subsampling": 0}
    if quality is not None:
        options = {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
    elif meta.jpeg_tables is not None:
        options = {"qtables": dict(meta.jpeg_tables), "subsampling": meta.jpeg_subsampling}
    part = _SEGMENT - len(_PHOTOSHOP)
    parts = (meta.photoshop[at : at + part] for at in range(0, len(meta.photoshop), part))
    extra = b"".join(
        [
            *(_segment(_APP13, _PHOTOSHOP + part) for part in parts),
            *(_segment(_COMMENT, comment[:_SEGMENT]) for comment in meta.comments),
        ]
    )
    return pillow.saved(
        photo.pixels,
        "JPEG",
        **options,
        extra=extra,
        dpi=meta.dpi or (0, 0),
        icc_profile=meta.icc_profile,
        exif=meta.exif if len(meta.exif) <= _BLOCK else b"",
        xmp=meta.xmp if len(meta.xmp) <= _BLOCK else b"",
    )


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each marker and its body up to the end of the picture, which is the last if it is there.

    Much may follow it, such as a phone's video.
    """
    at = 2
    while found := _MARKER.search(data, at):
        at = found.end()
        kind = data[at - 1]
        if kind == _END:
            yield kind, b""
            return
        end = at + int.from_bytes(data[at : at + 2], "big")
        yield kind, data[at + 2 : end]
        at = end


def _segment(kind: int, body: bytes) -> bytes:
    return bytes((0xFF, kind)) + (len(body) + 2).to_bytes(2, "big") + body
