"""One photo of a run: what is read and written of it, what is done to it, what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from inpaintcli import photo
from inpaintcli.filling import Progress
from inpaintcli.metrics import Scores
from inpaintcli.pairing import Beside
from inpaintcli.sources import SourceName

Status = Literal["planned", "restored", "copied", "detected", "skipped", "failed"]


@dataclass(frozen=True)
class Written:
    """What is written of a photo: itself restored, its mask, the mask tinted over it."""

    photo: Path | None = None
    mask: Path | None = None
    overlay: Path | None = None

    @property
    def paths(self) -> list[Path]:
        """All of it, in the order in which it is written."""
        return [path for path in (self.photo, self.overlay, self.mask) if path]

    @property
    def missing(self) -> Written:
        """What of it is not there."""
        names = ("photo", "mask", "overlay")
        there = [name for name in names if (path := getattr(self, name)) and path.exists()]
        return replace(self, **dict.fromkeys(there))

    @property
    def paged(self) -> Written:
        """The same for a photo of several pages: its mask and overlay are TIFFs."""
        shown = {name: getattr(self, name) for name in ("mask", "overlay")}
        tiffs = {name: path.with_suffix(".tif") for name, path in shown.items() if path}
        return replace(
            self, **{n: p for n, p in tiffs.items() if photo.format_of(shown[n]) != "TIFF"}
        )


@dataclass(frozen=True)
class Job:
    """One photo: what is read and what is written. pictured: its outcome has pictures."""

    photo: Path
    beside: Beside
    written: Written
    pictured: bool = False

    @property
    def mask(self) -> Path | None:
        """The file that holds the mask in the end: as it is written, else as it was given."""
        return self.written.mask or self.beside.mask


@dataclass(frozen=True)
class Outcome:
    """What became of one photo.

    output: the restored photo; mask: the file that holds its mask, if one does; mask_source: where
    the mask came from. damaged: share of damaged pixels, 0 to 1, in so many regions. seconds: from
    the first byte read to the last written. note: one line where there is something to say; error:
    the reason of a failure. before, after: small JPEG files of the photo, where they are asked for.
    """

    photo: Path
    status: Status
    output: Path | None = None
    mask: Path | None = None
    overlay: Path | None = None
    mask_source: SourceName | None = None
    damaged: float | None = None
    regions: int | None = None
    seconds: float | None = None
    scores: Scores | None = None
    note: str = ""
    error: str = ""
    before: bytes | None = field(default=None, repr=False)
    after: bytes | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The outcome for JSON: paths as text, nothing that is not known."""
        values = {
            "photo": str(self.photo),
            "status": self.status,
            "output": str(self.output) if self.output else None,
            "mask": str(self.mask) if self.mask else None,
            "overlay": str(self.overlay) if self.overlay else None,
            "mask_source": self.mask_source,
            "damaged": self.damaged,
            "regions": self.regions,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "scores": self.scores.to_dict() if self.scores else None,
            "note": self.note or None,
            "error": self.error or None,
        }
        return {key: value for key, value in values.items() if value is not None}


@dataclass(frozen=True)
class Work:
    """What is done to a photo, with all that it needs loaded.

    do: raises InpaintError. devices: where its networks run, "cpu" or "cuda"; empty without any.
    """

    do: Callable[[Job, Progress | None], Outcome]
    devices: frozenset[str] = frozenset()


class Recipe(Protocol):
    """What is done to every photo of a run, as plain values: it can be pickled."""

    @property
    def device(self) -> str:
        """Where its networks run, see `inpaintcli.runtime.Session`."""
        ...

    @property
    def has_networks(self) -> bool:
        """Whether it runs networks; all else runs on the CPU, whatever the device."""
        ...

    def on(self, device: str) -> Recipe:
        """The same on another device."""
        ...

    def load(self, threads: int | None) -> Work:
        """Load what the work needs. Raises ModelError where that cannot be used, UsageError where
        the options do not fit it."""
        ...
