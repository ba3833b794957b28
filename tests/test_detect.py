"""Damage is found at every size and depth, and what the network is asked is what it was taught."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaintcli import detect, load_detector, pyramid, restore
from inpaintcli.arrays import Floats, Pixels
from inpaintcli.cli import options
from inpaintcli.detect import (
    CERTAIN,
    GROWTH,
    LEAST_AREA,
    LEAST_SIDE,
    Detector,
    DetectorCard,
    probability,
    to_mask,
)
from inpaintcli.errors import ModelError, UsageError
from inpaintcli.mask import grow
from inpaintcli.pairing import (
    Beside,
    Found,
    Pairs,
    alike,
    find,
    find_results,
    mask_path,
    overlay_path,
)
from tests.helpers import MeanFill, detector_file, picture, save, save_mask, scratched, stripe

onnx = pytest.importorskip("onnx")


class Recorder(Detector):
    """Stands for the network: keeps what it is asked, and says `answer` of it."""

    resident = None

    def __init__(self, answer: float = 0.0, **card: int):
        self.card = DetectorCard("recorder", **{"tile": 64, "overlap": 8, "margin": 4, **card})  # type: ignore[arg-type]
        self.answer = answer
        self.asked: list[tuple[Floats, Floats]] = []

    def __call__(self, images: Floats, coarse: Floats) -> Floats:
        assert images.dtype == coarse.dtype == np.float32
        self.asked.append((images, coarse))
        return np.full_like(coarse, self.answer)


class White(Detector):
    """Says that what is white is damaged."""

    resident = None

    def __init__(self, **card: int):
        self.card = DetectorCard("white", **{"tile": 64, "overlap": 8, "margin": 4, **card})  # type: ignore[arg-type]

    def __call__(self, images: Floats, coarse: Floats) -> Floats:
        return np.asarray(images.min(1, keepdims=True) > 0.95, np.float32)


@pytest.fixture
def stub(tmp_path: Path) -> Detector:
    return load_detector(detector_file(tmp_path / "stub.onnx", threshold=0.4), threads=1)


def test_the_card_is_what_the_file_says_completed_with_defaults(tmp_path: Path) -> None:
    path = detector_file(
        tmp_path / "d.onnx", name="mine", version=2, tile=128, overlap=16, margin=8, levels=2,
        threshold=0.3, trained_on="x", scores='{"recall": 0.9}',
    )  # fmt: skip
    card = load_detector(path, threads=1).card
    assert (card.name, card.version, card.tile, card.overlap, card.margin) == (
        "mine", "2", 128, 16, 8,
    )  # fmt: skip
    assert (card.multiple, card.levels, card.threshold) == (8, 2, 0.3)
    assert card.scores == {"recall": 0.9}
    assert card.size == path.stat().st_size
    plain = load_detector(detector_file(tmp_path / "plain.onnx"), threads=1).card
    assert (plain.name, plain.tile, plain.threshold) == ("plain", 512, 0.5)


@pytest.mark.parametrize(
    "card",
    [{"tile": 20}, {"tile": "much"}, {"levels": 0}, {"threshold": 2}, {"threshold": "nan"},
     {"overlap": 500}, {"margin": 300}, {"scores": "[]"}, {"scores": "{"}],
)  # fmt: skip
def test_a_broken_card_is_one_line(card: dict[str, Any], tmp_path: Path) -> None:
    path = detector_file(tmp_path / "bad.onnx", **card)
    with pytest.raises(ModelError, match=r"bad\.onnx: its card cannot be used") as caught:
        load_detector(path, threads=1)
    assert "\n" not in str(caught.value)


def test_what_is_no_detector_is_refused_in_one_line(tmp_path: Path) -> None:
    shipped = Path(__file__).parent.parent / "inpaintcli/weights/autoencoder.onnx"
    (tmp_path / "text.onnx").write_text("this is no model")
    for path, why in (
        (shipped, "not a detector of damage: found image float"),
        (tmp_path / "text.onnx", "not a model"),
        (tmp_path / "nix.onnx", "there is no such detector"),
    ):
        with pytest.raises(ModelError, match=why) as caught:
            load_detector(path, threads=1)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="tpu"):
        load_detector(detector_file(tmp_path / "d.onnx"), device="tpu")


def test_a_model_that_returns_no_numbers_is_told(tmp_path: Path) -> None:
    # At full size 0 times infinity is no number.
    path = detector_file(tmp_path / "nan.onnx", hint=float("inf"))
    with pytest.raises(ModelError, match=r"nan\.onnx: the model returned"):
        probability(picture(), load_detector(path, threads=1))


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 90), width=st.integers(1, 90), channels=st.integers(0, 4),
    depth=st.sampled_from([np.uint8, np.uint16]), seed=st.integers(0, 99),
)  # fmt: skip
def test_white_pixels_are_found_at_any_size_depth_and_colour(
    height: int, width: int, channels: int, depth: type[np.uint8], seed: int
) -> None:
    top = np.iinfo(depth).max
    rng = np.random.default_rng(seed)
    expected = rng.random((height, width)) < 0.1
    pixels: Pixels = np.full((height, width, max(channels, 1)), top // 2, depth)
    pixels[expected] = top
    if channels in (2, 4):
        pixels[..., -1] = np.where(rng.random((height, width)) < 0.2, 0, top // 3)
        expected &= pixels[..., -1] > 0
    kept = pixels.copy()
    given_ = pixels[..., 0] if channels == 0 else pixels
    np.testing.assert_array_equal(detect(given_, White(), min_area=0, grow=0), expected)
    np.testing.assert_array_equal(pixels, kept)


def test_each_size_is_shown_what_was_found_at_half_of_it() -> None:
    detector = Recorder(0.5, tile=1024, levels=3, margin=0)
    pixels = picture(600, 521)
    found = probability(pixels, detector)
    assert (found == 32768).all()  # 0.5 is rounded.
    shapes = [images.shape[2:] for images, _ in detector.asked]
    assert shapes == [(152, 136), (304, 264), (600, 528)]
    hints = [coarse[0, 0] for _, coarse in detector.asked]
    assert (hints[0] == 0).all()
    for hint in hints[1:]:
        assert (hint == np.float32(32768 / CERTAIN)).all()
    # What is seen there is the photo at half size, as `pyramid` makes it.
    half, _ = pyramid.halved(pixels, np.zeros((600, 521), bool))
    seen = detector.asked[1][0][0, :, :300, :261].transpose(1, 2, 0)
    np.testing.assert_allclose(seen, half / np.float32(65535), atol=1e-6)


def test_the_hint_lies_where_it_was_found() -> None:
    class Corner(Recorder):
        def __call__(self, images: Floats, coarse: Floats) -> Floats:
            super().__call__(images, coarse)
            answer = np.zeros_like(coarse)
            answer[..., 10:20, 30:50] = 1
            return answer

    detector = Corner(tile=1024, levels=2, margin=0)
    probability(picture(400, 400), detector)
    hint = detector.asked[1][1][0, 0]
    expected = np.zeros((400, 400), np.uint8)
    expected[20:40, 60:100] = 1
    np.testing.assert_array_equal(hint > 0.5, expected)


@pytest.mark.parametrize(
    ("shape", "levels", "sizes"),
    [((254, 900), 3, 1), ((255, 900), 3, 2), ((4000, 255), 9, 2), ((509, 509), 9, 3),
     ((600, 600), 1, 1), ((3, 5), 3, 1)],
)  # fmt: skip
def test_sizes_end_where_the_shorter_side_gets_short(
    shape: tuple[int, int], levels: int, sizes: int
) -> None:
    assert LEAST_SIDE == 128
    detector = Recorder(tile=4096, levels=levels)
    probability(np.zeros(shape, np.uint8), detector)
    assert len(detector.asked) == sizes


def test_tiles_leave_no_trace(stub: Detector) -> None:
    """In many small tiles as in one large."""
    pixels = scratched(300, 400)
    whole = probability(pixels, White(tile=512, overlap=32, margin=0))
    np.testing.assert_array_equal(probability(pixels, White(tile=64)), whole)
    np.testing.assert_array_equal(probability(pixels, stub), whole)
    np.testing.assert_array_equal(whole == CERTAIN, stripe(300, 400))


def test_a_wide_stain_that_full_size_does_not_see_is_found_from_the_sizes_below(
    tmp_path: Path,
) -> None:
    pixels = picture(300, 400)
    pixels[100:180, 100:220] = 255
    pixels[::2, ::2][50:90, 50:110] = 200  # Full size sees a lattice, half size sees grey.
    hinted = load_detector(detector_file(tmp_path / "d.onnx", hint=0.9, levels=2), threads=1)
    assert not detect(pixels, hinted, grow=0)[100:180:2, 100:220:2].any()
    pixels[100:180, 100:220] = 250
    assert detect(pixels, hinted)[100:180, 100:220].all()


def test_progress_counts_the_tiles_of_all_sizes() -> None:
    told: list[tuple[int, int]] = []
    detector = Recorder(levels=2)
    probability(picture(300, 400), detector, lambda done, total: told.append((done, total)))
    total = len(detector.asked)
    assert told == [(done, total) for done in range(1, total + 1)]
    assert total > 40


@given(st.floats(0, 1), st.integers(0, CERTAIN))
def test_the_threshold_is_kept_to_a_step_and_nothing_is_never_damage(
    threshold: float, value: int
) -> None:
    damaged = bool(to_mask(np.array([[value]], np.uint16), threshold)[0, 0])
    if value == 0 or value < threshold * CERTAIN - 0.5:
        assert not damaged
    if value > 0 and value >= threshold * CERTAIN + 0.5:
        assert damaged
    if value == CERTAIN:
        assert damaged


def test_specks_are_dropped_and_the_rest_is_grown() -> None:
    pixels = np.zeros((40, 50, 3), np.uint8)
    pixels[5, 5 : 5 + LEAST_AREA - 1] = 255
    pixels[20, 10:30] = 255  # 20 px
    np.testing.assert_array_equal(detect(pixels, White()), detect(pixels, White(), grow=GROWTH))
    assert detect(pixels, White(), grow=0).sum() == 20
    assert detect(pixels, White(), grow=0, min_area=1).sum() == 20 + LEAST_AREA - 1
    assert detect(pixels, White(), min_area=0, grow=1)[4, 6]
    grown = detect(pixels, White(), grow=2)
    assert grown[18:23, 10:30].all()
    assert not grown[:17].any()
    # Nothing is damaged where nothing can be seen.
    alpha = np.full((40, 50, 1), 255, np.uint8)
    alpha[19] = 0
    seen = detect(np.dstack([pixels, alpha]), White(), grow=2)
    np.testing.assert_array_equal(seen, grown & (alpha[..., 0] > 0))


def test_the_help_tells_the_shipped_threshold() -> None:
    default = get_args(options.Threshold)[1].show_default
    assert default.startswith(f"{load_detector(device='cpu').card.threshold:g},")


def test_the_cards_threshold_holds_where_none_is_given() -> None:
    half, small = Recorder(0.5), picture(5, 10)
    assert detect(small, half).all()
    assert not detect(small, half, threshold=0.6).any()
    assert detect(small, half, threshold=0.4).all()


def test_a_blot_must_be_surer_than_a_line() -> None:
    chance = np.zeros((120, 160), np.uint16)
    chance[20:24, 10:150] = 150 * 257  # a line
    chance[np.eye(120, 160, 20, dtype=bool)] = 150 * 257  # a thin one across
    chance[60:90, 20:50] = 150 * 257  # a blot
    chance[60:90, 100:130] = 250 * 257  # and one that is clear
    chance[110:115, 20:25] = 150 * 257  # a speck of dust
    mask = to_mask(chance, 0.5)
    assert mask[20:24, 10:150].all()
    assert mask[np.eye(120, 160, 20, dtype=bool)].all()
    assert not mask[62:88, 22:48].any()
    assert mask[60:90, 100:130].all()
    assert mask[110:115, 20:25].all()
    assert to_mask(chance, 0.0)[60:90, 20:50].any() == (150 / 255 >= 0.7)
    chance[60:90, 20:50] = 200 * 257
    assert not to_mask(chance, 0.5)[62:88, 22:48].any()
    assert to_mask(chance, 0.2)[62:88, 22:48].all()


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), float("inf")])
def test_bad_calls(threshold: float) -> None:
    with pytest.raises(UsageError, match=r"^threshold .* from 0 to 1"):
        detect(picture(), White(), threshold=threshold)
    with pytest.raises(UsageError, match="min_area -1"):
        detect(picture(), White(), min_area=-1)
    with pytest.raises(UsageError, match="grow -1"):
        detect(picture(), White(), grow=-1)
    with pytest.raises(UsageError, match="pixels must be"):
        detect(picture().astype(np.float32), White())


def test_found_damage_can_be_restored(stub: Detector) -> None:
    pixels = scratched(120, 160)
    mask = detect(pixels, stub)
    np.testing.assert_array_equal(mask, grow(stripe(120, 160), GROWTH))
    restored = restore(pixels, mask, MeanFill(64))
    assert (restored[mask] < 255).any(1).all()


def test_a_missing_detector_is_told_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DETECTOR", "DETECTOR_ON_CUDA"):
        monkeypatch.setattr(sys.modules["inpaintcli.detect"], name, Path("nix.onnx"))
    with pytest.raises(ModelError, match=r"nix\.onnx: there is no such detector"):
        detect(picture())


def test_the_shipped_detector_finds_scratches_and_leaves_the_rest() -> None:
    import cv2

    from inpaintcli import photo

    path = Path(__file__).parent.parent / "assets/originals/astronaut.png"
    pixels = photo.read(path).pixels.copy()
    height, width = pixels.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    scratch = np.abs(x - width / 5 - y / 2) < 1.5
    pixels[scratch] = 245
    # As soft as a scan.
    found = detect(np.asarray(cv2.GaussianBlur(pixels, (0, 0), 0.7), np.uint8))
    assert found[scratch].mean() > 0.7
    assert found.mean() < 6 * scratch.mean()


def test_memory_stays_small_beside_the_photo() -> None:
    """All in all less than the photo in floats would take."""
    import tracemalloc

    pixels = np.zeros((3000, 4000, 3), np.uint8)
    detector = Recorder(tile=512, overlap=32, margin=16)
    detector.asked = _Nothing()
    tracemalloc.start()
    probability(pixels, detector)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 0.8 * 4 * pixels.nbytes


class _Nothing(list[tuple[Floats, Floats]]):
    def append(self, _: object) -> None:
        """Keep nothing."""


def test_masks_and_overlays_lie_beside_the_photo_or_where_they_pair(tmp_path: Path) -> None:
    one = Found(tmp_path / "in/sub/a.b.jpg", Path("sub/a.b.jpg"))
    beside = mask_path(one, None, False)
    assert beside == tmp_path / "in/sub/a.b-mask.png"
    assert overlay_path(one, beside) == tmp_path / "in/sub/a.b-overlay.png"
    mirrored = mask_path(one, tmp_path / "out", False)
    assert mirrored == tmp_path / "out/sub/a.b.png"
    assert overlay_path(one, mirrored) == tmp_path / "out/sub/a.b-overlay.png"
    assert mask_path(one, tmp_path / "x.tif", True) == tmp_path / "x.tif"
    save_mask(mirrored, stripe())
    assert Pairs(Beside(mask=tmp_path / "out")).of(one) == Beside(mask=mirrored)


def test_masks_and_overlays_of_an_earlier_run_are_no_photos(tmp_path: Path) -> None:
    for name in ("a.jpg", "a-mask.png", "a-overlay.png", "a-restored.jpg", "alone-mask.png",
                 "a-restored-mask.png", "a.jpg-mask.png", "a.jpg-overlay.png"):  # fmt: skip
        save(tmp_path / name, picture())
    passed: list[Path] = []
    found = find([tmp_path], passed=passed)
    assert [one.name.name for one in found] == ["a.jpg", "alone-mask.png"]
    assert len(passed) == 6
    assert [one.name.name for one in find_results(tmp_path)] == ["a-restored.jpg", "alone-mask.png"]
    # Named, it is taken.
    assert [one.name.name for one in find([tmp_path / "a-mask.png"])] == ["a-mask.png"]


def test_photos_that_are_called_like_masks_are_photos(tmp_path: Path) -> None:
    """By their suffix, or for they have a mask of their own."""
    photos = ["venice-mask.jpg", "venice-overlay.tif", "venice.jpg"]
    for name in (*photos, "venice-mask.png", "venice-overlay.png"):
        save(tmp_path / "in" / name, picture())
    assert [one.name.name for one in find([tmp_path / "in"])] == photos
    save_mask(tmp_path / "masks/venice-mask.png", stripe())
    pairs = Pairs(Beside(mask=tmp_path / "masks"))
    found = find([tmp_path / "in"], pairs=pairs)
    assert [one.name.name for one in found] == sorted([*photos, "venice-mask.png"])
    # A mask beside its photo is none of its own.
    pairs = Pairs(Beside(mask=tmp_path / "in"))
    found = find([tmp_path / "in"], apart=[tmp_path / "in"], pairs=pairs)
    assert [one.name.name for one in found] == photos


def test_photos_that_differ_in_suffix_have_masks_by_their_whole_names(tmp_path: Path) -> None:
    jpg, tif, other = (Found(tmp_path / name, Path(name)) for name in ("a.jpg", "a.tif", "b.jpg"))
    out = tmp_path / "masks"
    for folder in (None, out):
        assert alike([jpg, tif, other], folder) == {jpg, tif}
        assert alike([jpg, other], folder) == set()
    mask = mask_path(jpg, out, False, whole=True)
    assert mask == out / "a.jpg.png"
    assert overlay_path(jpg, mask, whole=True) == out / "a.jpg-overlay.png"
    assert mask_path(tif, None, False, whole=True) == tmp_path / "a.tif-mask.png"
    for name in ("a.png", "a.jpg.png", "b.png"):
        save_mask(out / name, stripe())
    masks = Pairs(Beside(mask=out))
    assert [masks.of(one).mask for one in (jpg, tif, other)] == [
        out / "a.jpg.png", out / "a.png", out / "b.png",
    ]  # fmt: skip


def test_a_folder_of_masks_to_exclude_may_have_gaps(tmp_path: Path) -> None:
    save_mask(tmp_path / "not/a.png", stripe())
    pairs = Pairs(Beside(exclude=tmp_path / "not"))
    assert pairs.of(Found(Path("a.jpg"), Path("a.jpg"))).exclude == tmp_path / "not/a.png"
    assert pairs.of(Found(Path("b.jpg"), Path("b.jpg"))).exclude is None
    with pytest.raises(UsageError, match="no such mask to exclude"):
        Pairs(Beside(exclude=tmp_path / "nix"))
