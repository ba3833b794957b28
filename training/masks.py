"""Masks for training on photographs: cut out of large sheets of damage, drawn once a run.

To draw damage anew for each crop would take as long as to train on it. A few hundred sheets, cut
anywhere, turned and mirrored, repeat nothing that a network could learn by heart.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inpaintcli.damage import DRAWN, draw_mask
from training import film
from training.config import ConfigError, Damage

Sheet = NDArray[np.uint8]

SIDE = 512
#: Shares of a sheet that are damaged, by kind. More than `inpaint damage` draws: every damaged
#: pixel is one to learn from.
COVERAGE = {
    "lines": (0.05, 0.2),
    "scratches": (0.05, 0.2),
    "strokes": (0.12, 0.35),
    "text": (0.05, 0.2),
    "holes": (0.08, 0.25),
    "film": (0.04, 0.15),
}
#: Crops with less damage than this share teach too little to be worth a forward pass.
LEAST = 0.02


class Sheets:
    """Sheets of every kind of damage that `damage.kinds` gives a share."""

    def __init__(self, damage: Damage, seed: int, artefacts: Path | None = None, count: int = 64):
        """`count` sheets of each kind; `artefacts` is the tar of film artefacts, for "film"."""
        self.kinds = [kind for kind, share in damage.kinds.items() if share]
        self.shares = np.array([damage.kinds[kind] for kind in self.kinds])
        self.shares /= self.shares.sum()
        if "film" in self.kinds and artefacts is None:
            raise ConfigError("damage of kind film: give the tar of artefacts with --film")
        shapes = film.load(artefacts) if artefacts and "film" in self.kinds else []
        rng = np.random.default_rng([seed, 3])
        self.sheets = {
            kind: [
                _draw(kind, rng, shapes, damage.coverage.get(kind, COVERAGE[kind]))
                for _ in range(count)
            ]
            for kind in self.kinds
        }

    def crop(self, side: int, rng: np.random.Generator) -> Sheet:
        """uint8 (side, side), 1 = damaged, of a random kind; turned or mirrored at random."""
        kind = self.kinds[int(rng.choice(len(self.kinds), p=self.shares))]
        cut = np.zeros((side, side), np.uint8)
        for _ in range(20):
            sheet = self.sheets[kind][int(rng.integers(len(self.sheets[kind])))]
            top, left = rng.integers(0, SIDE - side + 1, 2).tolist()
            cut = sheet[top : top + side, left : left + side]
            if LEAST <= cut.mean() < 0.7:
                break
        cut = np.rot90(cut, int(rng.integers(4)))
        return cut[:, ::-1] if rng.random() < 0.5 else cut


def _draw(
    kind: str, rng: np.random.Generator, shapes: list[Sheet], coverage: tuple[float, float]
) -> Sheet:
    share = float(rng.uniform(*coverage))
    if kind == "film":
        sheet = np.zeros((SIDE, SIDE), np.uint8)
        film.sprinkle(sheet, shapes, rng, share)
        return sheet
    known = next(name for name in DRAWN if name == kind)
    thickness = (1, 4) if kind == "lines" else None
    return draw_mask((SIDE, SIDE), rng, known, coverage=share, thickness=thickness).astype(np.uint8)
