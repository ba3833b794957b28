"""Where the time of one restore goes, from the start of its process to the end.

    python benchmarks/stages.py [PHOTO] --megapixels 12 --coverage 0.05 --runs 3

Each run is three processes, one after the other, so that a noisy machine slows all alike: the
command `inpaint restore` as it is, with timers around what its stages are made of; the same with a
photo of a megapixel, timed to the end of the network's first call; and a bare `import numpy`.
Ratios are those within a run; medians over runs are told. A stage within another takes its time
out of that one's, so they add up to the whole.

PHOTO gets new scratches, of which the masks are given; without it a demo photo is enlarged, which
packs better than a photo of that size would.
"""

# The measured process runs this file too. What the command itself does not import at once is
# imported where it is used, or it would count for the command.
from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from inpaintcli.arrays import Pixels

START, CALL, REST, EXIT = "start and imports", "command line", "the rest", "end of the process"
DETECTION, TEXTURE, INFERENCE = "detection", "texture", "inference"
#: What each stage is made of, as module:name. Wherever in the package it was imported, it is timed.
STAGES: dict[str, tuple[str, ...]] = {
    START: ("inpaintcli.runtime:load_onnxruntime",),
    CALL: ("inpaintcli.cli.main:run",),
    "load model": (
        "inpaintcli.inpainters.registry:load_model",
        "inpaintcli.detect:load_detector",
    ),
    "decode": (
        "inpaintcli.photo.disk:opened",
        "inpaintcli.photo.disk:pages",
        "inpaintcli.photo.disk:read",
        "inpaintcli.mask:read",
    ),
    DETECTION: ("inpaintcli.detect:probability", "inpaintcli.detect:to_mask"),
    "plan and pyramid": (
        "inpaintcli.filling:_levels",
        "inpaintcli.pyramid:doubled",
        "inpaintcli.tiling:plan",
    ),
    "gather tiles": ("inpaintcli.tiling:gather",),
    INFERENCE: ("inpaintcli.runtime:Session.run",),
    "blend": (
        "inpaintcli.tiling:Blend.start",
        "inpaintcli.tiling:Blend.add",
        "inpaintcli.tiling:Blend.finish",
        "inpaintcli.filling:_put",
    ),
    TEXTURE: ("inpaintcli.texture:add_texture",),
    "grain": ("inpaintcli.grain:add_grain",),
    "encode": (
        "inpaintcli.photo.disk:write",
        "inpaintcli.jpeg_blocks:patched",
        "inpaintcli.files:write_whole",
    ),
    REST: ("inpaintcli.cli.running:carry_out",),
}
#: Stages that are told as one, with the tiles and the networks in them.
CLOSED = (DETECTION, TEXTURE)
#: The largest ratios that are wanted: of the whole command to its inference, and of the
#: time to a first tile to that of an import of NumPy.
MOST_TO_INFERENCE, MOST_TO_NUMPY = 2.0, 10.0

ORIGINALS = Path(__file__).parent.parent / "assets" / "originals"
#: The first argument of the measured process.
CHILD = "--measured"


