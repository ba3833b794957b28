"""Measure methods on one's own photos: how good, how fast, and how much they take.

Each method runs in a child process of its own, photo after photo. So its peak memory is its own,
no method warms up or slows down another, and one that hangs or crashes ends alone. While a child
restores, this process waits; arrays go between them in files of a private folder.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from inpaintcli import mask as masks
from inpaintcli import metrics, photo, tiling
from inpaintcli.arrays import Floats, Mask, Pixels, size
from inpaintcli.damage import Kind, damage
from inpaintcli.errors import InpaintError, PhotoError, UsageError, reason
from inpaintcli.files import clear_leftovers, temporary_folder
from inpaintcli.filling import Progress
from inpaintcli.inpainters.base import Card, Inpainter
from inpaintcli.inpainters.registry import CLASSICAL, NAMES, load_model
from inpaintcli.metrics import Scores
from inpaintcli.operations import macs_per_pixel
from inpaintcli.pairing import Beside, Found
from inpaintcli.photo import deflate
from inpaintcli.resident import Places, Resident
from inpaintcli.restore import restore
from inpaintcli.runtime import Session, usable_cores
from inpaintcli.stopping import Stop
from inpaintcli.workers import held_back

#: A photo that is restored in less than so many seconds is restored so many times.
QUICK, REPEATS = 1.0, 3
#: Seconds that a child may take to start, load its method and warm up, beside the time for a photo.
STARTING = 120.0
#: Side in pixels of the picture that every method restores first, unmeasured.
WARM_UP = 128
#: What is said of damage that is not ours.
GIVEN = "given"

_PROGRESS_EVERY = 0.1
T = TypeVar("T")
_context = multiprocessing.get_context("spawn")


# ---- What is restored ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Damaged:
    """A damaged photo (h, w, c), its mask (h, w) and the undamaged photo of the same height and
    width; icc_profile: that of the photo."""

    pixels: Pixels
    mask: Mask
    reference: Pixels
    icc_profile: bytes = b""


@dataclass(frozen=True)
class Case:
    """One photo with one kind of damage: an undamaged photo that is damaged here, as
    `inpaint damage` would with the same seed, or, with `beside`, a damaged one whose mask and
    reference lie there."""

    photo: Found
    kind: Kind | None = None
    seed: int = 0
    beside: Beside | None = None

    @property
    def damage(self) -> str:
        """The kind of damage, or GIVEN."""
        return self.kind or GIVEN

    def open(self) -> Damaged:
        """Read, and damage; every time the same. Raises PhotoError where that cannot be."""
        path = self.photo.path
        source = photo.read(path)
        profile = source.metadata.icc_profile
        if self.kind:
            pixels, mask = damage(source.pixels, self.kind, seed=self.seed, name=self.photo.key)
            found = Damaged(pixels, mask, source.pixels, profile)
        else:
            assert self.beside
            assert self.beside.mask
            assert self.beside.reference
            shape = (source.height, source.width)
            reference = photo.read(self.beside.reference).pixels
            mask = masks.read(self.beside.mask)
            for file, what, has in (
                (self.beside.reference, "reference", reference.shape),
                (self.beside.mask, "mask", mask.shape),
            ):
                if has[:2] != shape:
                    raise PhotoError(
                        f"{file}: the {what} is {size(has)}, {path} is {size(shape)}: give one of "
                        f"the same size"
                    )
            found = Damaged(source.pixels, mask, reference, profile)
        advice = f"look at {self.beside.mask}" if self.beside else "leave it out"
        if not found.mask.any():
            raise PhotoError(f"{path}: nothing of it is damaged: {advice}")
        if found.mask.all():
            raise PhotoError(f"{path}: every pixel of it is damaged: {advice}")
        return found


def installed() -> list[str]:
    """The names of all methods that can be used here."""
    return [name for name in NAMES if name not in CLASSICAL or not CLASSICAL[name]().card.missing]


def check_models(models: Sequence[str]) -> None:
    """Raise UsageError where one is neither a known name nor a model file, or none is named."""
    for name in models:
        if name in NAMES:
            continue
        if Path(name).suffix.lower() != ".onnx":
            raise UsageError(
                f"unknown model {name!r}: choose from {', '.join(NAMES)}, or give an .onnx file"
            )
        if not Path(name).is_file():
            raise UsageError(f"{name}: no such model file: check the name")


# ---- What is measured ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """One photo restored by one method.

    seconds: of each restore, reading and writing not counted. megapixels: of the photo. peak:
    most bytes of memory that the child process held, None where the system does not say.
    network_pixels: how many pixels the method was given in all its tiles.
    """

    case: Case
    scores: Scores
    damaged: float
    seconds: tuple[float, ...]
    megapixels: float
    peak: int | None
    network_pixels: int

    @property
    def pace(self) -> float:
        """Seconds a megapixel, the median of all restores."""
        return statistics.median(self.seconds) / self.megapixels


@dataclass(frozen=True)
class Result:
    """What became of one method: its runs, and why there are no more of them.

    model: as it was asked for. size: bytes of the model file that ran; 0 without one. device:
    where it ran. macs_per_pixel: multiply-accumulates for each of the `network_pixels` of a run.
    """

    model: str
    runs: tuple[Run, ...]
    error: str = ""
    size: int = 0
    device: str = ""
    macs_per_pixel: float | None = None


@dataclass(frozen=True)
class Row:
    """One method on all photos with one kind of damage; without figures if it failed on one.

    scores: means. seconds: a megapixel, the median over the photos. spread: how far apart the
    middle half of all restores lie, as a share of that; None of a single one. peak, size: bytes.
    macs: multiply-accumulates for each pixel of the photos.
    """

    kind: str
    model: str
    error: str = ""
    photos: int = 0
    scores: Scores | None = None
    seconds: float | None = None
    spread: float | None = None
    peak: int | None = None
    size: int | None = None
    macs: float | None = None


def rows(results: Sequence[Result], cases: Sequence[Case]) -> list[Row]:
    """A row for each kind of damage, in the order of the cases, and each method."""
    kinds = dict.fromkeys(case.damage for case in cases)
    return [
        _row(result, kind, sum(case.damage == kind for case in cases))
        for kind in kinds
        for result in results
    ]


def _row(result: Result, kind: str, photos: int) -> Row:
    runs = [run for run in result.runs if run.case.damage == kind]
    if len(runs) < photos:
        return Row(kind, result.model, result.error or "not measured")
    paces = [run.pace for run in runs]
    single = [seconds / run.megapixels for run in runs for seconds in run.seconds]
    median = statistics.median(paces)
    spread = None
    if len(single) > 1:
        low, _, high = statistics.quantiles(single, n=4, method="inclusive")
        spread = (high - low) / median
    peaks = [run.peak for run in runs if run.peak is not None]
    macs = None
    if result.macs_per_pixel is not None:
        given = sum(run.network_pixels for run in runs)
        macs = result.macs_per_pixel * given / (1e6 * sum(run.megapixels for run in runs))
    return Row(
        kind, result.model, "", photos, metrics.mean(run.scores for run in runs),
        median, spread,
        max(peaks, default=None), result.size or None, macs,
    )  # fmt: skip


# ---- Measuring -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """How every method runs. timeout: seconds for one restore. threads: None are all cores.
    seed: fixes the texture that `restore` transfers."""

    timeout: float = 600.0
    device: str = "auto"
    threads: int | None = None
    seed: int = 0


@dataclass
class Watch:
    """Who is told what happens; nobody by default.

    begin: a photo begins with a method; returns who is told of its tiles. end: it has ended, with
    the restored pixels and what was measured.
    """

    begin: Callable[[str, Case], Progress | None] = lambda model, case: None
    end: Callable[[str, Case, Pixels, Run], None] = lambda model, case, pixels, run: None
    stop: Stop = field(default_factory=Stop)


def bench(
    models: Sequence[str], cases: Sequence[Case], setting: Setting, watch: Watch
) -> Iterator[Result]:
    """Run each method on all cases, one after the other; a method that fails is a result too.

    Raises PhotoError where a case cannot be opened: open all before. Raises KeyboardInterrupt
    where `watch.stop` was asked for.
    """
    clear_leftovers()
    for model in models:
        with temporary_folder() as folder:
            yield _measured(model, cases, setting, watch, folder)


def _measured(
    model: str, cases: Sequence[Case], setting: Setting, watch: Watch, folder: Path
) -> Result:
    runs: list[Run] = []
    child = _Child(model, setting, watch.stop, folder)
    try:
        ready = child.hear(setting.timeout + STARTING, "to start", _Ready)
        for case in cases:
            tell = watch.begin(model, case)
            try:
                opened = case.open()
            except InpaintError as error:
                raise _MethodError(str(error)) from None
            try:
                restored, times, done = child.restored(opened, setting.timeout, tell)
            except _MethodError as error:
                raise _MethodError(f"{case.photo.path}: {error}") from None
            run = Run(
                case, metrics.score(restored, opened.reference, opened.mask),
                float(opened.mask.mean()), tuple(times), opened.mask.size / 1e6,
                done.peak, done.network_pixels,
            )  # fmt: skip
            runs.append(run)
            watch.end(model, case, restored, run)
        counted = child.counted(setting.timeout + STARTING)
        return Result(model, tuple(runs), "", ready.size, ready.device, counted)
    except _MethodError as error:
        return Result(model, tuple(runs), str(error))
    finally:
        child.end()


class _MethodError(Exception):
    """A method cannot be measured; the text says why."""


@dataclass(frozen=True)
class _Ready:
    """A child says that its method is loaded and warm."""

    size: int
    device: str


@dataclass(frozen=True)
class _Done:
    """A child says that the restored photo lies there."""

    peak: int | None
    network_pixels: int


@dataclass(frozen=True)
class _Counted:
    """A child says how many multiply-accumulates a pixel takes."""

    macs_per_pixel: float | None


#: What a child says; text is why it failed, a pair tiles that are done, a number seconds.
_Said = _Ready | _Done | _Counted | str | tuple[int, int] | float


class _Child:
    """The process of a method, as the one sees it that started it."""

    def __init__(self, model: str, setting: Setting, stop: Stop, folder: Path):
        self._folder, self._stop = folder, stop
        self._connection, theirs = _context.Pipe()
        self._process = _context.Process(
            target=_work, args=(theirs, model, setting, folder), daemon=True
        )
        with held_back(signal.SIGINT, signal.SIGTERM):
            self._process.start()
        theirs.close()

    def restored(
        self, opened: Damaged, timeout: float, tell: Progress | None
    ) -> tuple[Pixels, list[float], _Done]:
        """Have it restore one photo; raises _MethodError where it does not, or not in time."""
        np.save(self._folder / "pixels.npy", opened.pixels)
        np.save(self._folder / "mask.npy", opened.mask)
        self._send("restore")
        times: list[float] = []
        while True:
            said = self._listen(timeout, "for this photo", tell)
            if isinstance(said, float):
                times.append(said)
            elif isinstance(said, _Done):
                return np.load(self._folder / "restored.npy"), times, said

    def counted(self, timeout: float) -> float | None:
        """Have it count its multiply-accumulates."""
        self._send("count")
        return self.hear(timeout, "to count its operations", _Counted).macs_per_pixel

    def hear(self, timeout: float, what: str, kind: type[T]) -> T:
        """Wait for something to be said; raises _MethodError where it is not."""
        said = self._listen(timeout, what, None)
        assert isinstance(said, kind)
        return said

    def _send(self, order: str) -> None:
        with contextlib.suppress(OSError):  # That it died is heard from it, as it were.
            self._connection.send(order)

    def _listen(self, timeout: float, what: str, tell: Progress | None) -> _Said:
        """The next thing it says that is not about tiles."""
        late = time.monotonic() + timeout
        while True:
            self._stop.check()
            left = late - time.monotonic()
            if left <= 0:
                raise _MethodError(
                    f"took longer than {timeout:g} seconds {what}: --timeout allows more"
                )
            if not self._connection.poll(min(left, 0.2)):
                continue
            try:
                said: _Said = self._connection.recv()
            except (EOFError, OSError):
                raise _MethodError(self._cause_of_death()) from None
            if isinstance(said, str):
                raise _MethodError(said)
            if not isinstance(said, tuple):
                return said
            if tell:
                tell(*said)

    def _cause_of_death(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                memory = ": was there too little memory?" if code == -9 else ""
                return f"its process was ended by {signal.Signals(-code).name}{memory}"
        return f"its process ended unexpectedly, with code {code}"

    def end(self) -> None:
        """End it, whatever it does."""
        self._connection.close()
        self._process.kill()
        self._process.join()


# ---- In the child --------------------------------------------------------------------------------


class _Counting:
    """An inpainter that counts the pixels of the tiles that it runs."""

    def __init__(self, inpainter: Inpainter):
        self.inpainter = inpainter
        self.pixels = 0
        on_gpu: Resident | None = getattr(inpainter, "resident", None)
        self.resident = _CountingOnGpu(self, on_gpu) if on_gpu else None

    @property
    def card(self) -> Card:
        return self.inpainter.card

    def __call__(self, images: Floats, masks: Floats) -> Floats:
        self.pixels += images.shape[0] * images.shape[2] * images.shape[3]
        return self.inpainter(images, masks)


class _CountingOnGpu:
    """The same of one whose tiles stay on a GPU."""

    def __init__(self, counting: _Counting, resident: Resident):
        self.counting = counting
        self.resident = resident

    def run(
        self,
        inputs: Mapping[str, Pixels | Mask],
        rows: Sequence[tiling.Row],
        grid: tiling.Grid,
        **how: Any,
    ) -> Iterator[tuple[Places, Floats]]:
        self.counting.pixels += tiling.count(rows) * grid.height * grid.width
        return self.resident.run(inputs, rows, grid, **how)


def _work(connection: Connection, model: str, setting: Setting, folder: Path) -> None:
    """What a child does: load, warm up, then what it is told, until the other end is closed."""
    import cv2

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # It is the other end that ends us.
    tempfile.tempdir = os.fspath(folder)  # And removes this, with what we had no time to remove.
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    orders: list[str] = []
    ordered = threading.Semaphore(0)

    def listen() -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                orders.append(connection.recv())
                ordered.release()
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    try:
        cv2.setNumThreads(setting.threads or usable_cores())
        deflate.set_threads(setting.threads or usable_cores())
        inpainter = load_model(model, device=setting.device, threads=setting.threads)
        session: Session | None = getattr(inpainter, "session", None)
        counting = _Counting(inpainter)
        restore(*_warm_up(), counting, grain="off", seed=setting.seed)
        connection.send(_Ready(inpainter.card.size, session.device if session else "cpu"))
        while True:
            ordered.acquire()
            if orders.pop(0) == "restore":
                connection.send(_restored(connection, counting, setting, folder))
            else:
                side = inpainter.card.tile
                counted = macs_per_pixel(session.path, side) if session and side else None
                connection.send(_Counted(counted))
    except Exception as error:
        connection.send(_why(model, reason(Path(model), error)))


def _why(model: str, text: str) -> str:
    """Why a method failed, as it is said after its name, with the option of `inpaint bench`."""
    for named in (f"{model}: ", f"--model {model} "):
        text = text.removeprefix(named)
    return re.sub(r"--model\b", "--models", text)


def _restored(connection: Connection, counting: _Counting, setting: Setting, folder: Path) -> _Done:
    """Restore the photo that lies in the folder, and tell of each time it took."""
    pixels: Pixels = np.load(folder / "pixels.npy")
    mask: Mask = np.load(folder / "mask.npy")
    _forget_peak()
    tell = _teller(connection)
    times = 0
    counting.pixels = 0
    while True:
        started = time.perf_counter()
        restored = restore(pixels, mask, counting, grain="off", seed=setting.seed, progress=tell)
        seconds = time.perf_counter() - started
        times += 1
        connection.send(seconds)
        if times == REPEATS or seconds >= QUICK:
            break
    peak = _peak()
    np.save(folder / "restored.npy", restored)
    return _Done(peak, counting.pixels // times)


def _warm_up() -> tuple[Pixels, Mask]:
    """A small picture with a stripe of damage."""
    ramp = np.linspace(0, 255, WARM_UP).astype(np.uint8)
    pixels: Pixels = np.repeat(np.add.outer(ramp // 2, ramp // 2)[..., None], 3, 2)
    mask = np.zeros((WARM_UP, WARM_UP), np.bool_)
    mask[:, 60:64] = True
    return pixels, mask


def _forget_peak() -> None:
    """Have the system begin anew with the peak of this process's memory, where it can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int | None:
    """Most bytes of memory that this process held since `_forget_peak`; None where nobody says.

    Not `ru_maxrss`: Linux lets a process inherit that from the one that started it.
    """
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) * 1024
    return None


def _teller(connection: Connection) -> Progress:
    """Tells the other end of tiles, now and then."""
    told = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _PROGRESS_EVERY:
            told = now
            connection.send((done, total))

    return tell
