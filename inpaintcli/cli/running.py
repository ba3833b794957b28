"""What the commands that work on masks share: which photos they take, and how a run is told."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from inpaintcli import batch, photo, planning, report, sheet, workers
from inpaintcli.cli.pipes import Pipes
from inpaintcli.cli.progress import Bars
from inpaintcli.errors import ExitCode, PhotoError, UsageError
from inpaintcli.files import clear_leftovers
from inpaintcli.filling import Progress
from inpaintcli.jobs import Job, Outcome, Recipe, Work
from inpaintcli.pairing import MASK, Beside, Found, Pairs, check_folder, find, real
from inpaintcli.photo import deflate
from inpaintcli.planning import Plan
from inpaintcli.runtime import usable_cores
from inpaintcli.stopping import Stop


@dataclass(frozen=True)
class Taken:
    """The photos of a run; notes: what is said of those that are not, one line each."""

    photos: list[Found]
    notes: list[str]


def taken(
    photos: Sequence[Path],
    beside: Beside,
    outputs: Sequence[Path | None],
    *,
    recursive: bool,
    masks_wanted: bool = False,
) -> Taken:
    """The photos that a run takes.

    masks_wanted: say where masks that lie beside the photos could be used. Raises UsageError where
    there are none, or where one is also given as what lies beside it.
    """
    passed: list[Path] = []
    unread: list[Found] = []
    apart = [*beside.paths, *(path for path in outputs if path)]
    found = find(photos, apart=apart, pairs=Pairs(beside), passed=passed, unread=unread)
    places = {real(one.path) for one in found}
    for path, what in (
        (beside.mask, "give a picture that is white where damage is"),
        (beside.exclude, "give a picture that is white where nothing may be touched"),
        (beside.infrared, "--infrared takes the infrared that its own file has"),
    ):
        if path and real(path) in places:
            raise UsageError(f"{path}: is the photo itself: {what}")
    left_out = set() if recursive else planning.left_below(found, beside)
    if len(left_out) == len(found):
        raise UsageError(f"{photos[0]}: has photos in folders below only: --recursive takes them")
    masks = [path for path in passed if masks_wanted and path.stem.endswith(MASK)]
    notes = passed_over([path for path in passed if path not in masks])
    if masks:
        folder = next((path for path in photos if path.is_dir()), masks[0].parent)
        lie = "masks lie" if len(masks) > 1 else "mask lies"
        uses = "uses them" if len(masks) > 1 else "uses it"
        notes.append(f"{len(masks)} {lie} beside the photos unused: --mask {folder} {uses}")
    notes += not_read([one for one in unread if recursive or len(one.name.parts) == 1])
    if left_out:
        some, them = _counted(len(left_out), "photo")
        notes.append(f"{some} in folders below left out: --recursive takes {them}")
    return Taken([one for one in found if one not in left_out], notes)


def passed_over(passed: Sequence[Path]) -> list[str]:
    """What is said of the results that `find` has passed over: one line, or none."""
    some, them = _counted(len(passed), "file")
    why = f"{some} skipped, named as results of an earlier run: name {them} here to take {them}"
    return [why] if passed else []


def not_read(unread: Sequence[Found]) -> list[str]:
    """What is said of the pictures in other formats that `find` came across: one line, or none."""
    paths = sorted({real(one.path): one.path for one in unread}.values())
    if not paths:
        return []
    some, them = _counted(len(paths), "picture")
    such = " ".join(sorted({path.suffix.lower() for path in paths}))
    return [
        f"{some} of formats that are not read ({such}) left out, {paths[0]} first: convert {them}"
    ]


def check_report(path: Path, suffixes: Sequence[str], option: str, *, overwrite: bool) -> None:
    """Raise UsageError, before any work, unless a report of one of the formats can go there."""
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{option} {path}: name a {' or a '.join(suffixes)}")
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file"
        raise UsageError(f"{option} {path}: is {what}: name a file")
    if path.exists() and not overwrite:
        raise UsageError(f"{option} {path}: exists already: --overwrite replaces it")
    check_folder(path.parent, option)


def _counted(number: int, noun: str) -> tuple[str, str]:
    """So many of what the noun says, and the pronoun for them."""
    return (f"{number} {noun}s", "them") if number > 1 else (f"{number} {noun}", "it")


@dataclass(frozen=True)
class Crew:
    """Who works on a run: processes, their threads, their device; None: as it fits."""

    device: str
    workers: int | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Telling:
    """How a run is told. title: of a contact sheet. reports: the files for them, checked by
    `check_reports`."""

    title: str
    pipes: Pipes
    reports: Sequence[Path] = ()
    quiet: bool = False
    json: bool = False

    def check_reports(self, plan: Plan, *, overwrite: bool) -> None:
        """Raise UsageError, before any work, where a report cannot go where it should."""
        jobs = plan.jobs
        taken = {real(path) for job in jobs for path in (*job.beside.paths, *job.written.paths)}
        taken |= {real(path) for path in plan.order}
        for path in self.reports:
            check_report(path, (".jsonl", ".html"), "--report", overwrite=overwrite)
            if real(path) in taken:
                raise UsageError(f"--report {path}: is a file of this run: choose another name")
            taken.add(real(path))

    @property
    def pictured(self) -> bool:
        """Whether the first photos are to have pictures."""
        return any(path.suffix.lower() == ".html" for path in self.reports)

    def add_to_reports(self, outcomes: Sequence[Outcome], new: int, begun: set[Path]) -> None:
        """Add the lines of the last `new` outcomes to the reports that have lines, and have them on
        disk: a run of many photos may be cut off, and what became of those that are done is then to
        be found.

        begun: the reports that are of this run; one that is not yet is replaced. What cannot be
        written is told by `write_reports`.
        """
        for path in self.reports:
            if path.suffix.lower() != ".jsonl":
                continue
            with suppress(OSError, PhotoError):
                if path not in begun:
                    photo.make_folder(path.parent)
                    photo.write_bytes(_lines(outcomes).encode(), path)
                    begun.add(path)
                    continue
                with path.open("a", encoding="utf-8", newline="\n") as file:
                    file.write(_lines(outcomes[len(outcomes) - new :]))
                    file.flush()
                    os.fsync(file.fileno())

    def write_reports(self, outcomes: Sequence[Outcome]) -> None:
        """Write every report as it is in the end; raises PhotoError for the first that cannot be
        written."""
        for path in self.reports:
            if path.suffix.lower() == ".html":
                text = sheet.page([_row(one) for one in outcomes], title=self.title)
            else:
                text = _lines(outcomes)
            try:
                photo.make_folder(path.parent)
                photo.write_bytes(text.encode(), path)
            except PhotoError as error:
                raise PhotoError(f"--report {error}") from None


def _lines(outcomes: Sequence[Outcome]) -> str:
    return "".join(report.json_line(one.to_dict()) + "\n" for one in outcomes)


def _row(outcome: Outcome) -> sheet.Row:
    facts: dict[str, str] = {}
    if outcome.output:
        facts["result"] = report.shown(outcome.output)
    if outcome.mask:
        facts["mask"] = report.shown(outcome.mask)
    if outcome.damaged is not None:
        facts["damaged"] = report.percent(outcome.damaged)
    if outcome.regions is not None:
        facts["regions"] = str(outcome.regions)
    if outcome.seconds is not None:
        facts["seconds"] = report.seconds(outcome.seconds)
    for heading, name, form in report.SCORE_COLUMNS if outcome.scores else ():
        value = getattr(outcome.scores, name)
        if value is not None:
            facts[heading] = form.format(value)
    return sheet.Row(
        report.shown(outcome.photo), outcome.status, facts, outcome.note, outcome.error,
        outcome.before, outcome.after,
    )  # fmt: skip


def carry_out(
    plan: Plan,
    recipe: Recipe,
    table: Callable[[list[Outcome]], Table],
    *,
    crew: Crew,
    telling: Telling,
    notes: Sequence[str] = (),
    dry_run: Callable[[Job], Outcome] | None = None,
) -> int:
    """Do the jobs, tell what becomes of each as it is done, and print the table in the end.

    notes: what is said before the first, one line each. dry_run: what is told of each job instead
    of doing it. Returns the exit code; raises ModelError where the model cannot be used.
    """
    jobs, quiet, pipes = plan.jobs, telling.quiet, telling.pipes
    if telling.pictured:
        jobs = [replace(job, pictured=at < sheet.MOST_SHOWN) for at, job in enumerate(jobs)]
    device = crew.device if recipe.has_networks else "cpu"
    number, threads = workers.crew(len(jobs), device, crew.workers, crew.threads)
    # In this process what cannot be loaded is known before anything is said.
    here = dry_run is not None or bool(jobs and not workers.apart(len(jobs), device, number))
    work = recipe.load(threads) if here else None
    total = len(plan.order)
    outcomes: list[Outcome] = []
    trouble: list[str] = []
    interrupted = ended = False
    begun: set[Path] = set()
    reported = 0  # A wrong call may show when the first photo begins: it changes no report.

    with Stop() as stop, Bars(len(jobs), quiet=quiet) as bars:

        def say(note: str) -> None:
            if not quiet:
                bars.say(note)

        for note in notes:
            say(note)

        def on_start(job: Job) -> Progress:
            return bars.photo(job.photo)

        def tell(outcome: Outcome) -> None:
            outcome = pipes.outcome(outcome)
            outcomes.append(outcome)
            if outcome.error:
                bars.say(f"inpaint: {outcome.error}")
            elif outcome.note:
                say(f"{outcome.photo}: {outcome.note}")
            if telling.json:
                report.print_json(outcome.to_dict(), pipes.told_to)

        for outcome in (*plan.failures, *plan.skipped):
            tell(outcome)
        try:
            for outcome in (
                map(dry_run, jobs)
                if dry_run
                else _outcomes(jobs, recipe, work, on_start, say, number, threads, stop)
            ):
                bars.photo_done(outcome.photo)
                tell(outcome)
                if not dry_run:
                    telling.add_to_reports(outcomes, len(outcomes) - reported, begun)
                    reported = len(outcomes)
            ended = True
            pipes.send()
        except PhotoError as error:
            trouble.append(str(error))
        except KeyboardInterrupt:
            interrupted = ended = True
            counts = Counter(outcome.status for outcome in outcomes)
            done = len(outcomes) - counts["failed"] - counts["skipped"]
            left = total - len(outcomes)
            bars.say(f"inpaint: interrupted: {done} done, {left} not begun or not finished")
        finally:
            # What was done is told, whatever ended the run.
            order = {path: at for at, path in enumerate(map(str, plan.order))}
            outcomes.sort(key=lambda one: order.get(str(one.photo), 0))
            if not dry_run and (ended or reported):
                try:
                    telling.write_reports(outcomes)
                except PhotoError as error:
                    trouble.append(str(error))
            for text in trouble:
                bars.say(f"inpaint: {text}")
            lone = total == 1 and any(outcome.error for outcome in outcomes)
            if outcomes and not telling.json and not quiet and not lone:
                report.print_table(table(outcomes), pipes.told_to)
                if total > 1:
                    report.print_line(f"\n{_counts(outcomes)}", pipes.told_to)
    if interrupted:
        return ExitCode.INTERRUPTED
    failed = any(outcome.status == "failed" for outcome in outcomes)
    return ExitCode.PHOTO_FAILED if failed or trouble else ExitCode.DONE


def _outcomes(
    jobs: Sequence[Job],
    recipe: Recipe,
    work: Work | None,
    on_start: Callable[[Job], Progress],
    say: Callable[[str], None],
    number: int,
    threads: int | None,
    stop: Stop,
) -> Iterator[Outcome]:
    """Do the jobs: in this process where the work is loaded, else in so many workers."""
    clear_leftovers({real(path).parent for job in jobs for path in job.written.paths})
    if work:
        import cv2

        cv2.setNumThreads(threads or usable_cores())
        deflate.set_threads(threads or usable_cores())
        yield from batch.run(jobs, work, on_start, stop.check)
    else:
        yield from workers.run(
            jobs, recipe, on_start, workers=number, threads=threads, stop=stop, say=say
        )


def _counts(outcomes: Iterable[Outcome]) -> str:
    """How many photos are done, skipped, failed or planned, in one line."""
    words = {"restored": "done", "copied": "done", "detected": "done"}
    counts = Counter(words.get(outcome.status, outcome.status) for outcome in outcomes)
    kinds = ("planned", "done", "skipped", "failed")
    return ", ".join(f"{counts[kind]} {kind}" for kind in kinds if counts[kind])
