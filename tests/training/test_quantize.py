"""The 8-bit file restores what the float file restores, and says where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from inpaintcli.inpainters.registry import load_model
from tests.training import encoded, one_line_error, run, synthetic, tar_of
from training import channels_last, export, quantize
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
    assert np.abs(rough - exact).max() < 0.1 * correction + channels_last.STEP

    card = {item.key: item.value for item in onnx.load(small).metadata_props}
    assert card["precision"] == "int8"
    assert card["prior"] == "1"
    assert card["command"].startswith("train it && python -m training.quantize")
    kinds = {tensor.data_type for tensor in onnx.load(small).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds


def test_pixels_and_edges_are_where_they_belong(tmp_path: Path) -> None:
    """Every place of a pixel shuffle, every channel and every edge: a shift of one pixel, or
    colours that change places, would be a difference of the size of the correction."""
    file = float_file(tmp_path)
    pictures = {f"{i}.png": encoded(p) for i, p in enumerate(synthetic(8, quantize.SIDE))}
    small = tmp_path / "small.onnx"
    data = tar_of(tmp_path / "pictures.tar", pictures)
    run(quantize.main, file, "--data", data, "-o", small)
    rng = np.random.default_rng(1)
    # As an 8-bit photo has it, in two tiles that are no squares.
    images = (rng.integers(0, 256, (2, 3, 40, 72)) / 255).astype(np.float32)
    masks = (rng.random((2, 1, 40, 72)) < 0.2).astype(np.float32)
    exact, rough = (load_model(path, device="cpu")(images, masks) for path in (file, small))
    changes, found = (restored - images for restored in (exact, rough))
    parts: list[Any] = [
        np.s_[:, c, dy::2, dx::2] for c in range(3) for dy in (0, 1) for dx in (0, 1)
    ]
    parts += [np.s_[..., 0, :], np.s_[..., -1, :], np.s_[..., 0], np.s_[..., -1]]
    for part in parts:
        wanted, given = changes[part].ravel(), found[part].ravel()
        assert np.corrcoef(wanted, given)[0, 1] > 0.97


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    result = run(quantize.main, tmp_path / "nix.onnx", "--data", tmp_path / "nix.tar", "-o",
                 tmp_path / "out.onnx")  # fmt: skip
    assert result.exit_code == 2
    assert "nix" in one_line_error(result)
    assert not (tmp_path / "out.onnx").exists()
