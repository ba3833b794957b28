"""How many multiply-accumulates a model file takes, counted by ONNX Runtime while it runs.

ONNX Runtime does not list a file's nodes, but its profile of one run names every node with the
shapes that went in and out.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inpaintcli.files import temporary_folder
from inpaintcli.runtime import load_onnxruntime
from inpaintcli.silence import silence

#: Where among its inputs a node has its weights.
_WEIGHTS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3, "ConvTranspose": 1}
#: Where it has the matrix whose last side is summed over.
_MATRICES = {"MatMul": 0, "MatMulInteger": 0, "QLinearMatMul": 0, "Gemm": 0}
_TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}


def macs_per_pixel(path: Path, side: int) -> float | None:
    """Multiply-accumulates for each pixel of a square of `side` px that a network is given.

    Those of convolutions and matrix products, with bias and all else left out. None where they
    cannot be counted: the file cannot be run so, or has no such node.
    """
    with temporary_folder() as folder:
        try:
            nodes = _profile(path, side, folder)
            total = sum(map(_macs, nodes))
        except Exception:  # ONNX Runtime's exceptions share no public base class
            return None
    return total / side**2 or None


def _profile(path: Path, side: int, folder: Path) -> list[dict[str, Any]]:
    """What ONNX Runtime says of every node of one run on the CPU."""
    with silence():
        ort = load_onnxruntime()
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.enable_profiling = True
        options.profile_file_prefix = os.fspath(folder / "profile")
        # Neither fused nor packed, nodes have the names and weights of the standard.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")
        session = ort.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
        feeds = {
            one.name: np.zeros((1, 1 if one.name == "mask" else 3, side, side), _TYPES[one.type])
            for one in session.get_inputs()
        }
        session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return [
        event["args"]
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]


def _macs(node: dict[str, Any]) -> int:
    name = node["op_name"]
    inputs, outputs = (_shapes(node[key]) for key in ("input_type_shape", "output_type_shape"))
    if name in _MATRICES:
        # A Gemm whose first matrix is transposed sums over the other side; nobody exports one.
        return math.prod(outputs[0]) * inputs[_MATRICES[name]][-1]
    if name not in _WEIGHTS:
        return 0
    # Each value of the picture that is computed, or that is spread where a convolution is
    # transposed, meets the weights of one channel.
    values = inputs[0] if name == "ConvTranspose" else outputs[0]
    return math.prod(values) * math.prod(inputs[_WEIGHTS[name]][1:])


def _shapes(told: Sequence[dict[str, list[int]]]) -> list[list[int]]:
    """The shapes in a profile, where each stands under the name of its type."""
    return [shape for one in told for shape in one.values()]
