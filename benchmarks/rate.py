"""What share of the machine's rate for a plain matrix product a network's convolutions reach.

    python benchmarks/rate.py --model inpaintcli/weights/photo-int8.onnx --side 448 --runs 10

Rates are multiply-accumulates a second. ONNX Runtime itself times both, node by node, with the same
number of threads and in turn, so that a noisy machine slows both alike; medians are compared, and
last the fastest runs too, of which noise takes least. The product is of 8-bit integers where the
network's convolutions are, else of floats: the fastest of a few sizes. Convolutions are counted as
they are computed: where ONNX Runtime fills up its blocks of channels, with what it adds.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from inpaintcli.errors import InpaintError, ModelError
from inpaintcli.inpainters.registry import WEIGHTS
from inpaintcli.runtime import Session, load_onnxruntime, usable_cores
from inpaintcli.silence import silence

#: The share that is wanted.
WANTED = 0.6
#: Convolutions by the names of their operators, and where among its inputs one has its weights.
WEIGHTS_AT = {"Conv": 1, "FusedConv": 1, "NhwcFusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
INTEGER = ("ConvInteger", "QLinearConv")
#: Plain products to try: rows, what is summed over, columns.
SIZES = (
    (2048, 1152, 128), (256, 256, 2048), (1024, 1024, 256), (1024, 1024, 1024), (2048, 2048, 2048),
)  # fmt: skip
#: So often each is run when its turn comes: the first time it finds the caches full of the others.
IN_TURN = 3

Feeds = dict[str, NDArray[Any]]


def main(
    model: Annotated[Path, typer.Option(help="Any network.")] = WEIGHTS / "photo-int8.onnx",
    side: Annotated[int, typer.Option(min=1, help="Of the square that it is given, px.")] = 448,
    threads: Annotated[int | None, typer.Option(min=1, help="[default: all cores]")] = None,
    runs: Annotated[int, typer.Option(min=1)] = 10,
) -> None:
    """Print the rates of the convolutions, by kind, and of a plain product."""
    threads = threads or usable_cores()
    try:
        import onnx  # noqa: F401
    except ImportError:
        _end("needs the package onnx: pip install 'inpaintcli[test]'", 1)
    try:
        feeds = _feeds(model, side, threads)
        with tempfile.TemporaryDirectory() as folder:
            found, fastest = measure(model, feeds, Path(folder), threads, runs)
    except InpaintError as error:
        _end(str(error), int(error.exit_code))
    console = Console(highlight=False)
    console.print(f"{model.name} on {side}x{side} px, {threads} threads, {runs} runs")
    console.print(_convolutions(found), _products(found))
    console.print(
        f"share of a plain product's rate: {found.share:.0%}, wanted {WANTED:.0%} or more"
    )
    console.print(f"in the fastest runs: {fastest.share:.0%}")


def _end(why: str, code: int) -> NoReturn:
    print(f"rate.py: {why}", file=sys.stderr)
    raise SystemExit(code)


def _feeds(model: Path, side: int, threads: int) -> Feeds:
    """Random inputs of `side` px for a network; raises ModelError where it cannot run on them."""
    session = Session(model, "cpu", threads)
    random = np.random.default_rng(0)
    feeds: Feeds = {}
    for tensor in session.inputs:
        free = (1, *[side] * (len(tensor.shape) - 1))
        shape = [size if isinstance(size, int) else free[at]
                 for at, size in enumerate(tensor.shape)]  # fmt: skip
        if tensor.type == "tensor(uint8)":
            feeds[tensor.name] = random.integers(0, 256, shape, np.uint8)
        elif tensor.type == "tensor(float)":
            feeds[tensor.name] = random.random(shape, np.float32)
        else:
            raise ModelError(f"{model}: its input is {tensor}: float or uint8 is needed")
    session.run(feeds)
    return feeds


@dataclass(frozen=True)
class Kind:
    """What is alike in convolutions: the sides of the kernel, channels in (of a group) and out, and
    the side in pixels of what comes out."""

    kernel: tuple[int, ...]
    inputs: int
    outputs: int
    side: int


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates, the seconds that they take, and by how many nodes."""

    macs: int
    seconds: float
    nodes: int = 1

    @property
    def rate(self) -> float:
        """Multiply-accumulates a second."""
        return self.macs / self.seconds

    def __add__(self, other: Work) -> Work:
        return Work(self.macs + other.macs, self.seconds + other.seconds, self.nodes + other.nodes)


