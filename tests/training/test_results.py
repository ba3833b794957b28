"""The table of results: its numbers against scikit-image and OpenCV, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import skimage.metrics
from rich.console import Console
from skimage.restoration import inpaint_biharmonic

from tests.training import class_folders, one_line_error, run, synthetic
from tests.training.test_export import checkpoint, exported
from tests.training.test_networks import AUTOENCODERS
from training import results
from training.data import DataError, Pictures
from training.grids import grid, png
from training.results import Row

#: Any, because it is typed in part only.
reference: Any = skimage.metrics
COUNT = 16


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cifar10")
    class_folders(root, synthetic(4), "train")
    return class_folders(root, synthetic(COUNT, seed=1), "test")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Both networks with random weights, as model files."""
    folder = tmp_path_factory.mktemp("models")
    for name in AUTOENCODERS:
        checkpoint(name).save(folder / f"{name}.pt")
    return [exported(folder / f"{name}.pt") for name in AUTOENCODERS]


@pytest.fixture
def originals() -> results.Pixels:
    return np.stack(synthetic(COUNT, seed=1))


@pytest.fixture
def masks(originals: results.Pixels) -> results.Masks:
    return results.draw_masks(originals, 0)


def test_scores_are_those_of_scikit_image(originals: results.Pixels, masks: results.Masks) -> None:
    raw = results.restored_batch("telea", originals, masks)
    restored = results.composited(raw, originals, masks)
    row = results.measured("telea", restored, originals, masks, raw)
    x, y = restored / 255, originals / 255
    maps = [
        reference.structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1,
            channel_axis=2, full=True,
        )[1]
        for a, b in zip(x, y, strict=True)
    ]  # fmt: skip
    assert row.hole_psnr == pytest.approx(
        reference.peak_signal_noise_ratio(y[masks], x[masks], data_range=1), abs=1e-3
    )
    assert row.mae == pytest.approx(np.abs(x - y).mean(), rel=1e-5)
    assert row.hole_mae == pytest.approx(np.abs(x - y)[masks].mean(), rel=1e-5)
    assert row.ssim == pytest.approx(np.mean(maps), abs=1e-5)
    per_picture = 2 * (x * y).sum((1, 2, 3)) / ((x**2).sum((1, 2, 3)) + (y**2).sum((1, 2, 3)))
    assert row.dice == pytest.approx(per_picture.mean(), abs=1e-6)
    assert row.article_dice == pytest.approx(2 * (x * y).sum() / (x.sum() + y.sum()), abs=1e-6)
    assert row.raw_mae == pytest.approx(np.abs(raw - y).mean(), rel=1e-5)


def test_perfect_restoration(originals: results.Pixels, masks: results.Masks) -> None:
    row = results.measured("perfect", originals, originals, masks)
    assert (row.mae, row.hole_mae) == (0, 0)
    assert row.ssim == pytest.approx(1)
    assert row.dice == pytest.approx(1)
    y = originals / 255
    assert row.article_dice == pytest.approx((y**2).sum() / y.sum(), abs=1e-6)
    assert row.article_dice < 0.9
    assert results.cells(row)[0] == "∞"
    assert results.cells(row)[-1] == "–"


def test_classical_methods_are_the_libraries_own(
    originals: results.Pixels, masks: results.Masks
) -> None:
    def restored(name: str) -> results.Pixels:
        return results.composited(results.restored_batch(name, originals, masks), originals, masks)

    # OpenCV's results vary a little with what lies under the mask, so that has to be gone.
    damaged = np.where(masks[..., None], np.uint8(0), originals)
    for name, flag in (("telea", cv2.INPAINT_TELEA), ("navier-stokes", cv2.INPAINT_NS)):
        wanted = [
            cv2.inpaint(picture, mask.astype(np.uint8), 3, flag)
            for picture, mask in zip(damaged, masks, strict=True)
        ]
        assert (restored(name) == np.stack(wanted)).all()
    smooth = np.stack([
        inpaint_biharmonic(picture / 255, mask, channel_axis=-1)
        for picture, mask in zip(originals, masks, strict=True)
    ])  # fmt: skip
    wanted_float = np.where(masks[..., None], smooth.clip(0, 1), originals / 255)
    assert np.abs(restored("biharmonic") / 255 - wanted_float).max() < 0.51 / 255


def test_methods_never_see_what_was_damaged(
    originals: results.Pixels, masks: results.Masks
) -> None:
    others = np.where(masks[..., None], 255 - originals, originals)
    for name in results.CLASSICAL:
        first, second = (results.restored_batch(name, p, masks) for p in (originals, others))
        assert (first == second).all()


def test_damage_is_the_published_recipe_and_fixed(originals: results.Pixels) -> None:
    many = np.repeat(originals, 20, 0)
    masks = results.draw_masks(many, 5)
    assert (masks == results.draw_masks(many, 5)).all()
    assert (masks != results.draw_masks(many, 6)).any()
    assert masks.any((1, 2)).all()
    assert 0.1 < masks.mean() < 0.2


