"""Photo in, mask of its damage out: a small network that looks at every part of the photo.

It works coarse to fine. The photo is halved a few times, for what is a wide stain at full size is a
small spot at a quarter of it. From the smallest size on up the network is shown the photo beside
what it found at the size below, enlarged, and says of every pixel how likely it is damaged. Between
sizes that is kept in 16 bits, so that a large photo needs little memory beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inpaintcli import pyramid, tiling
from inpaintcli.arrays import Floats, Mask, Pixels, check_pixels
from inpaintcli.errors import GpuMemoryError, ModelError, UsageError
from inpaintcli.inpainters.registry import WEIGHTS
from inpaintcli.mask import MaskTools
from inpaintcli.resident import resident
from inpaintcli.runtime import Session, Tensor, check_device, may_use_cuda

#: The network that ships, in 8 bit, for CPUs, and the same in float16.
DETECTOR = WEIGHTS / "detector-int8.onnx"
DETECTOR_ON_CUDA = WEIGHTS / "detector.onnx"
#: By how many pixels a mask that was found is widened: real scratches have soft edges, of which a
#: pale ghost stays with less (looked at on prints). It costs 0.4 dB around damage of our own
#: generator, which is restored best with 0 or 1 px (`training.growth`).
GROWTH = 2
#: Regions of fewer pixels are not taken for damage.
LEAST_AREA = 3
#: Regions of this area in pixels that cover this share of the square over their own diagonal are
#: blots; their mean probability must lie this share of the way from the threshold to 1.
LEAST_BLOT, BLOT, CLEAR = 60, 0.2, 0.7
#: The photo is halved no further than to this shorter side in pixels.
LEAST_SIDE = 128

#: (h, w): how likely each pixel is damaged, 0 to `CERTAIN` for 0 to 1. Of most pixels it is so
#: small that 8 bits would call it nothing.
Probability = NDArray[np.uint16]
CERTAIN = 65535


@dataclass(frozen=True)
class DetectorCard:
    """What the network is and needs, as its file says."""

    name: str
    #: One line on how it works.
    summary: str = ""
    version: str = ""
    #: Longest side in pixels of the rectangles that it is run on.
    tile: int = 512
    #: Pixels by which neighbouring tiles overlap.
    overlap: int = 32
    #: Pixels of the photo's mirror image that tiles see beyond its edge.
    margin: int = 16
    #: Height and width of its input must be multiples of this.
    multiple: int = 8
    #: At how many sizes it looks at most: full, half, a quarter, ...
    levels: int = 3
    #: From which probability (0 to 1) on a pixel is damaged, unless the user says.
    threshold: float = 0.5
    #: What it was trained on, and the terms of that data.
    trained_on: str = ""
    data_licence: str = ""
    licence: str = ""
    #: Measured scores by name.
    scores: Mapping[str, float] = field(default_factory=dict)
    #: Size of its file in bytes.
    size: int = 0


class Detector:
    """The network with the inputs `image` and `coarse` and the output `damage`, see `__call__`."""

    def __init__(self, session: Session):
        """Take over an open model file; raises ModelError where it is no detector."""
        _check_signature(session)
        self.session = session
        self.card = _card_of(session.metadata, session.path)
        side = -(-64 // self.card.multiple) * self.card.multiple
        #: Its tiles on the GPU, where it runs on one that does that.
        self.resident = resident(session, {"image": 3, "coarse": 1}, 1, side)

    def __call__(self, images: Floats, coarse: Floats) -> Floats:
        """How likely pixels are damaged: float32 (N, 1, h, w) in [0, 1].

        images: float32 (N, 3, h, w) in [0, 1]. coarse: float32 (N, 1, h, w), what was found at half
        the size, enlarged; 0 where nothing was looked for. Raises ModelError where the model fails
        or returns something else.
        """
        damage = np.asarray(self.session.run({"image": images, "coarse": coarse})[0])
        if damage.shape != coarse.shape or not np.isfinite(damage).all():
            raise ModelError(
                f"{self.session.path}: the model returned {damage.shape} for {coarse.shape}, or "
                f"values that are not numbers"
            )
        return np.clip(damage.astype(np.float32, copy=False), 0, 1)


def load_detector(
    path: Path | None = None, *, device: str = "auto", threads: int | None = None
) -> Detector:
    """The detector that ships, or that of the ONNX file at `path`.

    device: auto, cpu, cuda or cuda:N. threads: CPU threads, all usable cores by default.
    Raises ModelError where the file is missing or no detector, or the device cannot be used.
    """
    check_device(device)
    if path is not None:
        return Detector(_opened(path, device, threads))
    if may_use_cuda(device):
        session = _opened(DETECTOR_ON_CUDA, device, threads)
        if session.device == "cuda":
            return Detector(session)
        device = "cpu"  # It was tried.
    return Detector(_opened(DETECTOR, device, threads))


def _opened(path: Path, device: str, threads: int | None) -> Session:
    if not path.is_file():
        raise ModelError(f"{path}: there is no such detector: install again, or give a mask")
    return Session(path, device, threads)


def detect(
    pixels: Pixels,
    detector: Detector | None = None,
    *,
    threshold: float | None = None,
    min_area: int = LEAST_AREA,
    grow: int = GROWTH,
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Mask:
    """Find what is damaged: bool (h, w), True = damaged.

    pixels: uint8 or uint16, (h, w) or (h, w, c) with c = 1 (grey), 2 (grey, alpha), 3 (RGB) or
    4 (RGB, alpha); what is fully transparent is never damaged. detector: see `load_detector`; by
    default the one that ships, loaded with `device` and `threads`. threshold: 0 to 1, the
    probability from which on a pixel is damaged, from the detector's card by default. min_area:
    regions of fewer pixels are dropped. grow: pixels by which the rest is widened at last, where it
    is not transparent. By default all is as the commands have it. progress: told how many of how
    many tiles are done.

    Raises UsageError for pixels or options that do not fit, ModelError where the model or the
    device cannot be used.
    """
    check_threshold(threshold)
    for name, value in (("min_area", min_area), ("grow", grow)):
        if value < 0:
            raise UsageError(f"{name} {value}: must be at least 0")
    if detector is None:
        detector = load_detector(device=device, threads=threads)
    found = probability(pixels, detector, progress)
    mask = to_mask(found, detector.card.threshold if threshold is None else threshold)
    return MaskTools(min_area=min_area, grow=grow).apply(mask, transparent(pixels))


def check_threshold(threshold: float | None, name: str = "threshold") -> None:
    """Raise UsageError unless the threshold, which is called `name`, is from 0 to 1, or None."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"{name} {threshold:g}: give a number from 0 to 1")


