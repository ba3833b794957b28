"""The progress bars: photos of a run and tiles of those in hand, on stderr, only in a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType

from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from inpaintcli import filling
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
        self._tiles: dict[Path, TaskID] = {}

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

    def photo(self, path: Path) -> filling.Progress:
        """A photo begins; returns who is to be told that so many of so many tiles are filled."""
        task = self._progress.add_task(escape(shown(path.name)), total=None, unit="tiles")
        self._tiles[path] = task

        def tiles(done: int, total: int) -> None:
            self._progress.update(task, completed=done, total=total)

        return tiles

    def photo_done(self, path: Path) -> None:
        """A photo has ended."""
        self._progress.advance(self._photos)
        if path in self._tiles:
            self._progress.remove_task(self._tiles.pop(path))

    def say(self, text: str) -> None:
        """Print one line to stderr, above the bars."""
        self.stderr.print(shown(text), markup=False, emoji=False)
