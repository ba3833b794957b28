"""Many photos: plan every one before any work, restore one after the other, lose none."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from inpaintcli import jpeg_blocks, metrics, photo, sheet
from inpaintcli import mask as masks
from inpaintcli.arrays import Mask, Pixels, size
from inpaintcli.errors import InpaintError, ModelError, PhotoError, UsageError, reason
from inpaintcli.files import write_whole
from inpaintcli.filling import Progress
from inpaintcli.inpainters.base import Inpainter
from inpaintcli.inpainters.registry import load_model
from inpaintcli.metrics import Scores, score
from inpaintcli.pairing import Beside, Found, Pairs, check_outputs, real
from inpaintcli.photo import Photo
from inpaintcli.restore import restore, tiles_of
from inpaintcli.sources import Damage, Masking, Page, SourceName

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
class RestoreOptions:
    """How the inpainter is run; see `inpaintcli.restore.restore`."""

    tile: int | None = None
    overlap: int | None = None
    batch_size: int | None = None
    grain: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class FileOptions:
    """How files are read and written, whatever is done to the photos.

    quality: 1 to 100, of lossy formats. page: from 1, the only one of a file that is worked on.
    preserve_times: what is written gets the photo's times. max_pixels: a photo or a mask of more is
    refused. overwrite: what exists is replaced.
    """

    quality: int | None = None
    page: int | None = None
    preserve_times: bool = False
    max_pixels: int = photo.MAX_PIXELS
    overwrite: bool = False


#: What is done to a photo; raises InpaintError.
Work = Callable[[Job, Progress | None], Outcome]


class Recipe(Protocol):
    """What is done to every photo of a run, as plain values: it can be pickled."""

    def load(self, threads: int | None) -> Work:
        """Load what the work needs. Raises ModelError where that cannot be used, UsageError where
        the options do not fit it."""
        ...


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

    A photo without a partner becomes a failure, and of several also one whose `place` raises
    UsageError; what would lose a file raises UsageError.
    """
    whole = Plan(order=[found.path for found in photos])
    pairs = Pairs(beside)
    jobs: list[Job] = []
    for found in photos:
        try:
            written = place(found)
            for path in written.paths:
                if not photo.is_photo_name(path):
                    known = " ".join(sorted(photo.SUFFIXES))
                    raise UsageError(
                        f"{found.path}: no known format: convert it first, or name the result as "
                        f"one of {known} with --format"
                    )
            if (written.mask or written.overlay) and paged(found.path):
                written = written.paged
            jobs.append(Job(found.path, pairs.of(found), written))
        except InpaintError as error:
            # What is wrong about one photo's place is no reason to leave the others.
            if isinstance(error, UsageError) and len(photos) == 1:
                raise
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


def run(
    jobs: Sequence[Job],
    work: Work,
    on_start: Callable[[Job], Progress | None],
    check: Callable[[], None] = lambda: None,
) -> Iterator[Outcome]:
    """Work on photo after photo; a failure is an outcome and the next photo goes on.

    `on_start` is told of each job and returns who wants to know of its tiles. `check` is called
    before each photo and after each batch of tiles, and raises KeyboardInterrupt to end the run.
    Raises ModelError where a model fails before any photo is done, by whatever way (copied through
    counts): it would fail with all others too.
    """
    any_done = False
    for job in jobs:
        check()
        try:
            outcome = attempt(job, work, stoppable(check, on_start(job)))
        except ModelError as error:
            if not any_done:
                raise
            outcome = failed(job, str(error))
        any_done = any_done or not outcome.error
        yield outcome


def stoppable(check: Callable[[], None], progress: Progress | None) -> Progress:
    """A progress that also checks, batch by batch of tiles, whether to go on."""

    def report(done: int, total: int) -> None:
        check()
        if progress:
            progress(done, total)

    return report


def attempt(job: Job, work: Work, progress: Progress | None) -> Outcome:
    """Work on a photo; whatever fails is an outcome, but for ModelError, which is raised."""
    try:
        return work(job, progress)
    except ModelError:
        raise
    except Exception as error:
        return failed(job, reason(job.photo, error))