@dataclass(frozen=True)
class Found:
    """What was measured. seconds: of all nodes of the network. products: by size."""

    convolutions: dict[Kind, Work]
    seconds: float
    products: dict[tuple[int, int, int], Work]

    @property
    def whole(self) -> Work:
        """All convolutions."""
        first, *more = self.convolutions.values()
        return sum(more, start=first)

    @property
    def product(self) -> float:
        """The best rate of a plain product."""
        return max(work.rate for work in self.products.values())

    @property
    def share(self) -> float:
        """Of the product's rate, what the convolutions reach."""
        return self.whole.rate / self.product


def measure(
    model: Path, feeds: Feeds, folder: Path, threads: int, runs: int
) -> tuple[Found, Found]:
    """Measure a network and the products beside it: by the medians of all runs, and by the fastest.

    Profiles go into `folder`. Raises ModelError where the network has no convolution.
    """
    # What is packed is not among a node's inputs any more: here its shape can be seen.
    plain = Profiled(model, feeds, folder / "plain", threads, packed=False)
    plain.run()
    shapes = {node: events[0]["args"] for node, events in plain.nodes().items()
              if events[0]["args"]["op_name"] in WEIGHTS_AT}  # fmt: skip
    if not shapes:
        raise ModelError(f"{model}: has no convolution: give another --model")
    integer = any(one["op_name"] in INTEGER for one in shapes.values())
    network = Profiled(model, feeds, folder / "network", threads)
    products = {
        size: Profiled(*_product(size, integer), folder / "x".join(map(str, size)), threads)
        for size in SIZES
    }
    for _ in range(1 + runs):
        for one in (network, *products.values()):
            for _ in range(IN_TURN):
                one.run()
    nodes = network.seconds()
    plains = {size: list(product.seconds().values()) for size, product in products.items()}

    def found(pick: Callable[[list[float]], float]) -> Found:
        seconds = {node: pick(times) for node, times in nodes.items()}
        convolutions: dict[Kind, Work] = {}
        for node, one in shapes.items():
            kind, macs = _kind(one)
            work = Work(macs, seconds[node])
            convolutions[kind] = convolutions[kind] + work if kind in convolutions else work
        return Found(
            convolutions,
            sum(seconds.values()),
            {size: Work(math.prod(size), sum(map(pick, times))) for size, times in plains.items()},
        )

    return found(statistics.median), found(min)


class Profiled:
    """A model that runs on the CPU under ONNX Runtime's profiler."""

    def __init__(
        self, model: Path | bytes, feeds: Feeds, folder: Path, threads: int, packed: bool = True
    ):
        """model: a file, or what is in one. packed: as usual, weights are brought in order for the
        processor."""
        folder.mkdir()
        self._feeds = feeds
        with silence():
            ort = load_onnxruntime()
            options = ort.SessionOptions()
            options.log_severity_level = 4
            options.inter_op_num_threads = 1
            options.intra_op_num_threads = threads
            options.enable_profiling = True
            options.profile_file_prefix = os.fspath(folder / "profile")
            # Threads that wait for more to do would take the cores from the next model.
            options.add_session_config_entry("session.force_spinning_stop", "1")
            options.add_session_config_entry("session.disable_prepacking", str(int(not packed)))
            self._session = ort.InferenceSession(
                model if isinstance(model, bytes) else os.fspath(model),
                options,
                providers=["CPUExecutionProvider"],
            )

    def run(self) -> None:
        """Run it once."""
        self._session.run(None, self._feeds)

    def nodes(self) -> dict[int, list[dict[str, Any]]]:
        """What the profiler says of each node, run by run; it ends there."""
        events = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
        nodes: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                nodes[int(event["args"]["node_index"])].append(event)
        return nodes

    def seconds(self) -> dict[int, list[float]]:
        """What each node takes, run by run but for the first turn; the profile ends there."""
        return {
            node: [event["dur"] / 1e6 for event in events[IN_TURN:]]
            for node, events in self.nodes().items()
        }


