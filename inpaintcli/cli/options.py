"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def path(text: str) -> Path:
    """A path as typed; an empty one, as of an unset variable, is no name for this folder."""
    if not text:
        raise typer.BadParameter("an empty path: name a file or a folder")
    return Path(text)


Photos = Annotated[
    list[Path],
    typer.Argument(metavar="PHOTO|DIR...", help="Photos, or folders of photos.", parser=path),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object a photo instead of the table.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but errors (and --json).")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist already.")]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Take all photos in folders below too.")
]
InvertMask = Annotated[bool, typer.Option("--invert-mask", help="Black marks damage, not white.")]
FitMask = Annotated[
    bool, typer.Option("--fit-mask", help="Scale a mask of another size to the photo.")
]
GrowMask = Annotated[
    int,
    typer.Option("--grow-mask", min=0, max=1000, metavar="N", help="Widen the mask by N pixels."),
]
