"""Two detectors in one file answer with the mean of what both answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from inpaintcli.detect import load_detector
from tests.helpers import detector_file
from tests.training import encoded, one_line_error, randomised, run, synthetic, tar_of
from training import ensemble, export, quantize
from training.checkpoint import Checkpoint
from training.config import Config, Network
from training.networks import build

SIZES = Network(widths=(16, 16, 16), depths=(1, 1, 1))


def exported(folder: Path, name: str, command: str, seed: int) -> Path:
    """The file of a detector with random weights."""
    network = randomised(build("detector", SIZES))
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    config = Config(network=SIZES, layers={"aged": 1.0})
    state = Checkpoint("detector", config, 0, "pictures", command, averaged=network.state_dict())
    state.save(folder / f"{name}.pt")
    result = run(export.main, folder / f"{name}.pt", "-o", folder / f"{name}.onnx")
    assert result.exit_code == 0, result.output
    return folder / f"{name}.onnx"


@pytest.mark.parametrize("exact", [True, False])
def test_it_answers_with_the_weighted_mean(tmp_path: Path, exact: bool) -> None:
    files = [
        exported(tmp_path, "one", "train it", 0),
        exported(tmp_path, "two", "train it && train on", 1),
    ]
    if not exact:
        pictures = {f"{i}.png": encoded(p) for i, p in enumerate(synthetic(4, quantize.SIDE))}
        data = tar_of(tmp_path / "pictures.tar", pictures)
        for file in files:
            result = run(quantize.main, file, "--data", data, "-o", file)
            assert result.exit_code == 0, result.output
    both = tmp_path / "both.onnx"
    result = run(ensemble.main, *files, "--share", 0.75, "--threshold", 0.4, "-o", both)
    assert result.exit_code == 0, result.output

    rng = np.random.default_rng(0)
    image = rng.random((2, 3, 32, 48), np.float32)
    coarse = rng.random((2, 1, 32, 48), np.float32)
    first, second, mean = (
        load_detector(path, device="cpu")(image, coarse) for path in (*files, both)
    )
    assert np.abs(first - second).max() > 0.1
    np.testing.assert_allclose(mean, 0.25 * first + 0.75 * second, atol=1e-5)

    card = {item.key: item.value for item in onnx.load(both).metadata_props}
    assert load_detector(both, device="cpu").card.threshold == 0.4
    own = [
        int({i.key: i.value for i in onnx.load(file).metadata_props}["parameters"])
        for file in files
    ]
    assert int(card["parameters"]) == sum(own)
    # The first one's training is the beginning of the second's, and is told once.
    if exact:
        assert card["command"].startswith("train it && train on && python -m training.ensemble")
    assert card["scores"] == "{}"


def test_what_is_no_detector_is_one_line(tmp_path: Path) -> None:
    one = detector_file(tmp_path / "one.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    other = Path("inpaintcli/weights/photo-int8.onnx").resolve()
    for wrong, why in (
        (tmp_path / "nix.onnx", "cannot be read"),
        (tmp_path / "text.onnx", "is no ONNX file"),
        (other, "is no detector: has image, mask, restored"),
    ):
        result = run(ensemble.main, one, wrong, "-o", tmp_path / "out.onnx")
        assert result.exit_code == 2
        assert f"{wrong}: {why}" in one_line_error(result)
    assert not (tmp_path / "out.onnx").exists()


def test_float_and_eight_bits_do_not_mix(tmp_path: Path) -> None:
    one = Path("inpaintcli/weights/detector.onnx").resolve()
    result = run(ensemble.main, one, one.with_name("detector-int8.onnx"), "-o", tmp_path / "o.onnx")
    assert result.exit_code == 2
    assert "one is in 8 bit and the other in float" in one_line_error(result)


def test_the_detector_in_eight_bits_finds_what_it_finds_in_float(tmp_path: Path) -> None:
    file = exported(tmp_path, "one", "train it", 2)
    pictures = {f"{i}.png": encoded(p) for i, p in enumerate(synthetic(8, quantize.SIDE))}
    data = tar_of(tmp_path / "pictures.tar", pictures)
    small = tmp_path / "small.onnx"
    result = run(quantize.main, file, "--data", data, "-o", small)
    assert result.exit_code == 0, result.output
    rng = np.random.default_rng(1)
    image = (rng.integers(0, 256, (2, 3, 40, 72)) / 255).astype(np.float32)
    coarse = rng.random((2, 1, 40, 72), np.float32)
    exact, rough = (load_detector(path, device="cpu")(image, coarse) for path in (file, small))
    odds = [np.log(p / (1 - p)) for p in (np.clip(exact, 1e-6, 1 - 1e-6), rough)]
    assert np.ptp(odds[0]) > 0.5
    assert np.corrcoef(odds[0].ravel(), odds[1].ravel())[0, 1] > 0.97
