"""The shell of our HTML pages: one file that loads and runs nothing but what is inside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path


def document(*, title: str, styles: Sequence[str], script: str, body: str) -> str:
    """A whole page, which can be encoded as UTF-8 whatever names and messages it holds.

    styles, script: files beside this module; several styles become one. body: HTML. The page's
    Content-Security-Policy forbids the browser to load or run anything else.
    """
    style = "".join(map(_beside, styles))
    code = _beside(script)
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(code)}'; base-uri 'none'; form-action 'none'"
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{text(title)}</title>
<style>{style}</style>
<script>{code}</script>
</head>
<body>
{body}
</body>
</html>
"""


def text(value: str) -> str:
    """Any text as one line of HTML, in an element or a quoted attribute, as `report.shown` does.

    Bytes of names that are not UTF-8 arrive as lone surrogates and become U+FFFD; what is not
    printable, line breaks and marks that turn the direction of writing included, is spelt out.
    """
    valid = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return escape("".join(c if c.isprintable() else repr(c)[1:-1] for c in valid))


def made_by(made: datetime) -> str:
    """That and when we made the page."""
    spoken = f"{made:%Y-%m-%d}, {made:%H:%M}"
    return f'Made by inpaint on <time datetime="{made.isoformat()}">{spoken}</time>'


def jpeg(data: bytes) -> str:
    """A JPEG file as an address."""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


def _digest(content: str) -> str:
    """What the policy calls the one style, or script, that may be used."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