def failed(job: Job, why: str) -> Outcome:
    """The outcome of a job that failed."""
    return Outcome(job.photo, "failed", mask=job.beside.mask, error=why)


@dataclass(frozen=True)
class Restoring:
    """The recipe of `inpaint restore`."""

    model: str
    device: str
    masking: Masking
    how: RestoreOptions = RestoreOptions()
    files: FileOptions = FileOptions()

    def load(self, threads: int | None) -> Work:
        """See `Recipe`."""
        inpainter = load_model(self.model, device=self.device, threads=threads)
        tiles_of(inpainter.card, self.how.tile, self.how.overlap, self.how.batch_size)
        masking = self.masking.load(self.device, threads)

        def work(job: Job, progress: Progress | None) -> Outcome:
            if not job.written.photo:  # It is there, and its mask is not.
                return detect_file(job, masking, self.files, progress)
            return restore_file(job, masking, inpainter, self.how, self.files, progress)

        return work


@dataclass(frozen=True)
class Detecting:
    """The recipe of `inpaint detect`."""

    device: str
    masking: Masking
    files: FileOptions = FileOptions()

    def load(self, threads: int | None) -> Work:
        """See `Recipe`."""
        masking = self.masking.load(self.device, threads)

        def work(job: Job, progress: Progress | None) -> Outcome:
            return detect_file(job, masking, self.files, progress)

        return work


def restore_file(
    job: Job,
    masking: Masking,
    inpainter: Inpainter,
    options: RestoreOptions,
    files: FileOptions,
    progress: Progress | None = None,
) -> Outcome:
    """Restore one file into another; raises an InpaintError, and before the photo is written then
    leaves no output behind.

    The photo is written before its mask and overlay, and before it is scored: where one of these
    fails, the photo stays.
    """
    run = _Run(job, masking, files)
    output = job.written.photo
    assert output
    whole = photo.format_of(output) == "TIFF"
    if run.count > 1 and not whole and files.page is None:
        raise PhotoError(
            f"{job.photo}: has {run.count} pages, which TIFF alone can hold: write a .tif, or "
            f"give --page N"
        )
    status: Status = "copied"
    results: list[Photo] = []
    filled: list[Mask] = []
    for page in run.pages:
        if page.number not in run.wanted:
            if whole:
                results.append(photo.read(job.photo, max_pixels=files.max_pixels, page=page.number))
            continue
        source, damage = run.find(page, progress, output)
        if damage.doubt:
            raise PhotoError(
                f"{job.photo}: {damage.doubt}; give --mask, or leave --infrared and let it be found"
            )
        result = source
        if damage.mask.any():
            status = "restored"
            pixels = restore(
                source.pixels,
                damage.mask,
                inpainter,
                tile=options.tile,
                overlap=options.overlap,
                batch_size=options.batch_size,
                grain=options.grain,
                seed=options.seed,
                in_place=not job.pictured and _freed(source.pixels),
                progress=progress,
                notes=run.notes,
            )
            result = replace(source, pixels=pixels)
            if inpainter.card.eight_bit and source.pixels.dtype.itemsize > 1:
                run.note(page, f"{inpainter.card.name} fills with 8 bit of precision")
        else:
            run.note(page, f"{damage.empty}: copied through")
        run.picture(source, result.pixels)
        results.append(result)
        filled.append(damage.mask)

    photo.make_folder(output.parent)
    if status == "restored" and files.quality is None and _is_jpeg(results, output):
        why = write_jpeg(results[0], filled[0], job.photo, output, files.max_pixels)
        if why:
            run.note(run.pages[0], why)
    elif status == "restored" or (run.count > 1 and not whole):
        photo.write(results, output, quality=files.quality)
    else:
        copy(results[0], job.photo, output, files.quality)
    run.write_shown()
    scores = None
    if job.beside.reference:
        # Scores are of the bytes written: a lossy format counts.
        scores = run.score(output, whole, filled)
    return run.outcome(status, output=output, scores=scores)


