"""The script that measures speed: wrong calls are one line, 16 bit count as 8."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed import _eight_bit
from tests.helpers import picture, save

ROOT = Path(__file__).parent.parent


def speed(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the script as a process of its own."""
    return subprocess.run(
        [sys.executable, ROOT / "benchmarks/speed.py", *map(str, arguments), "--threads", "1"],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_it_measures(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", picture(60, 80, 2, np.uint16))
    options = ("--methods", "partial-conv,navier-stokes", "--tile", "32,64", "--runs", 1)
    done = speed(photo, *options)
    assert done.returncode == 0, done.stderr
    for name in ("telea", "partial-conv 32", "partial-conv 64", "navier-stokes"):
        assert name in done.stdout


@pytest.mark.parametrize(
    "option", [("--tile", "20"), ("--tile", "x"), ("--tile", "0"), ("--coverage", "2"),
               ("--methods", "nix")],
)  # fmt: skip
def test_wrong_calls_are_refused_in_one_line(tmp_path: Path, option: tuple[str, str]) -> None:
    done = speed(save(tmp_path / "a.png", picture()), "--methods", "partial-conv", *option)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert option[1] in done.stderr


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_are_scaled_to_8(channels: int) -> None:
    few = picture(channels=channels)
    many = few.astype(np.uint16) * np.uint16(257) + np.uint16(100)
    colours = 3 if channels >= 3 else 1
    for given in (few, np.minimum(many, few * np.uint16(257) + np.uint16(100))):
        assert (_eight_bit(given) == few[..., :colours]).all()
    assert (_eight_bit(few[..., 0]) == few[..., :1]).all()
