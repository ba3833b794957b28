"""Where the mask of a photo comes from: a file, the detector, or infrared light. And what then is
done to it, whatever the source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import numpy as np

from inpaintcli import infrared, photo
from inpaintcli import mask as masks
from inpaintcli.arrays import Mask, Pixels, size
from inpaintcli.detect import Detector, load_detector, probability, to_mask, transparent
from inpaintcli.errors import PhotoError
from inpaintcli.filling import Progress
from inpaintcli.mask import MaskTools
from inpaintcli.pairing import Beside
from inpaintcli.photo import Photo

SourceName = Literal["file", "detected", "infrared"]

#: A larger share than this (before it is widened) is seldom all damage: it is to be looked at.
MUCH = 0.045


class Files(dict[Path, photo.File]):
    """Files that are read when they are asked for first, and kept for their further pages.

    Asking raises PhotoError where there is no such file, or it cannot be opened.
    """

    def __missing__(self, path: Path) -> photo.File:
        self[path] = file = photo.opened(path)
        return file


@dataclass(frozen=True)
class Page:
    """What is read of a photo's file: page `number`, from 0, of `count`.

    max_pixels: a photo or a mask of more is refused. files: what all pages are read from.
    """

    number: int = 0
    count: int = 1
    max_pixels: int = photo.MAX_PIXELS
    files: Files = field(default_factory=Files, compare=False, repr=False)

    def photo(self, path: Path) -> Photo:
        """This page of the photo."""
        return photo.read(self.files[path], max_pixels=self.max_pixels, page=self.number)

    def of(self, path: Path, what: str) -> int:
        """The number of the page that goes with it in a file that lies beside the photo.

        One page goes with all; raises PhotoError where there are neither one nor as many.
        """
        count = photo.pages(self.files[path])
        if count not in (1, self.count):
            has = "one" if self.count == 1 else str(self.count)
            raise PhotoError(
                f"{path}: the {what} has {count} pages, the photo {has}: give one page, or as many"
            )
        return self.number if count > 1 else 0

    def read(self, path: Path, what: str) -> Photo:
        """The picture that goes with it in a file that lies beside the photo; see `of`."""
        number = self.of(path, what)
        return photo.read(self.files[path], max_pixels=self.max_pixels, page=number)


@dataclass(frozen=True, eq=False)
class Damage:
    """What is damaged of a photo.

    mask: bool (h, w). empty: why nothing is damaged where that is so, as a sentence without its
    end; full: what is wrong where all of it is, one line. notes: what there is to say, one line
    each. doubt: why nothing may be restored by it unseen, as a sentence without its end.
    """

    mask: Mask
    empty: str
    full: str
    notes: tuple[str, ...] = ()
    doubt: str = ""


#: Finds the damage of a photo that is open; raises PhotoError, or ModelError of a detector.
Finder = Callable[[Progress | None], Damage]


class Source(Protocol):
    """Where the masks of a run come from."""

    @property
    def name(self) -> SourceName:
        """Its name in reports."""
        ...

    def load(self, device: str, threads: int | None) -> Source:
        """Itself, ready to work: with its model, if it needs one. What has not been loaded can be
        pickled. Raises ModelError where the model or the device cannot be used.
        """
        ...

    def open(self, path: Path, beside: Beside, page: Page) -> tuple[Photo, Finder]:
        """The photo at `path`, and what finds its damage; so the photo can be checked before the
        longer work. Raises PhotoError where the photo, or what is needed beside it, cannot be read.
        """
        ...


@dataclass(frozen=True)
class Drawn:
    """A mask in a file; see `inpaintcli.mask` for `invert`, and for `fit`, which scales it."""

    invert: bool = False
    fit: bool = False
    name: ClassVar[SourceName] = "file"

    def load(self, device: str, threads: int | None) -> Drawn:
        """See `Source`; needs no model."""
        return self

    def open(self, path: Path, beside: Beside, page: Page) -> tuple[Photo, Finder]:
        """See `Source`; needs `beside.mask`."""
        source, file = page.photo(path), beside.mask
        assert file
        number = page.of(file, "mask")

        def find(progress: Progress | None) -> Damage:
            shape = (source.height, source.width)
            drawn = masks.read(
                page.files[file], invert=self.invert, max_pixels=page.max_pixels, page=number
            )
            mask = masks.adapt(drawn, file, shape, scale=self.fit)
            notes = []
            if not masks.same_proportions(drawn.shape, shape):
                notes.append(f"the mask was stretched from {size(drawn.shape)} to {size(shape)}")
            if mask.mean() > 0.5:
                notes.append(f"the mask covers {mask.mean():.0%} of the photo: --invert-mask swaps")
            return Damage(
                mask,
                empty="the mask is empty (nothing is above half)",
                full=f"{file}: the mask is all white, so nothing of {path} is left to restore "
                f"from: white marks damage (--invert-mask swaps)",
                notes=tuple(notes),
            )

        return source, find


@dataclass(frozen=True)
class Detected:
    """What the detector finds in the photo, at a threshold or at that of its card."""

    threshold: float | None = None
    #: None until it is loaded.
    detector: Detector | None = None
    name: ClassVar[SourceName] = "detected"

    def load(self, device: str, threads: int | None) -> Detected:
        """See `Source`."""
        return replace(self, detector=load_detector(device=device, threads=threads))

    def open(self, path: Path, beside: Beside, page: Page) -> tuple[Photo, Finder]:
        """See `Source`; needs nothing beside the photo."""
        source, detector = page.photo(path), self.detector
        assert detector

        def find(progress: Progress | None) -> Damage:
            threshold = detector.card.threshold if self.threshold is None else self.threshold
            mask = to_mask(probability(source.pixels, detector, progress), threshold)
            return _found(mask, path)

        return source, find


@dataclass(frozen=True)
class Infrared:
    """What infrared light does not get through: that of the photo's own file, or of one beside it.

    sensitivity: 0 to 1, see `inpaintcli.infrared`.
    """

    sensitivity: float = 0.5
    name: ClassVar[SourceName] = "infrared"

    def load(self, device: str, threads: int | None) -> Infrared:
        """See `Source`; needs no model."""
        return self

    def open(self, path: Path, beside: Beside, page: Page) -> tuple[Photo, Finder]:
        """See `Source`; without `beside.infrared` the photo's file must have it."""
        if beside.infrared:
            source = page.photo(path)
            light = _one_channel(page.read(beside.infrared, "infrared picture"))
            if light.shape != source.pixels.shape[:2]:
                raise PhotoError(
                    f"{beside.infrared}: the infrared picture is {size(light.shape)}, the photo "
                    f"{path} is {size(source.pixels.shape)}: give one of the same size"
                )
        else:
            source, light = photo.read_with_infrared(
                page.files[path],
                max_pixels=page.max_pixels,
                page=page.number if page.count > 1 else None,
            )

        def find(progress: Progress | None) -> Damage:
            found = infrared.find_damage(light, source.pixels, self.sensitivity)
            damage = _found(found.mask, path)
            if not found.silver:
                return damage
            why = "infrared carries the picture, as silver film does: it cannot show damage"
            return replace(damage, doubt=why)

        return source, find


