"""Tests of training: skipped as a whole where PyTorch or ONNX is not installed."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

for package in ("torch", "onnx", "skimage"):
    pytest.importorskip(
        package, reason=f"training needs {package}: pip install 'inpaintcli[train]'"
    )

import torch  # noqa: E402

from training.checkpoint import Checkpoint  # noqa: E402

Picture = NDArray[np.uint8]
Words = tuple[object, ...]
Outlines = list[list[tuple[int, int]]]


def run(main: Callable[..., Any], *words: object) -> Result:
    """Call a command line of training in this process."""
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, [str(word) for word in words])


def one_line_error(result: Result) -> str:
    """The one line that a wrong call told; fails where it told more or went on."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def synthetic(count: int, side: int = 32, seed: int = 0) -> list[Picture]:
    """Smooth coloured pictures with an edge, uint8 (side, side, 3)."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        coarse = rng.integers(0, 256, (4, 4, 3), np.uint8)
        picture = np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC))
        darker = np.arange(side)[None, :, None] >= rng.integers(side)
        pictures.append(np.where(darker, picture // 2, picture).astype(np.uint8))
    return pictures


def encoded(picture: Picture) -> bytes:
    """The picture as the bytes of a PNG file."""
    return bytes(cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1])


def class_folders(root: Path, pictures: list[Picture], split: str = "") -> Path:
    """Write the pictures as `root/[split/]CLASS/NNNN.png`, half of them in each of two classes."""
    for index, picture in enumerate(pictures):
        folder = root / split / ("cat" if index < len(pictures) / 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index:04d}.png").write_bytes(encoded(picture))
    return root


def tar_of(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    """Write a tar archive of named bytes; mode "w", "w:gz" or "w:xz"."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def film_tar(path: Path, count: int = 3, frames: dict[str, Outlines] | None = None) -> Path:
    """A tar of artefacts as FilmDamageSimulator's: dark discs on nothing, with a soft rim.

    frames: the polygons of its frames, each a list of x and y.
    """
    files = {}
    for index in range(count):
        artefact = np.zeros((40, 40, 4), np.uint8)
        disc = cv2.circle(np.zeros((40, 40), np.uint8), (20, 20), 8 + 3 * index, (255,), -1)
        artefact[..., 3] = cv2.GaussianBlur(disc, (5, 5), 1)
        files[f"film-damage/dots/{index}.png"] = bytes(cv2.imencode(".png", artefact)[1])
    outlines = {
        name: [{"label": "Dust", "points": points} for points in polygons]
        for name, polygons in (frames or {}).items()
    }
    return tar_of(path, {"film-damage/polygons.json": json.dumps(outlines).encode(), **files})


def randomised(network: torch.nn.Module, seed: int = 7) -> torch.nn.Module:
    """The network with random weights in place of those that begin as nothing."""
    torch.manual_seed(seed)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0, 0.8 / parameter[0].numel() ** 0.5)
        else:
            torch.nn.init.normal_(parameter, 0, 0.05)
    return network


def same(a: Any, b: Any) -> bool:
    """Equal bit for bit, through dicts and lists."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def same_run(a: Path, b: Path) -> bool:
    """True if two checkpoints hold the same state, save for the time that it took."""
    first, second = Checkpoint.load(a), Checkpoint.load(b)
    return all(
        same(getattr(first, name), getattr(second, name))
        for name in ("step", "weights", "averaged", "optimizer", "seed", "config", "origin")
    )
