"""Restoring arrays: what is damaged is filled, what is not stays, at any size and depth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaintcli import load_model, restore
from inpaintcli.arrays import Floats, Mask, Pixels
from inpaintcli.errors import PhotoError, UsageError
from inpaintcli.inpainters.base import Card
from inpaintcli.inpainters.registry import NETWORKS, WEIGHTS
from inpaintcli.metrics import score
from tests.helpers import Depth, MeanFill, picture, stripe


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.integers(1, 4),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    tile=st.sampled_from([None, 16, 24]),
    reach=st.sampled_from([None, 2]),
    seed=st.integers(0, 999),
    share=st.sampled_from([0.01, 0.3, 0.9]),
)
@settings(max_examples=120, deadline=None)
def test_undamaged_pixels_and_alpha_never_change(
    height: int,
    width: int,
    channels: int,
    dtype: type[np.uint8],
    tile: int | None,
    reach: int | None,
    seed: int,
    share: float,
) -> None:
    rng = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    pixels = rng.integers(0, top, (height, width, channels), endpoint=True).astype(dtype)
    mask = rng.random((height, width)) < share
    if mask.all():
        mask[0, 0] = False
    before = pixels.copy()
    restored = restore(pixels, mask, MeanFill(tile, reach=reach))
    assert (pixels == before).all(), "the input must not be written to"
    assert restored.shape == pixels.shape
    assert restored.dtype == pixels.dtype
    assert (restored[~mask] == pixels[~mask]).all()
    colours = 3 if channels >= 3 else 1
    assert (restored[..., colours:] == pixels[..., colours:]).all()


def test_a_flat_photo_comes_back_flat_with_any_tiling() -> None:
    pixels = np.full((61, 75, 3), (200, 100, 50), np.uint8)
    mask = stripe(61, 75)
    damaged = pixels.copy()
    damaged[mask] = 255
    for tile, overlap in ((16, 0), (16, 8), (24, 23), (128, 16)):
        restored = restore(damaged, mask, MeanFill(), tile=tile, overlap=overlap)
        assert (restored == pixels).all()


def test_only_tiles_that_touch_damage_are_run() -> None:
    mask = np.zeros((256, 256), bool)
    mask[100, 100] = True
    inpainter = MeanFill(16)
    restore(picture(256, 256), mask, inpainter, overlap=0)
    assert sum(shape[0] for shape in inpainter.shapes) == 1


def test_batches_have_the_size_asked_for_and_give_the_same_result() -> None:
    pixels, mask = picture(64, 200), stripe(64, 200)
    small, large = MeanFill(16), MeanFill(16)
    one = restore(pixels, mask, small, batch_size=1)
    many = restore(pixels, mask, large, batch_size=64)
    assert (one == many).all()
    assert max(shape[0] for shape in small.shapes) == 1
    assert max(shape[0] for shape in large.shapes) > 1


def test_what_lies_under_the_mask_does_not_matter() -> None:
    pixels, mask = picture(), stripe()
    other = pixels.copy()
    other[mask] = 255 - other[mask]
    for reach in (None, 1):
        model = MeanFill(16, reach=reach)
        assert (restore(pixels, mask, model) == restore(other, mask, model)).all()


def test_progress_reaches_its_total() -> None:
    seen: list[tuple[int, int]] = []
    mask = np.zeros((80, 80), bool)
    mask[10:60, 10:60] = True
    restore(
        picture(80, 80), mask, MeanFill(16, reach=2),
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen[-1][0] == seen[-1][1] > 0
    assert all(done <= total for done, total in seen)


def test_an_empty_mask_changes_nothing_and_a_full_one_is_refused() -> None:
    pixels = picture()
    nothing = np.zeros(pixels.shape[:2], bool)
    assert (restore(pixels, nothing, MeanFill()) == pixels).all()
    with pytest.raises(PhotoError, match="every pixel is damaged"):
        restore(pixels, ~nothing, MeanFill())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": np.zeros((3, 3), bool)}, "as the photo"),
        ({"mask": np.zeros((40, 56), np.uint8)}, "must be bool"),
        ({"pixels": np.zeros((40, 56, 3), np.float32)}, "uint8 or uint16"),
        ({"tile": 20}, "multiples of 8"),
        ({"overlap": 16}, "smaller than the tile"),
    ],
)
def test_arrays_and_tiles_that_do_not_fit_are_refused(
    change: dict[str, object], message: str
) -> None:
    arguments: dict[str, object] = {"pixels": picture(), "mask": stripe(), "model": MeanFill()}
    with pytest.raises(UsageError, match=message):
        restore(**{**arguments, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"batch_size": -1}, "--batch-size -1: must be at least 1"),
        ({"batch_size": 0}, "--batch-size 0: must be at least 1"),
        ({"seed": -1}, "--seed -1: must be at least 0"),
        ({"tile": 0}, "--tile 0: must be at least 8"),
        ({"tile": -8}, "--tile -8: must be at least 8"),
        ({"overlap": -1}, "--overlap -1: must be at least 0"),
        ({"threads": 0}, "--threads 0: must be at least 1"),
        ({"grain": 5}, "--grain 5: give auto, off or a number from 0 to 4"),
        ({"grain": float("nan")}, "--grain nan: give auto, off or a number from 0 to 4"),
        ({"grain": "much"}, "--grain much: give auto, off or a number from 0 to 4"),
    ],
)
def test_wrong_options_are_refused_before_any_work(option: dict[str, int], message: str) -> None:
    """Before the model is loaded, which does not exist, and where there is nothing to do."""
    nothing = np.zeros((40, 56), bool)
    for mask in (stripe(), nothing):
        for model in ("nix", MeanFill()):
            with pytest.raises(UsageError) as caught:
                restore(picture(), mask, model, **option)  # type: ignore[arg-type]
            assert str(caught.value) == message


@pytest.mark.parametrize("reach", [None, 4])
@pytest.mark.parametrize("multiple", [8, 24])
def test_no_tile_is_all_damage_however_small_it_was_cut(multiple: int, reach: int | None) -> None:
    """A method that gets zeros would fill such a tile black."""
    tile = 264 if multiple == 24 else 256
    model = MeanFill(tile, multiple, reach)
    model.card = replace(model.card, patch=32, overlap=64, margin=0)
    pixels = np.full((500, 500, 3), 200, np.uint8)
    mask = np.zeros((500, 500), bool)
    mask[125:375, 125:375] = True
    assert (restore(pixels, mask, model) == 200).all()
    assert all(side % multiple == 0 for shape in model.shapes for side in shape[2:])


class Echo:
    """An inpainter that returns what it is given, first guess included, and counts pixels."""

    def __init__(self, tile: int | None = 32, reach: int | None = None):
        self.card = Card("echo", "", tile=tile, overlap=8, multiple=8, reach=reach, prior=True)
        self.pixels: list[int] = []

    def __call__(self, images: Floats, masks: Floats) -> Floats:
        self.pixels.append(int(masks.sum()))
        return images.copy()


def test_a_first_guess_is_a_smooth_continuation_of_the_known_pixels() -> None:
    """On a ramp the guess is the ramp, to within a few steps; what was there does not shine in."""
    ramp = np.repeat(np.linspace(0, 255, 96).round().astype(np.uint8)[None, :, None], 96, 0)
    ramp = np.repeat(ramp, 3, 2)
    mask = np.zeros((96, 96), bool)
    mask[30:60, 40:52] = True
    damaged = ramp.copy()
    damaged[mask] = 255
    for tile in (32, None):
        guess = restore(damaged, mask, Echo(tile), grain="off")
        assert np.abs(guess[mask].astype(int) - ramp[mask]).max() <= 12
        assert (guess[~mask] == ramp[~mask]).all()
    # Neither does the tile: the guess is made of the whole photo.
    small, large = (restore(damaged, mask, Echo(), tile=t, grain="off") for t in (16, 64))
    assert np.abs(small.astype(int) - large).max() <= 1


def test_a_method_for_whole_photos_runs_once() -> None:
    """The smaller sizes, from which it gets its first guess, are none of its business."""
    mask = np.zeros((96, 96), bool)
    mask[20:70, 20:70] = True
    inpainter, seen = Echo(None), []
    restore(
        picture(96, 96), mask, inpainter,
        progress=lambda done, total: seen.append((done, total)), grain="off",
    )  # fmt: skip
    assert inpainter.pixels == [2500]
    assert seen == [(1, 1)]


def test_only_deep_damage_is_filled_at_coarser_sizes_first() -> None:
    pixels = picture(96, 96)
    thin, deep = np.zeros((96, 96), bool), np.zeros((96, 96), bool)
    thin[10:80, 20:24] = True
    deep[20:70, 20:70] = True
    for mask, more in ((thin, False), (deep, True)):
        once, refined = Echo(), Echo(reach=6)
        restore(pixels, mask, once, grain="off")
        restore(pixels, mask, refined, grain="off")
        assert (sum(refined.pixels) > sum(once.pixels)) == more


def test_grain_is_the_users_choice() -> None:
    rng = np.random.default_rng(0)
    grainy = np.clip(rng.normal(128, 12, (200, 200, 1)), 0, 255).astype(np.uint8).repeat(3, 2)
    mask = np.zeros((200, 200), bool)
    mask[90:110, 20:180] = True
    off, auto, twice = (
        restore(grainy, mask, MeanFill(), grain=g)[mask].std() for g in ("off", "auto", 2)
    )
    assert off < 6
    assert auto == pytest.approx(12, rel=0.25)
    assert twice == pytest.approx(24, rel=0.25)
    once, other = (restore(grainy, mask, MeanFill(), seed=s) for s in (0, 1))
    assert (once != other).any()
    assert (once == restore(grainy, mask, MeanFill(), seed=0)).all()
    with pytest.raises(UsageError, match="grain"):
        restore(grainy, mask, MeanFill(), grain="much")


def test_grain_that_was_asked_for_in_vain_is_noted() -> None:
    flat = np.full((200, 200, 3), 128, np.uint8)
    grainy = np.clip(np.random.default_rng(0).normal(128, 12, flat.shape), 0, 255).astype(np.uint8)
    mask = np.zeros((200, 200), bool)
    mask[90:110, 20:180] = True
    for pixels, grain, expected in (
        (flat, 1, 1), (flat, "0.5", 1), (flat, "auto", 0), (flat, "off", 0), (flat, 0, 0),
        (grainy, 1, 0), (grainy, "auto", 0),
    ):  # fmt: skip
        notes: list[str] = []
        restore(pixels, mask, MeanFill(), grain=grain, notes=notes)
        assert len(notes) == expected
        assert all(note.startswith(f"--grain {grain} changed nothing") for note in notes)


class TestPhoto:
    """What is promised of `photo`, the default."""

    @staticmethod
    def scratched(height: int = 160, width: int = 232) -> tuple[Pixels, Mask]:
        """A picture with a scratch and a wide hole, white, and its mask."""
        pixels, mask = picture(height, width), stripe(height, width)
        mask[60:100, 20:64] = True
        pixels[mask] = 255
        return pixels, mask

    def test_neither_batches_nor_threads_change_a_bit(self) -> None:
        pixels, mask = self.scratched()
        first, *others = (
            restore(pixels, mask, tile=112, batch_size=size, device="cpu", threads=threads)
            for size, threads in ((None, 1), (1, 1), (3, 1), (64, 1), (None, 2), (1, 3))
        )
        for other in others:
            assert (other == first).all()

    def test_8_bit_and_float_agree(self) -> None:
        pixels, mask = picture(160, 232), stripe(160, 232)
        pixels[mask] = 255
        filled = [
            restore(pixels, mask, model, grain="off", device="cpu", threads=1)
            for model in ("photo", WEIGHTS / "photo.onnx")
        ]
        assert (filled[0] != filled[1]).any(), "these must be two files"
        agreement = score(filled[0], filled[1], mask).hole_psnr
        assert agreement is not None
        assert agreement > 40

    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_texture_and_grain_touch_nothing_but_the_damage(
        self, channels: int, dtype: type[Depth]
    ) -> None:
        pixels = picture(200, 200, channels, dtype)
        top = np.iinfo(dtype).max
        noise = np.random.default_rng(0).normal(0, 0.03 * top, (200, 200, 1))
        colours = np.s_[..., : 3 if channels >= 3 else 1]
        pixels[colours] = np.clip(pixels[colours] + noise, 0, top).astype(dtype)
        mask = np.zeros((200, 200), bool)
        mask[60:120, 70:150] = True
        before = pixels.copy()
        smooth, grainy = (
            restore(pixels, mask, grain=grain, device="cpu", threads=1) for grain in ("off", 1)
        )
        assert (pixels == before).all()
        assert (grainy[~mask] == pixels[~mask]).all()
        assert (smooth[colours][mask] != grainy[colours][mask]).mean() > 0.3
        if channels in (2, 4):
            assert (grainy[..., -1] == pixels[..., -1]).all()

    @pytest.mark.parametrize("channels", [3, 4])
    def test_grain_on_grey_is_grey(self, channels: int) -> None:
        rng = np.random.default_rng(0)
        pixels = np.clip(rng.normal(128, 10, (200, 200, 1)), 0, 255).astype(np.uint8)
        pixels = np.repeat(pixels, channels, 2)
        mask = np.zeros((200, 200), bool)
        mask[60:120, 70:150] = True
        restored = restore(pixels, mask, grain=1, device="cpu", threads=1)
        assert (restored[..., :3] == restored[..., :1]).all()
        assert restored[mask, 0].std() > 5

    def test_its_files_are_small_enough_to_ship(self) -> None:
        files = list(WEIGHTS.glob("photo*.onnx"))
        assert {file.name for file in files} >= {"photo.onnx", "photo-int8.onnx"}
        assert sum(file.stat().st_size for file in files) <= 16e6


@pytest.mark.parametrize("model", NETWORKS)
class TestNetworks:
    """The shipped networks, at run time."""

    @pytest.mark.parametrize("size", [(32, 32), (33, 47), (5, 90), (2, 1), (90, 121)])
    def test_any_size_is_filled_without_leaving_a_pixel(
        self, model: str, size: tuple[int, int]
    ) -> None:
        pixels = np.full((*size, 3), 180, np.uint8)
        mask = stripe(*size)
        mask[0, 0] = False
        pixels[mask] = 0
        restored = restore(pixels, mask, model, threads=1)
        assert (np.abs(restored[mask].astype(int) - 180) <= 8).all()

    @pytest.mark.parametrize("colour", [(255, 0, 0), (20, 200, 30), (255, 80, 40), (250, 250, 250)])
    def test_a_saturated_colour_keeps_its_colour(
        self, model: str, colour: tuple[int, int, int]
    ) -> None:
        """CIFAR-10 has no pure red: without care, lines across it come back grey."""
        pixels = np.full((96, 96, 3), colour, np.uint8)
        for width in (2, 6, 20):
            mask = np.zeros((96, 96), bool)
            mask[:, 40 : 40 + width] = True
            restored = restore(np.where(mask[..., None], 255, pixels), mask, model, threads=1)
            error = np.abs(restored.astype(int) - pixels)[mask]
            assert error.max() <= 16
            assert error.mean() <= 5

    def test_a_wide_hole_in_a_gradient_comes_back_smooth(self, model: str) -> None:
        """72 px, where a tile sees 32: no seam, no colour shift, no unfilled pixel."""
        y, x = np.mgrid[0:160, 0:192]
        smooth = np.stack([60 + y * 0.6, 80 + x * 0.5, 200 - (x + y) * 0.3], 2)
        pixels = np.rint(smooth).astype(np.uint8)
        mask = (y - 80) ** 2 + (x - 96) ** 2 < 36**2
        damaged = pixels.copy()
        damaged[mask] = 255
        restored = restore(damaged, mask, model, threads=1).astype(float)
        error = np.abs(restored - smooth)[mask]
        assert error.mean() < 4
        assert error.max() < 20
        # Neighbours differ by less than a unit in the original; a seam would show as a step.
        steps = np.abs(np.diff(restored, axis=1))[mask[:, 1:] | mask[:, :-1]]
        assert np.percentile(steps, 99) <= 5

    @pytest.mark.parametrize("channels", [1, 3])
    def test_a_grey_photo_stays_grey(self, model: str, channels: int) -> None:
        pixels = np.repeat(picture(64, 64, 1), channels, 2)
        restored = restore(pixels, stripe(64, 64), model, threads=1)
        assert (restored == restored[..., :1]).all()

    def test_sixteen_bit_fills_have_more_than_eight_bit(self, model: str) -> None:
        pixels = picture(64, 64, dtype=np.uint16)
        mask = stripe(64, 64)
        restored = restore(pixels, mask, model, threads=1)
        assert len(np.unique(restored[mask] % 257)) > 20

    def test_scratches_are_filled_better_than_by_telea(self, model: str) -> None:
        astronaut = pytest.importorskip("skimage.data").astronaut()[:256, 100:356]
        y, x = np.mgrid[0:256, 0:256]
        mask = (np.abs(x - y * 0.7 - 20) < 2) | (np.abs(y - x * 0.3 - 90) < 1.5)
        damaged = astronaut.copy()
        damaged[mask] = 255

        def error(name: str) -> float:
            restored = restore(damaged, mask, load_model(name, threads=1))
            return float(np.square(restored[mask].astype(float) - astronaut[mask]).mean())

        assert error(model) < error("telea")
