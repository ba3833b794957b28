"""What went wrong, and what to do about it, in one line."""

from __future__ import annotations

import errno

from PIL import UnidentifiedImageError

#: What is left to do where a file is broken.
AGAIN = "copy or scan it again"


def advised(text: str) -> str:
    """What is wrong with a file's content, and after a colon what to do about it.

    A format that does not say the latter has found the file broken.
    """
    return text if ": " in text else f"{text}: {AGAIN}"


def unread(error: OSError) -> str:
    """Why a file cannot be read, without its name."""
    match error.errno:
        case errno.ENOENT | errno.EISDIR:
            return reason(error)
        case errno.EACCES | errno.EPERM:
            return "no permission to read it: make it readable"
        case errno.ELOOP:
            return "a link that goes in a circle: remove it"
    return advised(reason(error))


def unwritten(error: OSError) -> str:
    """Why a file or a folder cannot be written, without its name."""
    return f"cannot be written: {reason(error, 'no such folder')}: choose another place"


def reason(error: Exception, missing: str = "no such file") -> str:
    """The line, without a file's name. `missing`: what it says where there is no such path."""
    match error:
        case MemoryError():
            return "not enough memory"
        case UnidentifiedImageError():
            return "no known format, or cut short"
        case OSError(errno=errno.ENOENT):
            return missing
        case OSError(errno=errno.EISDIR):
            return "a folder, not a file"
        case OSError(errno=errno.EACCES):
            return "no permission"
        case OSError(strerror=str(text)):
            return text.lower()
        case AssertionError() | AttributeError() | LookupError() | TypeError():
            return "its parts do not fit together"  # What the codec stumbled over tells nothing.
    return " ".join(str(error).split()) or type(error).__name__
