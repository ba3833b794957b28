"""Write an exported network once more with 8-bit weights and features: faster on CPUs.

    python -m training.quantize inpaintcli/weights/photo.onnx --data photos-b.tar \
        -o inpaintcli/weights/photo-int8.onnx
    python -m training.quantize inpaintcli/weights/detector.onnx --data photos-b.tar \
        -o inpaintcli/weights/detector-int8.onnx

Ranges of features are measured on damaged crops of the pictures in --data; what goes in and comes
out has steps of 1/255 (`training.channels_last`). The file keeps the network's card.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import torch
import typer
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from rich.console import Console

from inpaintcli.damage import draw_mask
from inpaintcli.files import write_whole
from inpaintcli.looks import look_old, scanned
from inpaintcli.runtime import Session
from training import channels_last, detecting, guess
from training.command import shell_command
from training.data import DataError, Pictures, load, spread
from training.detecting import aged
from training.export import terminals
from training.inpainting import centre, to_tensors
from training.networks import DETECTOR

#: Crops on which ranges are measured, and their side in pixels.
CROPS, SIDE = 24, 224
KINDS = ("scratches", "strokes", "text", "holes")


def main(
    model: Annotated[
        Path, typer.Argument(help="An exported network with a first guess, or the detector.")
    ],
    data: Annotated[Path, typer.Option(help="Pictures: see training.train.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The ONNX file to write.")],
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Quantize MODEL."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        pictures = spread(load(data).at_least(SIDE), CROPS)
        card = {item.key: item.value for item in onnx.load(model).metadata_props}
        quantized = quantize(model, pictures, seed)
        command = f"{card.get('command', '')} && {shell_command('training.quantize')}"
        onnx.helper.set_model_props(
            quantized, {**card, "command": command, "precision": "int8", "scores": "{}"}
        )
        write_whole(output, quantized.SerializeToString())
    except (DataError, OSError) as error:
        console.print(f"Error: {error}", style="red", markup=False)
        raise typer.Exit(2) from None
    console.print(f"{output}: {output.stat().st_size / 1e6:.2f} MB", markup=False)


class Feeds(CalibrationDataReader):  # type: ignore[misc]
    """What the network is given on damaged crops, one at a time."""

    def __init__(self, feeds: Iterator[dict[str, np.ndarray]]):
        self._feeds = feeds

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next; None after the last."""
        return next(self._feeds, None)


def to_restore(pictures: Pictures, seed: int) -> Iterator[dict[str, np.ndarray]]:
    """Crops with their first guess, and masks."""
    for index, item in enumerate(pictures.items):
        rng = np.random.default_rng([seed, index])
        mask = draw_mask((SIDE, SIDE), rng, KINDS[index % len(KINDS)])  # type: ignore[arg-type]
        crop = centre(item, SIDE)
        images, masks = to_tensors(crop[None], mask[None].astype(np.uint8), torch.device("cpu"))
        yield {
            "image": guess.push_pull(images, masks).contiguous().numpy(),
            "mask": masks.numpy(),
        }


def to_search(pictures: Pictures, seed: int, model: Path) -> Iterator[dict[str, np.ndarray]]:
    """Aged crops at half and at full size, and what the model finds at half of that."""
    session = Session(model, "cpu")
    for index, item in enumerate(pictures.items):
        rng = np.random.default_rng([seed, index])
        sound = look_old(centre(item, SIDE), rng).astype(np.uint8)
        picture, label = aged(sound, rng)
        images, _ = detecting.to_tensors([(scanned(picture, rng), label)], torch.device("cpu"))
        half = {
            "image": detecting.halved(images).contiguous().numpy(),
            "coarse": np.zeros((1, 1, SIDE // 2, SIDE // 2), np.float32),
        }
        yield half
        found = torch.from_numpy(session.run(half)[0])
        yield {
            "image": images.contiguous().numpy(), "coarse": detecting.enlarged(found).numpy(),
        }  # fmt: skip


def outside(graph: onnx.GraphProto) -> list[str]:
    """The names of the nodes up to the first convolution, and of those from the last on."""
    places = [i for i, node in enumerate(graph.node) if node.op_type == "Conv"]
    return [node.name for node in (*graph.node[: places[0] + 1], *graph.node[places[-1] :])]


def quantize(path: Path, pictures: Pictures, seed: int = 0) -> onnx.ModelProto:
    """The model of a file in 8 bit, with channels last (`training.channels_last`).

    Weights take 7 of the 8 bits: CPUs without VNNI instructions add two products in 16 bits, where
    full ones would overflow.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared, done = Path(folder) / "prepared.onnx", Path(folder) / "done.onnx"
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
        finds = terminals(DETECTOR)[1] in {one.name for one in model.graph.input}
        feeds = to_search(pictures, seed, path) if finds else to_restore(pictures, seed)
        quantize_static(
            prepared, done, Feeds(feeds),
            quant_format=QuantFormat.QOperator,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            nodes_to_exclude=outside(model.graph),
        )  # fmt: skip
        quantized = channels_last.rewrite(onnx.load(done), model)
    onnx.checker.check_model(quantized)
    return quantized


if __name__ == "__main__":
    typer.run(main)
