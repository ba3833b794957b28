"""Tiles of a photo that are cut, run and blended in the memory of the GPU.

The photo goes up once, and down come the pixels that are wanted, instead of every tile in floats
both ways. Small programs in ONNX cut and blend (`training.programs`), as `inpaintcli.tiling` does
on the CPU. Tiles wait in a ring of slots until all that lie over a pixel are done, so a photo of
any size takes no more memory than that beside its own pixels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inpaintcli import tiling
from inpaintcli.arrays import Floats, Mask, Pixels
from inpaintcli.errors import GpuMemoryError, ModelError
from inpaintcli.runtime import Held, Session
from inpaintcli.tiling import Grid, Row

PROGRAMS = Path(__file__).parent / "programs"
#: Tiles of about this many pixels are run in one call: each has a price of its own.
BATCH_PIXELS = 1_048_576
#: The slots have room for tiles of about this many pixels.
SLOT_PIXELS = 16 * BATCH_PIXELS
#: So many values, one for each tile over a pixel, are blended in one call; for each of them the GPU
#: holds about a hundred bytes.
BLEND_VALUES = 1_048_576
#: How far a picture may come out from what the session gives tile by tile, of intensities in
#: [0, 1]: for another size of batch cuDNN may compute the same in another way, in float16.
TOLERANCE = 0.02

#: What picks pixels of a (h, w) array: their rows and columns, or rows that are wanted whole.
Places = tuple[NDArray[np.intp], NDArray[np.intp]] | slice


class Resident:
    """The tiles of one network, on its device."""

    def __init__(self, session: Session):
        """Take over an open session of a network that takes batches of float tiles.

        Raises ModelError where the programs do not run on its device.
        """
        self.session = session
        device = f"{session.device}:{session.number}" if session.device == "cuda" else "cpu"
        self._cut = {
            np.dtype(np.uint8): _program("cut-8", device, session.threads),
            np.dtype(np.uint16): _program("cut-16", device, session.threads),
        }
        self._blend = _program("blend", device, session.threads)
        #: Tiles of so many pixels have turned out to be too many at once.
        self._too_many: float = np.inf
        #: Memory for tiles, kept from photo to photo: what ONNX Runtime has taken of a GPU it does
        #: not give back, and for another size it would take more.
        self._rooms: dict[str, Held] = {}

    def run(
        self,
        inputs: Mapping[str, Pixels | Mask],
        rows: Sequence[Row],
        grid: Grid,
        *,
        channels: int,
        wanted: Mask | None = None,
        batch: int | None = None,
        done: Callable[[int], object] = lambda tiles: None,
    ) -> Iterator[tuple[Places, Floats]]:
        """What the network makes of a photo: places, and what is there, (n, channels) or, of whole
        rows, (rows, width, channels).

        inputs: by the names of the network's, (h, w[, c]) arrays, cut to tiles as `tiling.cut` has
        it. rows, grid: which tiles. channels: of what it returns. wanted: the (h, w) pixels that
        are, within the plan's damage; all by default. batch: tiles a call. done: told after each
        call how many tiles it was. What it makes is clipped to [0, 1]. Raises GpuMemoryError where
        not even single tiles fit, ModelError where the network fails or returns what are no
        numbers.
        """
        height, width = next(iter(inputs.values())).shape[:2]
        tops = np.repeat([row.top for row in rows], [len(row.lefts) for row in rows])
        lefts = np.concatenate([row.lefts for row in rows])
        area = grid.height * grid.width
        fit = max(1, self._too_many / 2 / area)
        most = int(min(batch or max(1, BATCH_PIXELS // area), fit))
        # All calls take as many, for cuDNN plans every convolution anew for another number.
        calls = -(-len(tops) // most)
        batch = -(-len(tops) // calls)
        down = tiling.axis(height, grid.height, grid.overlap, grid.margin)
        across = tiling.axis(width, grid.width, grid.overlap, grid.margin)
        # Those that lie over one row of pixels, and those that are under way.
        least = down.tiles.shape[1] * max(len(row.lefts) for row in rows) + batch
        capacity = min(calls * batch, max(least, SLOT_PIXELS // area))

        photo = {name: _Plane(self.session, values) for name, values in inputs.items()}
        tiles = {
            name: self._room(name, (batch, plane.channels, grid.height, grid.width))
            for name, plane in photo.items()
        }
        # A call that reaches beyond the last slot writes what is over behind it.
        slots = self._room("", (capacity + batch, channels, grid.height, grid.width))
        blended = _Blended(
            self._blend, slots, (down, across),
            _numbers((height, width), grid, tops, lefts, capacity), wanted, (height, width),
            self.session.path,
        )  # fmt: skip

        start = oldest = 0
        while start < len(tops):
            slot = start % capacity
            new = min(batch, len(tops) - start, capacity - slot)
            if start + batch - oldest > capacity:
                # No tile from here on reaches above its top.
                yield from blended.until(int(tops[start]))
                oldest = int(np.argmax(tops + grid.height > tops[start]))
            numbers = np.minimum(np.arange(start, start + batch), len(tops) - 1)
            try:
                for name, plane in photo.items():
                    plane.cut(
                        self._cut[plane.held.dtype], tops[numbers], lefts[numbers], grid,
                        tiles[name].part(0, batch),
                    )  # fmt: skip
                self.session.run_held(
                    {name: held.part(0, batch) for name, held in tiles.items()},
                    {self.session.outputs[0].name: slots.part(slot, batch)},
                )
            except GpuMemoryError:
                if batch == 1:
                    raise
                self._too_many = batch * area
                batch = -(-batch // 2)
                continue
            done(new)
            start += new
        yield from blended.until(height)

    def _room(self, name: str, shape: tuple[int, ...]) -> Held:
        """Memory of that name, of the shape or, in memory that was larger, more."""
        number = math.prod(shape)
        room = self._rooms.pop(name, None)
        if room is None or room.shape[0] < number:
            del room
            room = self.session.room((number,), np.float32)
        self._rooms[name] = room
        return room.part(0, number).reshaped(*shape)


@functools.cache
def _program(name: str, device: str, threads: int | None) -> Session:
    """A program on a device, once for all networks: a session takes memory of a GPU."""
    return Session(PROGRAMS / f"{name}.onnx", device, threads)


class _Plane:
    """One input of the network: an array of the photo's size on the device."""

    def __init__(self, session: Session, values: Pixels | Mask):
        self.height, self.width = values.shape[:2]
        kind: np.dtype[Any] = values.dtype
        is_mask = kind == np.bool_
        self.scale = np.float32(1 if is_mask else 1 / np.iinfo(kind).max)
        places = values.reshape(self.height * self.width, -1)
        self.channels = places.shape[1]
        self.held = session.hold(places.view(np.uint8) if is_mask else places)

    def cut(
        self,
        program: Session,
        tops: NDArray[np.int64],
        lefts: NDArray[np.int64],
        grid: Grid,
        out: Held,
    ) -> None:
        """Cut the tiles that begin at `tops` and `lefts` out of it."""
        feeds = {
            "pixels": self.held,
            "rows": tiling.mirrored(tops, grid.height, self.height) * self.width,
            "columns": tiling.mirrored(lefts, grid.width, self.width),
            "scale": np.asarray(self.scale),
        }
        program.run_held(feeds, {"tiles": out})


