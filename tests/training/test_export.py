"""The exported file: plain ONNX for old runtimes, the same numbers as PyTorch, and its card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from inpaintcli.inpainters.base import Card
from inpaintcli.inpainters.onnx_model import OnnxInpainter
from tests.training import one_line_error, run
from training import export
from training.checkpoint import Checkpoint
from training.config import Config, Network
from training.networks import NETWORKS, build

TINY = Network(widths=(8, 8, 8), depths=(1, 2, 1), stem=4)
#: The operators that the networks need; a custom one, or a function, would be none of them.
PLAIN = {"Add", "AveragePool", "Cast", "Clip", "Concat", "Constant", "Conv", "Div", "Greater",
         "Mul", "Relu", "Resize", "Sub", "ReduceMean", "ReduceSum",
}  # fmt: skip


def checkpoint(name: str, sizes: Network = TINY, origin: str = "cifar10.tar.xz") -> Checkpoint:
    """A run that has trained nothing: random weights under an average of their own."""
    torch.manual_seed(7)
    history = [{"step": float(i), "hole_psnr": 20.0 + i} for i in range(50)]
    state = Checkpoint(name, Config(network=sizes), 7, origin, "python -m training.train")
    state.step, state.best, state.history = 49, 69.0, history
    state.weights = build(name, sizes).state_dict()
    state.averaged = build(name, sizes).state_dict()
    return state


def exported(saved: Path, *more: object) -> Path:
    """The model file that the command line makes of a checkpoint file."""
    path = saved.with_suffix(".onnx")
    result = run(export.main, saved, "-o", path, *more)
    assert result.exit_code == 0, result.output
    assert not list(path.parent.glob("*.part"))
    return path


@pytest.fixture(scope="session", params=list(NETWORKS))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of either network, to read; its checkpoint lies beside it."""
    saved = tmp_path_factory.mktemp("export") / f"{request.param}.pt"
    checkpoint(request.param).save(saved)
    return exported(saved)


@pytest.fixture
def saved(model: Path, tmp_path: Path) -> Path:
    """A checkpoint file of either network, to do anything with."""
    return Path(shutil.copy(model.with_suffix(".pt"), tmp_path))


@pytest.mark.parametrize("name", NETWORKS)
def test_parity_of_the_real_size(name: str) -> None:
    network = export.network_of(checkpoint(name, Network()))
    assert export.largest_difference(network, export.to_onnx(network)) < 1e-4


def test_parity_is_with_the_averaged_weights(model: Path) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    state = Checkpoint.load(model.with_suffix(".pt"))
    network = build(state.name, TINY)
    rng = np.random.default_rng(0)
    differences = {}
    for kind, weights in (("averaged", state.averaged), ("last", state.weights)):
        network.load_state_dict(weights)
        largest = 0.0
        for n, h, w in ((1, 8, 8), (3, 32, 32), (3, 40, 64), (1, 96, 128)):
            image = rng.random((n, 3, h, w), np.float32)
            mask = (rng.random((n, 1, h, w)) < 0.3).astype(np.float32)
            (restored,) = session.run(["restored"], {"image": image, "mask": mask})
            assert restored.shape == image.shape
            assert restored.dtype == np.float32
            assert 0 <= restored.min() <= restored.max() <= 1
            # What each picture's known pixels differ from grey on average goes, and comes back.
            cast = np.zeros((n, 3, 1, 1), np.float32)
            for index in range(n):
                means = image[index][:, mask[index, 0] == 0].mean(1)
                cast[index, :, 0, 0] = means - means.mean()
            with torch.no_grad():
                raw = network(torch.from_numpy((image - cast) * (1 - mask)), torch.from_numpy(mask))
            wanted = np.clip(raw.numpy() + cast, 0, 1)
            largest = max(largest, float(np.abs(restored - wanted).max()))
        differences[kind] = largest
    assert differences["averaged"] < 1e-4 < differences["last"]


def test_the_difference_that_is_measured_is_seen(model: Path) -> None:
    other = build(model.stem, TINY)
    assert export.largest_difference(other, onnx.load(model)) > 1e-3
    for parameter in other.parameters():
        torch.nn.init.constant_(parameter, float("nan"))
    assert not export.largest_difference(other, onnx.load(model)) < export.TOLERANCE


def test_result_is_clipped(saved: Path) -> None:
    state = Checkpoint.load(saved)
    state.averaged["body.head.conv.bias"] += torch.tensor([9.0, -9.0, 0.0])
    state.save(saved)
    session = onnxruntime.InferenceSession(exported(saved), providers=["CPUExecutionProvider"])
    image = np.full((1, 3, 32, 32), 0.5, np.float32)
    (restored,) = session.run(None, {"image": image, "mask": np.zeros((1, 1, 32, 32), np.float32)})
    assert (restored[0, 0] == 1).all()
    assert (restored[0, 1] == 0).all()


