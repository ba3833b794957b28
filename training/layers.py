"""Layers of damage to lay over photographs, for a detector to find: drawn once a run.

Not only what `inpaint damage --kind aged` draws: damage on other prints looks otherwise, and what
is only known from one generator is not found on them.

A layer is what all its artefacts together leave of a photo (opacity) and put in its place (colour,
premultiplied). To draw damage anew for each patch would take longer than to train on it; a few
hundred layers, cut anywhere, turned, mirrored and laid over any photo, repeat nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaintcli.aging import Artefact, artefacts, dark, draw_paths, paper
from inpaintcli.damage import Kind, draw_mask
from training import film
from training.config import ConfigError
from training.masks import SIDE

Floats = NDArray[np.float32]

#: Frames of the film whose artefacts no layer has: to measure with.
HELD_OUT_FRAMES = ("frame-5", "frame-6")
#: Share of the aged layers whose damage is as thin as on photos of 300 to 500 px.
SMALL = 0.4


@dataclass(frozen=True)
class Layer:
    """colour: uint8 (h, w, 3), premultiplied; opacity: uint8 (h, w, 1), 255 = nothing shows."""

    colour: NDArray[np.uint8]
    opacity: NDArray[np.uint8]

    def over(self, picture: Floats) -> Floats:
        """The layer over float (h, w, 3) in [0, 1]."""
        scale = np.float32(1 / 255)
        return np.asarray(picture * (1 - self.opacity * scale) + self.colour * scale)

    def turned(self, turns: int, mirrored: bool) -> Layer:
        """The same, turned by quarters, and mirrored."""
        planes = [np.rot90(plane, turns) for plane in (self.colour, self.opacity)]
        return Layer(*(plane[:, ::-1] if mirrored else plane for plane in planes))

    def greyed(self) -> Layer:
        """The same in shades of grey."""
        grey = self.colour.mean(2, keepdims=True).round().astype(np.uint8)
        return Layer(np.repeat(grey, 3, 2), self.opacity)


class Layers:
    """Layers of every kind that has a share."""

    def __init__(
        self, shares: dict[str, float], seed: int, artefacts: Path | None = None, *, count: int
    ):
        """`count` layers of each kind; `artefacts` is the tar of film artefacts."""
        self.kinds = [kind for kind, share in shares.items() if share]
        self.shares = np.array([shares[kind] for kind in self.kinds])
        self.shares /= self.shares.sum()
        rng = np.random.default_rng([seed, 5])
        draw: dict[str, Callable[[np.random.Generator], Layer]] = {
            "aged": aged, "folds": folds, "drawn": drawn, "curves": curves, "blots": blots,
        }  # fmt: skip
        if {"film", "frames"} & set(self.kinds) and artefacts is None:
            raise ConfigError("layers of kind film or frames: give the tar with --film")
        if artefacts and "film" in self.kinds:
            shapes = film.load_opacities(artefacts)
            draw["film"] = lambda rng: of_film(rng, shapes)
        if artefacts and "frames" in self.kinds:
            frames = film.load_frames(artefacts)
            known = [frames[name] for name in frames if name not in HELD_OUT_FRAMES]
            if not known:
                raise ConfigError(f"layers: {artefacts} holds no frames to train on")
            draw["frames"] = lambda rng: of_frame(rng, known)
        self.layers = {
            kind: [draw[kind](rng) for _ in range(count)] for kind in self.kinds if kind != "none"
        }

    def crop(
        self, side: int, rng: np.random.Generator, edges: tuple[int, int] = (0, 0)
    ) -> Layer | None:
        """A square of a layer of a random kind, turned or mirrored; None where nothing is.

        edges: down and across, -1 for a square at the layer's first edge, 1 at its last, 0 for one
        anywhere.
        """
        kind = self.kinds[int(rng.choice(len(self.kinds), p=self.shares))]
        if kind == "none":
            return None
        cut = Layer(np.empty(0, np.uint8), np.empty(0, np.uint8))
        for _ in range(6):
            layer = self.layers[kind][int(rng.integers(len(self.layers[kind])))]
            layer = layer.turned(int(rng.integers(4)), mirrored=rng.random() < 0.5)
            top, left = (place(edge, SIDE - side, rng) for edge in edges)
            window = np.s_[top : top + side, left : left + side]
            cut = Layer(layer.colour[window], layer.opacity[window])
            # A square with next to no damage teaches little; some are to.
            if cut.opacity.mean() > 0.4:
                break
        return cut


def place(edge: int, room: int, rng: np.random.Generator) -> int:
    """Where to cut along an axis, 0 to `room`: at the first edge (-1), the last (1), anywhere."""
    return (0, int(rng.integers(room + 1)), room)[edge + 1]


class _Sheet:
    """A layer while it is drawn."""

    def __init__(self) -> None:
        self.colour = np.zeros((SIDE, SIDE, 3), np.float32)
        self.left = np.ones((SIDE, SIDE, 1), np.float32)

    def add(self, artefact: Artefact) -> None:
        """Lay one more artefact over the others."""
        inside = artefact.inside(SIDE, SIDE)
        if inside:
            where, opacity, colour = inside
            self.colour[where] = self.colour[where] * (1 - opacity) + colour * opacity
            self.left[where] *= 1 - opacity

    def done(self) -> Layer:
        """The layer."""
        colour = np.rint(np.clip(self.colour, 0, 1) * 255).astype(np.uint8)
        return Layer(colour, np.rint((1 - self.left) * 255).astype(np.uint8))


def aged(rng: np.random.Generator) -> Layer:
    """Damage as `inpaint damage --kind aged` draws it, at the sizes of small and of large scans."""
    return _aged(rng, float(rng.choice([0.5, 1, 2, 3])))


def folds(rng: np.random.Generator) -> Layer:
    """Folds alone: among other damage they are rare, and hard to tell from edges of things."""
    return _aged(rng, 5.0, ("fold",))


def _aged(rng: np.random.Generator, amount: float, kinds: Collection[str] | None = None) -> Layer:
    sheet = _Sheet()
    # As on small photos, where nearly all is thin; the others as on any.
    most = 0.8 if rng.random() < SMALL else 2.5
    scale = math.exp(rng.uniform(math.log(0.45), math.log(most)))
    for artefact in artefacts((SIDE, SIDE), rng, amount, kinds, scale):
        sheet.add(artefact)
    return sheet.done()


def of_film(rng: np.random.Generator, shapes: list[film.Shape]) -> Layer:
    """Real artefacts, anywhere, at any angle, all bright or all dark or both."""
    sheet = _Sheet()
    bright = float(rng.choice([0, 0.5, 1], p=(0.4, 0.2, 0.4)))
    size = math.exp(rng.uniform(math.log(0.12), math.log(0.7)))
    for _ in range(int(rng.integers(6, 60))):
        shape = shapes[int(rng.integers(len(shapes)))]
        scale = min(1.0, size * math.exp(rng.normal(0, 0.3)))
        opacity = film.turned(shape, scale, float(rng.uniform(0, 360)))
        colour = paper(rng) if rng.random() < bright else dark(rng)
        top, left = rng.integers(-len(opacity) + 1, SIDE, 2).tolist()
        sheet.add(Artefact(top, left, opacity * np.float32(rng.uniform(0.35, 1)), colour))
        if sheet.left.mean() < 0.93:
            break
    return sheet.done()


def of_frame(rng: np.random.Generator, frames: list[list[film.Outline]]) -> Layer:
    """A part of a real frame: its dust and hairs where they lay, of one colour each."""
    sheet = _Sheet()
    outlines = frames[int(rng.integers(len(frames)))]
    scale = math.exp(rng.uniform(math.log(0.25), math.log(1.1)))
    corner = np.concatenate([outline.points for outline in outlines]).max(0)
    origin = (
        float(rng.uniform(0, max(1, corner[0] - SIDE / scale))),
        float(rng.uniform(0, max(1, corner[1] - SIDE / scale))),
    )
    cover = film.draw_frame(outlines, (SIDE, SIDE), origin, scale)
    softness = float(rng.uniform(0, 0.8))
    if softness > 0.2:
        cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), softness), np.float32)
    # Dust is thicker here and thinner there.
    wear = cv2.resize(rng.uniform(0.4, 1.2, (24, 24)).astype(np.float32), (SIDE, SIDE))
    strength = np.clip(np.asarray(wear, np.float32), 0, 1) * np.float32(rng.uniform(0.6, 1))
    colour = paper(rng) if rng.random() < 0.55 else dark(rng)
    sheet.add(Artefact(0, 0, np.asarray(cover * strength, np.float32), colour))
    return sheet.done()


def drawn(rng: np.random.Generator) -> Layer:
    """Lines and scratches of `inpaint damage`, of any colours, hard or soft.

    No strokes and holes: a plain blot is nothing that a network could tell from a white collar.
    """
    sheet = _Sheet()
    for _ in range(int(rng.integers(1, 4))):
        kind: Kind = "lines" if rng.random() < 0.4 else "scratches"
        thickness = (1, int(rng.integers(2, 10)))
        coverage = float(rng.uniform(0.01, 0.05))
        mask = draw_mask((SIDE, SIDE), rng, kind, coverage=coverage, thickness=thickness)
        opacity = mask.astype(np.float32)
        # Half of them as hard as they are drawn.
        softness = float(rng.uniform(-1, 1.6))
        if softness > 0.3:
            opacity = np.asarray(cv2.GaussianBlur(opacity, (0, 0), softness), np.float32)
        choice = rng.random()
        colour = paper(rng) if choice < 0.5 else dark(rng) if choice < 0.8 else rng.random(3)
        strength = np.float32(rng.uniform(0.3, 1))
        sheet.add(Artefact(0, 0, opacity * strength, np.asarray(colour, np.float32)))
    return sheet.done()


def curves(rng: np.random.Generator) -> Layer:
    """Plain curved scratches: even or tapering, hard or soft, from hair-thin to 5 px wide, a few or
    many, all of one colour or each of its own."""
    sheet = _Sheet()
    shared = _ink(rng) if rng.random() < 0.6 else None
    hard = rng.random() < 0.5
    for _ in range(int(math.exp(rng.uniform(0, math.log(40))))):
        # A cubic Bézier curve, of any size.
        corners = rng.uniform(0, SIDE, (1, 2)) + rng.normal(0, 1, (4, 2)) * rng.uniform(10, 250)
        t = np.linspace(0, 1, 64)[:, None]
        weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3])
        width = math.exp(rng.uniform(math.log(0.5), math.log(5)))
        taper = np.sin(np.linspace(0.1, math.pi - 0.1, 64)) if rng.random() < 0.4 else np.ones(64)
        softness = 0.0 if hard else float(rng.uniform(0.3, 1.2))
        curve = draw_paths([(weights @ corners, width * taper)], (SIDE, SIDE), softness)
        if curve:
            top, left, opacity = curve
            colour = _ink(rng) if shared is None else shared
            sheet.add(Artefact(top, left, opacity * np.float32(rng.uniform(0.35, 1)), colour))
    return sheet.done()


def blots(rng: np.random.Generator) -> Layer:
    """Irregular areas where mould, water or glue took the picture away, or left their own."""
    sheet = _Sheet()
    for _ in range(int(rng.integers(1, 4))):
        height = np.zeros((SIDE, SIDE), np.float32)
        size = math.exp(rng.uniform(math.log(15), math.log(160)))
        for octave in range(4):
            cells = max(2, round(SIDE / size * 2**octave))
            noise = rng.standard_normal((cells, cells), np.float32) / np.float32(2**octave)
            height += cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        level = np.quantile(height, rng.uniform(0.88, 0.985))
        # So steep that an edge is one to a few pixels wide.
        steep = size / math.exp(rng.uniform(0, math.log(8)))
        cover = np.clip((height - level) * np.float32(steep) + 0.5, 0, 1)
        colour = np.broadcast_to(_ink(rng), (SIDE, SIDE, 3))
        grain = rng.standard_normal((SIDE, SIDE, 1), np.float32) * np.float32(rng.uniform(0, 0.05))
        strength = np.float32(rng.uniform(0.3, 1))
        sheet.add(Artefact(0, 0, cover * strength, np.clip(colour + grain, 0, 1)))
    return sheet.done()


def _ink(rng: np.random.Generator) -> Floats:
    """Paper, dirt, or any colour."""
    choice = rng.random()
    if choice < 0.85:
        return paper(rng) if choice < 0.5 else dark(rng)
    return np.asarray(rng.random(3), np.float32)
