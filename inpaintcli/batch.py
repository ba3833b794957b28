"""Many photos: plan every one before any work, restore one after the other, lose none."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from inpaintcli import mask as masks
from inpaintcli import photo
from inpaintcli.errors import InpaintError, ModelError, PhotoError
from inpaintcli.filling import Progress
from inpaintcli.inpainters.base import Inpainter
from inpaintcli.metrics import Scores, score, size
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
    reference: Path | None = None,
    in_place: bool = False,
    overwrite: bool = False,
) -> Plan:
    """Pair and place every photo before any work.

    `out` names a file only where `photos` is one file. A photo without a partner becomes a
    failure; what would lose a file raises UsageError.
    """
    whole = Plan()
    mask_of = Partners(mask, "mask")
    reference_of = Partners(reference, "reference") if reference else None
    for found in photos:
        output = found.path if in_place else restored_path(found, out, len(photos) == 1)
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

    `on_start` is told of each job and returns who wants to know of its tiles. Raises ModelError,
    which would meet every further photo too.
    """
    for job in jobs:
        progress = on_start(job)
        try:
            yield restore_file(job, inpainter, mask_options, options, progress)
        except ModelError:
            raise
        except InpaintError as error:
            yield Outcome(job.photo, "failed", mask=job.mask, error=str(error))
        except MemoryError:
            reason = f"{job.photo}: not enough memory for it"
            yield Outcome(job.photo, "failed", mask=job.mask, error=reason)
        except Exception as error:
            # A fault of ours must cost one photo, not the rest of an archive.
            reason = f"{job.photo}: failed unexpectedly: {type(error).__name__}: {error}"
            yield Outcome(job.photo, "failed", mask=job.mask, error=reason)


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
    shape = (source.pixels.shape[0], source.pixels.shape[1])
    damaged = masks.read_for(job.mask, shape, invert=mask_options.invert, scale=mask_options.fit)
    damaged = masks.grow(damaged, mask_options.grow)
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

    photo.make_folder(job.output.parent)
    status: Status = "restored"
    note = ""
    if damaged.any():
        pixels = restore(
            source.pixels,
            damaged,
            inpainter,
            tile=options.tile,
            overlap=options.overlap,
            batch_size=options.batch_size,
            progress=progress,
        )
        photo.write(replace(source, pixels=pixels), job.output)
        if inpainter.card.eight_bit and source.pixels.dtype.itemsize > 1:
            note = f"{inpainter.card.name} computes in 8 bit: filled pixels have that precision"
    else:
        status, note = "copied", "the mask is empty: copied through"
        copy(source, job.photo, job.output)
    scores = None
    if reference:
        # Scores are of the bytes written: a lossy format counts.
        scores = score(photo.read(job.output).pixels, reference.pixels, damaged)
    return Outcome(
        job.photo, status, job.output, job.mask, float(damaged.mean()),
        time.perf_counter() - started, scores, note,
    )  # fmt: skip


def copy(source: photo.Photo, path: Path, output: Path) -> None:
    """Copy a photo as it is, byte for byte unless the output's suffix asks for another format."""
    if path.suffix.lower() != output.suffix.lower():
        photo.write(source, output)
        return
    if output.exists() and output.samefile(path):
        return
    temporary = output.with_name(f".{output.name}.copy.part")
    try:
        shutil.copyfile(path, temporary)
        temporary.replace(output)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise PhotoError(f"{output}: cannot be written: {error.strerror}") from None