def test_old_runtimes_can_run_it(model: Path) -> None:
    file = onnx.load(model)
    onnx.checker.check_model(file, full_check=True)
    # What ONNX Runtime 1.19 knows, by https://onnxruntime.ai/docs/reference/compatibility.html
    assert file.ir_version <= 9
    assert [(opset.domain, opset.version <= 20) for opset in file.opset_import] == [("", True)]
    assert not file.functions
    assert {node.op_type for node in file.graph.node} <= PLAIN
    assert not any(node.domain for node in file.graph.node)


def test_sizes_are_free(model: Path) -> None:
    graph = onnx.load(model).graph
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {
        "image": ["N", 3, "h", "w"],
        "mask": ["N", 1, "h", "w"],
        "restored": ["N", 3, "h", "w"],
    }


def test_nothing_is_computed_twice_or_for_nothing(model: Path) -> None:
    nodes = onnx.load(model).graph.node
    computed = [
        (n.op_type, tuple(n.input), *(a.SerializeToString() for a in n.attribute)) for n in nodes
    ]
    assert len(computed) == len(set(computed))
    used = {name for node in nodes for name in node.input}
    assert all(node.output[0] in used for node in nodes[:-1])


def test_card(saved: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores.json"
    scores.write_text('{"hole_psnr": 23.1, "pictures": 10}')
    path = exported(saved, "--scores", scores)
    properties = {item.key: item.value for item in onnx.load(path).metadata_props}
    assert properties["validation_hole_psnr"] == "69.000"
    assert properties["steps"] == "49"
    assert properties["seed"] == "7"
    assert properties["command"] == "python -m training.train"
    count = sum(p.numel() for p in build(saved.stem, TINY).parameters())
    assert properties["parameters"] == str(count)
    history = json.loads(properties["history"])
    assert len(history) == 20
    assert (history[0]["step"], history[-1]["step"]) == (0, 49)
    card = OnnxInpainter(path, "cpu").card
    assert card == Card(
        name=saved.stem, summary=card.summary, tile=32, overlap=8, margin=8, multiple=8, reach=4,
        trained_on="cifar10.tar.xz", data_licence=export.CIFAR10_LICENCE, licence="MIT",
        version="1", scores={"hole_psnr": 23.1, "pictures": 10}, size=path.stat().st_size,
    )  # fmt: skip
    assert card.summary


def test_licence_of_other_data() -> None:
    state = checkpoint("autoencoder", origin="photos")
    assert export.card(state, {})["data_licence"].startswith("unknown")
    assert export.card(state, {}, "CC0")["data_licence"] == "CC0"


def test_write_scores_changes_the_scores_alone(model: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(model, tmp_path))
    before = onnx.load(path)
    export.write_scores(path, {"hole_psnr": 23.5})
    after = onnx.load(path)
    assert before.graph == after.graph
    changed = {item.key: item.value for item in after.metadata_props}
    assert json.loads(changed.pop("scores")) == {"hole_psnr": 23.5}
    kept = {item.key: item.value for item in before.metadata_props}
    assert kept.pop("scores") == "{}"
    assert changed == kept
    assert OnnxInpainter(path, "cpu").card.scores == {"hole_psnr": 23.5}


def test_wrong_calls(saved: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.onnx"
    (tmp_path / "photo.pt").write_bytes(b"no checkpoint")
    (tmp_path / "words.json").write_text('{"PSNR": "good"}')
    (tmp_path / "broken.json").write_text("{")
    for words, reason in (
        ((tmp_path / "nowhere.pt", "-o", output), "nowhere.pt: no such checkpoint"),
        ((tmp_path / "photo.pt", "-o", output), "photo.pt: not a readable checkpoint"),
        ((saved, "-o", tmp_path / "nowhere" / "out.onnx"), "cannot be written"),
        ((saved, "-o", output, "--scores", tmp_path / "nowhere.json"), "nowhere.json"),
        ((saved, "-o", output, "--scores", tmp_path / "words.json"), "give numbers by name"),
        ((saved, "-o", output, "--scores", tmp_path / "broken.json"), "not JSON"),
    ):
        assert reason in one_line_error(run(export.main, *words))
    state = Checkpoint.load(saved)
    del state.averaged["body.head.conv.bias"]
    state.save(saved)
    assert "wrong weights" in one_line_error(run(export.main, saved, "-o", output))
    assert not output.exists()


@pytest.mark.parametrize("difference", [2e-4, float("nan")])
def test_file_of_other_numbers_is_not_written(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, difference: float
) -> None:
    monkeypatch.setattr(export, "largest_difference", lambda *_: difference)
    output = tmp_path / "out.onnx"
    assert "not written" in one_line_error(run(export.main, saved, "-o", output))
    assert not output.exists()
