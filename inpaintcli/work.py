"""One photo from file to file: its damage found, filled, written and scored, page by page."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from inpaintcli import jpeg_blocks, metrics, photo, sheet
from inpaintcli import mask as masks
from inpaintcli.arrays import Mask, Pixels, size
from inpaintcli.errors import PhotoError
from inpaintcli.filling import Progress
from inpaintcli.inpainters.base import Inpainter
from inpaintcli.inpainters.registry import CLASSICAL, load_model
from inpaintcli.jobs import Job, Outcome, Status, Work
from inpaintcli.metrics import Scores, score
from inpaintcli.photo import Photo
from inpaintcli.restore import restore, tiles_of
from inpaintcli.sources import Damage, Detected, Files, Masking, Page


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


@dataclass(frozen=True)
class Restoring:
    """The recipe of `inpaint restore`."""

    model: str
    device: str
    masking: Masking
    how: RestoreOptions = RestoreOptions()
    files: FileOptions = FileOptions()

    @property
    def has_networks(self) -> bool:
        """See `Recipe`."""
        return self.model not in CLASSICAL or isinstance(self.masking.source, Detected)

    def on(self, device: str) -> Restoring:
        """See `Recipe`."""
        return replace(self, device=device)

    def load(self, threads: int | None) -> Work:
        """See `Recipe`."""
        inpainter = load_model(self.model, device=self.device, threads=threads)
        tiles_of(inpainter.card, self.how.tile, self.how.overlap, self.how.batch_size)
        masking = self.masking.load(self.device, threads)

        def work(job: Job, progress: Progress | None) -> Outcome:
            if not job.written.photo:  # It is there, and its mask is not.
                return detect_file(job, masking, self.files, progress)
            return restore_file(job, masking, inpainter, self.how, self.files, progress)

        return Work(work, _devices(masking, inpainter))


@dataclass(frozen=True)
class Detecting:
    """The recipe of `inpaint detect`."""

    device: str
    masking: Masking
    files: FileOptions = FileOptions()

    @property
    def has_networks(self) -> bool:
        """See `Recipe`."""
        return isinstance(self.masking.source, Detected)

    def on(self, device: str) -> Detecting:
        """See `Recipe`."""
        return replace(self, device=device)

    def load(self, threads: int | None) -> Work:
        """See `Recipe`."""
        masking = self.masking.load(self.device, threads)

        def work(job: Job, progress: Progress | None) -> Outcome:
            return detect_file(job, masking, self.files, progress)

        return Work(work, _devices(masking))


def _devices(masking: Masking, inpainter: Inpainter | None = None) -> frozenset[str]:
    """Where the networks run that were loaded."""
    found = [getattr(inpainter, "device", None)]  # Methods that are no networks have none.
    if isinstance(masking.source, Detected) and masking.source.detector:
        found.append(masking.source.detector.session.device)
    return frozenset(device for device in found if device)


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
    filled: list[Mask] = []
    pages = photo.Encoder(output.suffix, str(output))
    for page in run.pages:
        if page.number not in run.wanted:
            if whole:
                pages.add(page.photo(job.photo))
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
        filled.append(damage.mask)
        if whole and run.count > 1:
            pages.add(result)

    photo.make_folder(output.parent)
    if status == "copied" and (whole or run.count == 1):
        copy(result, job.photo, output, files.quality)
    elif whole and run.count > 1:
        photo.write_bytes(pages.data(), output)
    elif files.quality is None and result.format == photo.format_of(output) == "JPEG":
        why = write_jpeg(result, damage.mask, job.photo, output, files.max_pixels)
        if why:
            run.note(run.pages[0], why)
    else:
        photo.write(result, output, quality=files.quality)
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
        data = jpeg_blocks.patched(photo.opened(source).data, pixels, mask)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise PhotoError(
            f"{source}: cannot be copied in part to work on it: {why}: make room in the system's "
            f"temporary folder"
        ) from None
    except jpeg_blocks.NotPatchable as why:
        photo.write(restored, output)
        written = photo.read(output, max_pixels=max_pixels).pixels[~filled].astype(np.int16)
        change = np.abs(written - restored.pixels[~filled]).max(initial=0)
        return f"encoded anew as a whole ({why}): undamaged pixels moved by up to {change} of 255"
    photo.write_bytes(data, output)
    return ""


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
        read = Files()
        self.count = photo.pages(read[job.photo], infrared=masking.source.name == "infrared")
        if files.page is not None and files.page > self.count:
            has, way = f"{self.count} pages", f"give --page 1 to {self.count}"
            if self.count == 1:
                has, way = "one page", "leave --page"
            raise PhotoError(f"{job.photo}: has {has}, there is no page {files.page}: {way}")
        self.times: os.stat_result | None = None
        with suppress(OSError):  # It may be gone by now, and was read all the same.
            self.times = job.photo.stat()
        self.pages = [
            Page(number, self.count, files.max_pixels, read) for number in range(self.count)
        ]
        self.wanted = range(self.count) if files.page is None else (files.page - 1,)
        self.notes: list[str] = []
        self._masks: list[Mask] = []
        self._pictures: tuple[bytes, bytes] | None = None
        self.shown = job.written
        shown = self.shown.overlay
        self._overlay = photo.Encoder(shown.suffix, str(shown)) if shown else None

    def find(
        self, page: Page, progress: Progress | None, output: Path | None = None
    ) -> tuple[Photo, Damage]:
        """A page and its damage; what the output cannot hold is known before the work."""
        source, find = self.masking.open(self.job.photo, self.job.beside, page)
        if page is self.pages[-1]:
            del page.files[self.job.photo]  # Large, and not needed any more.
        if output:
            check_format(source, self.job.photo, output, self.files.quality)
            if self.job.beside.reference:
                self._reference(source, page, self.job.beside.reference)
        damage = find(progress)
        if page is self.pages[-1]:
            page.files.clear()
        for note in damage.notes:
            self.note(page, note)
        self._masks.append(damage.mask)
        if self._overlay:
            self._overlay.add(Photo(masks.overlay(source.pixels, damage.mask)))
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
        if self.shown.overlay and self._overlay:
            photo.make_folder(self.shown.overlay.parent)
            photo.write_bytes(self._overlay.data(), self.shown.overlay)
        if self.shown.mask:
            photo.make_folder(self.shown.mask.parent)
            masks.write(self._masks, self.shown.mask)

    def score(self, output: Path, whole: bool, filled: Sequence[Mask]) -> Scores:
        """The scores of what was written, of several pages their mean."""
        reference = self.job.beside.reference
        assert reference
        written = photo.opened(output)
        return metrics.mean(
            score(
                photo.read(
                    written, max_pixels=self.files.max_pixels, page=number if whole else 0
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
        if self.files.preserve_times and self.times:
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
        photo.write_bytes(photo.opened(path).data, output)


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
