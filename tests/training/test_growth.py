"""How far found masks are best widened: the command measures it, and wrong calls are one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import detector_file, picture, save
from tests.training import run
from training import growth


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two pictures."""
    for name in ("a", "b"):
        save(tmp_path / "photos" / f"{name}.png", picture(150, 180, 3))
    return tmp_path / "photos"


def test_it_measures_every_growth(photos: Path, tmp_path: Path) -> None:
    detector = detector_file(tmp_path / "detector.onnx")
    result = run(growth.main, "--data", photos, "--detector", detector, "--model", "telea",
                 "--most", 2)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "2 photographs" in result.output
    scores = {}
    for line in result.output.splitlines():
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        if len(cells) == 2 and cells[1].replace(".", "").isdigit():
            scores[cells[0]] = float(cells[1])
    assert len(scores) == 7
    # A mask of all that is damaged leaves less of it than nothing at all does.
    assert scores["true mask, grown by 1 px"] > scores["damaged"]


def test_wrong_calls_are_one_line(photos: Path, tmp_path: Path) -> None:
    for arguments in (
        ("--data", tmp_path / "none"),
        ("--data", photos, "--detector", tmp_path / "none.onnx"),
        ("--data", photos, "--detector", detector_file(tmp_path / "d.onnx"), "--model", "none"),
    ):
        result = run(growth.main, *arguments)
        assert result.exit_code == 2
        assert len(result.output.strip().splitlines()) == 1
