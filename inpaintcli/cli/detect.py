"""`inpaint detect`: photos in, masks of their damage out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from inpaintcli import batch, report
from inpaintcli.batch import Job, Outcome, Written
from inpaintcli.cli import options
from inpaintcli.cli.running import carry_out, taken
from inpaintcli.filling import Progress
from inpaintcli.pairing import Beside, Found, alike, mask_path, overlay_path
from inpaintcli.sources import Masking


def detect(
    photos: options.Photos,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="File (for one photo) or folder for the masks.",
            metavar="FILE|DIR",
            parser=options.path,
        ),
    ] = None,
    threshold: options.Threshold = None,
    infrared: options.Infrared = False,
    infrared_file: options.InfraredFile = None,
    close_gaps: options.CloseGaps = 0,
    min_area: options.MinArea = None,
    grow_mask: options.GrowMask = None,
    exclude: options.Exclude = None,
    fit_mask: options.FitMask = False,
    overlay: Annotated[
        bool,
        typer.Option(
            "--overlay", help="Write the photo with the mask over it too, as NAME-overlay.png."
        ),
    ] = False,
    device: options.Device = "auto",
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
    recursive: options.Recursive = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Find scratches, cracks, creases, dust, hairs and stains, and write them as masks.

    White is damaged. Without `-o` the mask lies beside the photo as NAME-mask.png; in a folder it
    is NAME.png, so that `inpaint restore --mask` finds it. With --overlay the photo with its
    damage in red lies beside the mask, to look at. Where photos differ in their suffix alone, NAME
    has it too. Photos in folders below a DIR are taken with --recursive, or where a folder given
    with --infrared-file has one for them.

    Example: `inpaint detect scans -o masks --overlay`, then `inpaint restore scans --mask masks`
    """
    beside = Beside(infrared=infrared_file, exclude=exclude)
    options.check_found(threshold, infrared, beside)
    options.check_given(False, fit_mask, beside)
    run = taken(photos, beside, [out], recursive=recursive)
    out_is_file = bool(out and options.names_mask(out, photos, "-o"))
    twins = alike(run.photos, out)

    def place(one: Found) -> Written:
        mask = mask_path(one, out, out_is_file, whole=one in twins)
        shown = overlay_path(one, mask, whole=one in twins) if overlay else None
        return Written(mask=mask, overlay=shown)

    masking = Masking(
        options.finding(threshold, infrared, beside, device, threads),
        options.tools(grow_mask, min_area, close_gaps, given=False),
        fit_mask,
    )
    plan = batch.plan(run.photos, beside, place, overwrite=overwrite)

    def work(job: Job, progress: Progress | None) -> Outcome:
        return batch.detect_file(job, masking, progress)

    return carry_out(
        plan,
        lambda on_start: batch.run(plan.jobs, work, on_start),
        _table,
        notes=run.notes,
        quiet=quiet,
        json=json,
    )


def _table(outcomes: list[Outcome]) -> Table:
    table = report.plain_table(["photo", "mask"], ["damaged", "regions", "seconds"])
    for outcome in outcomes:
        mask = "failed" if outcome.error else report.shown(outcome.mask or "")
        table.add_row(
            Text(report.label(outcome.photo)),
            Text(mask),
            report.percent(outcome.damaged),
            "-" if outcome.regions is None else str(outcome.regions),
            report.seconds(outcome.seconds),
        )
    return table
