"""Whether a model file's inputs and outputs, and what it returns, fit what it is used for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inpaintcli.errors import ModelError
from inpaintcli.runtime import Session, Tensor


@dataclass(frozen=True)
class Signature:
    """The inputs `image` Nx3xhxw and `mask` Nx1xhxw and the one output Nx3xhxw of a kind of model.

    N may be free or 1; h and w free, or one fixed side.
    """

    #: ONNX Runtime's name of the type of all three, for example "tensor(float)".
    type: str
    #: What the output is called, or what it is not called where `named` is False.
    output: str
    named: bool = True
    #: True if h and w must be fixed.
    fixed: bool = False

    def fits(self, session: Session) -> bool:
        """True where a file has this signature."""
        inputs = {tensor.name: tensor for tensor in session.inputs}
        if set(inputs) != {"image", "mask"} or len(session.outputs) != 1:
            return False
        output = session.outputs[0]
        batches = [tensor.shape[:1] for tensor in session.inputs]
        sides = {size for tensor in session.inputs for size in tensor.shape[2:] if _is_set(size)}
        return (
            self._is_picture(inputs["image"], 3)
            and self._is_picture(inputs["mask"], 1)
            # Exporters that cannot tell the size of a result leave out its shape altogether.
            and (self._is_picture(output, 3) or (output.type, output.shape) == (self.type, ()))
            and (output.name == self.output) == self.named
            and not any(_is_set(size) and size != 1 for (size,) in batches)
            and len(sides) <= 1
            and (bool(sides) or not self.fixed)
        )

    def _is_picture(self, tensor: Tensor, channels: int) -> bool:
        sides = {size for size in tensor.shape[2:] if _is_set(size)}
        return (
            tensor.type == self.type
            and len(tensor.shape) == 4
            and (tensor.shape[1] == channels or not _is_set(tensor.shape[1]))
            and len(sides) <= 1
        )


#: The signature of this program's own models.
OURS = Signature("tensor(float)", "restored")
#: What LaMa's public exports have. Only a fixed side tells them from a misnamed model of ours.
LAMA = Signature("tensor(float)", "restored", named=False, fixed=True)
#: What MI-GAN's pipeline exports have.
MIGAN = Signature("tensor(uint8)", "result")

KNOWN = (
    "inputs image float Nx3xhxw and mask float Nx1xhxw, output restored float Nx3xhxw (or LaMa's: "
    "h and w fixed, output of any other name; or MI-GAN's: all uint8, output result)"
)


def refusal(session: Session) -> ModelError:
    """The error for a file whose signature is none that is known."""
    found_in = ", ".join(map(str, session.inputs)) or "none"
    found_out = ", ".join(map(str, session.outputs)) or "none"
    return ModelError(
        f"{session.path}: not an inpainting model: found inputs {found_in}; outputs {found_out}; "
        f"needed {KNOWN}"
    )


def fixed_side(session: Session) -> int | None:
    """The side of the square that a file insists on, or None."""
    for tensor in session.inputs:
        for size in tensor.shape[2:]:
            if isinstance(size, int):
                return size
    return None


def one_by_one(session: Session) -> bool:
    """True where a file takes one picture a call."""
    return any(tensor.shape[0] == 1 for tensor in session.inputs)


def result(session: Session, feeds: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """What a model returns for its inputs, of any type; raises ModelError where it fails, changes
    the size of `feeds["image"]` or returns values that are not numbers."""
    restored = np.asarray(session.run(feeds)[0])
    expected = feeds["image"].shape
    if restored.shape != expected:
        raise ModelError(
            f"{session.path}: the model returned {_sizes(restored.shape)} for an input of "
            f"{_sizes(expected)}: it does not keep the size"
        )
    if not np.isfinite(restored).all():
        raise ModelError(f"{session.path}: the model returned values that are not numbers")
    return restored


def _is_set(size: int | str | None) -> bool:
    return isinstance(size, int)


def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
