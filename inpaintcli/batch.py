"""Many photos: plan every one before any work, restore one after the other, lose none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from inpaintcli import mask as masks
from inpaintcli import photo
from inpaintcli.arrays import size
from inpaintcli.errors import ModelError, PhotoError, reason
from inpaintcli.files import write_whole
from inpaintcli.filling import Progress
from inpaintcli.inpainters.base import Inpainter
from inpaintcli.metrics import Scores, score
from inpaintcli.pairing import Found, Partners, check_outputs, restored_path
from inpaintcli.restore import restore

Status = Literal["planned", "restored", "copied", "failed"]


@dataclass(frozen=True)
class Job:
    """One photo to restore: what is read and what is written."""

    photo: Path
    mask: Path
    output: Path
    reference: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one photo.

    damaged: share of damaged pixels, 0 to 1. seconds: from the first byte read to the last
    written. note: one line where there is something to say; error: the reason of a failure.
    """

    photo: Path
    status: Status
    output: Path | None = None
    mask: Path | None = None
    damaged: float | None = None
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
            "damaged": self.damaged,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "scores": self.scores.to_dict() if self.scores else None,
            "note": self.note or None,
            "error": self.error or None,
        }
        return {key: value for key, value in values.items() if value is not None}


@dataclass(frozen=True)
class MaskOptions:
    """How a mask file becomes the mask of a photo; see `inpaintcli.mask`."""

    invert: bool = False
    fit: bool = False
    grow: int = 0


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
    mask: Path,
    *,
    out: Path | None = None,
    out_is_file: bool = False,
    reference: Path | None = None,
    in_place: bool = False,
    overwrite: bool = False,
) -> Plan:
    """Pair and place every photo before any work.

    A photo without a partner becomes a failure; what would lose a file raises UsageError.
    """
    whole = Plan()
    mask_of = Partners(mask, "mask")
    reference_of = Partners(reference, "reference") if reference else None
    for found in photos:
        output = found.path if in_place else restored_path(found, out, out_is_file)
        try:
            job = Job(
                found.path,
                mask_of.of(found),
                output,
                reference_of.of(found) if reference_of else None,
            )
        except PhotoError as error:
            whole.failures.append(Outcome(found.path, "failed", error=str(error)))
        else:
            whole.jobs.append(job)
    partners = [path for job in whole.jobs for path in (job.mask, job.reference) if path]
    outputs = [job.output for job in whole.jobs]
    inputs = [] if in_place else [found.path for found in photos]
    check_outputs(outputs, inputs + partners, overwrite=overwrite or in_place)
    return whole


def left_below(photos: Sequence[Found], mask: Path) -> set[Found]:
    """The photos from folders below for which no folder of masks holds a mask of their own.

    A run that is not recursive leaves them out.
    """
    masks_of = Partners(mask, "mask")
    return {one for one in photos if len(one.name.parts) > 1 and not masks_of.has(one)}


def planned(job: Job) -> Outcome:
    """The outcome of a job that is not run."""
    return Outcome(job.photo, "planned", job.output, job.mask)


def run(
    jobs: Sequence[Job],
    inpainter: Inpainter,
    mask_options: MaskOptions,
    options: RestoreOptions,
    on_start: Callable[[Job], Progress | None],
) -> Iterator[Outcome]:
    """Restore photo after photo; a failure is an outcome and the next photo goes on.

    `on_start` is told of each job and returns who wants to know of its tiles. Raises ModelError
    where the model fails before it has restored any photo: it would fail with all others too.
    """
    model_works = False
    for job in jobs:
        progress = on_start(job)
        try:
            outcome = restore_file(job, inpainter, mask_options, options, progress)
            model_works = model_works or outcome.status == "restored"
        except Exception as error:
            if isinstance(error, ModelError) and not model_works:
                raise
            outcome = Outcome(job.photo, "failed", mask=job.mask, error=reason(job.photo, error))
        yield outcome


def restore_file(
    job: Job,
    inpainter: Inpainter,
    mask_options: MaskOptions,
    options: RestoreOptions,
    progress: Progress | None = None,
) -> Outcome:
    """Restore one file into another; raises an InpaintError and then leaves no output behind."""
    started = time.perf_counter()
    source = photo.read(job.photo)
    check_format(source, job)
    shape = (source.pixels.shape[0], source.pixels.shape[1])
    drawn = masks.read(job.mask, invert=mask_options.invert)
    damaged = masks.adapt(drawn, job.mask, shape, scale=mask_options.fit)
    reference = photo.read(job.reference) if job.reference else None
    if reference and reference.pixels.shape[:2] != shape:
        raise PhotoError(
            f"{job.reference}: the reference is {size(reference.pixels.shape)}, the photo "
            f"{job.photo} is {size(shape)}: give one of the same size"
        )
    if damaged.all():
        raise PhotoError(
            f"{job.mask}: the mask is all white, so nothing of {job.photo} is left to restore "
            f"from: white marks damage (--invert-mask swaps)"
        )
    damaged = masks.grow(damaged, mask_options.grow)
    if damaged.all():
        raise PhotoError(
            f"{job.mask}: grown by {mask_options.grow} px the mask is all white: lower --grow-mask"
        )

    photo.make_folder(job.output.parent)
    status: Status = "restored"
    notes: list[str] = []
    if damaged.any():
        pixels = restore(
            source.pixels,
            damaged,
            inpainter,
            tile=options.tile,
            overlap=options.overlap,
            batch_size=options.batch_size,
            grain=options.grain,
            seed=options.seed,
            progress=progress,
            notes=notes,
        )
        photo.write(replace(source, pixels=pixels), job.output)
        if inpainter.card.eight_bit and source.pixels.dtype.itemsize > 1:
            notes.append(f"{inpainter.card.name} fills with 8 bit of precision")
        if not masks.same_proportions(drawn.shape, shape):
            notes.append(f"the mask was stretched from {size(drawn.shape)} to {size(shape)}")
        if damaged.mean() > 0.5:
            notes.append(f"the mask covers {damaged.mean():.0%} of the photo: --invert-mask swaps")
    else:
        status = "copied"
        notes.append("the mask is empty (nothing is above half): copied through")
        copy(source, job.photo, job.output)
    scores = None
    if reference:
        # Scores are of the bytes written: a lossy format counts.
        scores = score(photo.read(job.output).pixels, reference.pixels, damaged)
    return Outcome(
        job.photo, status, job.output, job.mask, float(damaged.mean()),
        time.perf_counter() - started, scores, "; ".join(notes),
    )  # fmt: skip


def copy(source: photo.Photo, path: Path, output: Path) -> None:
    """Copy a photo as it is, byte for byte unless the output's suffix names another format."""
    if source.format != photo.format_of(output):
        photo.write(source, output)
    elif not (output.exists() and output.samefile(path)):
        try:
            write_whole(output, path.read_bytes())
        except OSError as error:
            why = error.strerror or error
            raise PhotoError(f"{output}: cannot be written: {why}") from None


def check_format(source: photo.Photo, job: Job) -> None:
    """Raise PhotoError, before any work, where the output could not be what it should be."""
    photo.check_fits(source, job.output)
    same_name = job.photo.suffix.lower() == job.output.suffix.lower()
    if same_name and source.format != photo.format_of(job.photo):
        # Nobody asked for another format, and a lossless photo must not become a JPEG unasked.
        raise PhotoError(
            f"{job.photo}: is {source.format} by its content and not by its name: rename it, or "
            f"name the result with -o"
        )
