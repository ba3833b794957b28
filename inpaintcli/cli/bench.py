"""`inpaint bench`: every method on one's own photos, side by side."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

import typer

from inpaintcli import bench_report, photo, report
from inpaintcli.arrays import Pixels
from inpaintcli.bench import (
    Case,
    Result,
    Run,
    Setting,
    Watch,
    check_models,
    installed,
)
from inpaintcli.bench import (
    bench as measure,
)
from inpaintcli.bench_report import Bench, Gallery
from inpaintcli.cli import options
from inpaintcli.cli.progress import Bars
from inpaintcli.cli.running import check_report, not_read, passed_over
from inpaintcli.damage import Kind
from inpaintcli.errors import ExitCode, PhotoError, UsageError, reason
from inpaintcli.files import write_whole
from inpaintcli.filling import Progress
from inpaintcli.pairing import Beside, Found, Pairs, find
from inpaintcli.stopping import Stop

_KINDS: tuple[Kind, ...] = get_args(Kind)
_REPORTS = (".html", ".md", ".json")


def bench(
    photos: Annotated[
        list[Path],
        typer.Argument(
            metavar="PHOTO|DIR...",
            parser=options.path,
            help="Undamaged photos, or folders of them; damaged ones with --mask and --reference.",
        ),
    ],
    models: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            show_default=False,
            help="Methods or .onnx files, with commas between; by default all that are installed.",
        ),
    ] = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            metavar="KIND,...",
            show_default=False,
            help=f"Damage to draw, of {', '.join(_KINDS)}; scratches by default.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Fixes the damage.")] = 0,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", show_default=False, help="Take N of the photos, evenly spaced."
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(metavar="S", help="Seconds that a method may take for a photo."),
    ] = 600.0,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=options.path,
            help="What is damaged, where the photos are: one picture for all, or a folder.",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="DIR", parser=options.path, help="The undamaged photos."),
    ] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            parser=options.output_file,
            show_default=False,
            help="Write a report: .html with pictures, .md or .json. May be given more than once.",
        ),
    ] = None,
    device: options.Device = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", show_default=False, help="CPU threads; all cores by default."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a report that exists already.")
    ] = False,
    quiet: options.Quiet = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print what -o FILE.json holds instead of the table.")
    ] = False,
) -> int:
    """Compare methods on your own photos: how good, how fast, how much memory.

    Undamaged photos are damaged, as `inpaint damage` does with the same seed, and every method
    restores the same pixels, without grain, in a process of its own. A photo of less than a second
    is restored three times. The best of each column has a star.

    A method that fails, is not installed or takes too long is a row without figures, and its reason
    is told; the exit code is 3 only if none is left.

    Examples: `inpaint bench photos --limit 5 -o report.html`,
    `inpaint bench damaged --mask masks --reference originals`
    """  # fmt: skip
    for path in out or ():
        check_report(path, _REPORTS, "-o", overwrite=overwrite)
    if not 0 < timeout < math.inf:
        raise UsageError(f"--timeout {timeout:g}: must be a number of seconds above 0")
    names = installed() if models is None else _words(models, "--models")
    check_models(names)
    drawn = _kinds(kinds) if mask is None and reference is None else None
    beside = Beside(mask=mask, reference=reference)
    passed: list[Path] = []
    unread: list[Found] = []
    found = find(photos, apart=beside.paths, pairs=Pairs(beside), passed=passed, unread=unread)
    cases = _cases(_spaced(found, limit), drawn, kinds, beside, seed)

    setting = Setting(timeout, device, threads, seed)
    failed: dict[str, str] = {}
    results: list[Result] = []
    interrupted = False
    # On a terminal the table says why a method failed, once.
    told_below = sys.stdout.isatty() and not (quiet or json)
    with Stop() as stop, Bars(len(cases) * len(names), quiet=quiet) as bars:
        for note in () if quiet else (*passed_over(passed), *not_read(unread)):
            bars.say(note)
        gallery = Gallery(cases)
        try:
            cases = _opened(cases, gallery, failed, bars, stop)

            def begin(model: str, case: Case) -> Progress:
                return bars.photo(_hand(model, case))

            def end(model: str, case: Case, pixels: Pixels, run: Run) -> None:
                gallery.add(model, case, pixels)
                bars.photo_done(_hand(model, case))

            for result in measure(names, cases, setting, Watch(begin, end, stop)) if cases else ():
                results.append(result)
                if result.error and not told_below:
                    bars.say(f"inpaint: {result.model}: {result.error}")
                for case in cases[len(result.runs) :]:
                    bars.photo_done(_hand(result.model, case))
        except KeyboardInterrupt:
            interrupted = True
            bars.say(f"inpaint: interrupted: {len(results)} of {len(names)} methods measured")
    if not results:
        return ExitCode.INTERRUPTED if interrupted else ExitCode.PHOTO_FAILED
    measured = Bench(cases, setting, results)
    _tell(measured, failed, quiet, json)
    trouble = _write(measured, gallery, failed, out or ())
    if interrupted:
        return ExitCode.INTERRUPTED
    if failed or trouble:
        return ExitCode.PHOTO_FAILED
    return ExitCode.MODEL if all(result.error for result in results) else ExitCode.DONE


def _words(text: str, option: str) -> list[str]:
    words = list(dict.fromkeys(filter(None, (word.strip() for word in text.split(",")))))
    if not words:
        raise UsageError(f"{option} {text!r}: name at least one")
    return words


def _kinds(text: str | None) -> list[Kind]:
    words = _words(text, "--kinds") if text is not None else ["scratches"]
    for word in words:
        if word not in _KINDS:
            raise UsageError(f"unknown kind of damage {word!r}: choose from {', '.join(_KINDS)}")
    return [kind for word in words for kind in _KINDS if kind == word]


def _cases(
    found: Sequence[Found],
    drawn: Sequence[Kind] | None,
    kinds: str | None,
    beside: Beside,
    seed: int,
) -> list[Case]:
    """All that is to be restored: drawn kinds on each photo, or photos damaged already.

    Raises UsageError where what belongs to a photo is missing.
    """
    if drawn is not None:
        return [Case(one, kind, seed) for kind in drawn for one in found]
    if not (beside.mask and beside.reference):
        given, needed = ("--mask", "--reference") if beside.mask else ("--reference", "--mask")
        raise UsageError(f"{given} without {needed}: photos that are damaged need both")
    if kinds is not None:
        raise UsageError("--kinds and --mask exclude each other: the photos are damaged already")
    pairs = Pairs(beside)
    try:
        return [Case(one, None, seed, pairs.of(one)) for one in found]
    except PhotoError as error:
        raise UsageError(str(error)) from None


def _spaced(found: list[Found], limit: int | None) -> list[Found]:
    number = min(limit or len(found), len(found))
    return [found[at * len(found) // number] for at in range(number)]


def _opened(
    cases: Sequence[Case], gallery: Gallery, failed: dict[str, str], bars: Bars, stop: Stop
) -> list[Case]:
    """The cases that can be opened; of the others it is said, and put into `failed`, why not."""
    good = []
    for case in cases:
        stop.check()
        if str(case.photo.path) in failed:
            continue
        try:
            gallery.open(case, case.open())
            good.append(case)
        except Exception as error:
            why = reason(case.photo.path, error)
            failed[str(case.photo.path)] = why
            bars.say(f"inpaint: {why}")
    # With all kinds of damage, or with none.
    return [case for case in good if str(case.photo.path) not in failed]


def _hand(model: str, case: Case) -> Path:
    """What the bar calls a photo in the hands of a method."""
    return Path(f"{Path(model).name} {case.photo.path.name}")


def _tell(found: Bench, failed: dict[str, str], quiet: bool, json: bool) -> None:
    if json:
        report.print_json(bench_report.as_dict(found, failed))
    elif not quiet:
        width = report.console(sys.stdout).width if sys.stdout.isatty() else None
        report.print_line(found.about())
        report.print_table(bench_report.table(found, width))
        for line in bench_report.failures(found):
            report.print_line(f"not measured: {line}")


def _write(
    found: Bench, gallery: Gallery, failed: dict[str, str], paths: Sequence[Path]
) -> list[str]:
    """Write all reports; returns why some could not be, which is said too."""
    trouble = []
    for path in paths:
        match path.suffix.lower():
            case ".html":
                text = bench_report.page(found, gallery)
            case ".md":
                text = bench_report.markdown(found)
            case _:
                text = report.json_line(bench_report.as_dict(found, failed)) + "\n"
        try:
            photo.make_folder(path.parent)
            write_whole(path, text.encode())
        except (OSError, PhotoError) as error:
            why = getattr(error, "strerror", "") or str(error)
            trouble.append(f"{path}: the report cannot be written: {why.lower()}")
            print(f"inpaint: {report.shown(trouble[-1])}", file=sys.stderr)
    return trouble