def _freed(pixels: Pixels) -> bool:
    """Whether the pixels of a photo that was just read may be written to, and now can be: nothing
    else has them, and a large photo is not to be in memory twice."""
    with suppress(ValueError):
        pixels.flags.writeable = True
    return bool(pixels.flags.writeable)


def _is_jpeg(photos: Sequence[Photo], output: Path) -> bool:
    """Whether a JPEG stays one."""
    return photos[0].format == photo.format_of(output) == "JPEG"


def write_jpeg(
    restored: Photo,
    filled: Mask,
    source: Path,
    output: Path,
    max_pixels: int = photo.MAX_PIXELS,
) -> str:
    """Write a restored JPEG; blocks that hold no filled pixel keep their coefficients in `source`.

    filled: bool (h, w). Returns what is to be said where that cannot be: then all of it is encoded
    anew, and undamaged pixels move by what JPEG loses. Raises PhotoError as `photo.write` does, and
    where the temporary folder has no room.
    """
    turn = restored.metadata.orientation
    try:
        pixels, mask = photo.stored(restored.pixels, turn), photo.stored(filled, turn)
        data = jpeg_blocks.patched(source.read_bytes(), pixels, mask)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise PhotoError(
            f"{source}: cannot be read, or copied in part to work on it: {why}"
        ) from None
    except jpeg_blocks.NotPatchable as why:
        photo.write(restored, output)
        written = photo.read(output, max_pixels=max_pixels).pixels[~filled].astype(np.int16)
        change = np.abs(written - restored.pixels[~filled]).max(initial=0)
        return f"encoded anew as a whole ({why}): undamaged pixels moved by up to {change} of 255"
    _write(output, data)
    return ""


def _write(output: Path, data: bytes) -> None:
    try:
        write_whole(output, data)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise PhotoError(f"{output}: cannot be written: {why}") from None


def detect_file(
    job: Job, masking: Masking, files: FileOptions, progress: Progress | None = None
) -> Outcome:
    """Write the mask of one photo; raises an InpaintError and then leaves no mask behind."""
    run = _Run(job, masking, files)
    for page in run.pages:
        if page.number not in run.wanted:
            continue
        source, damage = run.find(page, progress)
        if damage.doubt:
            run.note(page, f"{damage.doubt}; look at the mask")
        if not damage.mask.any():
            run.note(page, f"{damage.empty}: the mask is black")
        if job.pictured:
            run.picture(source, masks.overlay(source.pixels, damage.mask))
    run.write_shown()
    return run.outcome("detected")


