"""Write a trained network as the one ONNX file that `inpaint` runs, with its card inside.

    python -m training.export runs/autoencoder/best.pt -o inpaintcli/weights/autoencoder.onnx

The file has inputs `image` float32 (N, 3, h, w) in [0, 1] and `mask` float32 (N, 1, h, w) with
1 = damaged, and the output `restored` float32 (N, 3, h, w) in [0, 1]; N, h and w are free. That of
the detector has `coarse` in place of the mask and the output `damage` (N, 1, h, w). It is written
only if the ONNX checker accepts it and ONNX Runtime computes what PyTorch computes.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import torch
import typer
from rich.console import Console
from torch import Tensor, nn

from inpaintcli.files import write_whole
from inpaintcli.runtime import Session
from training.checkpoint import Checkpoint, CheckpointError
from training.networks import DETECTOR, GUESSING, build, multiple_of

#: ONNX Runtime 1.19, the oldest that we support, runs opsets up to 21 and IR versions up to 10.
#: Nothing in the networks needs more than opset 17 and the IR version that came with it.
OPSET = 17
IR_VERSION = 8

#: The largest difference between PyTorch and ONNX Runtime, of intensities in [0, 1].
TOLERANCE = 1e-4
#: (N, h, w) of the pictures on which the two are compared.
SIZES = ((1, 32, 32), (3, 48, 64), (1, 96, 128))

VERSION = "1"
LICENCE = "MIT"
SUMMARIES = {
    "autoencoder": "U-shaped convolutional autoencoder; the mask is its fourth input channel",
    "partial-conv": "The same U-shape from partial convolutions, which see known pixels only",
    "photo": "U-shaped network at half size that improves on a first guess, and texture transfer",
    DETECTOR: "U-shaped network at half size that finds damage, coarse to fine",
}


@dataclass(frozen=True)
class Setting:
    """How a network is run: the fields of the same names of `inpaintcli.inpainters.base.Card`."""

    tile: int
    overlap: int
    margin: int
    reach: int
    prior: bool = False
    texture: bool = False
    #: Whether the kernels are kept as float16, in half the room; not told in the card.
    half: bool = True


#: Settings by the side of the patches that a network was trained on, chosen on held-out photographs
#: for scratches, strokes, text and holes.
#: 32 px: an overlap of 16 px takes twice the time of 8 px and restores no better (within 0.05 dB).
#: Without the margin the corner of a flat grey photo was wrong by up to 25 of 255. Of 2, 3, 4 and
#: 5 px of reach, 4 restores strokes and holes best; thin damage does not care.
#: 64 px: tiles of 128 px restore within 0.08 dB of tiles of 64 px in two thirds of the time. Of 1,
#: 2, 4 and 8 px of reach, 4 is best for strokes (+0.27 dB over 8), within 0.06 dB for the others.
SETTINGS = {
    32: Setting(tile=32, overlap=8, margin=8, reach=4, half=False),
    64: Setting(tile=128, overlap=16, margin=8, reach=4),
}
#: photo: reach 1 beats 4 px by 0.04 dB on scratches and 0.06 on text and equals it on strokes and
#: holes, to within 0.01 dB (nine photographs). With weights of a third of the training one size
#: alone was 0.7 dB worse on holes, and an overlap of 32 px no better than 16.
PHOTO = Setting(tile=512, overlap=16, margin=16, reach=1, prior=True, texture=True)
#: The detector: its fields of `inpaintcli.detect.DetectorCard`.
DETECTOR_SETTING = {"tile": 512, "overlap": 32, "margin": 16, "levels": 3, "threshold": 0.5}
CIFAR10_LICENCE = "CIFAR-10: free for research, no explicit licence; see README"
HISTORY_ROWS = 20


class ExportError(Exception):
    """The network cannot be exported, or not as it was trained; the text says why."""


def main(
    checkpoint: Annotated[Path, typer.Argument(help="best.pt or last.pt of a training run.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The ONNX file to write.")],
    scores: Annotated[
        Path | None, typer.Option(help="JSON file with measured scores by name, for the card.")
    ] = None,
    data_licence: Annotated[
        str | None, typer.Option(help="Terms of the training pictures. [default: CIFAR-10's]")
    ] = None,
) -> None:
    """Export the averaged weights of CHECKPOINT."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        state = Checkpoint.load(checkpoint)
        measured = read_scores(scores) if scores else {}
        network = network_of(state)
        model = to_onnx(network, state.name)
        properties = {**card(state, measured, data_licence), "name": output.stem}
        onnx.helper.set_model_props(model, properties)
        difference = largest_difference(network, model, state.name)
        if not difference < TOLERANCE:
            raise ExportError(
                f"{checkpoint}: ONNX Runtime and PyTorch differ by {difference:.1e}, more than "
                f"{TOLERANCE:.0e}: not written"
            )
        data = model.SerializeToString()
        write_whole(output, data)
    except (CheckpointError, ExportError) as error:
        console.print(f"Error: {error}", style="red", markup=False)
        raise typer.Exit(2) from None
    except OSError as error:
        console.print(f"Error: {output}: cannot be written ({error.strerror})", style="red",
                      markup=False)  # fmt: skip
        raise typer.Exit(2) from None
    console.print(
        f"{output}: {len(data) / 1e6:.2f} MB, opset {OPSET}, {len(model.graph.node)} nodes; "
        f"differs from PyTorch by {difference:.1e} at most",
        markup=False,
    )


