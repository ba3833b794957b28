"""Every method keeps the contract; model files of another kind are refused by name and need."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from inpaintcli import load_model, restore
from inpaintcli.errors import ModelError, UsageError
from inpaintcli.inpainters.registry import NAMES, cards
from tests.helpers import picture, stripe

onnx = pytest.importorskip("onnx")


def model_file(
    path: Path,
    *,
    names: tuple[str, str, str] = ("image", "mask", "restored"),
    side: int | str = "h",
    scale: float = 1.0,
    pad: int = 0,
    **card: str,
) -> Path:
    """A model of plain operators that returns `image * scale`, with a card."""
    image, mask, restored = names
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    sizes = ["N", 3, side, side if isinstance(side, int) else "w"]
    nodes = [
        helper.make_node("Mul", [mask, "zero"], ["nothing"]),
        helper.make_node("Mul", [image, "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "nothing"], ["sum"]),
        helper.make_node("Pad", ["sum", "pads"], [restored], mode="edge"),
    ]
    constants = [
        helper.make_tensor("zero", kind, [], [0.0]),
        helper.make_tensor("scale", kind, [], [scale]),
        helper.make_tensor("pads", onnx.TensorProto.INT64, [8], [0] * 7 + [pad]),
    ]
    graph = helper.make_graph(
        nodes, "test",
        [
            helper.make_tensor_value_info(image, kind, sizes),
            helper.make_tensor_value_info(mask, kind, [sizes[0], 1, *sizes[2:]]),
        ],
        [helper.make_tensor_value_info(restored, kind, ["N", 3, "H", "W"])],
        constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, card)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_methods_return_what_the_protocol_asks_for(name: str) -> None:
    if name == "biharmonic":
        pytest.importorskip("skimage")
    inpainter = load_model(name, threads=1)
    assert inpainter.card.name == name
    masks = np.stack([stripe(32, 32), stripe(32, 32).T])[:, None].astype(np.float32)
    image = picture(32, 32).transpose(2, 0, 1)[None].astype(np.float32) / 255
    guess = np.float32(0.5 if inpainter.card.prior else 0)
    images = np.asarray(np.repeat(image, 2, 0) * (1 - masks) + guess * masks, np.float32)
    restored = inpainter(images, masks)
    assert restored.shape == images.shape
    assert restored.dtype == np.float32
    assert restored.min() >= 0
    assert restored.max() <= 1
    holes = np.repeat(masks, 3, 1) > 0
    error = np.abs(restored - np.repeat(image, 2, 0))[holes]
    assert error.mean() < 0.15, "the damage is filled with something like its surroundings"


@pytest.mark.parametrize("flag", ["telea", "navier-stokes"])
def test_opencv_methods_are_opencv(flag: str) -> None:
    pixels, mask = picture(), stripe()
    method = cv2.INPAINT_TELEA if flag == "telea" else cv2.INPAINT_NS
    blackened = pixels.copy()
    blackened[mask] = 0
    expected = cv2.inpaint(blackened, mask.astype(np.uint8), 3, method)
    assert (restore(pixels, mask, flag) == expected).all()


def test_every_card_is_complete() -> None:
    found = {card.name: card for card in cards()}
    assert set(found) == set(NAMES)
    for card in found.values():
        assert card.summary
        assert (card.tile is None) or card.tile % card.multiple == 0
        if card.size:
            assert card.trained_on
            assert card.data_licence
            assert card.licence
            assert card.version
            assert card.scores


def test_a_model_file_says_what_it_needs(tmp_path: Path) -> None:
    path = model_file(
        tmp_path / "own.onnx", tile="48", overlap="4", multiple="16", reach="2", scores='{"a": 1.5}'
    )
    card = load_model(path, threads=1).card
    assert (card.name, card.tile, card.overlap) == ("own", 48, 4)
    assert (card.multiple, card.reach, card.scores) == (16, 2, {"a": 1.5})


def test_a_model_of_a_fixed_size_gets_tiles_of_that_size(tmp_path: Path) -> None:
    path = model_file(tmp_path / "fixed.onnx", side=24)
    card = load_model(path, threads=1).card
    assert (card.tile, card.fixed) == (24, True)
    for tile in (None, 24):
        restored = restore(picture(50, 30), stripe(50, 30), path, tile=tile, threads=1)
        assert (restored[stripe(50, 30)] == 0).all(), "this model returns the hidden pixels"
    # A multiple too, and where the photo would fit into one tile.
    for tile in (32, 48, 1024):
        with pytest.raises(UsageError, match=f"--tile {tile}: fixed takes tiles of 24 px only"):
            restore(picture(20, 20), stripe(20, 20), path, tile=tile, threads=1)


def test_a_fixed_side_below_8_px_is_nobodys_wrong_tile(tmp_path: Path) -> None:
    path = model_file(tmp_path / "tiny.onnx", side=4)
    pixels, mask = picture(50, 30), stripe(50, 30)
    restored = restore(pixels, mask, path, threads=1)
    assert (restored[mask] != pixels[mask]).any(1).all()
    with pytest.raises(UsageError, match="tiny takes tiles of 4 px only"):
        restore(picture(), stripe(), path, tile=8, threads=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ("input", "mask", "restored")}, "found inputs input float Nx3xhxw, mask"),
        ({"names": ("image", "mask", "output")}, "needed inputs image float Nx3xhxw"),
        ({"scale": float("nan")}, "not numbers"),
        ({"pad": 1}, "does not keep the size"),
        ({"tile": "many"}, "card cannot be used"),
        ({"multiple": "0"}, "multiple 0 is less than 1"),
        ({"reach": "-1"}, "reach -1 is less than 1"),
        ({"tile": "30", "multiple": "8"}, "tile 30 is no multiple of 8"),
        ({"overlap": "-3"}, "overlap -3 is less than 0"),
        ({"scores": "[1]"}, "card cannot be used"),
    ],
)
def test_models_that_cannot_be_used_are_refused(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    path = model_file(tmp_path / "odd.onnx", **options)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=message) as caught:
        restore(picture(), stripe(), path, threads=1)
    assert "odd.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ModelError, match=r"text\.onnx: not a model"):
        load_model(tmp_path / "text.onnx")
    with pytest.raises(UsageError, match="no such model file"):
        load_model(tmp_path / "nix.onnx")
    with pytest.raises(UsageError, match="unknown model 'nix'"):
        load_model("nix")
    with pytest.raises(ModelError, match="telea runs on the CPU only"):
        load_model("telea", device="cuda")
    with pytest.raises(UsageError, match="unknown device"):
        load_model("partial-conv", device="gpu")


def test_a_method_whose_package_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dataclasses import replace

    from inpaintcli.inpainters import biharmonic

    monkeypatch.setattr(biharmonic, "CARD", replace(biharmonic.CARD, missing="scikit-image"))
    with pytest.raises(ModelError, match="pip install scikit-image"):
        load_model("biharmonic")


@pytest.mark.cuda
def test_cuda_and_cpu_agree() -> None:
    """Within 1/255 at 99.9 % of the filled pixels."""
    try:
        model = load_model("partial-conv", device="cuda")
    except ModelError as error:
        pytest.skip(str(error))
    pixels, mask = picture(200, 300), stripe(200, 300)
    difference = np.abs(
        restore(pixels, mask, model).astype(int)
        - restore(pixels, mask, "partial-conv", device="cpu").astype(int)
    )
    assert (difference[mask] <= 1).mean() >= 0.999
