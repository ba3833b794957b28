"""Photoshop's image resources, of which IPTC is one, as JPEG and TIFF carry them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_IPTC = 0x0404
#: Thumbnails of the damaged picture, in two orders of colours.
_THUMBNAILS = (0x0409, 0x040C)


def kept(resources: bytes) -> bytes:
    """The resources without thumbnails; what cannot be parsed is left out."""
    return b"".join(block for kind, block, _ in _blocks(resources) if kind not in _THUMBNAILS)


def iptc(resources: bytes) -> bytes:
    """The IPTC records among the resources; empty if there are none."""
    return next((body for kind, _, body in _blocks(resources) if kind == _IPTC), b"")


def with_iptc(resources: bytes, records: bytes) -> bytes:
    """The resources, and IPTC records among them: theirs, if they have any, else `records`."""
    if not records or iptc(resources):
        return resources
    head = b"8BIM" + struct.pack(">HHI", _IPTC, 0, len(records))
    return head + records + b"\0" * (len(records) % 2) + resources


def _blocks(resources: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each resource as its number, the whole of it, and its body, until one is broken."""
    at = 0
    while resources[at : at + 4] == b"8BIM" and at + 12 <= len(resources):
        (kind,) = struct.unpack_from(">H", resources, at + 4)
        start = at + 6 + (resources[at + 6] + 2) // 2 * 2  # A name, padded to even.
        if start + 4 > len(resources):
            return
        (length,) = struct.unpack_from(">I", resources, start)
        body = resources[start + 4 : start + 4 + length]
        if len(body) < length:
            return
        end = start + 4 + length + length % 2
        yield kind, resources[at:end].ljust(end - at, b"\0"), body
        at = end
