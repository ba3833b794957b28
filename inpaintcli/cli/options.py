"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from inpaintcli import photo, sources
from inpaintcli.detect import GROWTH, LEAST_AREA, check_threshold
from inpaintcli.errors import UsageError
from inpaintcli.infrared import LEAST_SPECK
from inpaintcli.mask import MaskTools
from inpaintcli.pairing import Beside, names_file
from inpaintcli.planning import has_pages
from inpaintcli.runtime import check_device


def path(text: str) -> Path:
    """A path as typed; an empty one, as of an unset variable, is no name for this folder."""
    if not text:
        raise typer.BadParameter("an empty path: name a file or a folder")
    return Path(text)


@dataclass(frozen=True)
class Output:
    """Where results go, as typed. is_folder: a separator ends it, so it is a folder, be it there or
    not, and whatever its name looks like."""

    path: Path
    is_folder: bool = False


def output(text: str) -> Output:
    """A file or a folder for results as typed; a `Path` alone drops the end of `new.v1/`."""
    return Output(path(text), _ends_as_folder(text))


def output_file(text: str) -> Path:
    """A file to be written as typed."""
    if _ends_as_folder(text):
        raise typer.BadParameter(f"{text} names a folder: name a file")
    return path(text)


def _ends_as_folder(text: str) -> bool:
    return text.endswith((os.sep, os.altsep or os.sep))


def device(text: str) -> str:
    """A device as typed; auto:N, which `check_device` knows too, is for workers alone.

    Raises UsageError where there is no such device, needed or not.
    """
    if text.startswith("auto:"):
        raise UsageError(f"unknown device {text!r}: choose from auto, cpu, cuda or cuda:N")
    check_device(text)
    return text


def pixel_count(text: str | int) -> int:
    """A number of pixels as typed: 250000000, 250M or 1G; a default is one already."""
    number = str(text).strip().upper()
    scale = {"K": 10**3, "M": 10**6, "G": 10**9}.get(number[-1:], 1)
    try:
        count = round(float(number if scale == 1 else number[:-1]) * scale)
    except (ValueError, OverflowError):
        count = 0
    if count < 1:
        raise typer.BadParameter(f"{text!r} is no number of pixels: give one such as 250M or 1G")
    return count


def suffix(text: str) -> str:
    """A format as typed, as the suffix that it has."""
    ending = "." + text.lower().removeprefix(".")
    if ending not in photo.SUFFIXES:
        known = " ".join(sorted(one[1:] for one in photo.SUFFIXES))
        raise typer.BadParameter(f"{text!r} is no known format: use one of {known}")
    return ending


Photos = Annotated[
    list[Path],
    typer.Argument(metavar="PHOTO|DIR...", help="Photos, or folders of photos.", parser=path),
]
AnyPhotos = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PHOTO|DIR|PATTERN|-...", parser=path, show_default=False,
        help="Photos, folders of photos, quoted patterns such as 'scans/**/*.tif', or - for one "
        "photo from standard input.",
    ),
]  # fmt: skip
FromFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|-", parser=path,
        help="Take photos from a list too: a path a line, or NUL after each.",
    ),
]  # fmt: skip
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", show_default=False,
        help="Photos worked on at once, each by a process; by default as many as there are cores "
        "and memory for, and one on CUDA.",
    ),
]  # fmt: skip
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing", help="Leave out photos whose results are there: to go on after a break."
    ),
]
PreserveTimes = Annotated[
    bool, typer.Option("--preserve-times", help="Give results the times of their photo.")
]
MaxPixels = Annotated[
    int,
    typer.Option(
        metavar="N", parser=pixel_count, show_default="1G",
        help="Refuse photos and masks of more pixels; N as in 250M.",
    ),
]  # fmt: skip
Page = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", show_default=False,
        help="Of a TIFF with several pages work on this one alone, from 1.",
    ),
]  # fmt: skip
Reports = Annotated[
    list[Path] | None,
    typer.Option(
        "--report", metavar="FILE", parser=output_file, show_default=False,
        help="Write what became of each photo: as JSON lines to a .jsonl, as a contact sheet to a "
        ".html. May be given twice.",
    ),
]  # fmt: skip
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object a photo instead of the table.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but errors (and --json).")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist already.")]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Take all photos in folders below too.")
]
InvertMask = Annotated[bool, typer.Option("--invert-mask", help="Black marks damage, not white.")]
FitMask = Annotated[
    bool, typer.Option("--fit-mask", help="Scale a mask of another size to the photo.")
]
GrowMask = Annotated[
    int | None,
    typer.Option(
        "--grow-mask", min=0, max=1000, metavar="N",
        help=f"Widen the mask by N pixels: {GROWTH} where it is found, 0 where it is given.",
        show_default=False,
    ),
]  # fmt: skip
MinArea = Annotated[
    int | None,
    typer.Option(
        "--min-area", min=0, metavar="N",
        help=f"Drop regions under N pixels: {LEAST_AREA} where the mask is found ({LEAST_SPECK} in "
        "infrared), 0 where given.",
        show_default=False,
    ),
]  # fmt: skip
CloseGaps = Annotated[
    int,
    typer.Option(
        "--close-gaps", min=0, max=100, metavar="N",
        help="Fill gaps in the mask of up to N pixels, such as those of a dotted scratch.",
    ),
]  # fmt: skip
Exclude = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|DIR", parser=path,
        help="What must never be touched (white): one picture for all photos, or a folder.",
    ),
]  # fmt: skip
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="T",
        show_default="0.42, in infrared 0.5",
        help="How sure a find must be, 0 to 1: lower finds more.",
    ),
]
Infrared = Annotated[
    bool,
    typer.Option("--infrared", help="Find damage in the infrared that the photo's TIFF has."),
]
InfraredFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|DIR", parser=path,
        help="Find damage in an infrared picture of the photo; of a folder, that of its name.",
    ),
]  # fmt: skip
Device = Annotated[
    str, typer.Option(metavar="DEVICE", parser=device, help="auto, cpu, cuda or cuda:N.")
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="CPU threads of each worker; by default they share the cores."
    ),
]