def setting_of(state: Checkpoint) -> Setting:
    """How a network of a run is shipped and run; raises ExportError where that is not known."""
    setting = PHOTO if state.name in GUESSING else SETTINGS.get(state.config.patch)
    if setting is None:
        raise ExportError(
            f"a network without a first guess, trained on patches of {state.config.patch} px: "
            f"settings are known for {', '.join(map(str, SETTINGS))} px"
        )
    return setting


def network_of(state: Checkpoint) -> nn.Module:
    """The network with the averaged weights of a run, float32, ready to be evaluated.

    Raises CheckpointError where the weights are not those of the network that it names.
    """
    try:
        network = build(state.name, state.config.network)
        network.load_state_dict(state.averaged)
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"checkpoint of {state.name!r}: wrong weights ({reason})") from None
    if state.name == DETECTOR or setting_of(state).half:
        # What the file will hold: see `halve_weights`.
        for parameter in network.parameters():
            parameter.data = parameter.data.half().float()
    return network.float().eval()


class Guessed(nn.Module):
    """What the file of a network with a first guess computes: its answer, clipped to [0, 1].

    The network adds to the guess, so the colour of what is flat is right from the start.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        restored: Tensor = self.network(image, mask)
        return restored.clamp(0, 1)


class Shipped(nn.Module):
    """What the file computes: the network without the picture's colour cast, clipped to [0, 1].

    A tile of one saturated colour is nothing that a network has met among CIFAR-10's pictures: a
    line across pure red came back wrong by up to 66 of 255. Known pixels therefore lose what their
    mean colour differs from grey, and the result gets it back; the error falls to 6, and on
    pictures the scores stay (hole PSNR within 0.01 dB).
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        known = 1 - mask
        count = known.sum((2, 3), keepdim=True).clamp(min=1)
        mean = (image * known).sum((2, 3), keepdim=True) / count
        cast = mean - mean.mean(1, keepdim=True)
        restored: Tensor = self.network((image - cast) * known, mask) + cast
        return restored.clamp(0, 1)