def transparent(pixels: Pixels) -> Mask:
    """What is fully transparent: bool (h, w), read-only where nothing can be.

    pixels: as for `detect`.
    """
    shape = (pixels.shape[0], pixels.shape[1])
    planes = pixels.reshape(*shape, -1)
    return planes[..., -1] == 0 if planes.shape[2] % 2 == 0 else np.broadcast_to(False, shape)


def to_mask(probability: Probability, threshold: float) -> Mask:
    """What is damaged: what is so with a probability of at least `threshold` (0 to 1).

    A probability of 0 never is damage. A blot, a region that is no line, must be surer than that:
    a white collar or a flower is what a torn-off spot looks like, and to fill one does more harm
    than to leave the other.
    """
    import cv2

    mask: Mask = probability >= max(1, round(threshold * CERTAIN))
    if not mask.any():
        return mask
    number, regions, stats, _ = cv2.connectedComponentsWithStats(
        mask.view(np.uint8), connectivity=8
    )
    sizes = stats.T.astype(np.float64)
    areas = sizes[cv2.CC_STAT_AREA]
    reaches = np.hypot(sizes[cv2.CC_STAT_WIDTH], sizes[cv2.CC_STAT_HEIGHT])
    blots = (areas >= LEAST_BLOT) & (areas >= BLOT * reaches**2)
    mean = np.bincount(regions[mask], probability[mask], number) / np.maximum(areas, 1)
    keep = ~blots | (mean >= CERTAIN * (threshold + CLEAR * (1 - threshold)))
    keep[0] = False  # What is undamaged.
    return np.asarray(keep[regions])


def probability(
    pixels: Pixels, detector: Detector, progress: Callable[[int, int], None] | None = None
) -> Probability:
    """How likely each pixel is damaged: uint16 (h, w), 0 to `CERTAIN` for 0 to 1.

    pixels: as for `detect`. progress: told how many of how many tiles are done, over all sizes.
    Raises UsageError for other pixels, ModelError where the model fails.
    """
    check_pixels(pixels)
    shape = (pixels.shape[0], pixels.shape[1])
    planes = pixels.reshape(*shape, -1)
    clear = transparent(pixels)
    # Views: a grey photo shows its one channel three times.
    rgb: Pixels = (
        planes[..., :3] if planes.shape[2] >= 3 else np.broadcast_to(planes[..., :1], (*shape, 3))
    )

    sizes = [rgb]
    hidden = clear
    while len(sizes) < detector.card.levels and min(hidden.shape) > 2 * (LEAST_SIDE - 1):
        rgb, hidden = pyramid.halved(rgb, hidden)
        sizes.append(rgb)
    # From here on the looks alone hold the sizes: each goes when it is done.
    looks = [_Look(sizes.pop(0), detector) for _ in range(len(sizes))]
    del rgb, hidden
    total, done = sum(look.tiles for look in looks), 0

    def report(tiles: int) -> None:
        nonlocal done
        done += tiles
        if progress:
            progress(done, total)

    found: Probability | None = None
    while looks:
        found = looks.pop().run(found, report)
    assert found is not None
    found[clear] = 0
    return found


