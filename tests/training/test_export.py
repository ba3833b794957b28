"""The exported file: plain ONNX for old runtimes, the same numbers as PyTorch, and its card."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from inpaintcli.detect import load_detector
from inpaintcli.inpainters.base import Card
from inpaintcli.inpainters.onnx_model import OnnxInpainter
from inpaintcli.inpainters.registry import load_model
from inpaintcli.restore import restore
from tests.training import one_line_error, randomised, run, synthetic
from training import export
from training.checkpoint import Checkpoint
from training.config import Config, Damage, Network
from training.guess import push_pull
from training.networks import DETECTOR, NETWORKS, build

#: The networks that fill damage.
INPAINTERS = [name for name in NETWORKS if name != DETECTOR]
TINY = Network(widths=(8, 8, 8), depths=(1, 2, 1), stem=4, dilations=(2,))
#: The operators that the networks need; a custom one, or a function, would be none of them.
PLAIN = {"Add", "AveragePool", "Cast", "Clip", "Concat", "Constant", "Conv", "Div", "Greater",
         "Mul", "Relu", "Resize", "Sub", "ReduceMean", "ReduceSum", "DepthToSpace", "Reshape",
         "Sigmoid", "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip


def checkpoint(name: str, sizes: Network = TINY, origin: str = "cifar10.tar.xz") -> Checkpoint:
    """A run that has trained nothing: random weights under an average of their own."""
    config = Config(network=sizes)
    if name == "photo":
        damage = Damage(kinds={"scratches": 1.0})
        config = Config(network=sizes, damage=damage, patch=112, guess=True, optimizer="muon")
    if name == DETECTOR:
        config = Config(network=sizes, layers={"aged": 1.0}, patch=192, optimizer="muon")
    history = [{"step": float(i), "hole_psnr": 20.0 + i} for i in range(50)]
    state = Checkpoint(name, config, 7, origin, "python -m training.train")
    state.step, state.best, state.history = 49, 69.0, history
    torch.manual_seed(7)
    networks = [build(name, sizes) for _ in range(2)]
    if name in ("photo", DETECTOR):
        # Untrained they would return the guess, or one number, whatever the file computes.
        networks = [randomised(network, seed) for seed, network in enumerate(networks)]
    state.weights, state.averaged = (network.state_dict() for network in networks)
    return state


def exported(saved: Path, *more: object) -> Path:
    """The model file that the command line makes of a checkpoint file."""
    path = saved.with_suffix(".onnx")
    result = run(export.main, saved, "-o", path, *more)
    assert result.exit_code == 0, result.output
    assert not list(path.parent.glob("*.part"))
    return path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model file of each network, to read; its checkpoint lies beside it."""
    folder = tmp_path_factory.mktemp("export")
    for name in NETWORKS:
        checkpoint(name).save(folder / f"{name}.pt")
    return {name: exported(folder / f"{name}.pt") for name in NETWORKS}


@pytest.fixture(params=list(NETWORKS))
def model(request: pytest.FixtureRequest, models: dict[str, Path]) -> Path:
    """The model file of any network."""
    return models[request.param]


@pytest.fixture(params=INPAINTERS)
def inpainter(request: pytest.FixtureRequest, models: dict[str, Path]) -> Path:
    """The model file of a network that fills damage."""
    return models[request.param]


@pytest.fixture
def saved(model: Path, tmp_path: Path) -> Path:
    """A checkpoint file of any network, to do anything with."""
    return Path(shutil.copy(model.with_suffix(".pt"), tmp_path))


@pytest.fixture
def saved_inpainter(inpainter: Path, tmp_path: Path) -> Path:
    """A checkpoint file of a network that fills damage, to do anything with."""
    return Path(shutil.copy(inpainter.with_suffix(".pt"), tmp_path))


@pytest.mark.parametrize("name", NETWORKS)
def test_parity_of_the_real_size(name: str) -> None:
    state = checkpoint(name, Network())
    network = export.network_of(state)
    model = export.to_onnx(network, name)
    assert export.largest_difference(network, model, name) < 1e-4


