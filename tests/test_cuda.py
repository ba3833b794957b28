"""On a real GPU: the same pictures as on the CPU, and workers that share one. Elsewhere these tests
are skipped with the reason that ONNX Runtime gives, and one that needs none is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from inpaintcli import damage, gpus, load_model, resident, restore
from inpaintcli import mask as masks
from inpaintcli.arrays import Mask, Pixels
from inpaintcli.detect import CERTAIN, load_detector, probability, to_mask
from inpaintcli.errors import ModelError
from inpaintcli.inpainters.onnx_model import OnnxInpainter
from inpaintcli.inpainters.registry import WEIGHTS
from inpaintcli.runtime import CUDA_OPTIONS, Session
from tests.helpers import inpaint, load, save, save_mask

ROOT = Path(__file__).parent.parent
#: The networks in float16, which is what runs on CUDA; on a CPU `photo` is another file.
PHOTO, DETECTOR = WEIGHTS / "photo.onnx", WEIGHTS / "detector.onnx"
#: On CUDA these compute with numbers of 10 bits, and on a CPU in float32, so results differ in the
#: last place: for this share of all values by no more than 1/255, and by 4/255 where the detector
#: is steep. Rounded so on a CPU (`training.half_precision --rounded`) scratches differed by 1/255.
MOST = 0.999

cuda = pytest.mark.cuda


@pytest.fixture(scope="session")
def gpu() -> str:
    """`cuda`, where it can be used."""
    try:
        Session(PHOTO, "cuda", 1)
    except ModelError as error:
        pytest.skip(str(error))
    return "cuda"


@pytest.fixture(scope="session")
def photo() -> Pixels:
    """A photograph of 512x512."""
    return load(ROOT / "assets/originals/astronaut.png")


@pytest.fixture(scope="session")
def scratches(photo: Pixels) -> tuple[Pixels, Mask]:
    """The photograph with scratches, and where they are."""
    return damage(photo, "scratches", seed=1, coverage=0.05)


@pytest.fixture
def folder(tmp_path: Path, scratches: tuple[Pixels, Mask]) -> Path:
    """A folder with `in`, four scratched photos of two sizes, and `masks` for them."""
    pixels, mask = scratches
    for number in range(4):
        rows = slice(0, 512 - 64 * (number % 2))
        save(tmp_path / f"in/{number}.png", pixels[rows])
        save_mask(tmp_path / f"masks/{number}.png", mask[rows])
    return tmp_path


def near(one: Pixels, other: Pixels, mask: Mask) -> float:
    """The share of values in the mask that differ by at most 1."""
    change = np.abs(one[mask].astype(np.int16) - other[mask].astype(np.int16))
    return float((change <= 1).mean())


def alike(folder: Path, one: str, other: str) -> None:
    """Both folders hold the photos of `in`, filled alike."""
    for path in sorted((folder / "in").iterdir()):
        mask = masks.read(folder / "masks" / path.name)
        before = load(path)
        filled = [load(folder / name / path.name) for name in (one, other)]
        assert (filled[0][~mask] == before[~mask]).all()
        assert (filled[0][mask] != before[mask]).mean() > 0.5, "nothing was done"
        assert near(filled[0], filled[1], mask) >= MOST


@cuda
def test_a_session_runs_where_and_as_it_was_asked(gpu: str) -> None:
    session = Session(PHOTO, gpu)
    assert session.device == "cuda"
    chosen = session._session.get_provider_options()["CUDAExecutionProvider"]
    assert {key: chosen[key] for key in CUDA_OPTIONS} == CUDA_OPTIONS
    assert Session(PHOTO, "auto").device == "cuda", "auto takes what works"


@cuda
def test_the_gpu_fills_scratches_as_the_cpu_does(gpu: str, scratches: tuple[Pixels, Mask]) -> None:
    pixels, mask = scratches
    filled = [restore(pixels, mask, PHOTO, device=device, grain="off") for device in (gpu, "cpu")]
    assert (filled[0][~mask] == pixels[~mask]).all()
    assert near(filled[0], filled[1], mask) >= MOST


@cuda
def test_a_batch_on_the_gpu_is_what_its_tiles_are(gpu: str, scratches: tuple[Pixels, Mask]) -> None:
    pixels, mask = scratches
    inpainter = load_model(PHOTO, device=gpu)
    filled = [
        restore(pixels, mask, inpainter, tile=128, batch_size=size, grain="off") for size in (1, 5)
    ]
    assert near(filled[0], filled[1], mask) >= MOST


@cuda
def test_tiles_that_stay_on_the_gpu_are_what_they_are_by_themselves(
    gpu: str, scratches: tuple[Pixels, Mask]
) -> None:
    pixels, mask = scratches
    inpainter, detector = load_model(PHOTO, device=gpu), load_detector(DETECTOR, device=gpu)
    assert isinstance(inpainter, OnnxInpainter)
    assert inpainter.resident
    assert detector.resident
    filled = [restore(pixels, mask, inpainter, grain="off")]
    found = [probability(pixels, detector)]
    inpainter.resident = detector.resident = None
    filled.append(restore(pixels, mask, inpainter, grain="off"))
    found.append(probability(pixels, detector))
    assert near(filled[0], filled[1], mask) >= MOST
    change = np.abs(found[0].astype(np.float32) - found[1]) / CERTAIN
    assert (change <= 4 / 255).mean() >= MOST


@cuda
def test_deep_damage_of_16_bits_with_little_memory(
    gpu: str, photo: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several sizes, slots that are used again, and calls of a few tiles."""
    pixels, mask = damage(photo.astype(np.uint16) * 257, "scratches", seed=2)
    mask = mask.copy()
    mask[200:260, 200:260] = True
    expected = restore(pixels, mask, PHOTO, device="cpu", grain="off")
    monkeypatch.setattr(resident, "SLOT_PIXELS", 1)
    for pixels_a_call in (resident.BATCH_PIXELS, 2 * 128 * 128):
        monkeypatch.setattr(resident, "BATCH_PIXELS", pixels_a_call)
        inpainter = load_model(PHOTO, device=gpu)
        filled = restore(pixels, mask, inpainter, tile=128, grain="off")
        assert (filled[~mask] == pixels[~mask]).all()
        change = np.abs(filled[mask].astype(np.int64) - expected[mask])
        assert (change <= 257).mean() >= MOST


