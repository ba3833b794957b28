"""Many photos: work on one after the other, lose none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from inpaintcli.errors import GpuMemoryError, ModelError, reason
from inpaintcli.filling import Progress
from inpaintcli.jobs import Job, Outcome, Work


def run(
    jobs: Sequence[Job],
    work: Work,
    on_start: Callable[[Job], Progress | None],
    check: Callable[[], None] = lambda: None,
) -> Iterator[Outcome]:
    """Work on photo after photo; a failure is an outcome and the next photo goes on.

    `on_start` is told of each job and returns who wants to know of its tiles. `check` is called
    before each photo and after each batch of tiles, and raises KeyboardInterrupt to end the run.
    Raises ModelError where a model fails before any photo is done, by whatever way (copied through
    counts): it would fail with all others too.
    """
    any_done = False
    for job in jobs:
        check()
        try:
            outcome = attempt(job, work, stoppable(check, on_start(job)))
        except ModelError as error:
            if not any_done:
                raise
            outcome = failed(job, str(error))
        any_done = any_done or not outcome.error
        yield outcome


def stoppable(check: Callable[[], None], progress: Progress | None) -> Progress:
    """A progress that also checks, batch by batch of tiles, whether to go on."""

    def report(done: int, total: int) -> None:
        check()
        if progress:
            progress(done, total)

    return report


def attempt(job: Job, work: Work, progress: Progress | None) -> Outcome:
    """Work on a photo; whatever fails is an outcome, but for ModelError, which is raised.

    Too little memory of a GPU is no fault of the model: smaller photos may fit.
    """
    try:
        return work.do(job, progress)
    except GpuMemoryError as error:
        return failed(job, f"{job.photo}: {error}")
    except ModelError:
        raise
    except Exception as error:
        return failed(job, reason(job.photo, error))


def failed(job: Job, why: str) -> Outcome:
    """The outcome of a job that failed."""
    return Outcome(job.photo, "failed", mask=job.beside.mask, error=why)
