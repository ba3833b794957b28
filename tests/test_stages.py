"""The scripts that say where the time of a restore goes, and how fast convolutions are."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import rate, stages
from inpaintcli.inpainters.registry import WEIGHTS
from inpaintcli.operations import macs_per_pixel
from tests.helpers import picture, save

ROOT = Path(__file__).parent.parent
#: Called for a photo whose mask is not given, and for a JPEG, alone.
FINDING = {
    "inpaintcli.detect:load_detector",
    "inpaintcli.detect:probability",
    "inpaintcli.detect:to_mask",
}
PATCHING = {"inpaintcli.jpeg_blocks:patched"}


def script(name: str, *words: object, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run one of the scripts as a process of its own. path: what is imported before all else."""
    places = os.pathsep.join(map(str, [path, ROOT] if path else [ROOT]))
    return subprocess.run(
        [sys.executable, ROOT / "benchmarks" / name, *map(str, words), "--threads", "1"],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": places},
    )  # fmt: skip


def profiled(*words: object) -> dict[str, Any]:
    """What stages.py says of one run."""
    done = script("stages.py", *words, "--runs", 1, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def median(found: dict[str, Any], name: str) -> float:
    value, least, most = found[name]
    assert value == least == most  # Of one run.
    return float(value)


def test_every_moment_of_a_restore_belongs_to_a_stage(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", picture(60, 80))
    started = time.perf_counter()
    found = profiled(photo)
    seconds = time.perf_counter() - started
    parts = {name: value[0] for name, value in found["stages"].items()}
    assert set(parts) == {*stages.STAGES, stages.EXIT}
    # A stage that nobody enters any more takes no time at all.
    assert parts.pop(stages.DETECTION) == 0
    assert min(parts.values()) > 0
    whole, network = median(found, "whole"), median(found, "network")
    assert sum(parts.values()) == pytest.approx(whole)
    assert network <= parts[stages.INFERENCE] < whole < seconds
    assert median(found, "whole_to_inference") == pytest.approx(whole / network)
    ratio = median(found, "first_tile") / median(found, "numpy")
    assert median(found, "first_tile_to_numpy") == pytest.approx(ratio)
    assert {name for name, calls in found["calls"].items() if not calls} == FINDING | PATCHING
    assert (found["width"], found["height"]) == (80, 60)


def test_finding_damage_is_a_stage_with_its_network_in_it() -> None:
    pytest.importorskip("jpeglib")
    found = profiled("--megapixels", 0.1, "--detect", "--suffix", "jpg")
    assert found["megapixels"] == pytest.approx(0.1, rel=0.01)
    assert {name for name, calls in found["calls"].items() if not calls} == {
        "inpaintcli.mask:read",  # No mask is given,
        "inpaintcli.photo.disk:write",  # and most of a JPEG stays as it is.
    }
    detection, inference = (found["stages"][name][0] for name in ("detection", "inference"))
    assert inference < median(found, "network") < inference + detection


def test_the_stages_are_shown(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", picture(60, 80, 4, np.uint16))
    done = script("stages.py", photo, "--runs", 1, "--model", "telea", "--suffix", "tif")
    assert done.returncode == 0, done.stderr
    for name in (*stages.STAGES, stages.EXIT, "whole", "whole / inference", "file written"):
        assert name in done.stdout
    # Telea has no network.
    (row,) = (line for line in done.stdout.splitlines() if "whole / inference" in line)
    assert row.split("│")[2].strip() == "-"


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [(["--model", "nix"], 2, "nix"), (["--suffix", "gif"], 1, "gif"),
     (["missing.png"], 1, "missing.png")],
)  # fmt: skip
def test_wrong_calls_are_refused_in_one_line(words: list[object], code: int, named: str) -> None:
    done = script("stages.py", *words, "--megapixels", 0.01, "--runs", 1)
    assert done.returncode == code
    assert done.stderr.count("\n") == 1
    assert named in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "name", ["inpaintcli.grain:nothing", "inpaintcli.nothing:at_all", "inpaintcli.tiling:Blend.no"]
)
def test_nothing_is_put_in_the_place_of_what_is_no_more(name: str) -> None:
    with pytest.raises((ImportError, AttributeError)):
        stages._put_in(name, lambda function: function)


def test_a_stage_that_is_no_more_is_told() -> None:
    code = (
        "import sys; from benchmarks import stages\n"
        "stages.STAGES['grain'] = ('inpaintcli.grain:nothing',)\n"
        "sys.exit(stages.measure(0.0, True, ['--version']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "inpaintcli.grain" in line
    assert "nothing" in line
    assert "mend STAGES" in line


def test_the_measured_process_imports_nothing_of_its_own() -> None:
    """Or what it takes to measure would count for the command."""
    code = (
        "import sys, json, typer, __future__; before = set(sys.modules)\n"
        "import benchmarks.stages; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["benchmarks", "benchmarks.stages"]


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is, as the only item."""
    now = [100.0]
    monkeypatch.setattr(stages, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    return now


def test_a_stage_does_not_count_what_is_within_it(at: list[float]) -> None:
    clock = stages.Clock(99.0)

    def passes(seconds: float) -> None:
        at[0] += seconds

    gather = clock.timed("gather", "gather tiles", passes)

    def encodes() -> None:
        passes(1)
        gather(2)
        passes(4)

    encode = clock.timed("encode", "encode", encodes)
    detect = clock.timed("detect", stages.DETECTION, encode)

    def doubles() -> Iterator[int]:
        for number in range(2):
            passes(8)
            yield number

    double = clock.timed("double", "decode", doubles)
    encode()
    assert clock.seconds["encode"] == 5
    detect()
    for _ in double():
        passes(100)  # Not the generator's.
    # Another thread has no part of this one's time.
    other = threading.Thread(target=gather, args=(1000,))
    other.start()
    other.join()
    encode()
    parts = {name: seconds for name, seconds in clock.seconds.items() if seconds}
    assert parts == {
        stages.START: 1 + 200 + 1000, "encode": 10, "gather tiles": 4, stages.DETECTION: 7,
        "decode": 16,
    }  # fmt: skip
    assert clock.calls == {"gather": 4, "encode": 3, "detect": 1, "double": 3}


def test_a_stage_ends_where_it_fails(at: list[float]) -> None:
    clock = stages.Clock(at[0])

    def fails() -> None:
        at[0] += 3
        raise ValueError

    failing = clock.timed("grain", "grain", fails)
    with pytest.raises(ValueError):  # noqa: PT011
        failing()
    at[0] += 5
    clock.timed("encode", "encode", lambda: None)()
    assert clock.seconds["grain"] == 3
    assert clock.seconds[stages.START] == 5


@pytest.fixture(scope="module")
def onnx() -> ModuleType:
    module: ModuleType = pytest.importorskip("onnx")
    return module


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products that take no time."""
    monkeypatch.setattr(rate, "SIZES", ((64, 32, 16), (48, 48, 48)))


def network(onnx: Any, path: Path, *convolutions: tuple[int, int, int, int]) -> Path:
    """A network of convolutions: inputs, outputs, groups and the side of the kernel of each."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes, weights = [], []
    for at, (inputs, outputs, groups, side) in enumerate(convolutions):
        shape = (outputs, inputs // groups, side, side)
        weights.append(numpy_helper.from_array(np.ones(shape, np.float32), f"w{at}"))
        nodes.append(helper.make_node("Conv", [str(at), f"w{at}"], [str(at + 1)], group=groups))
    last = len(convolutions)
    if not convolutions:
        nodes, last = [helper.make_node("Relu", ["0"], ["1"])], 1

    def value(name: int, channels: object) -> Any:
        shape = ["n", channels, "h", "w"]
        return helper.make_tensor_value_info(str(name), onnx.TensorProto.FLOAT, shape)

    first = convolutions[0][0] if convolutions else 3
    graph = helper.make_graph(nodes, "test", [value(0, first)], [value(last, "c")], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.mark.usefixtures("few")
def test_convolutions_are_counted_by_kind(onnx: ModuleType, tmp_path: Path) -> None:
    path = network(onnx, tmp_path / "a.onnx", (3, 16, 1, 3), (16, 64, 1, 2), (64, 64, 2, 1))
    feeds = {"0": np.ones((1, 3, 20, 20), np.float32)}
    found, fastest = rate.measure(path, feeds, tmp_path, threads=1, runs=2)
    kinds = {
        rate.Kind((3, 3), 3, 16, 18): 3 * 3 * 3 * 16 * 18**2,
        rate.Kind((2, 2), 16, 64, 17): 2 * 2 * 16 * 64 * 17**2,
        rate.Kind((1, 1), 32, 64, 17): 32 * 64 * 17**2,
    }
    assert {kind: work.macs for kind, work in found.convolutions.items()} == kinds
    assert found.whole.macs == sum(kinds.values())
    assert found.whole.nodes == 3
    assert 0 < found.whole.seconds <= found.seconds
    assert {size: work.macs for size, work in found.products.items()} == {
        size: math.prod(size) for size in rate.SIZES
    }
    assert found.share == pytest.approx(found.whole.rate / found.product)
    assert fastest.whole.seconds <= found.whole.seconds


@pytest.mark.usefixtures("few")
def test_the_network_that_ships_is_counted_as_its_report_counts_it(
    onnx: ModuleType, tmp_path: Path
) -> None:
    path, side = WEIGHTS / "photo-int8.onnx", 64
    feeds = {
        name: np.zeros((1, channels, side, side), np.float32)
        for name, channels in (("image", 3), ("mask", 1))
    }
    found, _ = rate.measure(path, feeds, tmp_path, threads=1, runs=1)
    per_pixel = macs_per_pixel(path, side)
    assert per_pixel
    assert found.whole.macs == per_pixel * side**2


def test_rates_are_shown(onnx: ModuleType, tmp_path: Path) -> None:
    path = network(onnx, tmp_path / "a.onnx", (3, 16, 1, 3), (16, 16, 1, 3), (16, 16, 1, 3))
    done = script("rate.py", "--model", path, "--side", 20, "--runs", 1)
    assert done.returncode == 0, done.stderr
    for text in ("3x3, 3 to 16", "3x3, 16 to 16", "2048 x 2048 x 2048", "share of a plain product"):
        assert text in done.stdout


def test_what_has_no_rate_is_told_in_one_line(onnx: ModuleType, tmp_path: Path) -> None:
    plain, broken = network(onnx, tmp_path / "plain.onnx"), tmp_path / "broken.onnx"
    broken.write_text("this is no model")
    (tmp_path / "onnx.py").write_text("raise ImportError")
    for words, code, named, path in (
        ((plain,), 3, "plain.onnx: has no convolution", None),
        ((broken,), 3, "broken.onnx: not a model", None),
        ((WEIGHTS / "photo-int8.onnx", "--side", 7), 3, "photo-int8.onnx: the model failed", None),
        ((plain,), 1, "pip install", tmp_path),
    ):
        done = script("rate.py", "--model", *words, path=path)
        assert done.returncode == code
        assert done.stderr.count("\n") == 1
        assert named in done.stderr
        assert done.stdout == ""
