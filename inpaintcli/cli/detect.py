"""`inpaint detect`: photos in, masks of their damage out."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from inpaintcli import planning, report
from inpaintcli.cli import options
from inpaintcli.cli.pipes import piped
from inpaintcli.cli.running import Crew, Telling, carry_out, taken
from inpaintcli.errors import UsageError
from inpaintcli.jobs import Outcome, Written
from inpaintcli.pairing import Beside, Found, alike, check_place, mask_path, overlay_path
from inpaintcli.photo import MAX_PIXELS
from inpaintcli.sources import Masking
from inpaintcli.work import Detecting, FileOptions


def detect(
    photos: options.AnyPhotos = None,
    output: Annotated[
        options.Output | None,
        typer.Option(
            "-o",
            "--output",
            help="File (for one photo) or folder for the masks, or - for standard output.",
            metavar="FILE|DIR|-",
            parser=options.output,
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
            "--overlay",
            help="Write the photo with the mask over it too, beside the mask as NAME-overlay.png.",
        ),
    ] = False,
    page: options.Page = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
    skip_existing: options.SkipExisting = False,
    preserve_times: options.PreserveTimes = False,
    recursive: options.Recursive = False,
    from_file: options.FromFile = None,
    max_pixels: options.MaxPixels = MAX_PIXELS,
    report_files: options.Reports = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Find scratches, cracks, creases, dust, hairs and stains, and write them as masks.

    White is damaged. Without `-o` the mask lies beside the photo as NAME-mask.png; in a folder it
    is NAME.png, so that `inpaint restore --mask` finds it. With --overlay the photo with its
    damage in red lies beside the mask, to look at, and is named after it where -o names a FILE.
    Where photos differ in their suffix alone, NAME has it too. Photos in folders below a DIR are
    taken with --recursive, or where a folder given with --infrared-file has one for them.

    Example: `inpaint detect scans -o masks --overlay`, then `inpaint restore scans --mask masks`
    """
    with piped(photos, from_file, output, ".png", max_pixels) as pipes:
        photos, out = pipes.photos, pipes.out
        beside = Beside(infrared=infrared_file, exclude=exclude)
        options.check_found(threshold, infrared, beside)
        options.check_given(False, fit_mask, beside)
        options.check_existing(skip_existing, overwrite)
        if overlay and (pipes.came or pipes.goes):
            raise UsageError("--overlay: has no place beside a pipe: name the photo and the mask")
        run = taken(photos, beside, [out], recursive=recursive)
        out_is_file = pipes.goes is not None or bool(
            out and options.names_mask(out, photos, "-o", is_folder=pipes.out_is_folder)
        )
        twins = alike(run.photos, out)

        def place(one: Found) -> Written:
            mask = mask_path(one, out, out_is_file, whole=one in twins)
            shown = overlay_path(one, mask, out_is_file, whole=one in twins) if overlay else None
            for path in (mask, shown):
                if path and out and not out_is_file:
                    check_place(path, out)
            return Written(mask=mask, overlay=shown)

        dark = infrared or beside.infrared is not None
        masking = Masking(
            options.finding(threshold, infrared, beside),
            options.tools(grow_mask, min_area, close_gaps, given=False, infrared=dark),
            fit_mask,
        )
        files = FileOptions(
            page=page, preserve_times=preserve_times, max_pixels=max_pixels, overwrite=overwrite
        )
        plan = planning.plan(
            run.photos, beside, place, overwrite=overwrite, skip_existing=skip_existing,
            paged=options.paged(page, infrared, beside),
        )  # fmt: skip
        telling = Telling("Damage found", pipes, report_files or (), quiet, json)
        telling.check_reports(plan, overwrite=overwrite or skip_existing)
        return carry_out(
            plan,
            Detecting(device, masking, files),
            _table,
            crew=Crew(device, workers, threads),
            telling=telling,
            notes=run.notes,
        )


def _table(outcomes: list[Outcome]) -> Table:
    table = report.plain_table(["photo", "mask"], ["damaged", "regions", "seconds"])
    for outcome in outcomes:
        mask = report.shown(outcome.mask or "")
        if outcome.error:
            mask = f"failed: {report.shown(report.why(outcome.error, outcome.photo))}"
        elif outcome.status == "skipped":
            mask = f"skipped {mask}"
        table.add_row(
            Text(report.label(outcome.photo)),
            Text(mask),
            report.percent(outcome.damaged),
            "-" if outcome.regions is None else str(outcome.regions),
            report.seconds(outcome.seconds),
        )
    return table
