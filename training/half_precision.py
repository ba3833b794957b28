"""Write an exported network once more so that its convolutions compute in float16, for GPUs.

    python -m training.half_precision photo.onnx -o inpaintcli/weights/photo.onnx
    python -m training.half_precision detector.onnx -o inpaintcli/weights/detector.onnx

What comes before the first convolutions and after the last is left in float32: the guess that a
network improves on is exact, and so are probabilities. The file keeps the network's card.

On a CPU that has no float16 ONNX Runtime computes such a file in float32 throughout, as before.
What a GPU's rounding costs can be measured all the same: --rounded writes a file that rounds after
every operation, as float16 does, for `training.photographs --models` and
`training.detection --detector`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import typer
from rich.console import Console

from inpaintcli.files import write_whole
from training import onnx_file
from training.command import shell_command
from training.onnx_file import OnnxFileError

HALF, FLOAT = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT


def main(
    model: Annotated[Path, typer.Argument(help="An exported network.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The ONNX file to write.")],
    rounded: Annotated[
        Path | None, typer.Option(help="Also write a file that computes so on any CPU.")
    ] = None,
) -> None:
    """Let MODEL compute in float16."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        network = _loaded(model)
        card = {item.key: item.value for item in network.metadata_props}
        halved = halve(network)
        command = f"{card.get('command', '')} && {shell_command('training.half_precision')}"
        files = {output: halved} | ({rounded: emulated(halved)} if rounded else {})
        for path, made in files.items():
            onnx.helper.set_model_props(made, {**card, "command": command, "precision": "float16"})
            write_whole(path, made.SerializeToString())
    except (OnnxFileError, OSError) as error:
        console.print(f"Error: {error}", style="red", markup=False)
        raise typer.Exit(2) from None
    console.print(f"{output}: {output.stat().st_size / 1e6:.2f} MB", markup=False)


def _loaded(path: Path) -> onnx.ModelProto:
    model = onnx_file.read(path)
    if not any(node.op_type == "Conv" for node in model.graph.node):
        raise OnnxFileError(f"{path}: has no float convolutions: give what training.export wrote")
    if any(item.key == "precision" for item in model.metadata_props):
        raise OnnxFileError(f"{path}: is in another precision already: give what it was made of")
    return model


def halve(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with everything in float16 from its first convolutions up to its last.

    Weights keep their values where they are float16 already, as `training.export` leaves those of
    kernels; biases are rounded.
    """
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)
    weights = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in weights:
            weights[node.output[0]] = weights.pop(node.input[0]).astype(np.float32)
        elif node.op_type == "Constant":
            weights[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        else:
            nodes.append(node)

    inner = _between_convolutions(nodes)
    #: The names under which values go that were cast, and the finished nodes.
    cast: dict[tuple[str, int], str] = {}
    done: list[onnx.NodeProto] = []
    halves = {name for node in nodes if node.output[0] in inner for name in node.output}

    def as_type(name: str, kind: int) -> str:
        """The value of that name in float16 or float32, cast where it is the other."""
        if name in weights:
            if weights[name].dtype != np.float32 or kind == FLOAT:
                return name  # Shapes are whole numbers.
            weights[f"{name}.half"] = weights[name].astype(np.float16)
            return f"{name}.half"
        if (name in halves) == (kind == HALF):
            return name
        if (name, kind) not in cast:
            cast[name, kind] = f"{name}.{'half' if kind == HALF else 'float'}"
            done.append(onnx.helper.make_node("Cast", [name], [cast[name, kind]], to=kind))
        return cast[name, kind]

    for node in nodes:
        kind = HALF if node.output[0] in inner else FLOAT
        inputs = [as_type(name, kind) if name else "" for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
        done.append(node)

    used = {name for node in done for name in node.input}
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(done)
    graph.initializer.extend(
        onnx.numpy_helper.from_array(values, name)
        for name, values in weights.items()
        if name in used
    )
    halved = onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    onnx.checker.check_model(halved, full_check=True)
    return halved


def emulated(halved: onnx.ModelProto) -> onnx.ModelProto:
    """What `halve` returned, in float32, with a rounding to float16 after every operation that
    had its result in float16. Sums inside a convolution are exact, as on GPUs, nearly."""
    model = onnx.ModelProto()
    model.CopyFrom(halved)
    graph = model.graph
    halves: set[str] = set()
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float16:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), tensor.name))
            halves.add(tensor.name)
    done: list[onnx.NodeProto] = []
    for node in graph.node:
        to_half = node.op_type == "Cast" and node.attribute[0].i == HALF
        if node.op_type == "Cast" and not to_half:
            node = onnx.helper.make_node("Identity", node.input, node.output)
        elif to_half or any(name in halves for name in node.input):
            (name,) = node.output
            halves.add(name)
            node.output[0] = f"{name}.rounded" if to_half else f"{name}.exact"
            done.append(node)
            if not to_half:
                done.append(
                    onnx.helper.make_node("Cast", [node.output[0]], [f"{name}.rounded"], to=HALF)
                )
            node = onnx.helper.make_node("Cast", [f"{name}.rounded"], [name], to=FLOAT)
        done.append(node)
    del graph.node[:]
    graph.node.extend(done)
    onnx.checker.check_model(model, full_check=True)
    return model


def _between_convolutions(nodes: list[onnx.NodeProto]) -> set[str]:
    """The first outputs of convolutions, and of nodes that have some both before and after them."""
    after: set[str] = set()
    behind: set[str] = set()
    for node in nodes:
        if node.op_type == "Conv" or any(name in behind for name in node.input):
            behind.update(node.output)
    for node in reversed(nodes):
        if node.op_type == "Conv" or any(name in after for name in node.output):
            after.update(node.input)
    return {
        node.output[0]
        for node in nodes
        if node.op_type == "Conv"
        or (
            any(name in behind for name in node.input)
            and any(name in after for name in node.output)
        )
    }


if __name__ == "__main__":
    typer.run(main)
