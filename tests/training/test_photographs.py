"""The table of whole photographs: what it measures, what it judges, and what it writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.metrics
from typer.testing import Result as Outcome

from inpaintcli.damage import Kind, damage
from inpaintcli.inpainters.onnx_model import OnnxInpainter
from inpaintcli.metrics import Scores
from tests.training import encoded, one_line_error, run, synthetic, tar_of
from tests.training.test_export import checkpoint, exported
from training import photographs
from training.photographs import Result

#: Any, because it is typed in part only.
reference: Any = skimage.metrics
METHODS = ("telea", "navier-stokes")


@pytest.fixture(scope="module")
def photos() -> list[photographs.Picture]:
    """Photographs of several sizes, all smaller than what the grid would show."""
    rng = np.random.default_rng(0)
    cuts = [picture[: 80 + 8 * i, : 96 - 8 * i] for i, picture in enumerate(synthetic(3, 96))]
    return [np.clip(cut + rng.normal(0, 6, cut.shape), 0, 255).astype(np.uint8) for cut in cuts]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, photos: list[photographs.Picture]) -> Path:
    files = {f"{i}.png": encoded(photo) for i, photo in enumerate(photos)}
    return tar_of(tmp_path_factory.mktemp("data") / "photos.tar", files)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("photographs") / "new" / "results"


@pytest.fixture(scope="module")
def outcome(data: Path, out: Path) -> Outcome:
    """A run on two of the three photographs; beside its folder lies the picture."""
    return run(photographs.main, "--data", data, "--models", ",".join(METHODS), "--limit", 2,
               "--seed", 4, "--out", out, "--workers", 1, "--sheet",
               out.parent.parent / "sheet.png")  # fmt: skip


def test_table_and_pictures(outcome: Outcome, out: Path) -> None:
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stderr == ""
    assert {path.name for path in out.iterdir()} == {
        "photographs.md", "photographs.json",
    }  # fmt: skip
    values = json.loads((out / "photographs.json").read_text(encoding="utf-8"))
    assert [(row["kind"], row["method"]) for row in values["results"]] == [
        (kind, method) for kind in photographs.KINDS for method in METHODS
    ]
    text = (out / "photographs.md").read_text(encoding="utf-8")
    for words in (values["setting"], "2 photographs of photos.tar", "seeded by 4"):
        assert words in text
    for row in values["results"]:
        line = f"| {row['kind']} | {row['method']} | {row['hole_psnr']:.2f} | {row['ssim']:.4f} |"
        assert line in text
        assert f"{row['hole_psnr']:.2f}" in outcome.stdout
        assert row["seconds"] > 0
    sheet = cv2.imread(str(out.parent.parent / "sheet.png"))
    assert sheet is not None
    # Two photographs of every kind, as large as the smallest, enlarged; four columns.
    assert sheet.shape[0] > 8 * 80
    assert sheet.shape[1] > 4 * 80


def test_scores_are_means_over_the_photographs(
    outcome: Outcome, out: Path, photos: list[photographs.Picture]
) -> None:
    assert outcome.exit_code == 0, outcome.output
    rows = json.loads((out / "photographs.json").read_text(encoding="utf-8"))["results"]
    flags = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS}
    for row in rows:
        kind, method = row["kind"], row["method"]
        psnrs, ratios = [], []
        for index, photo in enumerate((photos[0], photos[2])):
            damaged, mask = damage(photo, kind, seed=4, name=str(index))
            damaged[mask] = 0
            restored = cv2.inpaint(damaged, mask.astype(np.uint8), 3, flags[method])
            x, y = restored / 255, photo / 255
            psnrs.append(reference.peak_signal_noise_ratio(y[mask], x[mask], data_range=1))
            x, y = (cv2.Laplacian(z.mean(2), cv2.CV_64F)[mask] for z in (x, y))
            ratios.append(x.std() / y.std())
        assert row["hole_psnr"] == pytest.approx(np.mean(psnrs), abs=0.02)
        assert row["texture"] == pytest.approx(np.mean(ratios), abs=0.01)


def test_earlier_results_are_kept(outcome: Outcome, data: Path, out: Path, tmp_path: Path) -> None:
    assert outcome.exit_code == 0, outcome.output
    shutil.copy(out / "photographs.json", tmp_path)
    before = json.loads((out / "photographs.json").read_text(encoding="utf-8"))
    words = ("--data", data, "--limit", 2, "--seed", 4, "--out", tmp_path, "--workers", 1, "--keep")
    result = run(photographs.main, *words, "--models", "biharmonic,telea", "--kinds", "text")
    assert result.exit_code == 0, result.output
    after = json.loads((tmp_path / "photographs.json").read_text(encoding="utf-8"))
    # Seconds are never the same twice: what is equal was not measured anew.
    assert [row for row in after["results"] if row["method"] != "biharmonic"] == before["results"]
    assert [r["kind"] for r in after["results"] if r["method"] == "biharmonic"] == ["text"]
    # Another setting is another table.
    other = run(photographs.main, *words, "--seed", 5, "--models", "telea", "--kinds", "text")
    assert other.exit_code == 0, other.output
    (row,) = json.loads((tmp_path / "photographs.json").read_text(encoding="utf-8"))["results"]
    assert (row["kind"], row["method"]) == ("text", "telea")


def made_up(
    kind: Kind, method: str, psnr: float, ssim: float = 0.9, texture: float = 0.6
) -> Result:
    return Result(kind, method, Scores(0.99, 30, ssim, 0.01, psnr, 0.5, texture, 0.1), 1.0)


def verdicts(psnr: float, ssim: float = 0.9, texture: float = 0.6, kind: Kind = "holes") -> str:
    """The line on a network of these scores; the best rivals are of 20 dB and of SSIM 0.85."""
    (line,) = photographs.judged(
        [
            made_up(kind, "telea", 19.0, 0.85, 0.2),
            made_up(kind, "biharmonic", 20.0, 0.8, 0.9),
            made_up(kind, "ours", psnr, ssim, texture),
            made_up(kind, "other", 50.0, 0.99),
            made_up("lines", "telea", 40.0, 0.95),
        ],
        "ours",
    )
    return line


def test_verdicts() -> None:
    good = verdicts(20.6)
    assert good.startswith("holes: +0.60 dB over biharmonic")
    assert "SSIM 0.9000 over 0.8500 of telea: holds" in good
    assert "texture 0.60 (at least 0.5): holds" in good
    assert "does not hold" not in good
    assert verdicts(20.4).count("does not hold") == 2
    assert verdicts(19.4).startswith("holes: -0.60 dB")
    assert "telea: does not hold" in verdicts(20.6, ssim=0.85)
    assert "texture 0.49 (at least 0.5): does not hold" in verdicts(20.6, texture=0.49)
    middling = verdicts(22.0, texture=0.1, kind="text")
    assert "at least +1.5 dB required: holds; aim of +2.5 dB: does not hold" in middling
    assert "texture" not in middling
    assert "does not hold" not in verdicts(22.6, kind="scratches")


def test_nothing_to_judge_is_no_verdict() -> None:
    ours = made_up("text", "ours", 30.0)
    assert photographs.judged([ours], "ours") == []
    assert photographs.judged([ours, made_up("holes", "telea", 20.0)], "ours") == []
    assert photographs.judged([made_up("text", "telea", 20.0)], "ours") == []


def test_card_scores_are_of_the_one_method() -> None:
    results = [
        made_up("text", "ours", 30.126, texture=0.555),
        made_up("text", "telea", 20.0),
        made_up("holes", "ours", 22.0, texture=0.7),
    ]
    assert photographs.card_scores(results, "ours") == {
        "text_hole_psnr": 30.13, "text_texture": pytest.approx(0.555, abs=0.006),
        "holes_hole_psnr": 22.0, "holes_texture": 0.7,
    }  # fmt: skip


def test_scores_are_written_into_the_shipped_cards(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint("autoencoder").save(tmp_path / "autoencoder.pt")
    model = exported(tmp_path / "autoencoder.pt")
    other = Path(shutil.copy(model, tmp_path / "partial-conv.onnx"))
    before = other.read_bytes()
    monkeypatch.setattr(photographs, "WEIGHTS", tmp_path)
    result = run(photographs.main, "--data", data, "--models", "autoencoder,telea", "--kinds",
                 "text", "--limit", 1, "--out", tmp_path / "out", "--workers", 1,
                 "--write-cards")  # fmt: skip
    assert result.exit_code == 0, result.output
    (row, _) = json.loads((tmp_path / "out/photographs.json").read_text())["results"]
    assert OnnxInpainter(model, "cpu").card.scores == {
        "text_hole_psnr": round(row["hole_psnr"], 2), "text_texture": round(row["texture"], 2),
    }  # fmt: skip
    assert other.read_bytes() == before


def test_grid_shows_where_the_damage_is() -> None:
    mask = np.zeros((100, 140), bool)
    mask[60:70, 100:120] = True
    mask[5, :40] = True
    window = photographs.most_damaged(mask, 40)
    assert mask[window].sum() == 200
    assert mask[window].shape == (40, 40)
    assert photographs.most_damaged(mask[:5, :6], 5)[0] == slice(0, 5)


def test_wrong_calls(data: Path, tmp_path: Path) -> None:
    given = ("--data", data, "--out", tmp_path / "out")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    for words, reason in (
        ((*given, "--models", "telea", "--kinds", "text,cracks"), "--kinds text,cracks"),
        ((*given, "--models", "telea", "--kinds", "[red]"), "--kinds [red]: choose from scratches"),
        ((*given, "--models", "telea,abacus"), "unknown model 'abacus'"),
        ((*given, "--models", tmp_path / "nowhere.onnx"), "nowhere.onnx"),
        ((*given, "--models", tmp_path / "broken.onnx"), "broken.onnx"),
        (("--data", tmp_path / "nowhere", "--models", "telea"), "nowhere: no such file"),
        (("--data", data, "--models", "telea", "--out", data), data.name),
    ):
        assert reason in one_line_error(run(photographs.main, *words))
    assert not (tmp_path / "out").exists()
