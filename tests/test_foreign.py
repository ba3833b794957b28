"""LaMa's and MI-GAN's files work as they are; nothing but their signature tells what they are.

The networks here have the signatures of the real files and none of their weights: they fill holes
with the mean of the known pixels, and put into the holes what the real ones would put there if
they were called wrongly.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inpaintcli import load_model, restore
from inpaintcli.arrays import Mask, Pixels
from inpaintcli.errors import ModelError, UsageError
from inpaintcli.inpainters import foreign
from tests.helpers import Depth, inpaint, load, picture, save, save_mask

onnx = pytest.importorskip("onnx")

Side = int | str
Maker = Callable[..., Path]
#: One colour of three different channels, so that swapped ones show, in 8 bit.
COLOUR = (200, 100, 50)


def lama_file(
    path: Path,
    side: Side = 512,
    batch: Side = 1,
    scale: float = 255.0,
    pad: int = 0,
    output: str = "output",
    **other: Any,
) -> Path:
    """As LaMa's export: `image * (1 - mask) + mean of the known pixels * mask`, times `scale`."""
    node, constant = onnx.helper.make_node, _constant
    nodes = [
        node("Sub", ["one", "mask"], ["known"]),
        node("Mul", ["image", "known"], ["seen"]),
        *_mean("seen", "known"),
        node("Mul", ["mean", "mask"], ["filled"]),
        node("Add", ["seen", "filled"], ["sum"]),
        node("Mul", ["sum", "scale"], ["scaled"]),
        node("Pad", ["scaled", "pads"], [output], mode="edge"),
    ]
    constants = [
        constant("one", 1.0), constant("tiny", 1e-6), constant("scale", scale), _pads(pad),
    ]  # fmt: skip
    return _save(path, nodes, constants, "FLOAT", side, batch, output, **other)


def migan_file(
    path: Path, side: Side = "height", batch: Side = "batch_size", pad: int = 0, **other: Any
) -> Path:
    """As MI-GAN's second pipeline: 8 bit, mask 255 = known, and a rim of 3 px inside a hole in
    which the picture that it was given shines through."""
    node, constant = onnx.helper.make_node, _constant
    nodes = [
        node("Cast", ["image"], ["pixels"], to=onnx.TensorProto.FLOAT),
        node("Cast", ["mask"], ["levels"], to=onnx.TensorProto.FLOAT),
        node("Div", ["levels", "top"], ["known"]),
        node("Mul", ["pixels", "known"], ["seen"]),
        *_mean("seen", "known"),
        node("MaxPool", ["known"], ["wider"], kernel_shape=[3, 3], pads=[1] * 4),
        node("AveragePool", ["wider"], ["soft"], kernel_shape=[5, 5], pads=[2] * 4),
        node("Sub", ["one", "soft"], ["hole"]),
        node("Mul", ["pixels", "soft"], ["kept"]),
        node("Mul", ["mean", "hole"], ["filled"]),
        node("Add", ["kept", "filled"], ["sum"]),
        node("Cast", ["sum"], ["bytes"], to=onnx.TensorProto.UINT8),
        node("Pad", ["bytes", "pads"], ["result"], mode="edge"),
    ]
    constants = [constant("top", 255.0), constant("one", 1.0), constant("tiny", 1e-6), _pads(pad)]
    return _save(path, nodes, constants, "UINT8", side, batch, "result", **other)


def _mean(picture: str, known: str) -> list[Any]:
    node = onnx.helper.make_node
    return [
        node("ReduceSum", [picture, "axes"], ["total"]),
        node("ReduceSum", [known, "axes"], ["count"]),
        node("Add", ["count", "tiny"], ["number"]),
        node("Div", ["total", "number"], ["mean"]),
    ]


def _constant(name: str, value: float) -> Any:
    return onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, [], [value])


def _pads(pad: int) -> Any:
    return onnx.helper.make_tensor("pads", onnx.TensorProto.INT64, [8], [0] * 6 + [pad] * 2)


def _save(
    path: Path, nodes: list[Any], constants: list[Any], kind: str, side: Side, batch: Side,
    output: str, mask: str = "", shapeless: bool = False,
) -> Path:  # fmt: skip
    """Write a model; `mask`: another type for the mask; `shapeless`: leave out the result's."""
    helper, types = onnx.helper, onnx.TensorProto
    info, number = helper.make_tensor_value_info, types.DataType.Value(kind)
    sizes = [side, side if isinstance(side, int) else "width"]
    constants.append(helper.make_tensor("axes", types.INT64, [2], [2, 3]))
    graph = helper.make_graph(
        nodes, "test",
        [
            info("image", number, [batch, 3, *sizes]),
            info("mask", types.DataType.Value(mask or kind), [batch, 1, *sizes]),
        ],
        [info(output, number, None if shapeless else ["n", 3, "high", "wide"])],
        constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path)
    return path


