"""Runs of many photos: worker processes, interrupts and what is left when all is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from pathlib import Path
from typing import ClassVar

import pytest
from rich.table import Table

from inpaintcli import gpus, workers
from inpaintcli.cli.main import run
from inpaintcli.cli.pipes import Pipes
from inpaintcli.cli.running import Crew, Telling, carry_out
from inpaintcli.errors import ModelError
from inpaintcli.filling import Progress
from inpaintcli.jobs import Job, Outcome, Recipe, Work, Written
from inpaintcli.pairing import Beside
from inpaintcli.planning import Plan
from inpaintcli.stopping import Stop
from tests.helpers import inpaint, load, save, save_mask, scratched, stripe

ROOT = Path(__file__).parent.parent
SHAPE = (160, 240)
linux = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="children are found in /proc"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `in`, 14 photos, and their mask."""
    for number in range(14):
        save(tmp_path / f"in/{number:02d}.png", scratched(*SHAPE))
    save_mask(tmp_path / "mask.png", stripe(*SHAPE))
    return tmp_path


def start(folder: Path, *more: object, model: str = "autoencoder") -> subprocess.Popen[str]:
    """A run over the folder, under way."""
    words = ["restore", "in", "--mask", "mask.png", "-o", "out", "--threads", 1, "--model", model]
    return subprocess.Popen(
        [sys.executable, "-m", "inpaintcli", *map(str, words), *map(str, more)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        # A shell that started the tests in the background has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def wait_for(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something holds, or the process has ended."""
    while process.poll() is None and not what():
        time.sleep(0.02)


def done(folder: Path) -> list[Path]:
    return sorted(folder.glob("out/[0-9]*.png"))


def children(process: subprocess.Popen[str]) -> list[int]:
    """The worker processes of a run."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        int(child)
        for child in listed
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def whole(folder: Path) -> None:
    """Every file in `out` is a whole picture, and nothing else is there."""
    for path in (folder / "out").iterdir():
        assert load(path).shape == (*SHAPE, 3)


def test_workers_do_what_one_process_does(folder: Path) -> None:
    (folder / "in/05.png").write_text("this is no picture")
    words = ["restore", "in", "--mask", "mask.png", "--model", "telea"]
    many = inpaint(*words, "-o", "many", "--workers", 3, "--report", "r.jsonl", cwd=folder)
    one = inpaint(*words, "-o", "one", "--workers", 1, cwd=folder)
    assert many.returncode == one.returncode == 1
    assert many.stderr == one.stderr
    assert "in/05.png: not an image" in one.stderr
    names = [path.name for path in sorted((folder / "one").iterdir())]
    assert len(names) == 13
    for name in names:
        assert (folder / "many" / name).read_bytes() == (folder / "one" / name).read_bytes()
    rows = [line.split()[0] for line in many.stdout.splitlines() if line.startswith(" in/")]
    assert rows == [f"in/{number:02d}.png" for number in range(14)]
    assert "failed: not an image" in many.stdout
    assert many.stdout.splitlines()[-1] == "13 done, 1 failed"
    told = [json.loads(line)["photo"] for line in (folder / "r.jsonl").read_text().splitlines()]
    assert told == rows


def test_what_no_worker_can_load_is_told_once(folder: Path) -> None:
    (folder / "no.onnx").write_text("this is no model")
    ran = inpaint(
        "restore", "in", "--mask", "mask.png", "-o", "out", "--model", "no.onnx", "--workers", 2,
        cwd=folder,
    )  # fmt: skip
    assert ran.returncode == 3
    assert ran.stderr.startswith("inpaint: no.onnx: not a model")
    assert len(ran.stderr.splitlines()) == 1
    assert ran.stdout == ""


@linux
def test_a_worker_that_is_killed_costs_one_photo(folder: Path) -> None:
    process = start(folder, "--workers", 2, "--json")
    wait_for(lambda: len(done(folder)) > 2, process)
    os.kill(children(process)[0], signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == 1, stderr
    rows = [json.loads(line) for line in stdout.splitlines()]
    failed = [row for row in rows if row["status"] == "failed"]
    assert len(rows) == 14
    assert len(failed) == 1
    assert f"{failed[0]['photo']}: its worker process was ended by SIGKILL" in stderr
    again = inpaint(
        "restore", "in", "--mask", "mask.png", "-o", "out", "--model", "telea", "--skip-existing",
        "--workers", 1, cwd=folder,
    )  # fmt: skip
    assert again.returncode == 0
    assert again.stdout.splitlines()[-1] in ("1 done, 13 skipped", "14 skipped")
    whole(folder)


@linux
def test_a_run_that_is_killed_leaves_whole_files_and_goes_on(folder: Path) -> None:
    process = start(folder, "--workers", 2)
    wait_for(lambda: len(done(folder)) > 2, process)
    pids = children(process)
    assert len(pids) == 2
    process.kill()
    process.communicate()
    for _ in range(500):
        if not any(map(is_alive, pids)):
            break
        time.sleep(0.02)
    assert not any(map(is_alive, pids)), "workers outlive their parent"
    before = {path: path.stat().st_mtime_ns for path in done(folder)}
    assert len(before) < 14
    (folder / "out/.99.png-0123456789abcdef.inpaint-part").write_bytes(b"half")
    again = start(folder, "--skip-existing", "--json", model="telea")
    rows = [json.loads(line) for line in again.communicate()[0].splitlines()]
    assert again.returncode == 0
    statuses = [row["status"] for row in rows]
    assert statuses.count("skipped") == len(before)
    assert statuses.count("restored") == 14 - len(before)
    assert len(done(folder)) == 14
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    whole(folder)


@pytest.mark.parametrize(("number", "crew"), [(signal.SIGINT, 2), (signal.SIGTERM, 1)])
def test_an_interrupt_ends_a_run_and_tells_what_was_done(
    folder: Path, number: signal.Signals, crew: int
) -> None:
    process = start(folder, "--workers", crew, "--report", "r.jsonl")
    wait_for(lambda: len(done(folder)) > 1, process)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    (line,) = stderr.splitlines()
    count = len(done(folder))
    assert line == f"inpaint: interrupted: {count} done, {14 - count} not begun or not finished"
    assert 0 < count < 14
    assert stdout.splitlines()[-1] == f"{count} done"
    assert len((folder / "r.jsonl").read_text().splitlines()) == count
    whole(folder)


def test_a_second_interrupt_ends_at_once() -> None:
    """Also where Python itself cannot, because a library is at work for a long time."""
    script = (
        "import hashlib; from inpaintcli.stopping import Stop\n"
        "with Stop() as stop:\n"
        "    print('ready', flush=True)\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.7)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_how_many_workers_a_run_has(monkeypatch: pytest.MonkeyPatch) -> None:
    free: list[int | None] = [10**12]
    monkeypatch.setattr(workers, "usable_cores", lambda: 8)
    monkeypatch.setattr(workers, "free_memory", lambda: free[0])
    assert workers.crew(100, "cpu") == (8, 1)
    assert workers.crew(3, "cpu") == (3, 2)
    assert workers.crew(1, "cpu") == (1, None)
    assert workers.crew(0, "cpu") == (1, None)
    assert workers.crew(100, "cpu", threads=4) == (2, 4)
    assert workers.crew(100, "cpu", workers=2) == (2, 4)
    assert workers.crew(100, "cpu", workers=16) == (16, 1)
    assert workers.crew(100, "cpu", workers=3, threads=5) == (3, 5)
    free[0] = 4 * workers.WORKER_MEMORY
    assert workers.crew(100, "cpu") == (2, 4)
    free[0] = 0
    assert workers.crew(100, "cpu") == (1, None)
    free[0] = None
    assert workers.crew(100, "cpu") == (8, 1)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine of 8 cores with so many GPUs, as far as anybody knows."""

    def make(
        known: int | None, *, driver: bool = True, cuda: bool = True, libraries: bool = True
    ) -> None:
        monkeypatch.setattr(workers, "usable_cores", lambda: 8)
        monkeypatch.setattr(workers, "free_memory", lambda: None)
        may = {"cpu": False, "auto": cuda and driver}
        monkeypatch.setattr(workers, "may_use_cuda", lambda device: may.get(device, cuda))
        monkeypatch.setattr(workers, "has_cuda_libraries", lambda: libraries)
        monkeypatch.setattr(gpus, "count", lambda: known)

    return make


def test_there_is_one_worker_a_gpu_by_default(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(3)
    assert workers.crew(100, "cuda") == workers.crew(100, "auto") == (3, 2)
    assert workers.crew(100, "cuda:1") == (1, None)
    assert workers.crew(100, "cpu") == (8, 1)
    assert workers.crew(2, "cuda") == (2, 4)
    assert workers.crew(1, "cuda") == (1, None)
    assert workers.crew(100, "cuda", threads=8) == (3, 8)
    assert workers.crew(100, "cuda", workers=6) == (6, 1)
    assert workers.crew(100, "cuda:1", workers=2) == (2, 4)
    monkeypatch.setattr(workers, "free_memory", lambda: 4 * workers.WORKER_MEMORY)
    assert workers.crew(100, "cuda") == (2, 4)


def test_what_may_be_a_gpu_has_one_worker_and_what_is_none_has_the_cpus(
    machine: Callable[..., None],
) -> None:
    machine(None)
    assert workers.crew(100, "cuda") == workers.crew(100, "auto") == (1, None)
    machine(0)  # CUDA_VISIBLE_DEVICES is empty, say.
    assert workers.crew(100, "auto") == (8, 1)
    assert workers.crew(100, "cuda") == (1, None), "which says so in one line"
    machine(2, driver=False)
    assert workers.crew(100, "auto") == (8, 1)
    machine(2, cuda=False)
    assert workers.crew(100, "auto") == (8, 1)
    machine(2, libraries=False)
    assert workers.crew(100, "auto") == (8, 1)
    assert workers.crew(100, "cuda") == (2, 4), "which say so"


def test_one_photo_needs_no_count_of_gpus(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(2)
    monkeypatch.setattr(gpus, "count", lambda: pytest.fail("it may take a second"))
    assert workers.crew(1, "auto") == (1, None)


@pytest.mark.parametrize(
    ("known", "device", "taken"),
    [
        (2, "cuda", ["cuda:0", "cuda:1", "cuda:0"]),
        (2, "auto", ["auto:0", "auto:1", "auto:0"]),
        (4, "cuda", ["cuda:0", "cuda:1", "cuda:2"]),
        (2, "cuda:1", ["cuda:1"] * 3),
        (2, "cpu", ["cpu"] * 3),
        (1, "cuda", ["cuda"] * 3),
        (0, "cuda", ["cuda"] * 3),
        (None, "auto", ["auto"] * 3),
    ],
)
def test_gpus_take_turns(
    machine: Callable[..., None], known: int | None, device: str, taken: list[str]
) -> None:
    machine(known)
    assert workers.devices(device, 3) == taken


@dataclass(frozen=True)
class Naming:
    """A recipe that notes with every photo which process worked on it, and on which device.

    A photo is not done before so many workers have begun one, each its own. The photo `crash` ends
    its worker when two have; the model fails with the photo `fails`. Of several GPUs the first
    cannot be used, and the CPU does its work.
    """

    device: str
    folder: Path
    workers: int
    has_networks = True

    def on(self, device: str) -> Naming:
        return replace(self, device=device)

    def load(self, threads: int | None) -> Work:
        def work(job: Job, progress: Progress | None) -> Outcome:
            (self.folder / str(os.getpid())).touch()
            crash = job.photo.name == "crash"
            deadline = time.monotonic() + 60
            while len(list(self.folder.iterdir())) < (2 if crash else self.workers):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            if crash:
                os._exit(1)
            if job.photo.name == "fails":
                raise ModelError("the model failed on cuda: an illegal memory access")
            return Outcome(job.photo, "restored", note=f"{self.device} {os.getpid()}")

        return Work(work, frozenset({"cpu" if self.device == "auto:0" else "cuda"}))


@pytest.mark.parametrize("crash", [False, True])
def test_each_worker_keeps_to_its_gpu_and_so_does_its_successor(
    machine: Callable[..., None], tmp_path: Path, crash: bool
) -> None:
    machine(2)
    names = [*(["crash"] * crash), *"abcdef"]
    recipe = Naming("cuda", tmp_path, 2 + crash)
    jobs = [Job(Path(name), Beside(), Written()) for name in names]
    with Stop() as stop:
        outcomes = list(
            workers.run(jobs, recipe, lambda job: None, workers=2, threads=1, stop=stop)
        )
    assert [one.photo.name for one in outcomes if one.error] == ["crash"] * crash
    told = sorted({one.note for one in outcomes if not one.error})
    assert [note.split()[0] for note in told] == ["cuda:0", "cuda:1"], "a process has one device"


def carried_out(recipe: Recipe, names: Sequence[str]) -> list[Outcome]:
    """What becomes of photos of these names in a run with one worker."""
    jobs = [Job(Path(name), Beside(), Written()) for name in names]
    told: list[Outcome] = []

    def table(outcomes: list[Outcome]) -> Table:
        told.extend(outcomes)
        return Table()

    carry_out(
        Plan(jobs, order=[job.photo for job in jobs]), recipe, table,
        crew=Crew(recipe.device, 1), telling=Telling("", Pipes([], None)),
    )  # fmt: skip
    return told


def test_where_a_model_failed_another_process_goes_on(
    machine: Callable[..., None], tmp_path: Path
) -> None:
    """Once a GPU has failed, nothing more works in the process that used it."""
    machine(1)
    told = carried_out(Naming("cuda", tmp_path, 1), ["a", "fails", "b", "c"])
    assert [one.photo.name for one in told if one.error] == ["fails"]
    first, *others = [one.note for one in told if not one.error]
    assert first != others[0] == others[1]


def test_a_lone_worker_is_a_process_of_its_own_where_a_gpu_could_fail(
    machine: Callable[..., None],
) -> None:
    machine(1)
    for device in ("auto", "cuda", "cuda:0"):
        assert workers.apart(2, device, 1)
        assert not workers.apart(1, device, 1), "nobody comes after it"
    assert not workers.apart(100, "cpu", 1)
    assert workers.apart(2, "cpu", 2)
    machine(0)
    assert not workers.apart(100, "auto", 1)


class Played:
    """A worker that is no process: what the next one says is the next of `scripts`."""

    scripts: ClassVar[list[list[object]]] = []

    def __init__(self, recipe: Recipe, threads: int | None):
        self.recipe = recipe
        self.job: Job | None = None
        self.connection, self._theirs = Pipe()
        self._script = self.scripts.pop(0)
        self._theirs.send(self._script.pop(0))

    def give(self, job: Job, progress: Progress | None) -> None:
        self.job = job
        self._theirs.send(self._script.pop(0))

    def listen(self) -> object:
        return self.connection.recv()

    def end(self) -> None:
        self.connection.close()
        self._theirs.close()


def test_where_no_process_can_go_on_its_reason_is_told(
    machine: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(1)
    jobs = [Job(Path(name), Beside(), Written()) for name in "abc"]
    lost = ModelError("the model failed on cuda: it has fallen off the bus")
    gone = ModelError("--device cuda: no CUDA device: --device cpu works without")
    first = ["idle", Outcome(jobs[0].photo, "restored"), lost]
    monkeypatch.setattr(workers, "_Worker", Played)
    monkeypatch.setattr(
        Played, "scripts", [first, *([gone] for _ in range(workers.MOST_STILLBORN))]
    )
    recipe = Naming("cuda", tmp_path, 1)
    outcomes = workers.run(jobs, recipe, lambda job: None, workers=1, threads=1, stop=Stop())
    assert [next(outcomes).error, next(outcomes).error] == ["", str(lost)]
    with pytest.raises(ModelError) as error:
        next(outcomes)
    assert str(error.value) == str(gone), "which says what to do"


@pytest.mark.parametrize(("device", "known"), [("cpu", 1), ("auto", 0)])
def test_a_lone_worker_on_the_cpu_is_this_process(
    machine: Callable[..., None], tmp_path: Path, device: str, known: int
) -> None:
    machine(known)
    told = carried_out(Naming(device, tmp_path, 1), ["a", "fails", "b"])
    assert [one.note for one in told if not one.error] == [f"{device} {os.getpid()}"] * 2


def test_a_gpu_that_cannot_be_used_is_told_once(
    machine: Callable[..., None], tmp_path: Path
) -> None:
    machine(2)
    recipe = Naming("auto", tmp_path, 3)
    jobs = [Job(Path(name), Beside(), Written()) for name in "abcdef"]
    said: list[str] = []
    with Stop() as stop:
        outcomes = list(
            workers.run(
                jobs, recipe, lambda job: None, workers=3, threads=1, stop=stop, say=said.append
            )
        )
    devices = sorted(note.split()[0] for note in {one.note for one in outcomes})
    assert devices == ["auto:0", "auto:0", "auto:1"]
    assert said == [
        "GPU 0 cannot be used, its photos are left to the CPU: --device cuda:0 says why"
    ]


@pytest.fixture
def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Calls of the command in this process are in the folder, and no process has a GPU."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return folder


def test_networks_that_do_without_their_gpu_are_a_note(
    machine: Callable[..., None], in_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    machine(1)
    words = ["in/00.png", "in/01.png", "--mask", "mask.png", "--model", "autoencoder", "-o", "out"]
    assert run(["restore", *words]) == 0
    note = "the GPU cannot be used, its photos are left to the CPU: --device cuda says why\n"
    assert capfd.readouterr().err == note


@pytest.mark.parametrize("quiet", [False, True])
def test_notes_of_workers_are_told_unless_all_is_quiet(
    machine: Callable[..., None],
    in_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    quiet: bool,
) -> None:
    def worked(*rest: object, say: Callable[[str], None], **more: object) -> list[Outcome]:
        say("a note")
        return []

    machine(1)
    monkeypatch.setattr(workers, "run", worked)
    assert run(["restore", "in", "--mask", "mask.png", "-o", "out", *(["-q"] * quiet)]) == 0
    assert capfd.readouterr().err == ("" if quiet else "a note\n")


@pytest.mark.parametrize(
    ("words", "crew"),
    [
        ("restore in -o out", 2),
        ("restore in -o out --mask mask.png", 2),
        ("restore in -o out --model telea", 2),
        ("restore in -o out --model telea --mask mask.png", 8),
        ("restore in -o out --model patchmatch --infrared-file mask.png", 8),
        ("detect in -o out", 2),
        ("detect in -o out --infrared-file mask.png", 8),
    ],
)
def test_where_no_network_runs_the_crew_is_that_of_the_cpu(
    machine: Callable[..., None],
    in_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    crew: int,
) -> None:
    machine(2)
    asked: list[int] = []

    def worked(*rest: object, workers: int, **more: object) -> list[Outcome]:
        asked.append(workers)
        return []

    monkeypatch.setattr(workers, "run", worked)
    assert run(words.split()) == 0
    assert asked == [crew]


def test_free_memory_is_known_here() -> None:
    free = workers.free_memory()
    if free is None:
        pytest.skip("this system does not say how much memory is free")
    assert 10**7 < free < 10**14
