"""What several test files share: pictures, masks, a stand-in inpainter and the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from inpaintcli import mask as masks
from inpaintcli import photo
from inpaintcli.arrays import Floats, Mask, Pixels
from inpaintcli.inpainters.base import Card
from inpaintcli.photo import Photo

Depth = np.uint8 | np.uint16


class MeanFill:
    """An inpainter that fills each tile with the mean of its known pixels, and counts calls."""

    def __init__(self, tile: int | None = 16, multiple: int = 8, reach: int | None = None):
        self.card = Card("mean", "", tile=tile, overlap=4, margin=3, multiple=multiple, reach=reach)
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, images: Floats, masks: Floats) -> Floats:
        self.shapes.append(images.shape)
        assert images.dtype == masks.dtype == np.float32
        assert not (images * masks).any(), "damaged pixels must arrive as 0"
        known = np.maximum((1 - masks).sum((2, 3), keepdims=True), 1)
        means = images.sum((2, 3), keepdims=True) / known
        return np.broadcast_to(means, images.shape).astype(np.float32)


def picture(
    height: int = 40, width: int = 56, channels: int = 3, dtype: type[Depth] = np.uint8
) -> Pixels:
    """A smooth picture with some structure, of any depth and number of channels."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        0.5 + 0.4 * np.sin((x + 3 * k) / 9) * np.cos((y - 5 * k) / 7) for k in range(channels)
    ]
    if channels in (2, 4):
        planes[-1] = np.where((x + y) % 11 < 9, 1.0, 0.3)
    pixels: Pixels = np.rint(np.stack(planes, 2) * np.iinfo(dtype).max).astype(dtype)
    return pixels


def stripe(height: int = 40, width: int = 56) -> Mask:
    """A mask with a slanted scratch of 2 px."""
    y, x = np.mgrid[0:height, 0:width]
    return np.asarray(np.abs(x - y * width / height) < 1)


def scratched(height: int = 40, width: int = 56, dtype: type[Depth] = np.uint8) -> Pixels:
    """The picture with a white scratch, where `stripe` is."""
    pixels = picture(height, width, dtype=dtype)
    pixels[stripe(height, width)] = np.iinfo(dtype).max
    return pixels


def detector_file(path: Path, *, hint: float = 0.0, **card: Any) -> Path:
    """A stand-in for the detector: damaged is what is white, and what was found at half the size
    counts `hint` times. `card`: what it says of itself."""
    import onnx
    from onnx import TensorProto, helper

    def info(name: str, channels: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, "h", "w"])

    def constant(name: str, value: float) -> Any:
        return helper.make_tensor(name, TensorProto.FLOAT, [], [value])

    node = helper.make_node
    nodes = [
        node("ReduceMin", ["image", "axes"], ["least"], keepdims=1),
        node("Greater", ["least", "limit"], ["is_white"]),
        node("Cast", ["is_white"], ["white"], to=TensorProto.FLOAT),
        node("Mul", ["coarse", "weight"], ["hint"]),
        node("Max", ["white", "hint"], ["damage"]),
    ]
    constants = [
        helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
        constant("limit", 0.95), constant("weight", hint),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "test", [info("image", 3), info("coarse", 1)], [info("damage", 1)], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, {key: str(value) for key, value in card.items()})
    onnx.save(model, path)
    return path


def save(path: Path, pixels: Pixels) -> Path:
    """Write pixels (h, w, c) in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    photo.write(Photo(pixels), path)
    return path


def save_mask(path: Path, mask: Mask) -> Path:
    """Write a mask, white = damaged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    masks.write(mask, path)
    return path


def load(path: Path) -> Pixels:
    """The pixels (h, w, c) of a file."""
    return photo.read(path).pixels


def inpaint(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the real command as a process of its own."""
    words = [argument if isinstance(argument, Path) else str(argument) for argument in arguments]
    return subprocess.run(
        [sys.executable, "-m", "inpaintcli", *words],
        cwd=cwd, capture_output=True, text=True, errors="surrogateescape", timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        check=False,
    )  # fmt: skip