def test_parity_is_with_the_averaged_weights(inpainter: Path) -> None:
    session = onnxruntime.InferenceSession(inpainter, providers=["CPUExecutionProvider"])
    state = Checkpoint.load(inpainter.with_suffix(".pt"))
    network = build(state.name, TINY)
    rng = np.random.default_rng(0)
    differences = {}
    for kind, weights in (("averaged", state.averaged), ("last", state.weights)):
        # With kinds of damage, the weights of the file are as exact as float16.
        halved = {key: value.half().float() for key, value in weights.items()}
        network.load_state_dict(halved if state.config.damage.kinds else weights)
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
            for index in range(0 if state.config.guess else n):
                means = image[index][:, mask[index, 0] == 0].mean(1)
                cast[index, :, 0, 0] = means - means.mean()
            seen = image if state.config.guess else (image - cast) * (1 - mask)
            with torch.no_grad():
                raw = network(torch.from_numpy(seen), torch.from_numpy(mask))
            wanted = np.clip(raw.numpy() + cast, 0, 1)
            assert ((wanted > 0) & (wanted < 1)).mean() > 0.2
            largest = max(largest, float(np.abs(restored - wanted).max()))
        differences[kind] = largest
    assert differences["averaged"] < 1e-4 < differences["last"]


def test_the_difference_that_is_measured_is_seen(model: Path) -> None:
    other = build(model.stem, TINY)
    assert export.largest_difference(other, onnx.load(model), model.stem) > 1e-3
    for parameter in other.parameters():
        torch.nn.init.constant_(parameter, float("nan"))
    assert not export.largest_difference(other, onnx.load(model), model.stem) < export.TOLERANCE


