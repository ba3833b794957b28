"""Checkpoints: everything that a run needs to go on exactly, or to be exported."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inpaintcli.files import write_whole
from training.config import Config

FORMAT = 1


class CheckpointError(Exception):
    """A checkpoint cannot be read or belongs to another run; the text says which."""


@dataclass
class Checkpoint:
    """The state of a run after `step` optimiser steps."""

    name: str
    config: Config
    seed: int
    origin: str
    #: The command that started the run, as a person would type it.
    command: str
    #: Where the weights that the run began with were trained; empty where it began with none.
    begun: str = ""
    step: int = 0
    seconds: float = 0.0
    best: float = float("-inf")
    #: The smoothed loss, and how many pictures the run is trained on.
    running: float = 0.0
    pictures: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)
    averaged: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    #: One row for each validation: step, epoch, loss, hole PSNR, seconds.
    history: list[dict[str, float]] = field(default_factory=list)
    #: The same of the runs that it began with, each row with the number of its run.
    past: list[dict[str, float]] = field(default_factory=list)

    @property
    def trained_on(self) -> str:
        """Where all pictures that the weights have seen came from."""
        if self.begun in ("", self.origin):
            return self.origin
        return f"{self.begun}, then {self.origin}"

    @property
    def log(self) -> list[dict[str, float]]:
        """All rows of this run and of those that it began with; numbered if there are several."""
        if not self.past:
            return self.history
        run = max(row["run"] for row in self.past) + 1
        return [*self.past, *({"run": run, **row} for row in self.history)]

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        values = {**self.__dict__, "config": self.config.to_dict(), "format": FORMAT}
        data = io.BytesIO()
        torch.save(values, data)
        write_whole(path, data.getvalue())

    @staticmethod
    def load(path: Path) -> Checkpoint:
        """Raises CheckpointError with one line that names the file."""
        try:
            values = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise CheckpointError(f"{path}: no such checkpoint") from None
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise CheckpointError(f"{path}: not a readable checkpoint ({reason})") from None
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise CheckpointError(f"{path}: not a checkpoint of this version of training")
        return Checkpoint(**{**values, "config": Config.from_dict(values["config"])})
