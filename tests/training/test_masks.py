"""Training masks: cut from sheets of every kind, and film artefacts that stay what they are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from inpaintcli.damage import DRAWN
from tests.training import encoded, film_tar, synthetic, tar_of
from training import film, masks
from training.config import ConfigError, Damage
from training.data import DataError, members
from training.masks import Sheets

EVERY = (*DRAWN, "film")


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film_tar(tmp_path_factory.mktemp("film") / "film.tar")


def crops(sheets: Sheets, side: int, count: int, seed: int = 0) -> list[masks.Sheet]:
    rng = np.random.default_rng(seed)
    return [sheets.crop(side, rng) for _ in range(count)]


def equal(first: list[masks.Sheet], second: list[masks.Sheet]) -> bool:
    return all((a == b).all() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", EVERY)
def test_crops_of_every_kind_have_enough_damage_and_not_too_much(
    artefacts: Path, kind: str
) -> None:
    sheets = Sheets(Damage(kinds={kind: 1.0}), 0, artefacts, count=3)
    for side in (56, 112):
        for crop in crops(sheets, side, 30):
            assert crop.shape == (side, side)
            assert crop.dtype == np.uint8
            assert set(np.unique(crop)) == {0, 1}
            assert masks.LEAST <= crop.mean() < 0.7


def test_every_sheet_has_its_share_of_damage(artefacts: Path) -> None:
    sheets = Sheets(Damage(kinds=dict.fromkeys(EVERY, 1.0)), 0, artefacts, count=3)
    assert sheets.sheets.keys() == set(EVERY)
    for kind, drawn in sheets.sheets.items():
        low, high = masks.COVERAGE[kind]
        for sheet in drawn:
            # The last shape may go beyond.
            assert low <= sheet.mean() <= high + 0.1, kind


def test_another_coverage_is_that_of_its_kind_alone(artefacts: Path) -> None:
    kinds = dict.fromkeys(EVERY, 1.0)
    usual = Sheets(Damage(kinds=kinds), 0, artefacts, count=2)
    sparse = dict.fromkeys(("lines", "scratches", "text", "film"), (0.005, 0.01))
    other = Sheets(Damage(kinds=kinds, coverage=sparse), 0, artefacts, count=2)
    for kind in EVERY:
        least = min(sheet.mean() for sheet in usual.sheets[kind])
        for sheet in other.sheets[kind]:
            if kind in sparse:
                # The last shape may go beyond.
                assert 0.005 <= sheet.mean() < 0.03 < least, kind
            else:
                assert masks.COVERAGE[kind][0] <= sheet.mean(), kind


def test_seed_fixes_sheets_and_crops(artefacts: Path) -> None:
    damage = Damage(kinds={"scratches": 1.0, "film": 1.0})
    first, second = (Sheets(damage, 3, artefacts, count=2) for _ in range(2))
    assert all(equal(first.sheets[kind], second.sheets[kind]) for kind in first.kinds)
    assert equal(crops(first, 64, 10), crops(second, 64, 10))
    assert not equal(crops(first, 64, 10), crops(first, 64, 10, seed=1))
    assert not equal(first.sheets["film"], Sheets(damage, 4, artefacts, count=2).sheets["film"])


def test_kinds_come_as_often_as_their_shares_say() -> None:
    sheets = Sheets(Damage(kinds={"lines": 0.5, "text": 1.5, "holes": 0, "strokes": 2}), 0, count=1)
    assert "holes" not in sheets.sheets
    # A comb for each kind, every 2nd, 3rd, 4th column, tells of which kind a crop is.
    for teeth, kind in enumerate(sheets.kinds, 2):
        sheets.sheets[kind] = [np.zeros((masks.SIDE, masks.SIDE), np.uint8)]
        sheets.sheets[kind][0][:, ::teeth] = 1
    found = Counter(round(1 / crop.mean()) for crop in crops(sheets, 60, 800))
    shares = dict(zip(sheets.kinds, (found[2] / 800, found[3] / 800, found[4] / 800), strict=True))
    assert shares == pytest.approx({"lines": 0.125, "text": 0.375, "strokes": 0.5}, abs=0.06)


def test_crops_are_turned_and_mirrored() -> None:
    sheets = Sheets(Damage(kinds={"lines": 1.0}), 0, count=1)
    # Slanted stripes: every turn and mirror image repeats itself after another step.
    y, x = np.mgrid[: masks.SIDE, : masks.SIDE]
    sheets.sheets["lines"] = [((x + 3 * y) % 11 < 2).astype(np.uint8)]
    seen = {
        next(
            (dy, dx)
            for dy, dx in ((1, -3), (1, 3), (3, -1), (3, 1))
            if (crop[dy:, max(0, dx) : 40 - max(0, -dx)]
                == crop[:-dy, max(0, -dx) : 40 - max(0, dx)]).all()
        )
        for crop in crops(sheets, 40, 40)
    }  # fmt: skip
    assert seen == {(1, -3), (1, 3), (3, -1), (3, 1)}


def test_film_needs_its_artefacts() -> None:
    with pytest.raises(ConfigError, match="--film") as caught:
        Sheets(Damage(kinds={"film": 1.0}), 0)
    assert "\n" not in str(caught.value)
    # Where no film is asked for, none is read.
    Sheets(Damage(kinds={"lines": 1.0, "film": 0}), 0, Path("nowhere.tar"), count=1)


def test_artefacts_are_what_is_opaque(tmp_path: Path) -> None:
    faint, plain = np.zeros((9, 12, 4), np.uint8), np.zeros((7, 5, 4), np.uint8)
    faint[2, 3:6, 3] = (film.OPAQUE, film.OPAQUE + 1, 255)
    faint[..., :3] = 200
    plain[1:, 1:, 3] = 255
    files = {
        name: bytes(cv2.imencode(".png", picture)[1])
        for name, picture in (("set/b.png", faint), ("set/a.png", plain))
    }
    tar = tar_of(tmp_path / "film.tar.gz", {"set/note.txt": b"hello", **files}, "w:gz")
    first, second = film.load(tar)
    assert first.tolist() == (plain[..., 3] > 0).astype(int).tolist()
    assert np.argwhere(second).tolist() == [[2, 4], [2, 5]]


@pytest.mark.parametrize(("suffix", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tar.xz", "w:xz")])
def test_broken_artefacts_are_told_in_one_line(tmp_path: Path, suffix: str, mode: str) -> None:
    whole = film_tar(tmp_path / "film.tar")
    files = dict(members(whole))
    broken = tar_of(tmp_path / f"broken.{suffix}", files, mode)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 3])
    (tmp_path / "words.tar").write_text("no archive" * 100)
    cut = {**files, "film-damage/dots/1.png": files["film-damage/dots/1.png"][:30]}
    cases = (
        (tmp_path / "nowhere.tar", "nowhere.tar"),
        (tmp_path / "words.tar", "not a readable tar"),
        (broken, "not a readable tar"),
        (tar_of(tmp_path / f"none.{suffix}", {"readme.txt": b"hello"}, mode), "no artefacts"),
        (tar_of(tmp_path / f"cut.{suffix}", cut, mode), "dots/1.png"),
        (tar_of(tmp_path / f"empty.{suffix}", {"a.png": b""}, mode), "a.png"),
        (tar_of(tmp_path / f"rgb.{suffix}", {"a.png": encoded(synthetic(1)[0])}, mode), "alpha"),
    )
    for path, reason in cases:
        with pytest.raises(DataError, match=reason) as caught:
            film.load(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_sprinkled_until_the_share_is_damaged(artefacts: Path) -> None:
    shapes = film.load(artefacts)
    for side in (16, 300):
        canvas = np.zeros((side, side + 5), np.uint8)
        canvas[3, 4] = 1
        film.sprinkle(canvas, shapes, np.random.default_rng(0), 0.1)
        assert set(np.unique(canvas)) == {0, 1}
        assert canvas[3, 4] == 1
        assert canvas.mean() >= 0.1
    again = np.zeros((300, 305), np.uint8)
    again[3, 4] = 1
    film.sprinkle(again, shapes, np.random.default_rng(0), 0.1)
    assert (again == canvas).all()
    assert canvas.mean() < 0.12


def test_turned_artefacts_are_not_cut_off() -> None:
    bar = np.ones((20, 200), np.uint8)
    lengths, angles = [], []
    for seed in range(80):
        canvas = np.zeros((500, 500), np.uint8)
        film.sprinkle(canvas, [bar], np.random.default_rng(seed), 1e-6)
        if canvas[0].any() or canvas[-1].any() or canvas[:, 0].any() or canvas[:, -1].any():
            continue
        points = np.argwhere(canvas).astype(np.float32)
        _, sides, angle = cv2.minAreaRect(points)
        length, thickness = max(sides) + 1, min(sides) + 1
        assert length == pytest.approx(10 * thickness, abs=20)
        assert canvas.sum() == pytest.approx(length * thickness, rel=0.3)
        lengths.append(length)
        angles.append(angle)
    assert 28 < min(lengths) < 60 < 130 < max(lengths) < 165
    assert np.ptp(angles) > 60
