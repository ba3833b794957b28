"""The measuring of the detector: its numbers against plain loops, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from inpaintcli import aging
from inpaintcli.aging import VISIBLE
from inpaintcli.detect import CERTAIN, GROWTH, LEAST_AREA
from inpaintcli.mask import MaskTools
from tests.helpers import detector_file
from tests.training import Outlines, encoded, film_tar, one_line_error, run, synthetic, tar_of
from training import detecting, detection, film
from training.detecting import FAINT
from training.detection import Row, Tally
from training.layers import HELD_OUT_FRAMES

Array = NDArray[np.uint8]
SPECKS: Outlines = [
    [(x, y), (x + 30, y), (x, y + 30)] for x in range(0, 600, 75) for y in range(0, 600, 75)
]
SOLID: Outlines = [[(0, 0), (600, 0), (600, 600), (0, 600)]]
SETS = [
    "aged, all kinds",
    *(f"aged: {kind}" for kind in aging.KINDS),
    "dust and hairs of frames",
    "old-looking, undamaged",
    "clean",
]


def near(mask: NDArray[np.bool_], y: int, x: int) -> bool:
    """True within 2 px, in a straight line, of what is True."""
    return any(
        dy * dy + dx * dx <= 4
        and 0 <= y + dy < mask.shape[0]
        and 0 <= x + dx < mask.shape[1]
        and bool(mask[y + dy, x + dx])
        for dy, dx in product(range(-2, 3), repeat=2)
    )


def test_precision_and_recall_are_those_of_a_plain_count() -> None:
    tally = Tally()
    rng = np.random.default_rng(0)
    right = wrong = hit = missed = found = changed = marked = pixels = 0
    chances: list[int] = []
    reals: list[int] = []
    for height, width in ((20, 31), (17, 12)):
        label = np.zeros((height, width), np.uint8)
        label[rng.random(label.shape) < 0.2] = FAINT
        label[rng.random(label.shape) < 0.03] = 1
        chance = rng.integers(0, 65536, label.shape, np.uint16) // 256 * 257
        mask = rng.random(label.shape) < 0.06
        tally.add(chance, mask, label)
        wide = MaskTools(grow=GROWTH).apply(mask)
        real = label == 1
        for y, x in np.ndindex(*label.shape):
            pixels += 1
            found += bool(mask[y, x])
            changed += bool(wide[y, x])
            marked += bool(real[y, x])
            if mask[y, x] and near(real, y, x):
                right += 1
            elif mask[y, x] and label[y, x] != FAINT:
                wrong += 1
            if real[y, x]:
                hit, missed = hit + near(mask, y, x), missed + (not near(mask, y, x))
            if label[y, x] != FAINT:
                chances.append(int(chance[y, x]))
                reals.append(int(real[y, x]))
    assert min(right, wrong, hit, missed) > 3
    row = tally.row("some")
    precision, recall = right / (right + wrong), hit / (hit + missed)
    assert (row.name, row.photos) == ("some", 2)
    assert row.precision == pytest.approx(precision)
    assert row.recall == pytest.approx(recall)
    assert row.f1 == pytest.approx(2 / (1 / precision + 1 / recall))
    assert detection.TOLERANCE == 2
    shares = (found / pixels, changed / pixels, marked / pixels)
    assert (row.found, row.changed, row.damaged) == pytest.approx(shares)
    pairs = [
        1.0 if one > other else 0.5 if one == other else 0.0
        for one, real in zip(chances, reals, strict=True)
        if real
        for other, sound in zip(chances, reals, strict=True)
        if not sound
    ]
    assert row.auc == pytest.approx(sum(pairs) / len(pairs))


def one_found(label: Array, y: int, x: int) -> Row:
    """The scores where one pixel is found."""
    chance = np.zeros(label.shape, np.uint16)
    chance[y, x] = CERTAIN
    tally = Tally()
    tally.add(chance, chance > 0, label)
    return tally.row("")


@pytest.mark.parametrize(("distance", "right"), [(0, True), (2, True), (3, False)])
def test_found_damage_may_miss_by_two_pixels(distance: int, right: bool) -> None:
    label = np.zeros((9, 9), np.uint8)
    label[4, 2] = 1
    row = one_found(label, 4, 2 + distance)
    assert (row.precision, row.recall, row.f1) == (right, right, right)


def test_what_is_faint_counts_as_neither() -> None:
    label = np.zeros((9, 9), np.uint8)
    label[0, 0] = 1
    label[6:] = FAINT
    tally = Tally()
    chance = np.full(label.shape, 10, np.uint16)
    chance[0, 0] = chance[6:] = 200
    tally.add(chance, chance > 100, label)
    row = tally.row("")
    assert (row.precision, row.recall, row.f1, row.auc) == (1, 1, 1, 1)
    assert row.damaged == 1 / 81
    assert row.found == 28 / 81


def test_where_nothing_is_damaged_only_what_is_flagged_is_told() -> None:
    row = one_found(np.zeros((10, 10), np.uint8), 3, 3)
    assert (row.auc, row.f1, row.precision, row.recall) == (None, None, None, None)
    assert (row.found, row.changed, row.damaged) == (0.01, 0.13, 0)
    assert detection.cells(row)[1:] == ["-", "-", "-", "-", "1.00%", "13.00%", "0.00%"]
    assert Tally().row("").found == 0


def test_nothing_found_is_a_score_of_nothing() -> None:
    label = np.zeros((9, 9), np.uint8)
    label[4, 4] = 1
    tally = Tally()
    tally.add(np.zeros((9, 9), np.uint16), np.zeros((9, 9), bool), label)
    row = tally.row("")
    assert (row.precision, row.recall, row.f1, row.auc) == (0, 0, 0, 0.5)


def as_it_is(picture: Array, rng: np.random.Generator) -> Array:
    """In place of a look or a scan."""
    return picture


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Array:
    """A colour photograph that is neither made to look old nor scanned."""
    monkeypatch.setattr(detection, "look_old", as_it_is)
    monkeypatch.setattr(detection, "scanned", as_it_is)
    (picture,) = synthetic(1, 96)
    return np.asarray(picture // 2 + 60, np.uint8)


def judged_by_hand(before: Array, after: Array, labels: Array) -> None:
    """Labels say 1 where a channel differs by 5 %, and 0 only where none differs much."""
    for y, x in np.ndindex(*labels.shape):
        change = int(np.abs(before[y, x].astype(int) - after[y, x]).max())
        if abs(change - VISIBLE * 255) > 1:
            assert (labels[y, x] == 1) == (change > VISIBLE * 255)
        if labels[y, x] == 0:
            assert change <= 5
    assert {0, 1, FAINT} == set(np.unique(labels).tolist())


def test_labels_of_aged_photographs_are_those_of_training(plain: Array) -> None:
    after, labels = detection._aged(("stain",))(plain, np.random.default_rng(2))
    expected = detecting.aged(plain, np.random.default_rng(2), ("stain",))
    assert (after == expected[0]).all()
    assert (labels == expected[1]).all()
    judged_by_hand(plain, after, labels)


def test_labels_of_the_dust_of_frames(plain: Array) -> None:
    frame = [film.Outline("Dust", np.array(points, np.int32)) for points in SPECKS]
    seen = []
    for seed in range(6):
        after, labels = detection.framed(plain, np.random.default_rng(seed), [frame])
        judged_by_hand(plain, after, labels)
        seen.append((labels == 1).mean())
    assert 0.01 < min(seen) <= max(seen) < 0.4
    assert len(set(seen)) == 6


def row(name: str, value: float | None, found: float = 0.0) -> Row:
    return Row(name, 3, value, value, value, value, found, 0.5, 0.1 if value else 0.0)


def test_verdicts_hold_from_their_bounds_on() -> None:
    rows = [
        row("aged, all kinds", 0.8), row("dust and hairs of frames", 0.7),
        row("clean", None, 0.003),
    ]  # fmt: skip
    verdicts = list(detection.judged(rows))
    assert [": holds)" in line for line in verdicts] == [False, True, True, True]
    assert verdicts[3].endswith(", 50.000% changed by a restore")
    assert verdicts[0] == "aged: AUC 0.800 (at least 0.95: does not hold)"
    rows = [replace(rows[0], auc=0.95, f1=0.74), row(rows[1].name, 0.69), row("clean", None, 0.01)]
    verdicts = list(detection.judged(rows))
    assert [": holds)" in line for line in verdicts] == [True, False, False, False]


def test_the_card_tells_every_set() -> None:
    rows = [row("aged, all kinds", 0.81234), row("aged: worn edge", 0.5), row("clean", None, 0.01)]
    assert detection.card_scores(rows) == {
        "aged_all_kinds_f1": 0.812, "aged_all_kinds_auc": 0.8123,
        "aged_worn_edge_f1": 0.5, "aged_worn_edge_auc": 0.5, "clean_flagged": 0.01,
    }  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two photographs, the one with a white square and a white speck, film, and a detector."""
    folder = tmp_path_factory.mktemp("places")
    # Nothing in them is as bright as what the stand-in takes for damage.
    pictures = [np.asarray(picture // 2 + 30, np.uint8) for picture in synthetic(2, 160)]
    pictures[0][20:40, 30:50] = 255
    pictures[0][100, 100 : 100 + LEAST_AREA - 1] = 255
    # All of the first frame is damage, but it is not one to measure with.
    frames = {"frame-1": SOLID, **dict.fromkeys(HELD_OUT_FRAMES, SPECKS)}
    photos = {f"{i}.png": encoded(picture) for i, picture in enumerate(pictures)}
    return {
        "--data": tar_of(folder / "photos.tar", photos),
        "--film": film_tar(folder / "film.tar", frames=frames),
        "--detector": detector_file(folder / "detector.onnx", threshold=0.4, levels=1,
                                    scores='{"old": 1}'),
    }  # fmt: skip


def words(places: dict[str, Path], out: Path, **others: Path) -> list[object]:
    given = {**places, **{f"--{name}": path for name, path in others.items()}, "--out": out}
    return [word for pair in given.items() for word in pair]


def test_the_command(places: dict[str, Path], tmp_path: Path) -> None:
    result = run(detection.main, *words(places, tmp_path))
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "detection.json").read_text())
    assert found["command"].startswith("python -m training.detection")
    assert "2 photographs of photos.tar" in found["setting"]
    assert "threshold 0.40" in found["setting"]
    rows = {values["name"]: Row(**values) for values in found["rows"]}
    assert list(rows) == SETS
    # What is judged is measured on every photograph several times.
    judged = {"aged, all kinds", "dust and hairs of frames"}
    assert {name: one.photos for name, one in rows.items()} == {
        name: 2 * (detection.DRAWS if name in judged else 1) for name in SETS
    }
    assert all((one.f1 is None) == (one.damaged == 0) for one in rows.values())
    for name in SETS[:-2]:
        assert rows[name].damaged > 0
    assert rows["dust and hairs of frames"].damaged < 0.4
    # What is white is found, and specks are not.
    assert rows["clean"].found == pytest.approx(20 * 20 / (2 * 160**2))
    text = (tmp_path / "detection.md").read_text()
    for name in SETS:
        assert f"| {name} | " in text
    for verdict in detection.judged(list(rows.values())):
        assert f"* {verdict}\n" in text
        assert verdict in result.stdout
    assert scores_of(places["--detector"]) == {"old": 1}