def plain(height: int, width: int, dtype: type[Depth] = np.uint8) -> Pixels:
    """A photo of one colour."""
    top = np.iinfo(dtype).max
    values = [round(value / 255 * top) for value in COLOUR]
    return np.full((height, width, 3), values, dtype)


def torn(pixels: Pixels) -> tuple[Pixels, Mask]:
    """A photo with a scratch and a hole in which there is black and white, and its mask."""
    height, width = pixels.shape[:2]
    mask = np.zeros((height, width), np.bool_)
    mask[height // 3 : height // 3 + 4] = True
    mask[height // 2 : height // 2 + 60, width // 4 : width // 4 + 70] = True
    broken = pixels.copy()
    broken[mask] = 0
    broken[:, ::2][mask[:, ::2]] = np.iinfo(pixels.dtype).max
    return broken, mask


BOTH = pytest.mark.parametrize("make", [lama_file, migan_file])


@BOTH
@pytest.mark.parametrize("size", [(90, 130), (512, 512), (700, 1100)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_holes_get_the_colour_of_what_is_known(
    tmp_path: Path, make: Maker, size: tuple[int, int], dtype: type[Depth]
) -> None:
    whole = plain(*size, dtype)
    broken, mask = torn(whole)
    restored = restore(broken, mask, make(tmp_path / "some.onnx"), threads=1)
    assert restored.dtype == dtype
    error = np.abs(restored.astype(int) - whole.astype(int)).max()
    # MI-GAN's pipeline has 8 bit and drops what is behind the point; LaMa's sums are floats.
    exact = 257 if make is migan_file else 32
    assert error <= (1 if dtype == np.uint8 else exact)


@BOTH
def test_known_pixels_stay_as_they_are(tmp_path: Path, make: Maker) -> None:
    path = make(tmp_path / "some.onnx")
    for channels in (1, 2, 3, 4):
        broken, mask = torn(picture(200, 600, channels, np.uint16))
        restored = restore(broken, mask, path, threads=1)
        assert restored.shape == broken.shape
        assert (restored[~mask] == broken[~mask]).all()
        assert (restored[mask] != broken[mask]).any()


@BOTH
def test_grey_photos_stay_grey(tmp_path: Path, make: Maker) -> None:
    whole = np.full((300, 600), 90, np.uint8)
    broken, mask = torn(whole)
    restored = restore(broken, mask, make(tmp_path / "some.onnx"), threads=1)
    assert restored.shape == whole.shape
    assert np.abs(restored.astype(int) - 90).max() <= 1


@pytest.mark.parametrize("scale", [1.0, 255.0])
@pytest.mark.parametrize("first", [0, 3, 90])
def test_lama_files_of_either_range_work(tmp_path: Path, scale: float, first: int) -> None:
    """Also where the first tile, in which the range could be seen, is black or nearly so."""
    whole = plain(300, 1400)
    whole[:, :700] = first
    broken, mask = torn(whole)
    mask[:, 500:900] = False
    broken[~mask] = whole[~mask]
    restored = restore(broken, mask, lama_file(tmp_path / "a.onnx", scale=scale), threads=1)
    # Away from where the two colours meet, holes are filled with the one around them.
    for columns in (slice(0, 128), slice(1272, 1400)):
        assert np.abs(restored[:, columns].astype(int) - whole[:, columns]).max() <= 1


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_what_a_lama_file_returns_does_not_depend_on_what_came_before(
    tmp_path: Path, scale: float
) -> None:
    model = load_model(lama_file(tmp_path / "a.onnx", side=64, scale=scale), threads=1)
    masks = np.zeros((1, 1, 64, 64), np.float32)
    masks[..., :9] = 1
    images = np.repeat(np.where(masks > 0, 0, 0.5).astype(np.float32), 3, 1)
    assert isinstance(model, foreign.LamaInpainter)
    before = dict(vars(model))
    # Far too dark to tell the range by, and black with one stray value.
    dark = images * np.float32(0.004)
    stray = np.zeros_like(images)
    stray[..., 40, 40] = 1
    for _ in range(2):
        for given in (dark, stray, images):
            seen = given * (1 - masks)
            mean = seen.sum((2, 3), keepdims=True) / (1 - masks).sum()
            assert np.allclose(model(given, masks), seen + mean * masks, atol=1e-6)
    assert vars(model) == before


def test_a_lama_file_that_is_of_no_use_is_refused_when_loaded(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"bad\.onnx: the model returned values that are not num"):
        load_model(lama_file(tmp_path / "bad.onnx", scale=float("nan")), threads=1)


def test_black_photos_stay_black(tmp_path: Path) -> None:
    mask = torn(plain(90, 130))[1]
    for scale in (1, 255):
        path = lama_file(tmp_path / "a.onnx", scale=scale)
        assert not restore(np.zeros((90, 130, 3), np.uint8), mask, path, threads=1).any()


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lama_file, {}),
        (lama_file, {"batch": "batch"}),
        (lama_file, {"output": "inpainted", "shapeless": True}),
        (migan_file, {}),
        (migan_file, {"batch": 1, "side": 512}),
        (migan_file, {"shapeless": True}),
    ],
)
def test_batches_are_run_one_by_one(tmp_path: Path, make: Maker, options: dict[str, Any]) -> None:
    path = make(tmp_path / "some.onnx", **options)
    broken, mask = torn(picture(600, 1300))
    restored = [restore(broken, mask, path, threads=1, batch_size=size) for size in (None, 1, 4)]
    assert (restored[0] == restored[1]).all()
    assert (restored[0] == restored[2]).all()


def test_cards_say_what_the_file_is(tmp_path: Path) -> None:
    lama = load_model(lama_file(tmp_path / "lama_fp32.onnx"), threads=1).card
    assert (lama.name, lama.tile, lama.fixed) == ("lama_fp32", 512, True)
    assert "LaMa" in lama.summary
    assert not lama.eight_bit
    migan = load_model(migan_file(tmp_path / "migan_pipeline_v2.onnx"), threads=1).card
    assert (migan.name, migan.tile, migan.fixed) == ("migan_pipeline_v2", 512, False)
    assert "MI-GAN" in migan.summary
    assert migan.eight_bit
    for card in (lama, migan):
        assert card.overlap == 128
        assert card.licence == "", "the file does not say"
        assert card.size > 0
    assert load_model(migan_file(tmp_path / "a.onnx", side=256), threads=1).card.tile == 256


def test_tiles_of_other_sizes(tmp_path: Path) -> None:
    whole = plain(700, 1100)
    broken, mask = torn(whole)
    fixed, free = lama_file(tmp_path / "fixed.onnx"), migan_file(tmp_path / "free.onnx")
    for tile in (256, 1024):
        for size in (1100, 300):
            with pytest.raises(UsageError, match=f"--tile {tile}: fixed takes tiles of 512 px on"):
                restore(broken[:, :size], mask[:, :size], fixed, tile=tile, threads=1)
    restored = restore(broken, mask, fixed, tile=512, threads=1)
    assert np.abs(restored.astype(int) - whole).max() <= 1
    for tile in (100, 256, 1024):
        restored = restore(broken, mask, free, tile=tile, threads=1)
        assert np.abs(restored.astype(int) - whole).max() <= 1


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lama_file, {"scale": float("nan")}, "not numbers"),
        (lama_file, {"pad": 1}, "1x3x513x513 for an input of 1x3x512x512"),
        (migan_file, {"pad": 1}, "does not keep the size"),
        (lama_file, {"side": "height"}, "found inputs image float 1x3xheightxwidth"),
        (lama_file, {"batch": 2}, "found inputs image float 2x3x512x512"),
        (migan_file, {"batch": 2}, "found inputs image uint8 2x3xheightxwidth"),
    ],
)
def test_files_that_cannot_be_used_are_refused(
    tmp_path: Path, make: Maker, options: dict[str, Any], message: str
) -> None:
    path = make(tmp_path / "odd.onnx", **options)
    broken, mask = torn(plain(90, 130))
    with pytest.raises(ModelError, match=message) as caught:
        restore(broken, mask, path, threads=1)
    text = str(caught.value)
    assert "odd.onnx" in text
    assert "\n" not in text
    if "found" in message:
        assert "restored" in text
        assert "LaMa's" in text
        assert "MI-GAN's" in text


