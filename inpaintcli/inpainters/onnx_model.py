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
from inpaintcli.inpainters.signature import OURS, fixed_side, one_by_one, refusal, result
from inpaintcli.resident import Resident, resident
from inpaintcli.runtime import Session

DEFAULT_TILE = 256


class OnnxInpainter:
    """A network with the inputs `image` and `mask` and the output `restored`."""

    def __init__(self, model: Path | Session, device: str = "auto", threads: int | None = None):
        """Load a model file, or take over an open one, with its device and threads.

        Raises ModelError where the file is no model or has another signature than `OURS`.
        """
        self.session = model if isinstance(model, Session) else Session(model, device, threads)
        if not OURS.fits(self.session):
            raise refusal(self.session)
        #: Whether it takes several tiles in one run.
        self.together = not one_by_one(self.session)
        self._card = card_of(self.session.metadata, self.session.path, fixed_side(self.session))
        #: Its tiles on the GPU, where it runs on one that does that.
        self.resident: Resident | None = None
        if self.together:
            side = fixed_side(self.session) or -(-64 // self._card.multiple) * self._card.multiple
            self.resident = resident(self.session, {"image": 3, "mask": 1}, 3, side)

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
        if not self.together and len(images) > 1:
            return np.concatenate([self(images[i : i + 1], masks[i : i + 1])
                                   for i in range(len(images))])  # fmt: skip
        feeds: dict[str, NDArray[Any]] = {"image": images, "mask": masks}
        restored = result(self.session, feeds)
        return np.clip(restored, 0, 1, out=restored, dtype=np.float32)


def card_of(metadata: dict[str, str], path: Path, fixed_side: int | None = None) -> Card:
    """The card that a model file's metadata holds; raises ModelError where it is broken."""

    def number(name: str, default: int, least: int) -> int:
        value = int(metadata.get(name) or default)
        if value < least:
            raise ValueError(f"{name} {value} is less than {least}")
        return value

    try:
        multiple = 1 if fixed_side else number("multiple", 1, 1)
        tile = fixed_side or number("tile", -(-DEFAULT_TILE // multiple) * multiple, 8)
        if tile % multiple:
            raise ValueError(f"tile {tile} is no multiple of {multiple}")
        scores = {k: float(v) for k, v in json.loads(metadata.get("scores", "{}")).items()}
        overlap = min(number("overlap", tile // 4, 0), tile - 1)
        return Card(
            name=metadata.get("name", path.stem),
            summary=metadata.get("summary", ""),
            tile=tile,
            fixed=fixed_side is not None,
            patch=number("patch", 0, 1) if metadata.get("patch") and not fixed_side else None,
            overlap=overlap,
            margin=min(number("margin", overlap, 0), tile // 4),
            multiple=multiple,
            reach=number("reach", 0, 1) if metadata.get("reach") else None,
            prior=metadata.get("prior") == "1",
            texture=metadata.get("texture") == "1",
            trained_on=metadata.get("trained_on", ""),
            data_licence=metadata.get("data_licence", ""),
            licence=metadata.get("licence", ""),
            version=metadata.get("version", ""),
            scores=scores,
            size=path.stat().st_size,
        )
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise ModelError(f"{path}: its card cannot be used ({error}): export it again") from None
