"""ONNX model files: the shipped ones by name, a user's own by path. The file says what it needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inpaintcli.arrays import Floats
from inpaintcli.errors import ModelError
from inpaintcli.inpainters.base import Card
from inpaintcli.runtime import Session

#: What a model file must look like. N may be free or 1; h and w free, or one fixed side.
SIGNATURE = "inputs image float Nx3xhxw and mask float Nx1xhxw, output restored float Nx3xhxw"
DEFAULT_TILE = 256


class OnnxInpainter:
    """A network with the inputs `image` and `mask` and the output `restored`."""

    def __init__(self, path: Path, device: str = "auto", threads: int | None = None):
        """Load a model file; raises ModelError where it is none or has another signature."""
        self.session = Session(path, device, threads)
        self._check_signature()
        self._one_by_one = any(tensor.shape[0] == 1 for tensor in self.session.inputs)
        self._card = card_of(self.session.metadata, path, self._fixed_side())

    @property
    def card(self) -> Card:
        """The card in the file's metadata, completed with defaults."""
        return self._card

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or "cuda"."""
        return self.session.device

    def __call__(self, images: Floats, masks: Floats) -> Floats:
        """See `Inpainter`; raises ModelError where the model returns something unusable."""
        if self._one_by_one and len(images) > 1:
            return np.concatenate([self(images[i : i + 1], masks[i : i + 1])
                                   for i in range(len(images))])  # fmt: skip
        feeds: dict[str, NDArray[Any]] = {"image": images, "mask": masks}
        restored = np.asarray(self.session.run(feeds)[0])
        if restored.shape != images.shape:
            raise ModelError(
                f"{self.session.path}: the model returned {_sizes(restored.shape)} for an input of "
                f"{_sizes(images.shape)}: it does not keep the size"
            )
        if not np.isfinite(restored).all():
            raise ModelError(f"{self.session.path}: the model returned values that are not numbers")
        return np.clip(restored, 0, 1, out=restored, dtype=np.float32)

    def _check_signature(self) -> None:
        inputs = {tensor.name: tensor for tensor in self.session.inputs}
        outputs = {tensor.name: tensor for tensor in self.session.outputs}
        wanted = (("image", inputs, 3), ("mask", inputs, 1), ("restored", outputs, 3))
        fits = len(inputs) == 2 and len(outputs) == 1
        for name, group, channels in wanted:
            tensor = group.get(name)
            fits = (
                fits
                and tensor is not None
                and tensor.type == "tensor(float)"
                and len(tensor.shape) == 4
                and tensor.shape[1] in (channels, None)
                and (
                    group is outputs or tensor.shape[0] == 1 or not isinstance(tensor.shape[0], int)
                )
                and len({size for size in tensor.shape[2:] if isinstance(size, int)}) <= 1
            )
        if not fits:
            found_in = ", ".join(map(str, self.session.inputs)) or "none"
            found_out = ", ".join(map(str, self.session.outputs)) or "none"
            raise ModelError(
                f"{self.session.path}: not an inpainting model: found inputs {found_in}; outputs "
                f"{found_out}; needed {SIGNATURE}"
            )

    def _fixed_side(self) -> int | None:
        """The side of the square that the file insists on, or None."""
        for tensor in self.session.inputs:
            sides = [size for size in tensor.shape[2:] if isinstance(size, int)]
            if sides:
                return sides[0]
        return None


def card_of(metadata: dict[str, str], path: Path, fixed_side: int | None = None) -> Card:
    """The card that a model file's metadata holds; raises ModelError where it is broken."""

    def number(name: str, default: int, least: int) -> int:
        value = int(metadata.get(name) or default)
        if value < least:
            raise ValueError(f"{name} {value} is less than {least}")
        return value

    try:
        multiple = fixed_side or number("multiple", 1, 1)
        tile = fixed_side or number("tile", -(-DEFAULT_TILE // multiple) * multiple, 8)
        if tile % multiple:
            raise ValueError(f"tile {tile} is no multiple of {multiple}")
        scores = {k: float(v) for k, v in json.loads(metadata.get("scores", "{}")).items()}
        overlap = min(number("overlap", tile // 4, 0), tile - 1)
        return Card(
            name=metadata.get("name", path.stem),
            summary=metadata.get("summary", ""),
            tile=tile,
            overlap=overlap,
            margin=min(number("margin", overlap, 0), tile // 4),
            multiple=multiple,
            reach=number("reach", 0, 1) if metadata.get("reach") else None,
            trained_on=metadata.get("trained_on", ""),
            data_licence=metadata.get("data_licence", ""),
            licence=metadata.get("licence", ""),
            version=metadata.get("version", ""),
            scores=scores,
            size=path.stat().st_size,
        )
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise ModelError(f"{path}: its card cannot be used ({error}): export it again") from None


def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
