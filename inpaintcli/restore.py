"""Photo and mask in, restored photo out: any depth, grey or colour, with or without alpha."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inpaintcli.arrays import Mask, Pixels, check_pixels
from inpaintcli.errors import PhotoError, UsageError
from inpaintcli.filling import Progress, fill
from inpaintcli.grain import add_grain, parse_strength
from inpaintcli.inpainters.base import Card, Inpainter
from inpaintcli.inpainters.registry import DEFAULT, load_model
from inpaintcli.pyramid import STRIP
from inpaintcli.texture import add_texture


def restore(
    pixels: Pixels,
    mask: Mask,
    model: str | Path | Inpainter = DEFAULT,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    grain: str | float = "auto",
    seed: int = 0,
    in_place: bool = False,
    progress: Progress | None = None,
    notes: list[str] | None = None,
) -> Pixels:
    """Fill the damaged pixels of a photo; all others come back bit for bit.

    pixels: uint8 or uint16, (h, w) or (h, w, c) with c = 1 (grey), 2 (grey, alpha), 3 (RGB) or
    4 (RGB, alpha); alpha is passed through. mask: bool (h, w), True = damaged. tile, overlap:
    pixels, from the model's card by default. batch_size: tiles per call of the model.
    grain: "auto" gives filled pixels the grain of a grainy photo, "off" none, a number (0 to 4)
    that many times it; `seed` fixes it. in_place: `pixels` themselves are filled, where they can be
    written to: a large photo then takes no room twice. notes: what there is to say is appended to
    it, in one line each.
    Returns an array of the same shape and depth, a new one unless they are filled in place.

    Raises UsageError for shapes, depths or options that do not fit, PhotoError where every pixel
    is damaged, ModelError where the model or the device cannot be used.
    """
    strength = parse_strength(str(grain))
    _check_least(
        tile=(tile, 8), overlap=(overlap, 0), batch_size=(batch_size, 1), threads=(threads, 1),
        seed=(seed, 0),
    )  # fmt: skip
    check_pixels(pixels)
    if mask.dtype != np.bool_ or mask.shape != pixels.shape[:2]:
        raise UsageError(
            f"the mask must be bool {pixels.shape[:2]} as the photo, not {mask.dtype} {mask.shape}"
        )
    if not mask.any():
        return pixels if in_place else pixels.copy()
    if mask.all():
        raise PhotoError("every pixel is damaged: nothing is left to restore from")
    inpainter = (
        load_model(model, device=device, threads=threads)
        if isinstance(model, str | Path)
        else model
    )
    side, lap = tiles_of(inpainter.card, tile, overlap, batch_size)

    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    restored = pixels if in_place and pixels.flags.writeable else pixels.copy()
    planes = restored.reshape(*mask.shape, channels)
    colours = 3 if channels >= 3 else 1
    rgb = planes[..., :3] if colours == 3 else np.repeat(planes[..., :1], 3, 2)
    grey = colours == 1 or _is_grey(rgb, mask)
    filled = 0

    def fill_progress(done: int, total: int) -> None:
        nonlocal filled
        filled = total
        if progress:
            progress(done, total)

    def texture_progress(done: int, total: int) -> None:
        # Its tiles come on top of those that are filled by now.
        if progress:
            progress(filled + done, filled + total)

    fill(rgb, mask, inpainter, side, lap, batch_size, fill_progress)
    if inpainter.card.texture:
        add_texture(rgb, mask, seed, texture_progress)
    if grey:
        # A network may tint grey by a fraction; the mean of the channels is grey for certain.
        rgb[mask] = np.rint(rgb[mask].mean(1, keepdims=True, dtype=np.float32)).astype(rgb.dtype)
    if not add_grain(rgb, mask, strength, seed) and strength and notes is not None:
        notes.append(
            f"--grain {grain} changed nothing: no grain can be measured, or the fill has it already"
        )
    if colours == 1:
        planes[mask, 0] = rgb[mask, 0]
    return restored


def _check_least(**options: tuple[int | None, int]) -> None:
    """Raise UsageError where an option, given as (value, least), is less than it may be."""
    for name, (value, least) in options.items():
        if value is not None and not value >= least:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} {value}: must be at least {least}")


def tiles_of(
    card: Card, tile: int | None, overlap: int | None, batch_size: int | None
) -> tuple[int | None, int]:
    """(tile, overlap) in pixels to run a method with; tile None takes the photo whole.

    Raises UsageError where they do not fit each other or the method.
    """
    if card.tile is None:
        for option, value in (("tile", tile), ("overlap", overlap), ("batch-size", batch_size)):
            if value is not None:
                raise UsageError(f"--{option} {value}: {card.name} takes a photo whole: leave it")
        return None, 0
    if card.fixed and tile not in (None, card.tile):
        raise UsageError(f"--tile {tile}: {card.name} takes tiles of {card.tile} px only: leave it")
    side = card.tile if tile is None else tile
    if not card.fixed and (side < 8 or side % card.multiple):
        raise UsageError(
            f"--tile {side}: {card.name} takes tiles of at least 8 px in multiples of "
            f"{card.multiple} px"
        )
    # A larger tile keeps the overlap: what counts is how far a network looks.
    lap = min(card.overlap, side // 2) if overlap is None else overlap
    if not 0 <= lap < side:
        raise UsageError(f"--overlap {lap}: must be at least 0 and smaller than the tile, {side}")
    return side, lap


def _is_grey(rgb: Pixels, mask: Mask) -> bool:
    """True where every undamaged pixel of (h, w, 3) has equal channels."""
    for top in range(0, len(rgb), STRIP):
        known = rgb[top : top + STRIP][~mask[top : top + STRIP]]
        if (known != known[:, :1]).any():
            return False
    return True