def main(
    path: Annotated[
        Path | None, typer.Argument(metavar="[PHOTO]", help="Any photo; a demo photo by default.")
    ] = None,
    megapixels: Annotated[float, typer.Option(min=0.01, help="Of the demo photo.")] = 12,
    coverage: Annotated[float, typer.Option(help="Share of damaged pixels.")] = 0.05,
    runs: Annotated[int, typer.Option(min=1)] = 3,
    suffix: Annotated[str, typer.Option(help="Format that is read and written.")] = "png",
    model: Annotated[str, typer.Option(help="As for inpaint restore.")] = "photo",
    threads: Annotated[int | None, typer.Option(min=1, help="[default: all cores]")] = None,
    find: Annotated[bool, typer.Option("--detect", help="Find the damage, give no mask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print what each stage takes, and the ratios that are promised."""
    import tempfile

    from inpaintcli import photo
    from inpaintcli.errors import InpaintError

    options = ["--model", model, *(["--threads", str(threads)] if threads else [])]
    with tempfile.TemporaryDirectory() as name:
        try:
            original = photo.read(path or _demo()).pixels
            large = original if path else _scaled(original, megapixels)
            tasks = [
                _task(Path(name) / one, pixels, coverage, suffix, find)
                for one, pixels in (("whole", large), ("megapixel", _scaled(original, 1)))
            ]
        except InpaintError as error:
            print(f"stages.py: {error}", file=sys.stderr)
            raise SystemExit(int(error.exit_code)) from None
        measured = [_run(*([*task.words, *options] for task in tasks)) for _ in range(runs)]
        whole = tasks[0]
        height, width = large.shape[:2]
        facts = {
            "width": width, "height": height, "megapixels": height * width / 1e6,
            "coverage": coverage, "model": model, "threads": threads, "detect": find,
            "read_bytes": whole.photo.stat().st_size, "written_bytes": whole.out.stat().st_size,
        }  # fmt: skip
    if as_json:
        print(json.dumps(facts | _figures(measured)))
    else:
        _tell(facts, measured)


def _demo() -> Path:
    from inpaintcli import photo

    return min(path for path in ORIGINALS.iterdir() if photo.is_photo_name(path))


def _scaled(pixels: Pixels, megapixels: float) -> Pixels:
    """(h, w, c) as large as that, in its proportions."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    scale = (megapixels * 1e6 / (height * width)) ** 0.5
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled: Pixels = cv2.resize(np.ascontiguousarray(pixels), size).astype(pixels.dtype, copy=False)
    return scaled.reshape(size[1], size[0], -1)


@dataclass(frozen=True)
class Task:
    """One photo to restore, the result, and the words of the command that does it."""

    photo: Path
    out: Path
    words: list[str]


def _task(folder: Path, pixels: Pixels, coverage: float, suffix: str, find: bool) -> Task:
    """Write a scratched photo and its mask; raises PhotoError, or UsageError for the coverage."""
    from inpaintcli import damage, photo
    from inpaintcli import mask as masks

    folder.mkdir()
    source, mask, out = (folder / name for name in (f"in.{suffix}", "mask.png", f"out.{suffix}"))
    damaged, drawn = damage(pixels, "scratches", coverage=coverage)
    photo.write(photo.Photo(damaged), source)
    masks.write(drawn, mask)
    how = [] if find else ["--mask", str(mask)]
    words = ["restore", str(source), *how, "-o", str(out), "--overwrite", "--quiet"]
    # A GPU is not timed here: `gpu.py` does that.
    return Task(source, out, [*words, "--device", "cpu"])


@dataclass(frozen=True)
class Run:
    """What one run took, in seconds. seconds: each stage. calls: of each timed function. network:
    all calls of networks. first: to the first tile of a megapixel, None without a network. numpy:
    to import it."""

    seconds: dict[str, float]
    calls: dict[str, int]
    network: float
    first: float | None
    numpy: float

    @property
    def whole(self) -> float:
        """The whole command."""
        return sum(self.seconds.values())


def _run(whole: list[str], megapixel: list[str]) -> Run:
    """Time the three processes of a run."""
    seconds, told = _measured(whole, staged=True)
    stages: dict[str, float] = told["seconds"]
    stages[EXIT] = seconds - sum(stages.values())
    _, small = _measured(megapixel, staged=False)
    numpy, _ = _process([sys.executable, "-c", "import numpy"])
    return Run(stages, told["calls"], told["network"], small["first"], numpy)


def _measured(words: Sequence[str], *, staged: bool) -> tuple[float, dict[str, Any]]:
    """The seconds that a measured command takes, and what `measure` tells of it."""
    # This clock is the same for all processes.
    now = time.perf_counter()
    seconds, told = _process(
        [sys.executable, __file__, CHILD, repr(now), "staged" if staged else "plain", *words]
    )
    return seconds, json.loads(told)


def _process(command: list[str]) -> tuple[float, str]:
    """The seconds from start to end of a process, and its output; SystemExit where it fails, for
    it has said why."""
    import subprocess

    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.returncode)
    return seconds, done.stdout


def measure(started: float, staged: bool, words: list[str]) -> int:
    """Run the command in this process, which was started at `started`, and print as JSON what it
    took: its stages if `staged`, or the network alone. Returns the exit code."""
    clock, network = Clock(started), Network()
    command = importlib.import_module("inpaintcli.cli.main")
    try:
        _put_in("inpaintcli.runtime:Session.run", network.timed)
        for stage, names in STAGES.items() if staged else ():
            for name in names:
                _put_in(name, functools.partial(clock.timed, name, stage))
    except (ImportError, AttributeError) as error:
        print(f"stages.py: {error}: mend STAGES", file=sys.stderr)
        return 1
    code: int = command.run(words)
    first = None if network.first is None else network.first - started
    told = {"seconds": clock.seconds, "calls": clock.calls, "network": network.seconds}
    print(json.dumps(told | {"first": first}))
    return code


def _put_in(name: str, timed: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put a timed function in the place of one, given as module:name or module:class.name.

    Raises ImportError or AttributeError where there is none.
    """
    module_name, _, inside = name.partition(":")
    owner: Any = importlib.import_module(module_name)
    *classes, last = inside.split(".")
    for one in classes:
        owner = getattr(owner, one)
    function = getattr(owner, last)
    replacement = timed(function)
    setattr(owner, last, replacement)
    for module in [module for name, module in sys.modules.items() if name.startswith("inpaintcli")]:
        for known, value in list(vars(module).items()):
            if value is function:
                setattr(module, known, replacement)


class Clock:
    """Shares out the time since `started` among stages, so that each moment belongs to one."""

    def __init__(self, started: float):
        """started: on `time.perf_counter`'s clock; what comes before any stage is START."""
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.calls: dict[str, int] = {}
        self._within = [START]
        self._since = started

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What happens meanwhile belongs to a stage, but for stages within it."""
        self._share_out()
        self._within.append(name)
        try:
            yield
        finally:
            self._share_out()
            self._within.pop()

    def _share_out(self) -> None:
        now = time.perf_counter()
        self.seconds[self._within[-1]] += now - self._since
        self._since = now

    def _belonging(self, name: str, stage: str) -> contextlib.AbstractContextManager[None]:
        """The stage that a call of a function belongs to."""
        self.calls[name] += 1
        # What other threads do, this one does not wait for, or it is in a stage that does.
        elsewhere = threading.current_thread() is not threading.main_thread()
        if elsewhere or self._within[-1] in CLOSED:
            return contextlib.nullcontext()
        return self.stage(stage)

    def timed(self, name: str, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, of that name, with its time given to a stage; of a generator, each step."""
        self.calls[name] = 0

        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            with self._belonging(name, stage):
                return function(*args, **options)

        @functools.wraps(function)
        def steps(*args: Any, **options: Any) -> Iterator[Any]:
            items = function(*args, **options)
            while True:
                with self._belonging(name, stage):
                    try:
                        item = next(items)
                    except StopIteration:
                        return
                yield item

        return steps if inspect.isgeneratorfunction(function) else call


@dataclass
class Network:
    """Seconds that networks take in all, and when the first call of one was over."""

    seconds: float = 0.0
    first: float | None = None

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function that calls a network, timed."""

        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                ended = time.perf_counter()
                self.seconds += ended - began
                self.first = self.first or ended

        return call


def _median(values: Sequence[float | None]) -> tuple[float, float, float] | None:
    """(median, least, most) of what all runs have; None where one has nothing."""
    import statistics

    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return statistics.median(known), min(known), max(known)


def _ratios(measured: Sequence[Run]) -> dict[str, list[float | None]]:
    """The ratios that are promised, of each run."""
    return {
        "whole_to_inference": [run.whole / run.network if run.network else None
                               for run in measured],
        "first_tile_to_numpy": [run.first / run.numpy if run.first else None for run in measured],
    }  # fmt: skip


def _figures(measured: Sequence[Run]) -> dict[str, Any]:
    """All figures for JSON: [median, least, most] over runs, seconds where nothing else is said."""
    return {
        "runs": len(measured),
        "stages": {stage: _median([run.seconds[stage] for run in measured])
                   for stage in measured[0].seconds},
        "whole": _median([run.whole for run in measured]),
        "network": _median([run.network for run in measured]),
        "first_tile": _median([run.first for run in measured]),
        "numpy": _median([run.numpy for run in measured]),
        **{name: _median(values) for name, values in _ratios(measured).items()},
        "calls": measured[0].calls,
    }  # fmt: skip


def _tell(facts: dict[str, Any], measured: Sequence[Run]) -> None:
    """Print the tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    found = _figures(measured)
    stages = Table("stage", "seconds (median)", "spread", "share")
    for name, (median, least, most) in (*found["stages"].items(), ("whole", found["whole"])):
        spread = f"{(most - least) / median:.0%}" if median else "-"
        stages.add_row(name, f"{median:.3f}", spread, f"{median / found['whole'][0]:.1%}",
                       style="bold" if name == "whole" else "")  # fmt: skip
    ratios = Table("ratio", "median", "least to most", "wanted")
    for label, name, wanted in (
        ("whole / inference", "whole_to_inference", MOST_TO_INFERENCE),
        ("first tile of 1 MP / import numpy", "first_tile_to_numpy", MOST_TO_NUMPY),
    ):
        cells = ["-", "-"]
        if found[name]:
            median, least, most = found[name]
            cells = [f"{median:.2f}", f"{least:.2f} to {most:.2f}"]
        ratios.add_row(label, *cells, f"at most {wanted:g}")
    given = "damage found" if facts["detect"] else "mask given"
    console.print(
        f"{facts['megapixels']:.1f} MP, {facts['coverage']:.1%} damaged by scratches, {given}, "
        f"{facts['model']}, {len(measured)} runs",
        stages,
        ratios,
    )
    if found["first_tile"]:
        console.print(
            f"first tile of 1 MP after {found['first_tile'][0]:.3f} s, "
            f"import numpy {found['numpy'][0]:.3f} s"
        )
    console.print(
        f"file written {facts['written_bytes'] / 1e6:.2f} MB, "
        f"file read {facts['read_bytes'] / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        sys.exit(measure(float(sys.argv[2]), sys.argv[3] == "staged", sys.argv[4:]))
    typer.run(main)
