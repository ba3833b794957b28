"""`inpaint score`: how close restored photos are to their references."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from inpaintcli import mask as masks
from inpaintcli import photo, report
from inpaintcli.arrays import size
from inpaintcli.cli import options
from inpaintcli.errors import ExitCode, PhotoError, UsageError, reason
from inpaintcli.metrics import Scores
from inpaintcli.metrics import score as score_pixels
from inpaintcli.pairing import Beside, Pairs, find_results, real


def score(
    restored: Annotated[
        Path, typer.Argument(help="The restored photo, or a folder of them.", parser=options.path)
    ],
    reference: Annotated[
        Path, typer.Argument(help="The undamaged photo, or a folder of them.", parser=options.path)
    ],
    mask: Annotated[
        Path | None,
        typer.Option(
            help="What was damaged: adds the scores over damaged pixels.",
            metavar="FILE|DIR",
            parser=options.path,
        ),
    ] = None,
    invert_mask: options.InvertMask = False,
    fit_mask: options.FitMask = False,
    json: options.Json = False,
) -> int:
    """Score restored photos against undamaged ones: Dice, PSNR and SSIM.

    Dice is 2·Σxy / (Σx² + Σy²) over intensities in [0, 1]: 1 for equal pictures only. Files in
    folders are paired by relative name without suffix; where NAME-restored lies beside NAME it is
    the one that is scored.

    Example: `inpaint score restored.png original.png --mask mask.png`
    """
    found = find_results(restored)
    if restored.is_dir() and not reference.is_dir():
        raise UsageError(f"{reference}: is no folder, and {restored} is one: give two of a kind")
    if real(restored) == real(reference):
        raise UsageError(f"{reference}: the reference is the same file: name the undamaged photo")
    pairs = Pairs(Beside(mask=mask, reference=reference))
    if len(found) == 1:
        try:
            pairs.of(found[0])
        except PhotoError as error:
            raise UsageError(str(error)) from None
    rows: list[tuple[Path, Scores]] = []
    failed = False
    for one in found:
        try:
            scores = _scores(one.path, pairs.of(one), invert_mask, fit_mask)
        except Exception as error:
            failed = True
            why = reason(one.path, error)
            print(f"inpaint: {report.shown(why)}", file=sys.stderr)
            if json:
                report.print_json({"photo": str(one.path), "status": "failed", "error": why})
        else:
            rows.append((one.path, scores))
            if json:
                report.print_json(
                    {"photo": str(one.path), "status": "scored", "scores": scores.to_dict()}
                )
    if rows and not json:
        report.print_table(report.score_table(rows))
    return ExitCode.PHOTO_FAILED if failed else ExitCode.DONE


def _scores(path: Path, beside: Beside, invert: bool, fit: bool) -> Scores:
    assert beside.reference
    pixels = photo.read(path).pixels
    reference = photo.read(beside.reference).pixels
    if reference.shape[:2] != pixels.shape[:2]:
        raise PhotoError(
            f"{beside.reference}: the reference is {size(reference.shape)}, {path} is "
            f"{size(pixels.shape)}: give one of the same size"
        )
    if beside.mask is None:
        return score_pixels(pixels, reference)
    shape = (pixels.shape[0], pixels.shape[1])
    mask = masks.read_for(beside.mask, shape, invert=invert, scale=fit)
    return score_pixels(pixels, reference, mask)
