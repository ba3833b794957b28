"""What a network is trained to do, as `training.train` sees it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn


class Task(Protocol):
    """Losses to learn from, and scores to judge by."""

    #: The name of the score that decides which checkpoint is the best; higher is better.
    score: str
    #: Its unit, as printed.
    unit: str

    def loss(
        self, network: nn.Module, chosen: NDArray[np.int64], rng: np.random.Generator
    ) -> Tensor:
        """The loss of one step on the training pictures of the `chosen` numbers.

        All that is random comes from `rng`.
        """
        ...

    def scores(self, network: nn.Module) -> dict[str, float]:
        """Scores on held-out pictures, `score` first."""
        ...