@cuda
def test_the_gpu_finds_damage_as_the_cpu_does(gpu: str, scratches: tuple[Pixels, Mask]) -> None:
    detectors = [load_detector(DETECTOR, device=device) for device in (gpu, "cpu")]
    found = [probability(scratches[0], one) for one in detectors]
    change = np.abs(found[0].astype(np.float32) - found[1]) / CERTAIN
    assert (change <= 4 / 255).mean() >= MOST
    damaged = [to_mask(one, detectors[0].card.threshold) for one in found]
    assert damaged[0].any(), "nothing was found"
    assert (damaged[0] == damaged[1]).mean() >= MOST


@cuda
def test_the_command_runs_on_the_gpu(gpu: str, folder: Path) -> None:
    words = ("in", "--mask", "masks", "--grain", "off", "--workers", 1)
    done = inpaint("restore", *words, "-o", "out", "--device", gpu, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    floats = inpaint(
        "restore", *words, "-o", "cpu", "--device", "cpu", "--model", PHOTO, cwd=folder
    )
    assert floats.returncode == 0, floats.stderr
    alike(folder, "out", "cpu")
    done = inpaint("detect", "in/0.png", "-o", "found.png", "--device", "cuda:0", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert masks.read(folder / "found.png").any()


@cuda
def test_two_workers_share_a_gpu(gpu: str, folder: Path) -> None:
    words = ("restore", "in", "--mask", "masks", "--grain", "off", "--device", "cuda:0", "--json")
    for number, name in ((1, "one"), (2, "two")):
        done = inpaint(*words, "-o", name, "--workers", number, cwd=folder)
        assert done.returncode == 0, done.stderr
        told = [json.loads(line)["status"] for line in done.stdout.splitlines()]
        assert told == ["restored"] * 4
    alike(folder, "one", "two")


@cuda
def test_all_gpus_are_put_to_work(gpu: str, folder: Path) -> None:
    known = gpus.count() or 1
    for number in range(known):
        assert Session(PHOTO, f"cuda:{number}").device == "cuda"
    if known < 2:
        pytest.skip("this machine has one GPU")
    done = inpaint("restore", "in", "--mask", "masks", "-o", "out", "--device", gpu, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "out").iterdir())) == 4


@cuda
@pytest.mark.parametrize("workers", [1, 2])
def test_a_gpu_that_is_not_there_is_refused(gpu: str, folder: Path, workers: int) -> None:
    words = ("in", "--mask", "masks", "-o", "out", "--workers", workers)
    done = inpaint("restore", *words, "--device", "cuda:99", cwd=folder)
    assert done.returncode == 3
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("inpaint: --device cuda:99: ")
    assert not (folder / "out").exists()


@cuda
def test_gpus_that_are_hidden_are_not_used(gpu: str, folder: Path) -> None:
    script = (
        "from inpaintcli.runtime import Session; from pathlib import Path; import sys\n"
        "print(Session(Path(sys.argv[1]), 'auto', 1).device)"
    )
    for chosen, device in (("", "cpu"), ("0", "cuda")):
        done = subprocess.run(
            [sys.executable, "-c", script, PHOTO], cwd=ROOT, capture_output=True, text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": chosen}, timeout=120, check=True,
        )  # fmt: skip
        assert done.stdout == f"{device}\n"


def gpu_benchmark(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the script that measures throughput, as a process of its own."""
    return subprocess.run(
        [sys.executable, ROOT / "benchmarks/gpu.py", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@cuda
def test_throughput_is_measured(gpu: str) -> None:
    done = gpu_benchmark("--megapixels", 1, "--runs", 1)
    assert done.returncode == 0, done.stderr
    for name in ("restore", "detect", "in sessions"):
        assert name in done.stdout


def test_without_a_gpu_throughput_is_one_line() -> None:
    with suppress(ModelError):
        Session(PHOTO, "cuda", 1)
        pytest.skip("this machine has a GPU")
    done = gpu_benchmark()
    assert done.returncode == 3
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("gpu.py: --device cuda: ")


@pytest.mark.parametrize("sizes", ["0", "1,x"])
def test_sizes_that_are_none_are_wrong_calls(sizes: str) -> None:
    done = gpu_benchmark("--megapixels", sizes)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"--megapixels {sizes}: " in line
