"""Photo: pixels, metadata and format. Nothing else opens image files.

One module a format (`png`, `jpeg`, `tiff`, ...), each with what it reads and what it writes;
`codec` picks the one, `disk` has the files. Pillow decodes and encodes what has 8 bits per channel.
It cannot hold 16-bit colour, so tifffile and OpenCV decode that of TIFF. What is simple enough is
put together here (PNG, BMP, PNM, TIFF as it is written), so that every depth, palette and number of
channels keeps its metadata.
"""

from inpaintcli.photo.codec import Encoder, File, decode, encode
from inpaintcli.photo.disk import (
    make_folder,
    opened,
    pages,
    read,
    read_with_infrared,
    write,
    write_bytes,
)
from inpaintcli.photo.formats import (
    SUFFIXES,
    check_fits,
    format_of,
    is_photo_name,
    is_unread_picture,
)
from inpaintcli.photo.orientation import stored
from inpaintcli.photo.picture import MAX_PIXELS, Metadata, Photo

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "Encoder",
    "File",
    "Metadata",
    "Photo",
    "check_fits",
    "decode",
    "encode",
    "format_of",
    "is_photo_name",
    "is_unread_picture",
    "make_folder",
    "opened",
    "pages",
    "read",
    "read_with_infrared",
    "stored",
    "write",
    "write_bytes",
]
