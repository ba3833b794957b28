"""Tests of training: skipped as a whole where PyTorch or ONNX is not installed."""

from __future__ import annotations

import io
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

Picture = NDArray[np.uint8]


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
