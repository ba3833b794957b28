"""Many photos: every one is paired and placed before any work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from inpaintcli import photo
from inpaintcli.errors import InpaintError, PhotoError, UsageError
from inpaintcli.jobs import Job, Outcome, Written
from inpaintcli.pairing import Beside, Found, Pairs, check_outputs, real
from inpaintcli.sources import Masking


@dataclass
class Plan:
    """Every photo of a run: the jobs, those that already failed for want of a partner, and those
    whose results are there; order: all of them as they were found."""

    jobs: list[Job] = field(default_factory=list)
    failures: list[Outcome] = field(default_factory=list)
    skipped: list[Outcome] = field(default_factory=list)
    order: list[Path] = field(default_factory=list)


def plan(
    photos: Sequence[Found],
    beside: Beside,
    place: Callable[[Found], Written],
    *,
    in_place: bool = False,
    overwrite: bool = False,
    skip_existing: bool = False,
    paged: Callable[[Path], bool] = lambda path: False,
) -> Plan:
    """Pair and place every photo before any work.

    beside: what is read beside the photos. place: where the results of a photo go. in_place: the
    restored photos replace what was read. skip_existing: photos whose results are all there are no
    jobs; of those that an interrupted run left half done, what is missing is written, and nothing
    that is there. paged: which photos have several pages that are all worked on.

    Of several photos, one without a partner, or whose `place` raises UsageError, becomes a failure;
    a single one raises UsageError, and so does what would lose a file.
    """
    whole = Plan(order=[found.path for found in photos])
    pairs = Pairs(beside)
    jobs: list[Job] = []
    for found in photos:
        try:
            written = place(found)
            for path in written.paths:
                if not photo.is_photo_name(path):
                    if photo.is_unread_picture(found.path):
                        raise UsageError(
                            f"{found.path}: this format is not read here: convert it to PNG or TIFF"
                        )
                    known = " ".join(sorted(photo.SUFFIXES))
                    raise UsageError(
                        f"{found.path}: no known format: convert it first, or name the result as "
                        f"one of {known} with --format"
                    )
            if (written.mask or written.overlay) and paged(found.path):
                written = written.paged
            jobs.append(Job(found.path, pairs.of(found), written))
        except InpaintError as error:
            # What is wrong about one photo's files is no reason to leave the others.
            if len(photos) == 1:
                raise UsageError(str(error)) from None
            whole.failures.append(Outcome(found.path, "failed", error=str(error)))
    places = [job.written for job in jobs]
    restored = [one.photo for one in places if one.photo]
    shown = [path for one in places for path in (one.mask, one.overlay) if path]
    partners = [path for job in jobs for path in job.beside.paths]
    inputs = [found.path for found in photos] + partners
    anyway = overwrite or skip_existing
    check_outputs(restored, partners if in_place else inputs, overwrite=anyway or in_place)
    check_outputs(shown, inputs, overwrite=anyway, option="--save-mask" if restored else "-o")
    twice = {real(path) for path in restored} & {real(path) for path in shown}
    if twice:
        raise UsageError(
            f"{twice.pop()}: a photo and a mask would be written there: choose another --save-mask"
        )
    for job in jobs:
        if skip_existing:
            missing, paths = job.written.missing, job.written
            if not missing.paths:
                whole.skipped.append(
                    Outcome(job.photo, "skipped", paths.photo, job.mask, paths.overlay)
                )
                continue
            job = replace(job, written=missing)
        whole.jobs.append(job)
    return whole


def has_pages(path: Path, *, infrared: bool) -> bool:
    """Whether a photo is a TIFF of several pages; False also where it cannot be read. infrared: as
    for `photo.pages`."""
    with suppress(PhotoError):
        return photo.format_of(path) == "TIFF" and photo.pages(path, infrared=infrared) > 1
    return False


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