@BOTH
def test_the_command_takes_them(tmp_path: Path, make: Maker) -> None:
    path = make(tmp_path / "some.onnx")
    whole = plain(530, 640, np.uint16)
    broken, mask = torn(whole)
    photo, drawn = save(tmp_path / "a.png", broken), save_mask(tmp_path / "m.png", mask)
    words = ("restore", photo, "--mask", drawn, "--model", path, "--device", "cpu", "--threads", 1)
    run = inpaint(*words, "--batch-size", 4)
    assert run.returncode == 0, run.stderr
    assert ("8 bit" in run.stderr) == (make is migan_file)
    restored = load(tmp_path / "a-restored.png")
    assert (restored[~mask] == broken[~mask]).all()
    assert np.abs(restored.astype(int) - whole).max() <= 257

    run = inpaint(*words, "--tile", 1024, "--overwrite")
    if make is lama_file:
        assert run.returncode == 2
        assert run.stderr.count("\n") == 1
        assert "--tile 1024: some takes tiles of 512 px only: leave it" in run.stderr
    else:
        assert run.returncode == 0, run.stderr


def test_the_command_says_what_it_found(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", plain(40, 60))
    mask = save_mask(tmp_path / "m.png", torn(plain(40, 60))[1])
    for path in (
        lama_file(tmp_path / "bad.onnx", scale=float("nan")),
        lama_file(tmp_path / "mixed.onnx", side="h"),
    ):
        run = inpaint("restore", photo, "--mask", mask, "--model", path, "--threads", 1)
        assert run.returncode == 3
        assert run.stderr.count("\n") == 1
        assert path.name in run.stderr