def _kind(node: dict[str, Any]) -> tuple[Kind, int]:
    """The kind of a convolution, and its multiply-accumulates, from what the profiler says."""
    weights = _shape(node["input_type_shape"][WEIGHTS_AT[node["op_name"]]])
    values = math.prod(_shape(node["output_type_shape"][0]))
    outputs, inputs, *kernel = weights
    # Channels may come first or last, what is left is a square.
    side = math.isqrt(values // outputs)
    return Kind(tuple(kernel), inputs, outputs, side), values * inputs * math.prod(kernel)


def _shape(told: dict[str, list[int]]) -> list[int]:
    """The shape in a profile, where it stands under the name of its type."""
    (shape,) = told.values()
    return shape


def _product(size: tuple[int, int, int], integer: bool) -> tuple[bytes, Feeds]:
    """A model that multiplies its input by a matrix of weights, and an input."""
    from onnx import TensorProto, helper, numpy_helper

    rows, inner, columns = size
    random = np.random.default_rng(0)
    values: NDArray[Any]
    if integer:
        operator, given, result = "MatMulInteger", TensorProto.UINT8, TensorProto.INT32
        values = random.integers(0, 256, (rows, inner), np.uint8)
        weights = random.integers(-127, 128, (inner, columns), np.int8)
    else:
        operator, given, result = "MatMul", TensorProto.FLOAT, TensorProto.FLOAT
        values = random.random((rows, inner), np.float32)
        weights = random.random((inner, columns), np.float32)
    graph = helper.make_graph(
        [helper.make_node(operator, ["values", "weights"], ["product"])],
        "product",
        [helper.make_tensor_value_info("values", given, [rows, inner])],
        [helper.make_tensor_value_info("product", result, [rows, columns])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString(), {"values": values}


def _convolutions(found: Found) -> Table:
    """The table of convolutions, those first that take longest."""
    table = Table("convolution", "side px", "nodes", "MAC (G)", "ms", "G/s", "of a product's")
    by_time = sorted(found.convolutions.items(), key=lambda one: -one[1].seconds)
    for kind, work in by_time:
        name = f"{'x'.join(map(str, kind.kernel))}, {kind.inputs} to {kind.outputs}"
        table.add_row(name, str(kind.side), *_cells(work, found.product))
    table.add_section()
    table.add_row("all", "", *_cells(found.whole, found.product), style="bold")
    table.caption = f"they take {found.whole.seconds / found.seconds:.0%} of the network's time"
    return table


def _products(found: Found) -> Table:
    """The table of plain products."""
    table = Table("plain product", "MAC (G)", "ms", "G/s", "of the best")
    for size, work in found.products.items():
        _, *cells = _cells(work, found.product)
        table.add_row(" x ".join(map(str, size)), *cells)
    return table


def _cells(work: Work, best: float) -> Sequence[str]:
    """Nodes, G multiply-accumulates, milliseconds, rate in G/s and its share of the best."""
    return (
        str(work.nodes), f"{work.macs / 1e9:.2f}", f"{work.seconds * 1e3:.2f}",
        f"{work.rate / 1e9:.0f}", f"{work.rate / best:.0%}",
    )  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
