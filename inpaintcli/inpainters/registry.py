"""The names that `--model` takes, and what they load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from inpaintcli.errors import ModelError, UsageError
from inpaintcli.inpainters import biharmonic, foreign, opencv, patchmatch
from inpaintcli.inpainters.base import Card, Inpainter
from inpaintcli.inpainters.onnx_model import OnnxInpainter, card_of
from inpaintcli.runtime import CUDA_INSTALL, Session, check_device, may_use_cuda

WEIGHTS = Path(__file__).parent.parent / "weights"

#: The best on photographs; the README has the figures.
DEFAULT = "photo"
#: The networks that ship, each in a file of its name in WEIGHTS.
NETWORKS = ("photo", "partial-conv-photos", "autoencoder-photos", "partial-conv", "autoencoder")
#: The same network in 8 bit, for CPUs, where that is faster.
ON_CPU = {"photo": "photo-int8"}
CLASSICAL: dict[str, Callable[[], Inpainter]] = {
    "telea": opencv.telea,
    "navier-stokes": opencv.navier_stokes,
    "patchmatch": patchmatch.PatchMatchInpainter,
    "biharmonic": biharmonic.BiharmonicInpainter,
}
NAMES = (*NETWORKS, *CLASSICAL)


def load_model(
    model: str | Path = DEFAULT, *, device: str = "auto", threads: int | None = None
) -> Inpainter:
    """The inpainter of a name in `NAMES`, or of the ONNX file at a path.

    device: auto, cpu, cuda or cuda:N. threads: CPU threads, all usable cores by default.
    Raises UsageError for an unknown name or missing file, ModelError where the model or the
    device cannot be used.
    """
    check_device(device)
    name = str(model)
    if name in NETWORKS:
        session = None
        if name not in ON_CPU or may_use_cuda(device):
            session = Session(WEIGHTS / f"{name}.onnx", device, threads)
        if name in ON_CPU and (session is None or session.device == "cpu"):
            # Where CUDA was tried it is not tried again.
            where = "cpu" if session else device
            session = Session(WEIGHTS / f"{ON_CPU[name]}.onnx", where, threads)
        assert session
        return OnnxInpainter(session)
    if name in CLASSICAL:
        inpainter = CLASSICAL[name]()
        if inpainter.card.missing:
            raise ModelError(
                f"--model {name} needs a package that is not installed: "
                f"pip install {inpainter.card.missing}"
            )
        if device.startswith("cuda"):
            raise ModelError(
                f"--device {device}: {name} runs on the CPU only; "
                f"{', '.join(NETWORKS)} run on CUDA ({CUDA_INSTALL})"
            )
        return inpainter
    path = Path(model)
    if path.suffix.lower() != ".onnx":
        raise UsageError(
            f"unknown model {name!r}: choose from {', '.join(NAMES)}, or give an .onnx file"
        )
    if not path.is_file():
        raise UsageError(f"{path}: no such model file: check the name")
    session = Session(path, device, threads)
    return foreign.recognised(session) or OnnxInpainter(session)


def cards() -> Iterator[Card]:
    """The cards of all methods, networks first, also of those that are not installed."""
    for name in NETWORKS:
        files = {WEIGHTS / f"{file}.onnx" for file in (name, ON_CPU.get(name, name))}
        # The card of what runs on a CPU, and how much room the network takes in all.
        path = WEIGHTS / f"{ON_CPU.get(name, name)}.onnx"
        card = card_of(Session(path, "cpu", 1).metadata, path)
        yield replace(card, size=sum(file.stat().st_size for file in files))
    for make in CLASSICAL.values():
        yield make().card
