"""The exported detector: the numbers of PyTorch, and a file that the program takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from inpaintcli.detect import CERTAIN, DetectorCard, load_detector, probability
from inpaintcli.errors import ModelError
from inpaintcli.inpainters.registry import load_model
from tests.training import synthetic
from tests.training.test_export import TINY, checkpoint, exported, kernels
from training import detecting, export
from training.checkpoint import Checkpoint
from training.networks import build


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of a detector; its checkpoint lies beside it."""
    saved = tmp_path_factory.mktemp("detector") / "tiny.pt"
    checkpoint("detector").save(saved)
    return exported(saved, "--data-licence", "CC0")


def network_of(weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    """The network with weights as exact as float16."""
    network = build("detector", TINY)
    network.load_state_dict({name: value.half().float() for name, value in weights.items()})
    return network.eval()


def test_the_file_computes_the_probability_of_the_averaged_weights(file: Path) -> None:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    state = Checkpoint.load(file.with_suffix(".pt"))
    rng = np.random.default_rng(0)
    differences = {}
    for kind, weights in (("averaged", state.averaged), ("last", state.weights)):
        network = network_of(weights)
        largest = 0.0
        for n, h, w in ((1, 8, 8), (3, 40, 64), (1, 96, 128)):
            image = rng.random((n, 3, h, w), np.float32)
            coarse = rng.random((n, 1, h, w), np.float32)
            (found,) = session.run(["damage"], {"image": image, "coarse": coarse})
            with torch.no_grad():
                odds = network(torch.from_numpy(image), torch.from_numpy(coarse)).numpy()
            assert found.shape == (n, 1, h, w)
            assert found.dtype == np.float32
            expected = 1 / (1 + np.exp(-odds.astype(float)))
            assert np.ptp(expected) > 0.05
            largest = max(largest, float(np.abs(found - expected).max()))
        differences[kind] = largest
    assert differences["averaged"] < 1e-4 < 1e-2 < differences["last"]


def test_its_kernels_take_half_the_space(file: Path) -> None:
    assert {str(values.dtype) for values in kernels(onnx.load(file)).values()} == {"float16"}


def test_its_card_is_that_of_a_detector(file: Path) -> None:
    card = {item.key: item.value for item in onnx.load(file).metadata_props}
    told = {name: card[name] for name in ("tile", "overlap", "margin", "levels", "multiple")}
    assert told == {"tile": "512", "overlap": "32", "margin": "16", "levels": "3", "multiple": "8"}
    assert card["validation_f1"] == "69.000"
    assert card["data_licence"] == "CC0"
    assert (card["seed"], card["steps"], card["licence"]) == ("7", "49", "MIT")
    assert card["command"] == "python -m training.train"
    # What only inpainters have would be wrong here.
    others = {"reach", "prior", "texture", "patch", "half", "validation_hole_psnr"}
    assert not card.keys() & others


def test_the_program_takes_the_file_and_no_inpainter(file: Path, tmp_path: Path) -> None:
    detector = load_detector(file, device="cpu", threads=1)
    assert detector.card == DetectorCard(
        name="tiny", summary=export.SUMMARIES["detector"], version="1", tile=512, overlap=32,
        margin=16, multiple=8, levels=3, threshold=0.5, trained_on="cifar10.tar.xz",
        data_licence="CC0", licence="MIT", size=file.stat().st_size,
    )  # fmt: skip
    with pytest.raises(ModelError, match=r"tiny\.onnx"):
        load_model(file, device="cpu")
    checkpoint("photo").save(tmp_path / "photo.pt")
    with pytest.raises(ModelError, match="not a detector"):
        load_detector(exported(tmp_path / "photo.pt"), device="cpu")


def test_the_program_finds_what_training_found(file: Path) -> None:
    """Tiles, mirrored edges and the 16 bits between the sizes cost next to nothing."""
    detector = load_detector(file, device="cpu", threads=1)
    network = network_of(Checkpoint.load(file.with_suffix(".pt")).averaged)
    picture = synthetic(1, 320)[0]
    picture = np.asarray(picture[:256] // 2 + 60, np.uint8)
    noise = np.random.default_rng(0).integers(0, 60, picture.shape, np.uint8)
    picture = picture + noise
    found = probability(picture, detector) / np.float32(CERTAIN / 255)
    images, _ = detecting.to_tensors([(picture, picture[..., 0])], torch.device("cpu"))
    inner = np.s_[48:-48, 48:-48]
    expected, one_size = (
        (detecting.probability(network, images, levels)[0, 0] * 255).numpy()[inner]
        for levels in (2, 1)
    )
    assert np.ptp(expected) > 20
    assert np.abs(found[inner] - expected).max() < 3
    assert np.abs(found[inner] - one_size).max() > 6
