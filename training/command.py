"""The command as typed, for cards and tables that say how something was made."""

from __future__ import annotations

import sys
from pathlib import Path


def shell_command(module: str) -> str:
    """`python -m MODULE ...` with paths shortened to their names: what it is in gets published."""
    words = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    return " ".join([f"python -m {module}", *words])
