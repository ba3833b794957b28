"""What the commands that work on masks share: which photos they take, and how a run is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from inpaintcli import batch, report
from inpaintcli.batch import Job, Outcome, Plan
from inpaintcli.cli.progress import Bars
from inpaintcli.errors import ExitCode, UsageError
from inpaintcli.filling import Progress
from inpaintcli.pairing import Beside, Found, Pairs, find

OnStart = Callable[[Job], Progress | None]


@dataclass(frozen=True)
class Taken:
    """The photos of a run; notes: what is said of those that are not, one line each."""

    photos: list[Found]
    notes: list[str]


def taken(
    photos: Sequence[Path], beside: Beside, outputs: Sequence[Path | None], *, recursive: bool
) -> Taken:
    """The photos that a run takes.

    Raises UsageError where there are none, or where one is also given as what lies beside it.
    """
    passed: list[Path] = []
    apart = [*beside.paths, *(path for path in outputs if path)]
    found = find(photos, apart=apart, pairs=Pairs(beside), passed=passed)
    places = {one.path.resolve() for one in found}
    for path, what in (
        (beside.mask, "give a picture that is white where damage is"),
        (beside.exclude, "give a picture that is white where nothing may be touched"),
        (beside.infrared, "--infrared takes the infrared that its own file has"),
    ):
        if path and path.resolve() in places:
            raise UsageError(f"{path}: is the photo itself: {what}")
    left_out = set() if recursive else batch.left_below(found, beside)
    if len(left_out) == len(found):
        raise UsageError(f"{photos[0]}: has photos in folders below only: --recursive takes them")
    notes = passed_over(passed)
    if left_out:
        some, them = _counted(len(left_out), "photo")
        notes.append(f"{some} in folders below left out: --recursive takes {them}")
    return Taken([one for one in found if one not in left_out], notes)


def passed_over(passed: Sequence[Path]) -> list[str]:
    """What is said of the results that `find` has passed over: one line, or none."""
    some, them = _counted(len(passed), "file")
    why = f"{some} skipped, named as results of an earlier run: name {them} here to take {them}"
    return [why] if passed else []


def _counted(number: int, noun: str) -> tuple[str, str]:
    """So many of what the noun says, and the pronoun for them."""
    return (f"{number} {noun}s", "them") if number > 1 else (f"{number} {noun}", "it")


def carry_out(
    plan: Plan,
    outcomes_of: Callable[[OnStart], Iterable[Outcome]],
    table: Callable[[list[Outcome]], Table],
    *,
    notes: Sequence[str] = (),
    quiet: bool = False,
    json: bool = False,
) -> int:
    """Tell what becomes of each job as it is done, and print the table; returns the exit code.

    outcomes_of: given whom to tell of each job that begins, the outcomes of the plan's jobs.
    notes: what is said before the first, one line each.
    """
    outcomes: list[Outcome] = []
    with Bars(len(plan.jobs), quiet=quiet) as bars:
        for note in () if quiet else notes:
            bars.say(note)

        def on_start(job: Job) -> Progress | None:
            bars.photo(job.photo)
            return bars.tiles

        def tell(outcome: Outcome) -> None:
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
            for outcome in outcomes_of(on_start):
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
                report.print_table(table(outcomes))
    failed = any(outcome.status == "failed" for outcome in outcomes)
    return ExitCode.PHOTO_FAILED if failed else ExitCode.DONE
