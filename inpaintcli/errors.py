"""Everything that can go wrong, in one family; each error knows its exit code.

An error's text is one line that names the file, says what is wrong and what to do about it.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """What the command's exit status says."""

    DONE = 0
    #: At least one photo failed; the rest is done.
    PHOTO_FAILED = 1
    #: A wrong call, known before any work.
    USAGE = 2
    #: The model or the device cannot be used.
    MODEL = 3
    INTERRUPTED = 130


def reason(path: Path, error: Exception) -> str:
    """Why a photo failed, in one line; a fault of ours costs one photo, not the archive's rest."""
    if isinstance(error, InpaintError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"{path}: not enough memory for it: try fewer --workers"
    what = " ".join(str(error).split()) or "no reason given"
    return f"{path}: failed unexpectedly: {type(error).__name__}: {what}"


class InpaintError(Exception):
    """The base of all errors that a user can cause or mend."""

    exit_code = ExitCode.PHOTO_FAILED


class PhotoError(InpaintError):
    """One photo, mask or reference cannot be read, paired or written; others may be."""


class UsageError(InpaintError):
    """The call itself is wrong: an option, a missing path, an unknown model."""

    exit_code = ExitCode.USAGE


class ModelError(InpaintError):
    """A model file or the device it should run on cannot be used."""

    exit_code = ExitCode.MODEL


class GpuMemoryError(ModelError):
    """A GPU has too little memory left for what it was given; smaller batches may fit."""