class _Run:
    """One photo on its way: what is found on its pages, and what is to be said of them."""

    def __init__(self, job: Job, masking: Masking, files: FileOptions):
        """Raises PhotoError where the photo cannot be read, or has no such page."""
        self.job, self.masking, self.files = job, masking, files
        self.started = time.perf_counter()
        self.count = photo.pages(job.photo, infrared=masking.source.name == "infrared")
        if files.page is not None and files.page > self.count:
            has = "one page" if self.count == 1 else f"{self.count} pages"
            raise PhotoError(f"{job.photo}: has {has}, and there is no page {files.page}")
        with suppress(OSError):
            self.times = job.photo.stat()
        self.pages = [Page(number, self.count, files.max_pixels) for number in range(self.count)]
        self.wanted = range(self.count) if files.page is None else (files.page - 1,)
        self.notes: list[str] = []
        self._masks: list[Mask] = []
        self._overlays: list[Pixels] = []
        self._pictures: tuple[bytes, bytes] | None = None
        self.shown = job.written

    def find(
        self, page: Page, progress: Progress | None, output: Path | None = None
    ) -> tuple[Photo, Damage]:
        """A page and its damage; what the output cannot hold is known before the work."""
        source, find = self.masking.open(self.job.photo, self.job.beside, page)
        if output:
            check_format(source, self.job.photo, output, self.files.quality)
            if self.job.beside.reference:
                self._reference(source, page, self.job.beside.reference)
        damage = find(progress)
        for note in damage.notes:
            self.note(page, note)
        self._masks.append(damage.mask)
        if self.shown.overlay:
            self._overlays.append(masks.overlay(source.pixels, damage.mask))
        return source, damage

    def _reference(self, source: Photo, page: Page, path: Path) -> None:
        """Raise PhotoError where the reference cannot be one."""
        reference = page.read(path, "reference")
        if reference.pixels.shape[:2] != source.pixels.shape[:2]:
            raise PhotoError(
                f"{path}: the reference is {size(reference.pixels.shape)}, the photo "
                f"{self.job.photo} is {size(source.pixels.shape)}: give one of the same size"
            )

    def note(self, page: Page, text: str) -> None:
        """Say something of a page."""
        self.notes.append(text if self.count == 1 else f"page {page.number + 1}: {text}")

    def picture(self, before: Photo, after: Pixels) -> None:
        """Keep small pictures of the first page, where they are asked for."""
        if self.job.pictured and self._pictures is None:
            profile = before.metadata.icc_profile
            self._pictures = sheet.pictures(before.pixels, after, profile)

    def write_shown(self) -> None:
        """Write the mask, and the photo with the mask over it, where they are asked for."""
        if self.shown.overlay:
            photo.make_folder(self.shown.overlay.parent)
            photo.write([Photo(one) for one in self._overlays], self.shown.overlay)
        if self.shown.mask:
            photo.make_folder(self.shown.mask.parent)
            masks.write(self._masks, self.shown.mask)

    def score(self, output: Path, whole: bool, filled: Sequence[Mask]) -> Scores:
        """The scores of what was written, of several pages their mean."""
        reference = self.job.beside.reference
        assert reference
        return metrics.mean(
            score(
                photo.read(
                    output, max_pixels=self.files.max_pixels, page=number if whole else 0
                ).pixels,
                self.pages[number].read(reference, "reference").pixels,
                mask,
            )
            for number, mask in zip(self.wanted, filled, strict=True)
        )

    def outcome(
        self, status: Status, *, output: Path | None = None, scores: Scores | None = None
    ) -> Outcome:
        """What became of the photo; the times of the files written are set before."""
        if self.files.preserve_times:
            times = (self.times.st_atime_ns, self.times.st_mtime_ns)
            for path in replace(self.shown, photo=output).paths:
                with suppress(OSError):  # Not every file system lets everybody set them.
                    os.utime(path, ns=times)
        before, after = self._pictures or (None, None)
        return Outcome(
            self.job.photo,
            status,
            output=output,
            mask=self.shown.mask or self.job.beside.mask,
            overlay=self.shown.overlay,
            mask_source=self.masking.source.name,
            damaged=sum(int(mask.sum()) for mask in self._masks)
            / sum(mask.size for mask in self._masks),
            regions=sum(masks.count_regions(mask) for mask in self._masks),
            seconds=time.perf_counter() - self.started,
            scores=scores,
            note="; ".join(self.notes),
            before=before,
            after=after,
        )


def copy(source: Photo, path: Path, output: Path, quality: int | None = None) -> None:
    """Copy a photo as it is, byte for byte unless the output's suffix names another format, which
    is then of this quality."""
    if source.format != photo.format_of(output):
        photo.write(source, output, quality=quality)
    elif not (output.exists() and output.samefile(path)):
        try:
            data = path.read_bytes()
        except OSError as error:
            raise PhotoError(f"{path}: cannot be read: {error.strerror or error}") from None
        _write(output, data)


def check_format(source: Photo, path: Path, output: Path, quality: int | None = None) -> None:
    """Raise PhotoError, before any work, where the output could not be what it should be."""
    photo.check_fits(source, output, quality)
    same_name = path.suffix.lower() == output.suffix.lower()
    if same_name and source.format != photo.format_of(path):
        # Nobody asked for another format, and a lossless photo must not become a JPEG unasked.
        raise PhotoError(
            f"{path}: is {source.format} by its content and not by its name: rename it, or "
            f"name another format with --format"
        )