class _Look:
    """The look at the photo at one size."""

    def __init__(self, pixels: Pixels, detector: Detector):
        """pixels: (h, w, 3)."""
        self.pixels = pixels
        self.detector = detector
        self.shape = (pixels.shape[0], pixels.shape[1])
        card = detector.card
        self.grid = tiling.fitted(self.shape, card.tile, card.overlap, card.margin, card.multiple)
        self.rows = tiling.plan(np.broadcast_to(True, self.shape), self.grid)
        self.tiles = tiling.count(self.rows)

    def run(self, below: Probability | None, report: Callable[[int], None]) -> Probability:
        """What is found, with what was found at half the size; report: told of tiles done."""
        coarse = np.broadcast_to(np.uint16(0), self.shape)
        if below is not None:
            coarse = _doubled(below, self.shape)
        found = np.empty(self.shape, np.uint16)
        reported = 0

        def told(tiles: int) -> None:
            nonlocal reported
            reported += tiles
            report(tiles)

        if self.detector.resident is not None:
            try:
                for places, values in self.detector.resident.run(
                    {"image": self.pixels, "coarse": coarse}, self.rows, self.grid,
                    channels=1, done=told,
                ):  # fmt: skip
                    found[places] = _steps(values[..., 0])
                return found
            except GpuMemoryError:
                report(-reported)  # Tile by tile, then.
        blend = tiling.Blend(self.shape, self.grid, channels=1)
        for row in self.rows:
            blend.start(row)
            # One by one: tiles of the card's size are too large for more at once to be faster.
            for left in row.lefts:
                images = tiling.cut(self.pixels, row.top, (left,), self.grid)
                hints = tiling.cut(coarse[..., None], row.top, (left,), self.grid)
                blend.add((left,), self.detector(images, hints))
                report(1)
            top, strip = blend.finish(row)
            found[top : top + len(strip)] = _steps(strip[..., 0])
        return found


def _doubled(found: Probability, shape: tuple[int, int]) -> Probability:
    """Twice as large, cut to `shape`."""
    large = np.empty(shape, np.uint16)
    for top, strip in pyramid.doubled(found, shape):
        large[top : top + len(strip)] = _steps(strip)
    return large


def _steps(values: Floats) -> Probability:
    """Values in [0, 1] as 0 to `CERTAIN`."""
    return np.rint(np.clip(values, 0, 1) * CERTAIN).astype(np.uint16)


def _check_signature(session: Session) -> None:
    """Raise ModelError unless inputs and outputs are those of a detector."""

    def fits(tensor: Tensor, channels: int) -> bool:
        sizes = tensor.shape[1:2] + tensor.shape[2:]
        return (
            tensor.type == "tensor(float)"
            and len(tensor.shape) == 4
            and (sizes[0] == channels or not isinstance(sizes[0], int))
            and not any(isinstance(size, int) for size in sizes[1:])
        )

    inputs = {tensor.name: tensor for tensor in session.inputs}
    outputs = {tensor.name: tensor for tensor in session.outputs}
    if (
        set(inputs) != {"image", "coarse"}
        or set(outputs) != {"damage"}
        or not (fits(inputs["image"], 3) and fits(inputs["coarse"], 1))
    ):
        found = ", ".join(map(str, (*session.inputs, *session.outputs)))
        raise ModelError(
            f"{session.path}: not a detector of damage: found {found}; needed inputs image float "
            f"Nx3xhxw and coarse float Nx1xhxw, output damage float Nx1xhxw"
        )


def _card_of(metadata: Mapping[str, str], path: Path) -> DetectorCard:
    """The card that a model file's metadata holds; raises ModelError where it is broken."""
    plain = DetectorCard(metadata.get("name", path.stem))

    def number(name: str, default: int, least: int) -> int:
        value = int(metadata.get(name, default))
        if value < least:
            raise ValueError(f"{name} {value} is less than {least}")
        return value

    try:
        multiple = number("multiple", plain.multiple, 1)
        tile = number("tile", plain.tile, 8)
        overlap, margin = number("overlap", plain.overlap, 0), number("margin", plain.margin, 0)
        if tile % multiple or max(overlap, margin) > tile // 2:
            raise ValueError(
                f"tile {tile}, overlap {overlap}, margin {margin} and multiple {multiple} do not "
                f"fit each other"
            )
        threshold = float(metadata.get("threshold", plain.threshold))
        if not 0 <= threshold <= 1 or math.isnan(threshold):
            raise ValueError(f"threshold {threshold} is not from 0 to 1")
        scores = json.loads(metadata.get("scores", "{}"))
        return DetectorCard(
            name=plain.name,
            summary=metadata.get("summary", ""),
            version=metadata.get("version", ""),
            tile=tile,
            overlap=overlap,
            margin=margin,
            multiple=multiple,
            levels=number("levels", plain.levels, 1),
            threshold=threshold,
            trained_on=metadata.get("trained_on", ""),
            data_licence=metadata.get("data_licence", ""),
            licence=metadata.get("licence", ""),
            scores={name: float(score) for name, score in scores.items()},
            size=path.stat().st_size,
        )
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise ModelError(f"{path}: its card cannot be used ({error}): export it again") from None
