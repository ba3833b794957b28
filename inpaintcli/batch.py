"""Many photos: plan every one before any work, restore one after the other, lose none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from inpaintcli import mask as masks
from inpaintcli import photo
from inpaintcli.arrays import Mask, size
from inpaintcli.errors import ModelError, PhotoError, UsageError, reason
from inpaintcli.files import write_whole
from inpaintcli.filling import Progress
from inpaintcli.inpainters.base import Inpainter
from inpaintcli.metrics import Scores, score
from inpaintcli.pairing import Beside, Found, Pairs, check_outputs
from inpaintcli.photo import Photo
from inpaintcli.restore import restore
from inpaintcli.sources import Damage, Masking, SourceName

Status = Literal["planned", "restored", "copied", "detected", "failed"]


@dataclass(frozen=True)
class Written:
    """What is written of a photo: itself restored, its mask, the mask tinted over it."""

    photo: Path | None = None
    mask: Path | None = None
    overlay: Path | None = None


@dataclass(frozen=True)
class Job:
    """One photo: what is read and what is written."""

    photo: Path
    beside: Beside
    written: Written

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
    the reason of a failure.
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
class RestoreOptions:
    """How the inpainter is run; see `inpaintcli.restore.restore`."""

    tile: int | None = None
    overlap: int | None = None
    batch_size: int | None = None
    grain: str = "auto"
    seed: int = 0


@dataclass
class Plan:
    """Every photo of a run: the jobs, and those that already failed for want of a partner."""

    jobs: list[Job] = field(default_factory=list)
    failures: list[Outcome] = field(default_factory=list)


def plan(
    photos: Sequence[Found],
    beside: Beside,
    place: Callable[[Found], Written],
    *,
    in_place: bool = False,
    overwrite: bool = False,
) -> Plan:
    """Pair and place every photo before any work.

    beside: what is read beside the photos. place: where the results of a photo go. in_place: the
    restored photos replace what was read.

    A photo without a partner becomes a failure; what would lose a file raises UsageError.
    """
    whole = Plan()
    pairs = Pairs(beside)
    for found in photos:
        try:
            whole.jobs.append(Job(found.path, pairs.of(found), place(found)))
        except PhotoError as error:
            whole.failures.append(Outcome(found.path, "failed", error=str(error)))
    written = [job.written for job in whole.jobs]
    restored = [one.photo for one in written if one.photo]
    shown = [path for one in written for path in (one.mask, one.overlay) if path]
    partners = [path for job in whole.jobs for path in job.beside.paths]
    inputs = [found.path for found in photos] + partners
    check_outputs(restored, partners if in_place else inputs, overwrite=overwrite or in_place)
    check_outputs(shown, inputs, overwrite=overwrite, option="--save-mask" if restored else "-o")
    twice = {path.resolve() for path in restored} & {path.resolve() for path in shown}
    if twice:
        raise UsageError(
            f"{twice.pop()}: a photo and a mask would be written there: choose another --save-mask"
        )
    return whole


def left_below(photos: Sequence[Found], beside: Beside) -> set[Found]:
    """The photos from folders below for which no folder of masks, or of infrared pictures, holds
    one of their own.

    A run that is not recursive leaves them out.
    """
    pairs = Pairs(beside)
    return {one for one in photos if len(one.name.parts) > 1 and not pairs.has_own(one)}


def planned(job: Job, masking: Masking) -> Outcome:
    """The outcome of a job that is not run."""
    written = job.written
    return Outcome(
        job.photo, "planned", written.photo, job.mask, written.overlay, masking.source.name
    )


def run(
    jobs: Sequence[Job],
    work: Callable[[Job, Progress | None], Outcome],
    on_start: Callable[[Job], Progress | None],
) -> Iterator[Outcome]:
    """Work on photo after photo; a failure is an outcome and the next photo goes on.

    `on_start` is told of each job and returns who wants to know of its tiles. Raises ModelError
    where a model fails before any photo is done, by whatever way (copied through counts): it would
    fail with all others too.
    """
    any_done = False
    for job in jobs:
        progress = on_start(job)
        try:
            outcome = work(job, progress)
            any_done = True
        except Exception as error:
            if isinstance(error, ModelError) and not any_done:
                raise
            given = job.beside.mask
            outcome = Outcome(job.photo, "failed", mask=given, error=reason(job.photo, error))
        yield outcome


def restore_file(
    job: Job,
    masking: Masking,
    inpainter: Inpainter,
    options: RestoreOptions,
    progress: Progress | None = None,
) -> Outcome:
    """Restore one file into another; raises an InpaintError and then leaves no output behind.

    The photo is written before its mask and overlay: where one of these fails, the photo stays.
    """
    started = time.perf_counter()
    output = job.written.photo
    assert output
    source, find = masking.open(job.photo, job.beside)
    check_format(source, job.photo, output)
    shape = (source.height, source.width)
    reference = photo.read(job.beside.reference) if job.beside.reference else None
    if reference and reference.pixels.shape[:2] != shape:
        raise PhotoError(
            f"{job.beside.reference}: the reference is {size(reference.pixels.shape)}, the photo "
            f"{job.photo} is {size(shape)}: give one of the same size"
        )
    damage = find(progress)
    if damage.doubt:
        raise PhotoError(
            f"{job.photo}: {damage.doubt}; give --mask, or leave --infrared and let it be found"
        )

    photo.make_folder(output.parent)
    status: Status = "restored"
    notes = list(damage.notes)
    if damage.mask.any():
        pixels = restore(
            source.pixels,
            damage.mask,
            inpainter,
            tile=options.tile,
            overlap=options.overlap,
            batch_size=options.batch_size,
            grain=options.grain,
            seed=options.seed,
            progress=progress,
            notes=notes,
        )
        photo.write(replace(source, pixels=pixels), output)
        if inpainter.card.eight_bit and source.pixels.dtype.itemsize > 1:
            notes.append(f"{inpainter.card.name} fills with 8 bit of precision")
    else:
        status = "copied"
        notes.append(f"{damage.empty}: copied through")
        copy(source, job.photo, output)
    _show(source, damage.mask, job.written)
    scores = None
    if reference:
        # Scores are of the bytes written: a lossy format counts.
        scores = score(photo.read(output).pixels, reference.pixels, damage.mask)
    done = _outcome(job, masking, status, damage, notes, started)
    return replace(done, output=output, scores=scores)


def detect_file(job: Job, masking: Masking, progress: Progress | None = None) -> Outcome:
    """Write the mask of one photo; raises an InpaintError and then leaves no mask behind."""
    started = time.perf_counter()
    source, find = masking.open(job.photo, job.beside)
    damage = find(progress)
    notes = list(damage.notes)
    if damage.doubt:
        notes.append(f"{damage.doubt}; look at the mask")
    if not damage.mask.any():
        notes.append(f"{damage.empty}: the mask is black")
    _show(source, damage.mask, job.written)
    return _outcome(job, masking, "detected", damage, notes, started)


def _show(source: Photo, mask: Mask, written: Written) -> None:
    """Write the mask, and the photo with the mask over it, where they are asked for."""
    for path in (written.mask, written.overlay):
        if path:
            photo.make_folder(path.parent)
    if written.overlay:
        photo.write(Photo(masks.overlay(source.pixels, mask)), written.overlay)
    if written.mask:
        masks.write(mask, written.mask)


def _outcome(
    job: Job, masking: Masking, status: Status, damage: Damage, notes: list[str], started: float
) -> Outcome:
    return Outcome(
        job.photo,
        status,
        mask=job.mask,
        overlay=job.written.overlay,
        mask_source=masking.source.name,
        damaged=float(damage.mask.mean()),
        regions=masks.count_regions(damage.mask),
        seconds=time.perf_counter() - started,
        note="; ".join(notes),
    )


def copy(source: Photo, path: Path, output: Path) -> None:
    """Copy a photo as it is, byte for byte unless the output's suffix names another format."""
    if source.format != photo.format_of(output):
        photo.write(source, output)
    elif not (output.exists() and output.samefile(path)):
        try:
            write_whole(output, path.read_bytes())
        except OSError as error:
            why = error.strerror or error
            raise PhotoError(f"{output}: cannot be written: {why}") from None


def check_format(source: Photo, path: Path, output: Path) -> None:
    """Raise PhotoError, before any work, where the output could not be what it should be."""
    photo.check_fits(source, output)
    same_name = path.suffix.lower() == output.suffix.lower()
    if same_name and source.format != photo.format_of(path):
        # Nobody asked for another format, and a lossless photo must not become a JPEG unasked.
        raise PhotoError(
            f"{path}: is {source.format} by its content and not by its name: rename it, or "
            f"name the result with -o"
        )