def test_result_is_clipped(saved_inpainter: Path) -> None:
    saved = saved_inpainter
    state = Checkpoint.load(saved)
    bias = state.averaged["head.bias" if state.name == "photo" else "body.head.conv.bias"]
    bias += torch.tensor([9.0, -9.0, 0.0]).repeat_interleave(len(bias) // 3)
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
    others = {"mask": ["N", 1, "h", "w"], "restored": ["N", 3, "h", "w"]}
    if model.stem == DETECTOR:
        others = {"coarse": ["N", 1, "h", "w"], "damage": ["N", 1, "h", "w"]}
    assert shapes == {"image": ["N", 3, "h", "w"], **others}


def test_nothing_is_computed_twice_or_for_nothing(model: Path) -> None:
    nodes = onnx.load(model).graph.node
    computed = [
        (n.op_type, tuple(n.input), *(a.SerializeToString() for a in n.attribute)) for n in nodes
    ]
    assert len(computed) == len(set(computed))
    used = {name for node in nodes for name in node.input}
    assert all(node.output[0] in used for node in nodes[:-1])


def test_card(saved_inpainter: Path, tmp_path: Path) -> None:
    saved = saved_inpainter
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
    setting = export.PHOTO if saved.stem == "photo" else export.SETTINGS[32]
    assert card == Card(
        name=saved.stem, summary=card.summary, multiple=8,
        **{name: value for name, value in asdict(setting).items() if name != "half"},
        patch=112 if saved.stem == "photo" else 32,
        trained_on="cifar10.tar.xz", data_licence=export.CIFAR10_LICENCE, licence="MIT",
        version="1", scores={"hole_psnr": 23.1, "pictures": 10}, size=path.stat().st_size,
    )  # fmt: skip
    assert card.summary
    assert (card.prior, card.texture) == (saved.stem == "photo",) * 2
    assert card.tile
    assert card.tile % card.multiple == 0


def test_settings_are_those_of_the_patches_trained_on(tmp_path: Path) -> None:
    state = checkpoint("autoencoder")
    state.config = Config(network=TINY, patch=64)
    state.save(tmp_path / "larger.pt")
    card = OnnxInpainter(exported(tmp_path / "larger.pt"), "cpu").card
    assert (card.tile, card.overlap, card.margin, card.reach) == (128, 16, 8, 4)
    assert (card.prior, card.texture) == (False, False)
    state.config = Config(network=TINY, patch=48)
    state.save(tmp_path / "odd.pt")
    line = one_line_error(run(export.main, tmp_path / "odd.pt", "-o", tmp_path / "odd.onnx"))
    assert "48 px" in line
    assert not (tmp_path / "odd.onnx").exists()


def kernels(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The stored kernels by name."""
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    return {name: values for name, values in tensors.items() if values.ndim >= 2}


@pytest.mark.parametrize("name", ["autoencoder", "partial-conv"])
def test_networks_of_photographs_take_half_the_space(tmp_path: Path, name: str) -> None:
    state = checkpoint(name, Network(widths=(24, 32, 32), depths=(1, 1, 1)))
    sizes = {}
    for patch, kind in ((32, "float32"), (64, "float16")):
        state.config = Config(network=state.config.network, patch=patch)
        state.save(tmp_path / f"{name}.pt")
        path = exported(tmp_path / f"{name}.pt")
        found = kernels(onnx.load(path))
        assert {str(values.dtype) for values in found.values()} == {kind}
        # The exporter shapes some biases to be added as kernels are.
        assert sum(v.size for v in found.values()) >= sum(
            v.numel() for v in state.averaged.values() if v.ndim > 1
        )
        sizes[patch] = path.stat().st_size
    assert sizes[64] < 0.62 * sizes[32]


def test_kernels_that_float16_would_change_stay() -> None:
    network = build("photo", TINY)
    randomised(network)
    for parameter in network.parameters():
        parameter.data = parameter.data.half().float()
    network.get_parameter("stem.weight").data[0, 0, 0, 0] = 1 / 3
    before = kernels(export.to_onnx(network.eval(), "photo"))
    single = [values for values in before.values() if values.dtype == np.float32]
    assert [values.shape for values in single] == [(8, 16, 3, 3)]
    assert single[0][0, 0, 0, 0] == np.float32(1 / 3)


def test_an_untrained_photo_network_restores_with_its_guess(tmp_path: Path) -> None:
    state = checkpoint("photo")
    state.averaged = build("photo", TINY).state_dict()
    state.save(tmp_path / "untrained.pt")
    model = load_model(exported(tmp_path / "untrained.pt"), device="cpu", threads=1)
    assert model.card.prior
    (picture,) = synthetic(1, 61)
    picture = picture[:, :43]
    mask = np.eye(61, 43, dtype=bool) | np.eye(61, 43, 1, dtype=bool)
    mask[30:36, :20] = True
    damaged = np.where(mask[..., None], np.uint8(255), picture)
    restored = restore(damaged, mask, model, grain="off")
    assert (restored[~mask] == picture[~mask]).all()
    image = torch.from_numpy(damaged / 255).permute(2, 0, 1)[None]
    guess = push_pull(image, torch.from_numpy(mask)[None, None].double())
    wanted = guess[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(restored - wanted).max() < 1.1


def test_a_network_restores_a_photo(inpainter: Path) -> None:
    model = inpainter
    (picture,) = synthetic(1, 50)
    mask = np.zeros((50, 50), bool)
    mask[10:22, 20:45] = True
    restored = restore(picture, mask, load_model(model, device="cpu", threads=1), grain="off")
    assert (restored[~mask] == picture[~mask]).all()
    assert (restored[mask] != picture[mask]).any()
    hidden = np.where(mask[..., None], np.uint8(0), picture)
    assert (restore(hidden, mask, model, device="cpu", threads=1, grain="off") == restored).all()


def test_licence_of_other_data() -> None:
    state = checkpoint("autoencoder", origin="photos")
    assert export.card(state, {})["data_licence"].startswith("unknown")
    assert export.card(state, {}, "CC0")["data_licence"] == "CC0"


def scores_of(path: Path) -> dict[str, float]:
    """What the program reads in the card of a model file."""
    if path.stem == DETECTOR:
        return dict(load_detector(path, device="cpu").card.scores)
    return dict(OnnxInpainter(path, "cpu").card.scores)


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
    assert scores_of(path) == {"hole_psnr": 23.5}


def test_update_scores_keeps_the_others(model: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(model, tmp_path))
    export.write_scores(path, {"hole_psnr": 23.5, "text_hole_psnr": 20.0})
    before = onnx.load(path)
    export.update_scores(path, {"text_hole_psnr": 27.0, "holes_texture": 0.6})
    after = onnx.load(path)
    scores = {"hole_psnr": 23.5, "text_hole_psnr": 27.0, "holes_texture": 0.6}
    assert scores_of(path) == scores
    assert before.graph == after.graph
    onnx.helper.set_model_props(before, {})
    onnx.helper.set_model_props(after, {})
    assert before == after


def test_wrong_calls(saved: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.onnx"
    (tmp_path / "broken.pt").write_bytes(b"no checkpoint")
    (tmp_path / "words.json").write_text('{"PSNR": "good"}')
    (tmp_path / "broken.json").write_text("{")
    for words, reason in (
        ((tmp_path / "nowhere.pt", "-o", output), "nowhere.pt: no such checkpoint"),
        ((tmp_path / "broken.pt", "-o", output), "broken.pt: not a readable checkpoint"),
        ((saved, "-o", tmp_path / "nowhere" / "out.onnx"), "cannot be written"),
        ((saved, "-o", output, "--scores", tmp_path / "nowhere.json"), "nowhere.json"),
        ((saved, "-o", output, "--scores", tmp_path / "words.json"), "give numbers by name"),
        ((saved, "-o", output, "--scores", tmp_path / "broken.json"), "not JSON"),
    ):
        assert reason in one_line_error(run(export.main, *words))
    state = Checkpoint.load(saved)
    state.averaged.popitem()
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