def check_found(threshold: float | None, infrared: bool, beside: Beside) -> None:
    """Raise UsageError where the options that say how damage is found do not go together."""
    check_threshold(threshold, "--threshold")
    if infrared and beside.infrared:
        raise UsageError("--infrared and --infrared-file exclude each other: give one of them")
    if beside.mask:
        for option, given in (
            ("--infrared", infrared),
            ("--infrared-file", beside.infrared),
            ("--threshold", threshold is not None),
        ):
            if given:
                raise UsageError(
                    f"--mask and {option} exclude each other: damage is looked for without a mask"
                )


def check_given(invert_mask: bool, fit_mask: bool, beside: Beside) -> None:
    """Raise UsageError where an option is about a mask that is not given."""
    if invert_mask and not beside.mask:
        raise UsageError("--invert-mask: there is no mask to invert: give it with --mask")
    if fit_mask and not (beside.mask or beside.exclude):
        raise UsageError("--fit-mask: there is no mask to scale: give it with --mask or --exclude")


def paged(page: int | None, infrared: bool, beside: Beside) -> Callable[[Path], bool]:
    """Which photos have several pages that are all worked on."""
    with_infrared = infrared or beside.infrared is not None
    return lambda path: page is None and has_pages(path, infrared=with_infrared)


def names_mask(out: Path, photos: Sequence[Path], option: str, *, is_folder: bool) -> bool:
    """True if `out` names the file of a single mask, False if it names a folder.

    is_folder: see `names_file`. Raises UsageError where it can be neither, or names a format that
    loses.
    """
    is_file = names_file(out, photos, option, is_folder=is_folder)
    if is_file and photo.format_of(out) == "JPEG":
        raise UsageError(f"{out}: JPEG would blur the mask: name a .png or .tif")
    return is_file


def finding(threshold: float | None, infrared: bool, beside: Beside) -> sources.Source:
    """What finds damage, yet to be loaded."""
    if infrared or beside.infrared:
        return sources.Infrared() if threshold is None else sources.Infrared(1 - threshold)
    return sources.Detected(threshold)


def tools(
    grow_mask: int | None, min_area: int | None, close_gaps: int, *, given: bool, infrared: bool
) -> MaskTools:
    """What is done to masks; the defaults are others for masks that are given, and for those made
    of infrared."""
    grow, least = (0, 0) if given else (GROWTH, LEAST_SPECK if infrared else LEAST_AREA)
    return MaskTools(
        close_gaps,
        least if min_area is None else min_area,
        grow if grow_mask is None else grow_mask,
    )


def check_existing(skip_existing: bool, overwrite: bool) -> None:
    """Raise UsageError where results that exist would be both left and replaced."""
    if skip_existing and overwrite:
        raise UsageError("--skip-existing and --overwrite exclude each other: give one of them")
