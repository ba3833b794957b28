"""`inpaint restore`: photos and masks in, restored photos out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from inpaintcli import metrics, planning, report
from inpaintcli.cli import options
from inpaintcli.cli.pipes import piped
from inpaintcli.cli.running import Crew, Telling, carry_out, taken
from inpaintcli.errors import UsageError
from inpaintcli.grain import parse_strength
from inpaintcli.inpainters.registry import DEFAULT
from inpaintcli.jobs import Outcome, Written
from inpaintcli.pairing import (
    Beside,
    Found,
    alike,
    check_place,
    mask_path,
    names_file,
    restored_path,
)
from inpaintcli.photo import MAX_PIXELS
from inpaintcli.sources import Drawn, Masking
from inpaintcli.work import FileOptions, RestoreOptions, Restoring


def restore(
    photos: options.AnyPhotos = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="What is damaged (white): one picture for all photos, or a folder. "
            "Without it the damage is looked for.",
            metavar="FILE|DIR",
            parser=options.path,
        ),
    ] = None,
    output: Annotated[
        options.Output | None,
        typer.Option(
            "-o",
            "--output",
            help="File (for one photo) or folder for the results, or - for standard output.",
            metavar="FILE|DIR|-",
            parser=options.output,
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
    device: options.Device = "auto",
    tile: Annotated[
        int | None, typer.Option(min=8, metavar="N", help="Side of the tiles in pixels.")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Overlap of the tiles in pixels.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Tiles per call of the model.")
    ] = None,
    workers: options.Workers = None,
    threads: options.Threads = None,
    grain: Annotated[
        str,
        typer.Option(
            metavar="auto|off|STRENGTH",
            help="Grain of filled pixels: that of a grainy photo, none, or so many times it (0-4).",
        ),
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Fixes grain and texture.")] = 0,
    threshold: options.Threshold = None,
    infrared: options.Infrared = False,
    infrared_file: options.InfraredFile = None,
    invert_mask: options.InvertMask = False,
    fit_mask: options.FitMask = False,
    close_gaps: options.CloseGaps = 0,
    min_area: options.MinArea = None,
    grow_mask: options.GrowMask = None,
    exclude: options.Exclude = None,
    save_mask_to: Annotated[
        options.Output | None,
        typer.Option(
            "--save-mask",
            help="Keep the mask as it was used: a file (for one photo) or a folder.",
            metavar="FILE|DIR",
            parser=options.output,
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="png|tiff|...",
            parser=options.suffix,
            help="Write results in this format, not in that of their photo.",
        ),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(
            min=1, max=100, metavar="N", help="Of JPEG and other lossy formats, 1 to 100."
        ),
    ] = None,
    page: options.Page = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the photos themselves.")
    ] = False,
    overwrite: options.Overwrite = False,
    skip_existing: options.SkipExisting = False,
    preserve_times: options.PreserveTimes = False,
    recursive: options.Recursive = False,
    from_file: options.FromFile = None,
    max_pixels: options.MaxPixels = MAX_PIXELS,
    report_files: options.Reports = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Fill what is damaged; every other pixel stays as it is.

    Without `--mask` scratches, cracks, dust and stains are looked for; `inpaint detect` shows what
    is found. A mask is white where the photo is damaged; in a mask with transparency, whatever is
    painted is damaged. Without `-o` the result lies beside the photo as NAME-restored.SUFFIX.
    Masks, references and the like in a folder are paired with photos by relative name without
    suffix. Photos in folders below a DIR are taken with --recursive, or where a folder given with
    --mask or --infrared-file has one for them. Links to folders are followed where they are named
    only.

    Examples: `inpaint restore print.jpg`, `inpaint restore print.jpg --mask print-mask.png`
    """
    with piped(photos, from_file, output, format, max_pixels) as pipes:
        photos, out = pipes.photos, pipes.out
        save_mask = save_mask_to.path if save_mask_to else None
        beside = Beside(mask, infrared_file, exclude, reference)
        options.check_found(threshold, infrared, beside)
        options.check_given(invert_mask, fit_mask, beside)
        options.check_existing(skip_existing, overwrite or in_place)
        if in_place and (out or format):
            option = "-o" if out else "--format"
            raise UsageError(f"--in-place and {option} exclude each other: give one of them")
        parse_strength(grain)
        run = taken(
            photos, beside, [out, save_mask], recursive=recursive,
            masks_wanted=not (mask or infrared or infrared_file),
        )  # fmt: skip
        out_is_file = pipes.goes is not None or bool(
            out and names_file(out, photos, is_folder=pipes.out_is_folder)
        )
        if out and out_is_file and format and out.suffix.lower() != format:
            raise UsageError(f"--format and -o {out} name two formats: leave one of them")
        save_is_file = save_mask_to is not None and options.names_mask(
            save_mask_to.path, photos, "--save-mask", is_folder=save_mask_to.is_folder
        )
        if pipes.came and save_mask and not save_is_file:
            raise UsageError(f"--save-mask {save_mask}: standard input has no name: name a file")
        twins = alike(run.photos, save_mask) if save_mask else set()

        def place(one: Found) -> Written:
            photo = one.path if in_place else restored_path(one, out, out_is_file, format)
            if out and not out_is_file:
                check_place(photo, out)
            mask = None
            if save_mask:
                mask = mask_path(one, save_mask, save_is_file, whole=one in twins)
                if not save_is_file:
                    check_place(mask, save_mask, "--save-mask")
            return Written(photo, mask)

        dark = infrared or beside.infrared is not None
        masking = Masking(
            Drawn(invert_mask, fit_mask) if mask else options.finding(threshold, infrared, beside),
            options.tools(grow_mask, min_area, close_gaps, given=mask is not None, infrared=dark),
            fit_mask,
        )
        how = RestoreOptions(tile, overlap, batch_size, grain, seed)
        files = FileOptions(quality, page, preserve_times, max_pixels, overwrite)
        plan = planning.plan(
            run.photos, beside, place,
            in_place=in_place, overwrite=overwrite, skip_existing=skip_existing,
            paged=options.paged(page, infrared, beside),
        )  # fmt: skip
        telling = Telling("Restored photos", pipes, report_files or (), quiet, json)
        telling.check_reports(plan, overwrite=overwrite or skip_existing)
        return carry_out(
            plan,
            Restoring(model, device, masking, how, files),
            _table,
            crew=Crew(device, workers, threads),
            telling=telling,
            notes=run.notes,
            dry_run=(lambda job: planning.planned(job, masking)) if dry_run else None,
        )


def _table(outcomes: list[Outcome]) -> Table:
    scored = [outcome.scores for outcome in outcomes if outcome.scores]
    headings = [heading for heading, *_ in report.SCORE_COLUMNS] if scored else []
    # A narrow terminal has room for the scores or for the result's path.
    texts = ["photo"] if scored and report.narrow() else ["photo", "result"]
    planned = any(outcome.status == "planned" for outcome in outcomes)
    if planned:
        texts.append("mask")
    table = report.plain_table(texts, ["damaged", "seconds", *headings])
    for outcome in outcomes:
        result = str(outcome.output) if outcome.output else ""
        if outcome.error:
            result = f"failed: {report.why(outcome.error, outcome.photo)}"
        elif outcome.status != "restored":
            result = f"{outcome.status} {result}".strip()
        # A mask that is yet to be found has no path unless it is kept.
        mask = outcome.mask or outcome.mask_source
        cells = (report.label(outcome.photo), report.shown(result), report.shown(mask or "-"))
        table.add_row(
            *map(Text, cells[: len(texts)]),
            report.percent(outcome.damaged),
            report.seconds(outcome.seconds),
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