def scores_of(path: Path) -> dict[str, float]:
    """The scores in the card of a model file."""
    card = {item.key: item.value for item in onnx.load(path).metadata_props}
    scores: dict[str, float] = json.loads(card["scores"])
    return scores


def test_the_card_takes_the_scores_and_nothing_else(
    places: dict[str, Path], tmp_path: Path
) -> None:
    copied = tmp_path / "detector.onnx"
    copied.write_bytes(places["--detector"].read_bytes())
    result = run(detection.main, *words(places, tmp_path, detector=copied), "--write-card")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "detection.json").read_text())
    scores = detection.card_scores([Row(**values) for values in found["rows"]])
    assert scores_of(copied) == scores
    assert scores["clean_flagged"] == pytest.approx(20 * 20 / (2 * 160**2), abs=1e-5)
    before, after = onnx.load(places["--detector"]), onnx.load(copied)
    assert before.graph == after.graph
    kept = {item.key: item.value for item in before.metadata_props if item.key != "scores"}
    assert kept == {item.key: item.value for item in after.metadata_props if item.key != "scores"}
    assert kept["threshold"] == "0.4"
    # A card tells of all photographs, at its own threshold.
    for more in (("--limit", 1), ("--threshold", 0.4), ("--threshold", 0), ("--seed", 1)):
        call = words(places, tmp_path / "other", detector=copied)
        assert "--write-card" in one_line_error(run(detection.main, *call, "--write-card", *more))
    assert scores_of(copied) == scores
    assert not (tmp_path / "other").exists()