def _found(mask: Mask, path: Path) -> Damage:
    """What is said of any mask that nobody drew."""
    share = float(mask.mean())
    note = (
        f"{share:.0%} of it, before it is widened, is taken for damage: look at it, or raise "
        "--threshold"
    )
    return Damage(
        mask,
        empty="no damage found",
        full=f"{path}: all of it is taken for damage: raise --threshold",
        notes=(note,) if share > MUCH else (),
    )


def _one_channel(picture: Photo) -> Pixels:
    """(h, w): the mean of a picture's colours."""
    colour = picture.colour
    if colour.shape[2] == 1:
        return colour[..., 0]
    mean: Pixels = np.rint(colour.mean(2, dtype=np.float32)).astype(colour.dtype)
    return mean


@dataclass(frozen=True)
class Masking:
    """How the masks of a run come about: where from, and what is done to each.

    fit: scale masks to exclude that are of another size.
    """

    source: Source
    tools: MaskTools
    fit: bool = False

    def load(self, device: str, threads: int | None) -> Masking:
        """As `Source.load`."""
        return replace(self, source=self.source.load(device, threads))

    def open(self, path: Path, beside: Beside, page: Page) -> tuple[Photo, Finder]:
        """As `Source.open`: the photo, and what finds its damage, as it is to be restored.

        What is to be excluded has the last word, and so has transparency over a mask that was
        found: nothing there is damaged.
        """
        source, find_raw = self.source.open(path, beside, page)
        given = self.source.name == "file"

        def find(progress: Progress | None) -> Damage:
            shape = (source.height, source.width)
            # What can fail in a moment does so before the work.
            exclude = self._excluded(path, beside.exclude, shape, page) if beside.exclude else None
            raw = find_raw(progress)
            visible = self.tools.apply(raw.mask, None if given else transparent(source.pixels))
            mask = visible if exclude is None else visible & ~exclude
            if mask.all():
                raise PhotoError(raw.full if raw.mask.all() else self._grown(beside.mask or path))
            if mask.any() or not raw.mask.any():
                return replace(raw, mask=mask)
            empty = raw.empty
            if visible.any() and given:
                raise PhotoError(
                    f"{beside.exclude}: leaves nothing of the damage of {path}: white marks what "
                    f"must not be touched"
                )
            if visible.any():
                empty = "all that was found is excluded"
            elif given:
                empty = f"nothing in the mask is as large as --min-area {self.tools.min_area}"
            return replace(raw, mask=mask, empty=empty)

        return source, find

    def _grown(self, file: Path) -> str:
        """What is wrong where a mask is all white since it was changed."""
        changes = (("close-gaps", self.tools.close_gaps), ("grow-mask", self.tools.grow))
        grown = " and ".join(f"--{option} {value}" for option, value in changes if value)
        return f"{file}: {grown} makes the mask all white: lower it"

    def _excluded(self, path: Path, file: Path, shape: tuple[int, int], page: Page) -> Mask:
        number = page.of(file, "mask to exclude")
        drawn = masks.read(page.files[file], max_pixels=page.max_pixels, page=number)
        exclude = masks.adapt(drawn, file, shape, scale=self.fit)
        if exclude.all():
            raise PhotoError(
                f"{file}: is all white, so nothing of {path} may be restored: white marks what "
                f"must not be touched"
            )
        return exclude
