"""The command as typed, for cards and tables that say how something was made."""

from __future__ import annotations

import re
import shlex
import sys


def shell_command(module: str) -> str:
    """`python -m MODULE ...` with paths shortened to their names: what it is in gets published."""
    words = [re.sub(r"^(--[\w-]+=)?(?:.*/)(?=[^/])", r"\1", word) for word in sys.argv[1:]]
    return shlex.join(["python", "-m", module, *words])