def test_the_seed_fixes_the_numbers(places: dict[str, Path], tmp_path: Path) -> None:
    numbers = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        more = ("--seed", seed, "--threshold", 0.9, "--limit", 1)
        result = run(detection.main, *words(places, tmp_path / name), *more)
        assert result.exit_code == 0, result.output
        numbers.append(json.loads((tmp_path / name / "detection.json").read_text()))
    assert numbers[0]["rows"] == numbers[1]["rows"] != numbers[2]["rows"]
    assert "threshold 0.90" in numbers[0]["setting"]
    assert {values["photos"] for values in numbers[0]["rows"]} == {1, detection.DRAWS}


def test_a_higher_threshold_than_any_probability_finds_nothing(
    places: dict[str, Path], tmp_path: Path
) -> None:
    half = detector_file(tmp_path / "half.onnx", levels=1, threshold=1.0)
    model = onnx.load(half)
    # Of what is white only so much is said to be damage.
    model.graph.node[-1].output[0] = "sure"
    constant = onnx.helper.make_tensor("half", onnx.TensorProto.FLOAT, [], [0.9])
    model.graph.initializer.append(constant)
    model.graph.node.append(onnx.helper.make_node("Mul", ["sure", "half"], ["damage"]))
    onnx.save(model, half)
    found = {}
    for threshold in ((), ("--threshold", 0.45)):
        call = words(places, tmp_path, detector=half)
        result = run(detection.main, *call, *threshold, "--limit", 1)
        assert result.exit_code == 0, result.output
        rows = json.loads((tmp_path / "detection.json").read_text())["rows"]
        found[threshold] = rows[-1]["found"]
    assert found == {(): 0, ("--threshold", 0.45): 20 * 20 / 160**2}


def test_wrong_calls(places: dict[str, Path], tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    train_only = film_tar(tmp_path / "others.tar", frames={"frame-1": SPECKS})
    text = tmp_path / "text.onnx"
    text.write_text("no model")
    weights = Path(detection.__file__).parent.parent / "inpaintcli/weights"
    for others, reason in (
        ({"data": nowhere}, "nowhere"),
        ({"data": text}, "text.onnx"),
        ({"film": nowhere}, "nowhere"),
        ({"film": tar_of(tmp_path / "no.tar", {"a.txt": b""})}, "polygons.json"),
        ({"film": train_only}, "others.tar: holds none of frame-5, frame-6"),
        ({"detector": nowhere}, "nowhere"),
        ({"detector": text}, "text.onnx"),
        ({"detector": weights / "autoencoder.onnx"}, "not a detector of damage"),
    ):
        call = words(places, tmp_path / "out", **others)
        assert reason in one_line_error(run(detection.main, *call))
        assert not (tmp_path / "out").exists()
