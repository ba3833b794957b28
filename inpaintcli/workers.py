"""Photos in worker processes, one photo at a time each: decoding, restoring and encoding overlap.

A worker that dies, by a crash in a codec or for want of memory, costs its photo alone. Workers end
by themselves when the process that started them is gone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Literal

from inpaintcli import gpus
from inpaintcli.batch import attempt, failed, stoppable
from inpaintcli.errors import InpaintError, ModelError, reason
from inpaintcli.files import abandon
from inpaintcli.filling import Progress
from inpaintcli.jobs import Job, Outcome, Recipe
from inpaintcli.photo import deflate
from inpaintcli.runtime import has_cuda_libraries, may_use_cuda, usable_cores
from inpaintcli.stopping import SIGNALS, Stop

#: Bytes that a worker takes for a photo of 12 megapixels; workers by default take no more than half
#: of the memory that is free.
WORKER_MEMORY = 600_000_000
#: Seconds between two words of a worker about its tiles.
PROGRESS_EVERY = 0.1
#: So many workers in a row that end before they are ready are no accident.
MOST_STILLBORN = 3

_context = multiprocessing.get_context("spawn")


def crew(
    photos: int, device: str, workers: int | None = None, threads: int | None = None
) -> tuple[int, int | None]:
    """How many workers a run of so many photos has, and how many threads each.

    workers, threads: as asked for. By default there are as many workers as cores that the threads
    leave, as memory has room for and as there are photos; where CUDA may do the work, one a GPU.
    Threads share the cores; None are all of them.
    """
    if photos < 2:
        return 1, threads
    cores = usable_cores()
    if workers is None:
        workers = _gpus(device) or max(1, cores // (threads or 1))
        free = free_memory()
        if free is not None:
            workers = min(workers, max(1, free // (2 * WORKER_MEMORY)))
    if os.name == "nt":
        workers = min(workers, 60)  # It waits for no more at a time.
    workers = max(1, min(workers, photos))
    if threads is None and workers > 1:
        threads = max(1, cores // workers)
    return workers, threads


def apart(photos: int, device: str, workers: int) -> bool:
    """Whether so many photos are worked on in processes of their own.

    A lone worker needs none, and would take time to start. But once a GPU has failed, nothing more
    works in the process that used it: with photos to come, that must not be this one.
    """
    return workers > 1 or (photos > 1 and _gpus(device) > 0)


def _gpus(device: str) -> int:
    """How many GPUs the work could come to be done by; no memory of any is taken to find out."""
    if not may_use_cuda(device) or (device == "auto" and not has_cuda_libraries()):
        return 0
    known = None if ":" in device else gpus.count()
    if known is None or device == "cuda":
        return known or 1  # Where there is none, one worker is enough to say so.
    return known


def devices(device: str, workers: int) -> list[str]:
    """Where each of so many workers runs: the GPUs take turns, unless `device` names one.

    auto stays as ready for the CPU as it is: a GPU may be there, and CUDA's libraries not.
    """
    if device == "auto" and not _gpus(device):
        return ["cpu"] * workers
    known = (_gpus(device) or 1) if device in ("auto", "cuda") else 1
    return [f"{device}:{at % known}" if known > 1 else device for at in range(workers)]


def free_memory() -> int | None:
    """Bytes of memory that this process could take without swapping; None where nobody says."""
    known: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                known.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):
        # A container has a limit of its own.
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        for line in (group / "memory.stat").read_text().splitlines():
            # Files that were read and may be forgotten are no use of memory.
            if line.startswith("inactive_file "):
                used -= int(line.split()[1])
        known.append(max(0, most - used))
    if not known and hasattr(os, "sysconf"):
        with contextlib.suppress(OSError, ValueError):
            known.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(known, default=None)


def run(
    jobs: Sequence[Job],
    recipe: Recipe,
    on_start: Callable[[Job], Progress | None],
    *,
    workers: int,
    threads: int | None,
    stop: Stop,
    say: Callable[[str], None] = lambda note: None,
) -> Iterator[Outcome]:
    """Work on all jobs; outcomes come in the order in which they are done.

    As `batch.run`: a failure is an outcome, ModelError is raised where a model fails before any
    photo is done, KeyboardInterrupt where `stop` was asked for. Several GPUs are shared out, see
    `devices`. say: is told, in one line each, what there is to say of the workers.
    """
    waiting = deque(jobs)
    instead = "--workers 1" if workers > 1 else "--device cpu"
    without_gpu: set[str] = set()
    any_done = stopping = False
    stillborn = 0
    living: list[_Worker] = []
    try:
        for device in devices(recipe.device, min(workers, len(jobs))):
            try:
                living.append(_Worker(recipe.on(device), threads))
            except OSError as error:  # The system has no room for so many: fewer do as well.
                if not living:
                    cause = (error.strerror or str(error)).lower()
                    raise ModelError(f"no worker can be started: {cause}: try {instead}") from None
                break
        while living:
            if stop.asked and not stopping:
                stopping = True
                for worker in [one for one in living if not one.stop()]:
                    living.remove(worker)
                    worker.end()
            for worker, answer in _answers(living):
                job = worker.job
                if answer == "no gpu":
                    if worker.recipe.device not in without_gpu:
                        without_gpu.add(worker.recipe.device)
                        say(_without_gpu(worker.recipe.device))
                    continue
                lost = isinstance(answer, _Death) or (isinstance(answer, InpaintError) and any_done)
                if isinstance(answer, InpaintError) and not lost:
                    if job or len(living) == 1:
                        raise answer
                    # One GPU that cannot be used is no reason to leave the others.
                    living.remove(worker)
                    worker.end()
                    continue
                if isinstance(answer, Outcome):
                    any_done = any_done or not answer.error
                    yield answer
                elif lost and job and not stopping:
                    why = answer if isinstance(answer, InpaintError) else f"{job.photo}: {answer}"
                    yield failed(job, str(why))
                if lost:
                    # Of several workers also one whose model failed: where a GPU has failed once,
                    # nothing more works in that process.
                    living.remove(worker)
                    worker.end()
                    stillborn = 0 if job else stillborn + 1
                    if waiting and not stop.asked and stillborn < MOST_STILLBORN:
                        living.append(_Worker(worker.recipe, threads))
                    elif waiting and not stop.asked and not living:
                        if isinstance(answer, InpaintError):
                            raise answer
                        raise ModelError(f"no worker gets ready: {answer}: try {instead}")
                elif waiting and not stop.asked:
                    job = waiting.popleft()
                    worker.give(job, on_start(job))
                else:
                    living.remove(worker)
                    worker.end()
    finally:
        for worker in living:
            worker.end()
    if stop.asked:
        raise KeyboardInterrupt


@dataclass(frozen=True)
class _Death:
    """A worker ended that should not have: why."""

    why: str

    def __str__(self) -> str:
        return self.why


def _without_gpu(device: str) -> str:
    """What is said where the worker of a device has to do without its GPU."""
    number = device.partition(":")[2]
    gpu, asked = (f"GPU {number}", f"cuda:{number}") if number else ("the GPU", "cuda")
    return f"{gpu} cannot be used, its photos are left to the CPU: --device {asked} says why"


#: What a worker says: its photo is done; its model failed; it has died; it is ready or has stopped;
#: it has to do without its GPU.
_Answer = Outcome | InpaintError | _Death | Literal["idle", "no gpu"]


def _answers(living: Sequence[_Worker]) -> list[tuple[_Worker, _Answer]]:
    """What workers say now, or within a moment; what is told of tiles goes where it belongs."""
    speaking = wait([worker.connection for worker in living], timeout=0.2)
    heard = [(worker, worker.listen()) for worker in living if worker.connection in speaking]
    return [(worker, answer) for worker, answer in heard if answer]


class _Worker:
    """A worker process, as the process sees it that started it."""

    def __init__(self, recipe: Recipe, threads: int | None):
        self.connection, theirs = _context.Pipe()
        self._process = _context.Process(target=_work, args=(theirs, recipe, threads), daemon=True)
        with held_back(*SIGNALS):
            self._process.start()
        theirs.close()
        self.recipe = recipe
        self.job: Job | None = None
        self._progress: Progress | None = None

    def give(self, job: Job, progress: Progress | None) -> None:
        """Give it its next photo."""
        self.job, self._progress = job, progress
        self._send(job)

    def stop(self) -> bool:
        """Have it leave its photo; False if it has none."""
        self._send(None)
        return self.job is not None

    def _send(self, what: Job | None) -> None:
        with contextlib.suppress(OSError):  # That it died is heard from it, as it were.
            self.connection.send(what)

    def listen(self) -> _Answer | None:
        """Hear one message; None if it is of tiles, and told."""
        try:
            said: _Answer | tuple[int, int] = self.connection.recv()
        except (EOFError, OSError):
            return _Death(self._cause_of_death())
        if not isinstance(said, tuple):
            return said
        if self._progress:
            self._progress(*said)
        return None

    def _cause_of_death(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                name = signal.Signals(-code).name
                memory = ": was there too little memory? try fewer --workers"
                return f"its worker process was ended by {name}{memory if code == -9 else ''}"
        return f"its worker process ended unexpectedly, with code {code}"

    def end(self) -> None:
        """End it, whatever it does."""
        self.connection.close()  # From which it knows.
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@contextlib.contextmanager
def held_back(*signals: int) -> Iterator[None]:
    """Signals wait meanwhile, and forever in a process that is started meanwhile: Ctrl-C goes to
    all processes of a terminal, and it is ours to end the workers."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # Which lets them through again when it starts.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, recipe: Recipe, threads: int | None) -> None:
    """What a worker does: load, then photo after photo, until the other end is closed."""
    import cv2

    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):  # The last words of a library are not for the user.
        os.dup2(null, descriptor)
    jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
    stopped = threading.Event()
    threading.Thread(target=_listen, args=(connection, jobs, stopped), daemon=True).start()

    def check() -> None:
        if stopped.is_set():
            raise KeyboardInterrupt

    try:
        cv2.setNumThreads(threads or usable_cores())
        deflate.set_threads(threads or usable_cores())
        work = recipe.load(threads)
    except InpaintError as error:
        connection.send(error)
        return
    except Exception as error:
        connection.send(ModelError(reason(Path("worker"), error)))
        return
    if recipe.device.startswith("auto") and "cpu" in work.devices:
        connection.send("no gpu")
    connection.send("idle")
    while not stopped.is_set():
        job = jobs.get()
        answer: _Answer
        try:
            answer = attempt(job, work, stoppable(check, _teller(connection)))
        except ModelError as error:
            answer = error
        except KeyboardInterrupt:
            answer = "idle"
        connection.send(answer)


def _listen(connection: Connection, jobs: queue.SimpleQueue[Job], stopped: threading.Event) -> None:
    """Take jobs, and the word to stop; where the other end is closed, end the process."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            job = connection.recv()
            if job is None:
                stopped.set()
            else:
                jobs.put(job)
    abandon()
    os._exit(0)


def _teller(connection: Connection) -> Progress:
    """Tells the other end of tiles, now and then."""
    told = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if done == total or now - told >= PROGRESS_EVERY:
            told = now
            connection.send((done, total))

    return tell
