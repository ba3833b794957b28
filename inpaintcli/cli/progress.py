"""The progress bars: photos of a run and tiles of a photo, on stderr, only in a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inpaintcli.report import console, shown


class Bars:
    """A context in which the bars are shown; messages go above them."""

    def __init__(self, photos: int, *, quiet: bool):
        self.stderr = console(sys.stderr)
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"), TimeRemainingColumn(),
            console=self.stderr, transient=True, disable=quiet or not sys.stderr.isatty(),
        )  # fmt: skip
        self._photos = self._progress.add_task(
            "photos", total=photos, unit="photos", visible=photos > 1
        )
        self._tiles = self._progress.add_task("", total=None, unit="tiles")

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def photo(self, path: Path) -> None:
        """A photo begins."""
        self._progress.reset(
            self._tiles, total=None, description=escape(shown(path.name)), unit="tiles"
        )

    def tiles(self, done: int, total: int) -> None:
        """`done` of the `total` tiles of the photo are filled."""
        self._progress.update(self._tiles, completed=done, total=total)

    def photo_done(self) -> None:
        """A photo has ended."""
        self._progress.advance(self._photos)

    def say(self, text: str) -> None:
        """Print one line to stderr, above the bars."""
        self.stderr.print(shown(text), markup=False, emoji=False)
