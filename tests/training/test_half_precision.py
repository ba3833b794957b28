"""A network that computes in float16 on a GPU is the same network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto

from inpaintcli.detect import load_detector
from inpaintcli.inpainters.registry import load_model
from inpaintcli.runtime import Session
from tests.training import one_line_error, randomised, run
from training import ensemble, export, half_precision
from training.checkpoint import Checkpoint
from training.config import Config, Damage, Network
from training.networks import build

SIZES = Network(widths=(16, 16, 16), depths=(1, 1, 1))


def exported(folder: Path, kind: str, seed: int = 0) -> Path:
    """The file of a photo network or a detector with random weights."""
    torch.manual_seed(seed)
    network = build(kind, SIZES)
    if kind == "detector":
        network = randomised(network, seed)
    else:
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.02)
    detector = Config(network=SIZES, layers={"aged": 1.0})
    inpainter = Config(network=SIZES, guess=True, damage=Damage(kinds={"scratches": 1.0}))
    state = Checkpoint(
        kind, detector if kind == "detector" else inpainter, 0, "pictures", "train it",
        averaged=network.state_dict(),
    )  # fmt: skip
    state.save(folder / f"{seed}.pt")
    result = run(export.main, folder / f"{seed}.pt", "-o", folder / f"{kind}-{seed}.onnx")
    assert result.exit_code == 0, result.output
    return folder / f"{kind}-{seed}.onnx"


@pytest.fixture(scope="module", params=["photo", "detector", "two detectors"])
def files(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A file in float32, the same in float16, and the same that rounds on a CPU."""
    folder = tmp_path_factory.mktemp("half")
    if request.param == "two detectors":
        first = folder / "both.onnx"
        pair = [exported(folder, "detector", seed) for seed in (0, 1)]
        result = run(ensemble.main, *pair, "--share", 0.4, "-o", first)
        assert result.exit_code == 0, result.output
    else:
        first = exported(folder, request.param)
    export.update_scores(first, {"score": 12.5})
    half, rounded = folder / "half.onnx", folder / "rounded.onnx"
    result = run(half_precision.main, first, "-o", half, "--rounded", rounded)
    assert result.exit_code == 0, result.output
    return {"float": first, "half": half, "rounded": rounded}


def answers(files: dict[str, Path]) -> dict[str, NDArray[np.float32]]:
    """What each file makes of the same pictures."""
    rng = np.random.default_rng(3)
    sessions = {name: Session(path, "cpu", 1) for name, path in files.items()}
    second = sessions["float"].inputs[1].name
    image = rng.random((2, 3, 48, 72), np.float32)
    other = rng.random((2, 1, 48, 72), np.float32)
    if second == "mask":
        other = (other < 0.2).astype(np.float32)
    feeds: dict[str, NDArray[Any]] = {"image": image, second: other}
    return {name: session.run(feeds)[0] for name, session in sessions.items()}


def test_on_a_cpu_it_computes_the_same(files: dict[str, Path]) -> None:
    found = answers(files)
    assert np.ptp(found["float"]) > 0.1
    np.testing.assert_allclose(found["half"], found["float"], atol=1e-6)


def test_the_rounding_of_a_gpu_shows_and_is_little(files: dict[str, Path]) -> None:
    found = answers(files)
    off = np.abs(found["rounded"] - found["half"])
    assert 1e-6 < off.max() < 0.01
    # In float16, 1 has 10 binary places.
    assert off.mean() < 2**-10


def kinds_of(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every value and weight, by name."""
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    kinds = {one.name: one.data_type for one in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        kinds[value.name] = value.type.tensor_type.elem_type
    return kinds


def test_all_between_the_first_and_the_last_convolution_is_in_float16(
    files: dict[str, Path],
) -> None:
    model = onnx.load(files["half"])
    kinds = kinds_of(model)
    for value in (*model.graph.input, *model.graph.output):
        assert kinds[value.name] == TensorProto.FLOAT
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    before = onnx.load(files["float"]).graph.node
    assert len(convolutions) == sum(node.op_type == "Conv" for node in before) > 5
    for node in convolutions:
        assert {kinds[name] for name in (*node.input, *node.output)} == {TensorProto.FLOAT16}

    # Computed from what a convolution returned, and on the way to another.
    behind: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "Conv" or behind.intersection(node.input):
            behind.update(node.output)
    made_by = {name: node for node in model.graph.node for name in node.output}
    between: set[str] = set()
    queue = [node.input[0] for node in convolutions]
    while queue:
        name = queue.pop()
        if name in behind and name not in between:
            between.add(name)
            queue += made_by[name].input
    assert len(between) > 20
    assert {name for name in between if kinds[name] != TensorProto.FLOAT16} == set()


def test_it_is_no_larger(files: dict[str, Path]) -> None:
    assert files["half"].stat().st_size < 1.1 * files["float"].stat().st_size


def test_the_card_is_kept(files: dict[str, Path]) -> None:
    before, *after = (
        {item.key: item.value for item in onnx.load(files[name]).metadata_props}
        for name in ("float", "half", "rounded")
    )
    for card in after:
        assert card["precision"] == "float16"
        assert card["command"].startswith(f"{before['command']} && python -m training.half_prec")
        assert card["scores"] == '{"score": 12.5}'
        changed = {"precision", "command"}
        assert {k: v for k, v in card.items() if k not in changed} == {
            k: v for k, v in before.items() if k not in changed
        }


def test_the_program_takes_them(files: dict[str, Path]) -> None:
    detector = Session(files["float"], "cpu", 1).outputs[0].name == "damage"
    for path in files.values():
        (load_detector if detector else load_model)(path, device="cpu", threads=1)


def test_what_cannot_be_halved_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    shipped = Path("inpaintcli/weights/photo-int8.onnx").resolve()
    for wrong in (tmp_path / "nix.onnx", tmp_path / "text.onnx", shipped):
        result = run(half_precision.main, wrong, "-o", tmp_path / "out.onnx")
        assert str(wrong) in one_line_error(result)
    assert not (tmp_path / "out.onnx").exists()
