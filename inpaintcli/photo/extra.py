"""Packages that not every installation has."""

from __future__ import annotations

import importlib
from typing import Any

from inpaintcli.errors import PhotoError


def package(name: str, format: str) -> Any:
    """The module of this name; raises PhotoError, which says how to get it, if it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PhotoError(
            f"{format} needs a further package: pip install 'inpaintcli[formats]'"
        ) from error
