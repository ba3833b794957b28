"""The 8-bit file restores what the float file restores, and says where it comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch

from inpaintcli.inpainters.registry import load_model
from tests.training import encoded, one_line_error, run, synthetic, tar_of
from training import export, quantize
from training.checkpoint import Checkpoint
from training.config import Config, Damage, Network
from training.networks import build

SIZES = Network(widths=(16, 16, 16), depths=(1, 1, 1))


def float_file(folder: Path) -> Path:
    """An exported network whose corrections are small, as those of a trained one."""
    torch.manual_seed(0)
    network = build("photo", SIZES)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    config = Config(network=SIZES, guess=True, damage=Damage(kinds={"scratches": 1.0}))
    state = Checkpoint("photo", config, 0, "pictures", "train it", averaged=network.state_dict())
    state.save(folder / "last.pt")
    result = run(export.main, folder / "last.pt", "-o", folder / "photo.onnx")
    assert result.exit_code == 0, result.output
    return folder / "photo.onnx"


def test_eight_bits_are_enough_and_the_card_comes_along(tmp_path: Path) -> None:
    file = float_file(tmp_path)
    pictures = {f"{i}.png": encoded(p) for i, p in enumerate(synthetic(8, quantize.SIDE))}
    data = tar_of(tmp_path / "pictures.tar", pictures)
    small = tmp_path / "small.onnx"
    result = run(quantize.main, file, "--data", data, "-o", small)
    assert result.exit_code == 0, result.output

    images = np.random.default_rng(0).random((1, 3, 64, 96), np.float32)
    masks = np.zeros((1, 1, 64, 96), np.float32)
    masks[..., 20:30] = 1
    exact, rough = (load_model(path, device="cpu")(images, masks) for path in (file, small))
    correction = np.abs(exact - images).max()
    assert correction > 0.02
    assert np.abs(rough - exact).max() < 0.1 * correction
    # More than 8 bits come out: the last step is not in 8 bit.
    assert len(np.unique(rough)) > 1000

    card = {item.key: item.value for item in onnx.load(small).metadata_props}
    assert card["precision"] == "int8"
    assert card["prior"] == "1"
    assert card["command"].startswith("train it && python -m training.quantize")
    kinds = {tensor.data_type for tensor in onnx.load(small).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    result = run(quantize.main, tmp_path / "nix.onnx", "--data", tmp_path / "nix.tar", "-o",
                 tmp_path / "out.onnx")  # fmt: skip
    assert result.exit_code == 2
    assert "nix" in one_line_error(result)
    assert not (tmp_path / "out.onnx").exists()
