"""What went wrong, in one line that the user can act on."""

from __future__ import annotations

import errno

from PIL import UnidentifiedImageError


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
