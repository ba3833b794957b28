"""The programs that ship are those that are written here, and compute what they say."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from inpaintcli.resident import PROGRAMS
from tests.training import run
from training import export, programs


def test_what_ships_is_what_is_written(tmp_path: Path) -> None:
    result = run(programs.main, "--out", tmp_path / "new")
    assert result.exit_code == 0, result.output
    written = {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    shipped = {path.name: path.read_bytes() for path in PROGRAMS.iterdir()}
    assert set(written) == set(shipped)
    changed = {name for name in written if written[name] != shipped[name]}
    assert not changed, "run python -m training.programs"


def test_they_are_among_what_is_packaged() -> None:
    root = PROGRAMS.parent.parent
    table = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = table["tool"]["setuptools"]["package-data"]["inpaintcli"]
    packaged = {path for pattern in patterns for path in PROGRAMS.parent.glob(pattern)}
    assert packaged >= set(PROGRAMS.iterdir())


def test_the_oldest_onnx_runtime_takes_them() -> None:
    for model in programs.programs().values():
        assert model.ir_version == export.IR_VERSION
        assert [(one.domain, one.version) for one in model.opset_import] == [("", export.OPSET)]


@pytest.mark.parametrize(("name", "kind"), [("cut-8", np.uint8), ("cut-16", np.uint16)])
def test_cut(name: str, kind: type[np.uint8]) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, np.iinfo(kind).max, (7, 9, 2), kind, endpoint=True)
    rows, columns = rng.integers(0, 7, (3, 4)), rng.integers(0, 9, (3, 5))
    session = onnxruntime.InferenceSession(PROGRAMS / f"{name}.onnx")
    (tiles,) = session.run(
        None,
        {"pixels": pixels.reshape(63, 2), "rows": rows * 9, "columns": columns,
         "scale": np.asarray(0.5, np.float32)},
    )  # fmt: skip
    assert tiles.dtype == np.float32
    assert tiles.shape == (3, 2, 4, 5)
    for n, c, y, x in np.ndindex(tiles.shape):
        assert tiles[n, c, y, x] == pixels[rows[n, y], columns[n, x], c] / 2


@pytest.mark.parametrize("across", [True, False])
def test_blend(across: bool) -> None:
    """Of pixels one by one, and of whole rows; against a loop."""
    rng = np.random.default_rng(1)
    # Tiles of 4x5 px and 2 channels in 7 slots; a grid of 2x3 tiles, of which at most 2x2 and 1x3
    # lie over a pixel of a photo of 6x8.
    tiles = rng.normal(0.5, 0.5, (7, 2, 4, 5)).astype(np.float32)
    slots = rng.permutation(7)[:6]
    sides = {"down": (6, 2, 2, 4), "across": (8, 3, 3, 5)}
    numbers, places, shares = {}, {}, {}
    for axis, (length, most, count, tile) in sides.items():
        numbers[axis] = rng.integers(0, count, (length, most))
        places[axis] = rng.integers(0, tile, (length, most))
        shares[axis] = rng.random((length, most), np.float32)
    y = np.array([[1], [5], [0]])
    x = np.arange(8)[None] if across else np.array([[7], [0], [3]])
    session = onnxruntime.InferenceSession(PROGRAMS / "blend.onnx")
    (blended,) = session.run(
        None,
        {
            "y": y, "x": x, "slots": slots * 40, "planes": np.array([0, 20])[:, None, None],
            "tiles": tiles.ravel(), "down_tiles": numbers["down"] * 3,
            "across_tiles": numbers["across"], "down_places": places["down"] * 5,
            "across_places": places["across"], "down_shares": shares["down"],
            "across_shares": shares["across"],
        },
    )  # fmt: skip
    assert blended.shape == (3, 8 if across else 1, 2)
    rows, columns = np.broadcast_arrays(y, x)
    for row, column, c in np.ndindex(blended.shape):
        i, j = rows[row, column], columns[row, column]
        expected = 0.0
        for k, n in np.ndindex(2, 3):
            tile = tiles[slots[numbers["down"][i, k] * 3 + numbers["across"][j, n]]]
            value = tile[c, places["down"][i, k], places["across"][j, n]]
            expected += min(max(value, 0), 1) * shares["down"][i, k] * shares["across"][j, n]
        assert blended[row, column, c] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_stays_none(value: float) -> None:
    nothing = np.zeros((1, 1), np.int64)
    one = np.ones((1, 1), np.float32)
    names = ("y", "x", "down_tiles", "across_tiles", "down_places", "across_places")
    feeds = {
        **dict.fromkeys(names, nothing), "down_shares": one, "across_shares": one,
        "slots": nothing[0], "planes": nothing[:, :, None],
        "tiles": np.full(1, value, np.float32),
    }  # fmt: skip
    (blended,) = onnxruntime.InferenceSession(PROGRAMS / "blend.onnx").run(None, feeds)
    assert not np.isfinite(blended).any()


def test_they_hold_no_weights() -> None:
    for path in PROGRAMS.iterdir():
        for tensor in onnx.load(path).graph.initializer:
            assert onnx.numpy_helper.to_array(tensor).size <= 2