class _Blended:
    """The pixels in which tiles meet, from top to bottom."""

    def __init__(
        self,
        program: Session,
        slots: Held,
        axes: tuple[tiling.Axis, tiling.Axis],
        numbers: NDArray[np.int64],
        wanted: Mask | None,
        shape: tuple[int, int],
        path: Path,
    ):
        """numbers: (down, across), the slot of each tile of the grid. shape: of the photo. path:
        of the network, for errors."""
        self.program = program
        self.path = path
        self.wanted = wanted
        self.height, self.width = shape
        self._top = 0
        _, self.channels, height, width = slots.shape
        area = height * width
        down, across = axes
        constant: dict[str, NDArray[Any]] = {
            "down_tiles": down.tiles * numbers.shape[1], "across_tiles": across.tiles,
            "down_places": down.places * width, "across_places": across.places,
            "down_shares": down.shares, "across_shares": across.shares,
            "slots": numbers.ravel() * (self.channels * area),
            "planes": (np.arange(self.channels) * area)[:, None, None],
        }  # fmt: skip
        self._inputs: dict[str, Held | NDArray[Any]] = {
            name: program.hold(values) for name, values in constant.items()
        }
        self._inputs["tiles"] = slots.reshaped(slots.shape[0] * self.channels * area)
        #: So many pixels are blended in one call.
        self._most = max(1, BLEND_VALUES // (down.tiles.shape[1] * across.tiles.shape[1]))

    def until(self, bottom: int) -> Iterator[tuple[Places, Floats]]:
        """All that is wanted from where the last call ended down to a row of the photo."""
        top, self._top = self._top, max(self._top, bottom)
        if top == self._top:
            return
        if self.wanted is None:
            y = np.arange(top, bottom)[:, None]
            x = np.arange(self.width)[None]
            yield slice(top, bottom), self._blend(y, x)
        else:
            places = np.nonzero(self.wanted[top:bottom])
            y, x = places[0] + top, places[1]
            if len(y):
                yield (y, x), self._blend(y[:, None], x[:, None])[:, 0]

    def _blend(self, y: NDArray[np.intp], x: NDArray[np.intp]) -> Floats:
        """The pixels at (n, 1) rows and at (n, 1) or (1, width) columns."""
        out = self.program.room((len(y), x.shape[1], self.channels), np.float32)
        start = 0
        while start < len(y):
            rows = min(max(1, self._most // x.shape[1]), len(y) - start)
            there = np.s_[start : start + rows]
            try:
                self.program.run_held(
                    {**self._inputs, "y": y[there], "x": x if len(x) == 1 else x[there]},
                    {"blended": out.part(start, rows)},
                )
            except GpuMemoryError:
                if rows == 1:
                    raise
                self._most = rows * x.shape[1] // 2
                continue
            start += rows
        values: Floats = out.numpy()
        if not np.isfinite(values).all():
            raise ModelError(f"{self.path}: the model returned values that are not numbers")
        return values


def _numbers(
    shape: tuple[int, int],
    grid: Grid,
    tops: NDArray[np.int64],
    lefts: NDArray[np.int64],
    capacity: int,
) -> NDArray[np.int64]:
    """(down, across): the slot of each tile of the grid; of those that are not run, any."""
    down = tiling.starts(shape[0], grid.height, grid.overlap, grid.margin)
    across = tiling.starts(shape[1], grid.width, grid.overlap, grid.margin)
    numbers = np.zeros((len(down), len(across)), np.int64)
    numbers[np.searchsorted(down, tops), np.searchsorted(across, lefts)] = (
        np.arange(len(tops)) % capacity
    )
    return numbers


def resident(
    session: Session, channels: Mapping[str, int], returned: int, side: int
) -> Resident | None:
    """The tiles of a network on its GPU; None on a CPU, and where they do not come out as the
    session gives them by itself.

    channels: of its inputs, by name. returned: channels of its output. side: of tiles to try, in
    pixels, at least 16.
    """
    if session.device != "cuda":
        return None
    try:
        tiles = Resident(session)
        works = all(_works(tiles, channels, returned, side, kind) for kind in (np.uint8, np.uint16))
    except ModelError:
        return None
    return tiles if works else None


def _works(
    tiles: Resident,
    channels: Mapping[str, int],
    returned: int,
    side: int,
    kind: type[np.uint8 | np.uint16],
) -> bool:
    """Whether four tiles that overlap come out as one by one and blended by NumPy."""
    grid = Grid(side, side, 8)
    shape = (2 * side - 8, 2 * side - 8)
    rows = tiling.plan(np.broadcast_to(True, shape), grid)
    generator = np.random.default_rng(0)
    inputs = {
        name: generator.integers(0, np.iinfo(kind).max, (*shape, number), kind, endpoint=True)
        for name, number in channels.items()
    }
    blend = tiling.Blend(shape, grid, returned)
    expected = []
    for row in rows:
        blend.start(row)
        for left in row.lefts:
            one = (left,)
            cut = {name: tiling.cut(v, row.top, one, grid) for name, v in inputs.items()}
            restored = tiles.session.run(cut)[0]
            if restored.shape != (1, returned, side, side):
                return False
            blend.add(one, np.clip(restored, 0, 1))
        expected.append(blend.finish(row)[1].copy())
    found = [values for _, values in tiles.run(inputs, rows, grid, channels=returned)]
    change = np.abs(np.concatenate(found) - np.concatenate(expected))
    return bool(change.max() <= TOLERANCE)