def test_processes_change_nothing(
    originals: results.Pixels, masks: results.Masks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "BATCH", 5)
    methods, console = {"one": "telea", "two": "biharmonic"}, Console(quiet=True)
    alone = dict(results.restored_by(methods, originals, masks, 1, console))
    together = dict(results.restored_by(methods, originals, masks, 2, console))
    for name, method in methods.items():
        assert (alone[name] == together[name]).all()
        assert (alone[name] == results.restored_batch(method, originals, masks)).all()


def test_table_grids_and_cards(data: Path, models: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "new" / "results"
    words = ("--data", data, "--models", models[0], "--models", models[1], "--out", out,
             "--workers", 1, "--write-cards")  # fmt: skip
    result = run(results.main, *words)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    values = json.loads((out / "results.json").read_text(encoding="utf-8"))
    rows = {row["name"]: Row(**row) for row in values["methods"]}
    assert list(rows) == [*AUTOENCODERS, *results.CLASSICAL, "damaged", "perfect"]
    assert [verdict["name"] for verdict in values["requirements"]] == list(AUTOENCODERS)
    text = (out / "results.md").read_text(encoding="utf-8")
    assert "16 test pictures" in text
    assert "JPEG" not in text
    jpeg = results.markdown(list(rows.values()), [], "16 pictures of CIFAR-10 as JPEG copies")
    assert "The pictures are JPEG copies of CIFAR-10" in jpeg
    for row in rows.values():
        assert f"| {row.name} | {results.cells(row)[0]} |" in text
        assert row.name in result.stdout
        assert results.cells(row)[3] in result.stdout
        assert (row.raw_mae is not None) == (row.name in AUTOENCODERS)
    assert text.count("does not hold") == 4, "random weights are no match"
    for name in ("grid.png", "hardest.png"):
        sheet = cv2.imread(str(out / name))
        assert sheet is not None
        assert sheet.shape[1] == 7 * 128 + 6 * 2
    for path in models:
        card = {item.key: item.value for item in onnx.load(path).metadata_props}
        told = json.loads(card["scores"])
        assert told["hole_psnr"] == round(rows[path.stem].hole_psnr, 2)
        assert told["mae"] == round(rows[path.stem].mae, 5)


def test_grid_shows_pictures_enlarged(originals: results.Pixels) -> None:
    sheet = grid([("original", originals[:2]), ("same", originals[:2])], 3)
    top = sheet.shape[0] - 2 * (96 + 2)
    assert (sheet[top : top + 96 : 3, :96:3] == originals[0]).all()
    assert (sheet[top + 98 : top + 98 + 96 : 3, 98 : 98 + 96 : 3] == originals[1]).all()
    decoded = cv2.imdecode(np.frombuffer(png(sheet), np.uint8), cv2.IMREAD_COLOR)
    assert (np.asarray(decoded)[..., ::-1] == sheet).all()


def test_verdicts() -> None:
    def row(name: str, psnr: float, mae: float) -> Row:
        return Row(name, psnr, mae, 0, 0, 0, 0)

    rivals = [row("biharmonic", 21.5, 0.01), row("navier-stokes", 20, 0.02), row("telea", 19, 0.03)]
    good, bad = results.judged(
        [row("good", 22.4, 0.0089), row("bad", 22.2, 0.0095), *rivals], ["good", "bad"]
    )
    assert good.rival == bad.rival == "biharmonic"
    assert good.holds
    assert not bad.holds
    assert "+0.90 dB" in str(good)
    assert "does not hold" not in str(good)
    assert str(bad).count("does not hold") == 2


def test_limit_is_spread_over_the_set() -> None:
    pictures = Pictures([np.full((2, 2, 3), i, np.uint8) for i in range(100)], "test")
    assert results.stacked(pictures, 10)[:, 0, 0, 0].tolist() == list(range(0, 100, 10))
    assert len(results.stacked(pictures)) == 100
    with pytest.raises(DataError, match="not all of one size"):
        results.stacked(Pictures([*synthetic(1, 8), *synthetic(1, 16)], "test"))


def test_wrong_calls(data: Path, models: list[Path], tmp_path: Path) -> None:
    given = ("--models", models[0], "--out", tmp_path / "out")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / models[0].name).write_bytes(models[0].read_bytes())
    for words, reason in (
        (("--data", tmp_path / "nowhere", *given), "nowhere: no such file"),
        (("--data", data, "--models", tmp_path / "nowhere.onnx"), "nowhere.onnx"),
        (("--data", data, "--models", tmp_path / "broken.onnx"), "broken.onnx"),
        (("--data", data, *given, "--models", tmp_path / "other" / models[0].name), "one name"),
        (("--data", data, *given, "--limit", 8, "--write-cards"), "--limit"),
        (("--data", data, "--models", models[0], "--out", models[0]), models[0].name),
    ):
        assert reason in one_line_error(run(results.main, *words))
    assert not (tmp_path / "out").exists()
