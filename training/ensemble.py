"""Two exported detectors as one file: the mean of what both find.

    python -m training.ensemble first.onnx second.onnx --share 0.6 --threshold 0.42 \
        -o inpaintcli/weights/detector.onnx

Both look at every size together: what they found at half the size, each is told as their mean. The
files are both in float or both in 8 bit (`training.quantize`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer
from onnx import helper, numpy_helper
from rich.console import Console

from inpaintcli.files import write_whole
from training import onnx_file
from training.command import shell_command
from training.export import terminals
from training.networks import DETECTOR
from training.onnx_file import OnnxFileError

*INPUTS, OUTPUT = terminals(DETECTOR)


def main(
    first: Annotated[Path, typer.Argument(help="An exported detector.")],
    second: Annotated[Path, typer.Argument(help="Another, as exact as the first.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The ONNX file to write.")],
    share: Annotated[
        float, typer.Option(min=0, max=1, help="What the second counts for, 0 to 1.")
    ] = 0.5,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="For the card. [default: the second's]")
    ] = None,
) -> None:
    """Write FIRST and SECOND as one detector."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        models = [_loaded(path) for path in (first, second)]
        cards = [{item.key: item.value for item in model.metadata_props} for model in models]
        whole = merged(models[0], models[1], share)
        onnx.helper.set_model_props(whole, _card(cards[0], cards[1], threshold))
        onnx.checker.check_model(whole)
        write_whole(output, whole.SerializeToString())
    except (OnnxFileError, OSError) as error:
        console.print(f"Error: {error}", style="red", markup=False)
        raise typer.Exit(2) from None
    console.print(f"{output}: {output.stat().st_size / 1e6:.2f} MB", markup=False)


def _loaded(path: Path) -> onnx.ModelProto:
    model = onnx_file.read(path)
    names = [one.name for one in (*model.graph.input, *model.graph.output)]
    if names != [*INPUTS, OUTPUT]:
        raise OnnxFileError(f"{path}: is no detector: has {', '.join(names)}")
    return model


def merged(first: onnx.ModelProto, second: onnx.ModelProto, share: float) -> onnx.ModelProto:
    """Both networks side by side over the same inputs; the second counts for `share`, 0 to 1."""
    if len({any(node.op_type == "QLinearConv" for node in one.graph.node)
            for one in (first, second)}) > 1:  # fmt: skip
        raise OnnxFileError("one is in 8 bit and the other in float: give two of a kind")
    versions = {(one.domain, one.version) for one in (*first.opset_import, *second.opset_import)}
    if len(versions) != len({domain for domain, _ in versions}):
        raise OnnxFileError("the two files need different versions of ONNX: export them alike")
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []
    parts: list[str] = []
    for model, weight in ((first, 1 - share), (second, share)):
        name = f"{OUTPUT} {len(parts)}"
        renamed = _renamed(model.graph, f"{len(parts)} ")
        nodes += [*renamed.node]
        tensors += [
            *renamed.initializer,
            numpy_helper.from_array(np.array(weight, np.float32), f"{name} is"),
        ]
        nodes.append(
            helper.make_node("Mul", [f"{len(parts)} {OUTPUT}", f"{name} is"], [name])
        )  # fmt: skip
        parts.append(name)
    nodes.append(helper.make_node("Add", parts, [OUTPUT]))
    graph = helper.make_graph(
        nodes, "two detectors", first.graph.input, first.graph.output, tensors
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in sorted(versions)]
    return helper.make_model(graph, opset_imports=imports, ir_version=first.ir_version)


def _renamed(graph: onnx.GraphProto, before: str) -> onnx.GraphProto:
    """The graph with all of its names but the inputs' begun by `before`."""
    other = onnx.GraphProto()
    other.CopyFrom(graph)
    for tensor in other.initializer:
        tensor.name = before + tensor.name
    for node in other.node:
        node.name = before + node.name if node.name else ""
        for names in (node.input, node.output):
            # An empty name is an input that is left out.
            names[:] = [name if name in ("", *INPUTS) else before + name for name in names]
    return other


def _card(first: dict[str, str], second: dict[str, str], threshold: float | None) -> dict[str, Any]:
    """What the file says of itself: as the second, where the two do not add up."""
    commands = [card.get("command", "") for card in (first, second)]
    # Where the second went on from the first, its runs are told once.
    told = commands[1:] if commands[1].startswith(commands[0]) else commands
    parameters = sum(int(card.get("parameters", 0)) for card in (first, second))
    card = {
        **second,
        "summary": f"{second.get('summary', '')}: the mean of two",
        "command": " && ".join((*told, shell_command("training.ensemble"))),
        "parameters": str(parameters),
        "scores": "{}",
    }
    if threshold is not None:
        card["threshold"] = str(threshold)
    return card


if __name__ == "__main__":
    typer.run(main)
