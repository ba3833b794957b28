"""The page of cards tells what is in the model files."""

from __future__ import annotations

from inpaintcli.inpainters.registry import WEIGHTS
from training import cards


def test_the_page_that_ships_is_of_the_files_that_ship() -> None:
    shown = (WEIGHTS / "README.md").read_text(encoding="utf-8")
    assert shown == cards.text(), "run python -m training.cards"
    files = sorted(path.name for path in WEIGHTS.glob("*.onnx"))
    assert sorted(shown.split("\n## ")[i].split()[0] for i in range(1, len(files) + 1)) == files
