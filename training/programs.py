"""Write the small programs with which tiles are cut and blended where a network runs.

    python -m training.programs

They are ONNX files without weights, for `inpaintcli.resident`: what ONNX Runtime has kernels for on
a GPU is done there, and the photo need not come back between two steps.

* cut-8, cut-16: pixels (places, c) of uint8 or uint16, rows int64 (N, h) and columns int64 (N, w),
  the sum of which is a place, and scale float (): tiles float (N, c, h, w), scaled.
* blend: see `blend`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import typer
from onnx import TensorProto
from onnx.helper import make_node, make_tensor_value_info

from inpaintcli.files import write_whole
from inpaintcli.resident import PROGRAMS
from training.export import IR_VERSION, OPSET

#: A name, its element type, its shape with names for free sizes.
Value = tuple[str, int, Sequence[str | int]]


def main(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = PROGRAMS,
) -> None:
    """Write the programs."""
    out.mkdir(parents=True, exist_ok=True)
    for name, model in programs().items():
        write_whole(out / f"{name}.onnx", model.SerializeToString(deterministic=True))


def programs() -> dict[str, onnx.ModelProto]:
    """All of them by name."""
    return {"cut-8": cut(TensorProto.UINT8), "cut-16": cut(TensorProto.UINT16), "blend": blend()}


def cut(kind: int) -> onnx.ModelProto:
    """Tiles out of pixels of an element type."""
    return _model(
        [
            make_node("Unsqueeze", ["rows", "second"], ["down"]),
            make_node("Unsqueeze", ["columns", "first"], ["across"]),
            make_node("Add", ["down", "across"], ["places"]),
            make_node("Gather", ["pixels", "places"], ["gathered"], axis=0),
            make_node("Cast", ["gathered"], ["values"], to=TensorProto.FLOAT),
            make_node("Mul", ["values", "scale"], ["scaled"]),
            make_node("Transpose", ["scaled"], ["tiles"], perm=[0, 3, 1, 2]),
        ],
        [
            ("pixels", kind, ("P", "c")), ("rows", TensorProto.INT64, ("N", "h")),
            ("columns", TensorProto.INT64, ("N", "w")), ("scale", TensorProto.FLOAT, ()),
        ],
        [("tiles", TensorProto.FLOAT, ("N", "c", "h", "w"))],
        {"first": [1], "second": [2]},
    )  # fmt: skip


def blend() -> onnx.ModelProto:
    """The weighted means of overlapping tiles at some pixels.

    y, x int64: rows and columns of the pixels, (a, b) and (c, d) that broadcast to (m, n). For
    every row and column of the photo there are the tiles over it, their places and shares, as in
    `inpaintcli.tiling.Axis`: down_tiles is counted in steps of the length of a row of `slots`,
    down_places in steps of the width of a tile. slots int64: for every tile of the grid where in
    `tiles`, which is flat, its values begin; planes int64 (c, 1, 1): where those of its channels
    do. blended: float (m, n, c), of values that were clipped to [0, 1]; no numbers stay none, and
    infinity becomes such.
    """
    nodes = [
        node
        for axis, pixel, ends in (("down", "y", "fourth"), ("across", "x", "third"))
        for part in ("tiles", "places", "shares")
        for node in (
            make_node("Gather", [f"{axis}_{part}", pixel], [f"{axis}_{part}_there"], axis=0),
            make_node("Unsqueeze", [f"{axis}_{part}_there", ends], [f"{axis}_{part}_spread"]),
        )
    ]
    nodes += [
        make_node("Add", ["down_tiles_spread", "across_tiles_spread"], ["number"]),
        make_node("Gather", ["slots", "number"], ["slot"], axis=0),
        make_node("Add", ["down_places_spread", "across_places_spread"], ["inside"]),
        make_node("Add", ["slot", "inside"], ["place"]),
        make_node("Unsqueeze", ["place", "third"], ["place_spread"]),
        make_node("Add", ["place_spread", "planes"], ["places"]),
        make_node("Gather", ["tiles", "places"], ["values"], axis=0),
        make_node("Clip", ["values", "black", "white"], ["clipped"]),
        # Nothing but 0, save where infinity was clipped.
        make_node("Mul", ["values", "black"], ["nothing"]),
        make_node("Add", ["clipped", "nothing"], ["told"]),
        make_node("Mul", ["down_shares_spread", "across_shares_spread"], ["share"]),
        make_node("Unsqueeze", ["share", "third"], ["share_spread"]),
        make_node("Mul", ["told", "share_spread"], ["shared"]),
        # Over the last axes, for which ONNX Runtime has a kernel of its own; over others it asks
        # cuDNN, which refuses some shapes.
        make_node("ReduceSum", ["shared", "summed"], ["blended"], keepdims=0),
    ]
    axes: list[Value] = [
        (
            f"{axis}_{part}",
            TensorProto.FLOAT if part == "shares" else TensorProto.INT64,
            (end, most),
        )
        for axis, end, most in (("down", "height", "k"), ("across", "width", "l"))
        for part in ("tiles", "places", "shares")
    ]
    return _model(
        nodes,
        [
            ("y", TensorProto.INT64, ("a", "b")), ("x", TensorProto.INT64, ("c", "d")), *axes,
            ("slots", TensorProto.INT64, ("S",)), ("planes", TensorProto.INT64, ("C", 1, 1)),
            ("tiles", TensorProto.FLOAT, ("T",)),
        ],
        [("blended", TensorProto.FLOAT, ("m", "n", "C"))],
        {"third": [2], "fourth": [3], "summed": [3, 4], "black": 0.0, "white": 1.0},
    )  # fmt: skip


def _model(
    nodes: list[onnx.NodeProto],
    inputs: Iterable[Value],
    outputs: Iterable[Value],
    constants: dict[str, list[int] | float],
) -> onnx.ModelProto:
    """A checked model; constants: lists of whole numbers, or floats, by name."""
    graph = onnx.helper.make_graph(
        nodes, "program",
        [make_tensor_value_info(*value) for value in inputs],
        [make_tensor_value_info(*value) for value in outputs],
        [
            onnx.numpy_helper.from_array(
                np.asarray(values, np.int64 if isinstance(values, list) else np.float32), name
            )
            for name, values in constants.items()
        ],
    )  # fmt: skip
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    typer.run(main)