class Found(nn.Module):
    """What the file of the detector computes: the probability of damage."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, coarse: Tensor) -> Tensor:
        odds: Tensor = self.network(image, coarse)
        return odds.sigmoid()


def shipped(network: nn.Module, name: str) -> nn.Module:
    """What the file of the network called `name` (a key of `NETWORKS`) computes."""
    if name == DETECTOR:
        return Found(network).eval()
    return (Guessed if name in GUESSING else Shipped)(network).eval()


def terminals(name: str) -> tuple[str, str, str]:
    """What the inputs and the output of that file are called."""
    return ("image", "coarse", "damage") if name == DETECTOR else ("image", "mask", "restored")


def to_onnx(network: nn.Module, name: str) -> onnx.ModelProto:
    """The network as a checked model of plain ONNX operators, without a card.

    PyTorch's TorchScript exporter: it writes opset 17 directly and needs no other package, where
    the newer one needs onnxscript and writes opset 18 first.
    """
    free = {0: "N", 2: "h", 3: "w"}
    *inputs, output = terminals(name)
    image = torch.zeros(2, 3, 64, 128)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        file = Path(folder) / "network.onnx"
        torch.onnx.export(
            shipped(network, name),
            (image, image[:, :1]),
            file,
            input_names=inputs,
            output_names=[output],
            dynamic_axes=dict.fromkeys(terminals(name), free),
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(file)
    model.ir_version = IR_VERSION
    tidy(model.graph)
    halve_weights(model.graph)
    onnx.checker.check_model(model, full_check=True)
    return model


def halve_weights(graph: onnx.GraphProto) -> None:
    """Keep kernels that fit into float16 without loss as that, in place: half the file.

    ONNX Runtime widens them once, when it loads the file, and computes in float32 as before.
    """
    casts = []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.ndim < 2:
            continue
        halves = values.astype(np.float16)
        if (halves == values).all():
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(halves, f"{name}.half"))
            casts.append(
                onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT)
            )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def tidy(graph: onnx.GraphProto) -> None:
    """Drop nodes that change nothing and merge those that compute the same, in place."""
    opset = onnx.helper.make_opsetid("", OPSET)
    inferred = onnx.shape_inference.infer_shapes(
        onnx.helper.make_model(graph, opset_imports=[opset])
    ).graph
    kinds = {
        value.name: value.type.tensor_type.elem_type
        for value in (*inferred.value_info, *inferred.input)
    }
    ones = {
        node.output[0]
        for node in graph.node
        if node.op_type == "Constant"
        and (onnx.numpy_helper.to_array(node.attribute[0].t) == 1).all()
    }

    def changes_nothing(node: onnx.NodeProto) -> bool:
        match node.op_type:
            case "Cast":
                return bool(kinds.get(node.input[0]) == node.attribute[0].i)
            case "Concat":
                return len(node.input) == 1
            case "Mul":
                return node.input[1] in ones
            case _:
                return False

    renamed: dict[str, str] = {}
    computed: dict[tuple[object, ...], str] = {}
    kept = []
    for node in graph.node:
        (output,) = node.output
        inputs = [renamed.get(name, name) for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
        if changes_nothing(node):
            renamed[output] = inputs[0]
            continue
        attributes = tuple(item.SerializeToString(deterministic=True) for item in node.attribute)
        first = computed.setdefault((node.op_type, *inputs, attributes), output)
        if first == output:
            kept.append(node)
        else:
            renamed[output] = first
    used = {name for node in kept for name in node.input}
    del graph.node[:]
    graph.node.extend(n for n in kept if n.op_type != "Constant" or n.output[0] in used)


def card(
    state: Checkpoint, scores: dict[str, float], data_licence: str | None = None
) -> dict[str, str]:
    """What the file says of itself: the fields of `inpaintcli.inpainters.base.Card`, and more.

    `history` (losses and scores while training) and `scores` are JSON; `validation_hole_psnr` is in
    dB, of held-out training pictures, and so is `validation_f1`, in [0, 1].
    """
    if data_licence is None:
        cifar10 = state.origin.lower().startswith(("cifar-10", "cifar10"))
        data_licence = CIFAR10_LICENCE if cifar10 else "unknown: see where the pictures come from"
    if state.name == DETECTOR:
        setting: dict[str, float] = DETECTOR_SETTING
        judged = "validation_f1"
    else:
        setting = {k: int(v) for k, v in asdict(setting_of(state)).items() if k != "half"}
        setting["patch"] = state.config.patch
        judged = "validation_hole_psnr"
    parameters = sum(tensor.numel() for tensor in state.averaged.values())
    return {
        "name": state.name,
        "version": VERSION,
        "summary": SUMMARIES[state.name],
        "multiple": str(multiple_of(state.config.network)),
        **{name: str(value) for name, value in setting.items()},
        "trained_on": state.trained_on,
        "data_licence": data_licence,
        "licence": LICENCE,
        "seed": str(state.seed),
        "command": state.command,
        "epochs": str(state.config.epochs),
        "steps": str(state.step),
        "parameters": str(parameters),
        judged: f"{state.best:.3f}",
        "history": json.dumps(thinned(state.log)),
        "scores": json.dumps(scores),
    }


def thinned(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """At most HISTORY_ROWS rows, evenly spaced, the first and the last among them."""
    if len(history) <= HISTORY_ROWS:
        return history
    last = len(history) - 1
    return [history[round(i * last / (HISTORY_ROWS - 1))] for i in range(HISTORY_ROWS)]


def read_scores(path: Path) -> dict[str, float]:
    """Scores by name from a JSON file; raises ExportError with one line that names it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ExportError(f"{path}: not JSON ({error})") from None
    if not isinstance(values, dict) or not all(isinstance(v, int | float) for v in values.values()):
        raise ExportError(f'{path}: give numbers by name, such as {{"hole_psnr": 23.1}}')
    return {name: float(value) for name, value in values.items()}


def update_scores(model_path: Path, scores: dict[str, float]) -> None:
    """Add scores to the card of a model file, in place of those of the same names."""
    model = onnx.load(model_path)
    before = next((p.value for p in model.metadata_props if p.key == "scores"), "{}")
    write_scores(model_path, {**json.loads(before), **scores})


def write_scores(model_path: Path, scores: dict[str, float]) -> None:
    """Replace the scores in the card of a model file; all else in it stays. Raises OSError."""
    model = onnx.load(model_path)
    properties = {item.key: item.value for item in model.metadata_props}
    onnx.helper.set_model_props(model, {**properties, "scores": json.dumps(scores)})
    write_whole(model_path, model.SerializeToString())


@torch.no_grad()
def largest_difference(
    network: nn.Module, model: onnx.ModelProto, name: str, seed: int = 0
) -> float:
    """How far ONNX Runtime is from PyTorch, over random pictures of several sizes.

    Each size is tried with random damage, with none, and with nothing but damage.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        onnx.save(model, file)
        session = Session(file, "cpu")
    reference = shipped(network, name)
    first, second, _ = terminals(name)
    generator = torch.Generator().manual_seed(seed)
    differences = []
    for n, h, w in SIZES:
        image = torch.rand(n, 3, h, w, generator=generator)
        random = (torch.rand(n, 1, h, w, generator=generator) < 0.3).float()
        for mask in (random, torch.zeros_like(random), torch.ones_like(random)):
            (restored,) = session.run({first: image.numpy(), second: mask.numpy()})
            differences.append((torch.from_numpy(restored) - reference(image, mask)).abs().max())
    return float(torch.stack(differences).max())


if __name__ == "__main__":
    typer.run(main)
