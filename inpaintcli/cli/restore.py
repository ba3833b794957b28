"""`inpaint restore`: photos and masks in, restored photos out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from inpaintcli import batch, metrics, report
from inpaintcli.cli import options
from inpaintcli.cli.progress import Bars
from inpaintcli.errors import ExitCode, UsageError
from inpaintcli.filling import Progress
from inpaintcli.grain import parse_strength
from inpaintcli.inpainters.registry import DEFAULT, load_model
from inpaintcli.pairing import find, names_file
from inpaintcli.restore import tiles_of


def restore(
    photos: options.Photos,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="What is damaged (white): one picture for all photos, or a folder.",
            metavar="FILE|DIR",
            parser=options.path,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="File (for one photo) or folder for the results.",
            metavar="FILE|DIR",
            parser=options.path,
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="The undamaged photo, or a folder of them, to score by.",
            metavar="FILE|DIR",
            parser=options.path,
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="NAME|FILE.onnx", help="Method: see `inpaint models`.")
    ] = DEFAULT,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    tile: Annotated[
        int | None, typer.Option(min=8, metavar="N", help="Side of the tiles in pixels.")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Overlap of the tiles in pixels.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Tiles per call of the model.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="CPU threads; all cores by default.")
    ] = None,
    grain: Annotated[
        str,
        typer.Option(
            metavar="auto|off|STRENGTH",
            help="Grain of filled pixels: that of a grainy photo, none, or so many times it (0-4).",
        ),
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Fixes grain and texture.")] = 0,
    invert_mask: options.InvertMask = False,
    grow_mask: options.GrowMask = 0,
    fit_mask: options.FitMask = False,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the photos themselves.")
    ] = False,
    overwrite: options.Overwrite = False,
    recursive: options.Recursive = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Fill what the mask marks as damaged; every other pixel stays as it is.

    Without `-o` the result lies beside the photo as NAME-restored.SUFFIX. Masks and references in
    a folder are paired with photos by relative name without suffix. A mask is white where the
    photo is damaged; in a mask with transparency, whatever is painted is damaged. Of the folders
    below a DIR only photos that have a mask of their own are taken, all of them with --recursive.

    Example: `inpaint restore print.jpg --mask print-mask.png`
    """
    if mask is None:
        raise UsageError("--mask is missing: give a picture that is white where damage is")
    if in_place and out:
        raise UsageError("--in-place and -o exclude each other: give one of them")
    parse_strength(grain)
    apart = [path for path in (mask, reference, out) if path]
    found = find(photos, apart=apart)
    if mask.resolve() in {one.path.resolve() for one in found}:
        raise UsageError(
            f"{mask}: is the photo itself: give a picture that is white where damage is"
        )
    left_out = set() if recursive else batch.left_below(found, mask)
    if len(left_out) == len(found):
        raise UsageError(f"{photos[0]}: has photos in folders below only: --recursive takes them")
    inpainter = load_model(model, device=device, threads=threads)
    tiles_of(inpainter.card, tile, overlap, batch_size)
    plan = batch.plan(
        [one for one in found if one not in left_out],
        mask,
        out=out,
        out_is_file=bool(out and names_file(out, photos)),
        reference=reference,
        in_place=in_place,
        overwrite=overwrite,
    )
    outcomes: list[batch.Outcome] = []
    with Bars(len(plan.jobs), quiet=quiet) as bars:
        if left_out and not quiet:
            bars.say(f"{len(left_out)} photos in folders below left out: --recursive takes them")

        def on_start(job: batch.Job) -> Progress:
            bars.photo(job.photo)
            return bars.tiles

        def tell(outcome: batch.Outcome) -> None:
            outcomes.append(outcome)
            if outcome.error:
                bars.say(f"inpaint: {outcome.error}")
            elif outcome.note and not quiet:
                bars.say(f"{outcome.photo}: {outcome.note}")
            if json:
                report.print_json(outcome.to_dict())

        for failure in plan.failures:
            tell(failure)
        try:
            if dry_run:
                for job in plan.jobs:
                    tell(batch.planned(job))
                plan.jobs.clear()
            for outcome in batch.run(
                plan.jobs,
                inpainter,
                batch.MaskOptions(invert_mask, fit_mask, grow_mask),
                batch.RestoreOptions(tile, overlap, batch_size, grain, seed),
                on_start,
            ):
                bars.photo_done()
                tell(outcome)
        except KeyboardInterrupt:
            done = sum(outcome.status != "failed" for outcome in outcomes)
            left = len(plan.jobs) + len(plan.failures) - len(outcomes)
            bars.say(f"inpaint: interrupted: {done} done, {left} not begun or not finished")
            return ExitCode.INTERRUPTED
        finally:
            # What was done is told, whatever ended the run.
            if outcomes and not json and not quiet:
                report.print_table(_table(outcomes))
    failed = any(outcome.status == "failed" for outcome in outcomes)
    return ExitCode.PHOTO_FAILED if failed else ExitCode.DONE


def _table(outcomes: list[batch.Outcome]) -> Table:
    scored = [outcome.scores for outcome in outcomes if outcome.scores]
    headings = [heading for heading, *_ in report.SCORE_COLUMNS] if scored else []
    # A narrow terminal has room for the scores or for the result's path.
    texts = ["photo"] if scored and report.narrow() else ["photo", "result"]
    table = report.plain_table(texts, ["damaged", "seconds", *headings])
    for outcome in outcomes:
        result = str(outcome.output) if outcome.output else ""
        if outcome.status != "restored":
            result = f"{outcome.status} {result}".strip()
        table.add_row(
            *(
                Text(text)
                for text in (report.label(outcome.photo), report.shown(result))[: len(texts)]
            ),
            report.percent(outcome.damaged),
            "-" if outcome.seconds is None else f"{outcome.seconds:.1f}",
            *(report.score_cells(outcome.scores) if scored else []),
        )
    if len(scored) > 1:
        mean = metrics.mean(scored)
        table.add_section()
        table.add_row(
            *(f"mean of {len(scored)}", "")[: len(texts)], report.percent(mean.damaged), "",
            *report.score_cells(mean),
        )  # fmt: skip
    return table
