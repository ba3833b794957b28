"""Tiles that stay on the device come out as tiles that are cut, run and blended in NumPy.

All of it works on a CPU too, and does there what it does on a GPU; `test_cuda` asks a real one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inpaintcli import load_detector, resident, restore, tiling
from inpaintcli.arrays import Floats, Mask, Pixels
from inpaintcli.detect import CERTAIN, DETECTOR_ON_CUDA, Detector, probability
from inpaintcli.errors import GpuMemoryError, ModelError
from inpaintcli.inpainters.onnx_model import OnnxInpainter
from inpaintcli.inpainters.registry import WEIGHTS
from inpaintcli.resident import Resident
from inpaintcli.runtime import Held, Session
from inpaintcli.tiling import Grid, Row
from tests.helpers import Depth, detector_file, picture, scratched, stripe

onnx = pytest.importorskip("onnx")

Inputs = dict[str, Pixels | Mask]
Outputs = Mapping[str, Held]
CHANNELS = {"image": 3, "mask": 1}


class OnDevice(Session):
    """A session on the CPU whose device is a GPU to all who ask.

    most: the tiles a call for which its memory is enough. until: it is gone after so many calls.
    off: by what a picture differs that did not stay on the device.
    """

    def __init__(self, path: Path, device: str = "cuda", threads: int | None = None):
        super().__init__(path, "cpu", threads or 1)
        self.number = int(device.partition(":")[2] or 0)
        self.most, self.until = np.inf, np.inf
        self.off = 0.0
        #: Of every call of the network how many tiles it was given, those that failed included.
        self.batches: list[int] = []
        #: The shapes of all the memory that was taken.
        self.rooms: list[tuple[int, ...]] = []

    @property
    def device(self) -> str:
        return "cuda"

    @property
    def _place(self) -> tuple[str, int]:
        return "cpu", 0

    def run(self, feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        return [output + np.float32(self.off) for output in super().run(feeds)]

    def hold(self, array: NDArray[Any]) -> Held:
        return super().hold(array.copy())  # As on a GPU: it may change here and not there.

    def room(self, shape: tuple[int, ...], dtype: type[np.generic]) -> Held:
        self.rooms.append(shape)
        held = super().room(shape, dtype)
        held.memory.update_inplace(np.full(shape, np.nan, dtype))
        return held

    def run_held(self, inputs: Mapping[str, Held | NDArray[Any]], outputs: Outputs) -> None:
        (output,) = outputs.values()
        self.batches.append(output.shape[0])
        if output.shape[0] > self.most or len(self.batches) > self.until:
            raise GpuMemoryError(f"{self.path}: not enough memory")
        super().run_held(inputs, outputs)


@pytest.fixture(scope="module", autouse=True)
def _programs_on_the_cpu() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resident, "Session", OnDevice)
        resident._program.cache_clear()
        yield
        resident._program.cache_clear()


def network(path: Path, sides: tuple[int, int] | None = None, number: int | None = None) -> Path:
    """A network whose answer to one pixel is another wherever in its tile the pixel lies: a
    convolution with zeros around, and the sums of all of it that lies above and to the left. Some
    of it is below 0 or above 1."""
    from onnx import TensorProto, helper

    def info(name: str, channels: int) -> Any:
        shape = [number or "n", channels, *(sides or ("h", "w"))]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    node = helper.make_node
    nodes = [
        node("Concat", ["image", "mask"], ["both"], axis=1),
        node("Conv", ["both", "kernel", "grey"], ["seen"], pads=[1, 1, 1, 1]),
        node("Mul", ["seen", "little"], ["small"]),
        node("CumSum", ["small", "down"], ["above"]),
        node("CumSum", ["small", "across"], ["left"]),
        node("Add", ["seen", "above"], ["half"]),
        node("Sub", ["half", "left"], ["restored"]),
    ]
    kernel = np.random.default_rng(5).normal(0, 0.15, (3, 4, 3, 3)).astype(np.float32)
    constants = [
        onnx.numpy_helper.from_array(np.asarray(value), name)
        for name, value in (
            ("kernel", kernel), ("grey", np.full(3, 0.4, np.float32)),
            ("little", np.float32(1 / 32)), ("down", np.int64(2)), ("across", np.int64(3)),
        )
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "test", [info("image", 3), info("mask", 1)], [info("restored", 3)], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"tile": "32", "overlap": "8", "margin": "8", "prior": "1"})
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return network(tmp_path_factory.mktemp("network") / "tiny.onnx")


@pytest.fixture(scope="module")
def shared(file: Path) -> Resident:
    """Opened once for all the examples."""
    return Resident(OnDevice(file))


def batches(tiles: Resident) -> list[int]:
    """The sizes of all batches since this was asked last."""
    assert isinstance(tiles.session, OnDevice)
    found = tiles.session.batches.copy()
    tiles.session.batches.clear()
    return found


def in_numpy(session: Session, inputs: Inputs, rows: list[Row], grid: Grid) -> Floats:
    """What the tiles blend to, one by one: (h, w, 3), 0 where no tile lies."""
    shape = next(iter(inputs.values())).shape[:2]
    whole = np.zeros((*shape, 3), np.float32)
    blend = tiling.Blend((shape[0], shape[1]), grid)
    for row in rows:
        blend.start(row)
        for left in row.lefts:
            feeds = {
                name: tiling.cut(values.reshape(*shape, -1), row.top, (left,), grid)
                for name, values in inputs.items()
            }
            (restored,) = Session.run(session, feeds)
            blend.add((left,), np.clip(restored, 0, 1))
        top, strip = blend.finish(row)
        whole[top : top + len(strip)] = strip
    return whole


def resident_run(
    tiles: Resident,
    inputs: Inputs,
    rows: list[Row],
    grid: Grid,
    **options: Any,
) -> tuple[Floats, NDArray[np.int64], list[int]]:
    """What comes out, how often each pixel did, and what `done` was told."""
    height, width = next(iter(inputs.values())).shape[:2]
    values = np.zeros((height, width, 3), np.float32)
    times = np.zeros((height, width), np.int64)
    told: list[int] = []
    for places, found in tiles.run(
        inputs, rows, grid, channels=3, done=lambda number: told.append(number), **options
    ):
        assert found.dtype == np.float32
        assert found.shape == values[places].shape
        values[places] = found
        if isinstance(places, slice):
            times[places] += 1
        else:
            np.add.at(times, places, 1)
    return values, times, told


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    height, width = draw(st.integers(5, 40)), draw(st.integers(5, 40))
    # Up to four tiles lie over one another each way, and a few more at the end.
    overlap = draw(st.integers(0, min(height - height // 4, width - width // 4) - 1))
    return Grid(height, width, overlap, draw(st.integers(0, min(height, width) - 1)))


@given(
    height=st.integers(1, 90), width=st.integers(1, 90), grid=grids(),
    batch=st.none() | st.integers(1, 9) | st.just(100),
    depth=st.sampled_from([np.uint8, np.uint16]), hint=st.booleans(),
    share=st.sampled_from([None, 0.002, 0.02, 0.4]), seed=st.integers(0, 999),
    batch_pixels=st.sampled_from([1_048_576, 3000]), slot_pixels=st.sampled_from([1, 16_777_216]),
    blend_values=st.sampled_from([1_048_576, 100]),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_tiles_that_stay_on_the_device_blend_to_the_same_picture(
    shared: Resident,
    height: int,
    width: int,
    grid: Grid,
    batch: int | None,
    depth: type[np.uint8],
    hint: bool,
    share: float | None,
    seed: int,
    batch_pixels: int,
    slot_pixels: int,
    blend_values: int,
) -> None:
    rng = np.random.default_rng(seed)
    inputs: Inputs = {
        "image": rng.integers(0, np.iinfo(depth).max, (height, width, 3), depth, endpoint=True),
        "mask": rng.random((height, width)) < 0.3,
    }
    if hint:  # As what the detector found at half the size.
        inputs["mask"] = rng.integers(0, 65536, (height, width), np.uint16)
    wanted: Mask | None = None
    damage = np.ones((height, width), np.bool_)
    if share is not None:
        damage = rng.random((height, width)) < share
        damage[rng.integers(height), rng.integers(width)] = True
        wanted = damage & (rng.random((height, width)) < 0.8)
    rows = tiling.plan(damage, grid)

    batches(shared)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resident, "BATCH_PIXELS", batch_pixels)
        patch.setattr(resident, "SLOT_PIXELS", slot_pixels)
        patch.setattr(resident, "BLEND_VALUES", blend_values)
        values, times, told = resident_run(shared, inputs, rows, grid, wanted=wanted, batch=batch)
    everywhere = wanted is None
    np.testing.assert_array_equal(times, 1 if everywhere else wanted)
    seen = times > 0
    expected = in_numpy(shared.session, inputs, rows, grid)
    np.testing.assert_allclose(values[seen], expected[seen], atol=1e-5)
    number = tiling.count(rows)
    assert sum(told) == number
    # Another shape than in the last call would cost cuDNN a new plan; the last batch is no smaller.
    (size,) = set(batches(shared))
    assert size <= 2 * number
    assert size <= (batch or batch_pixels)


def test_a_large_photo_takes_no_more_room_than_a_small_one(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "SLOT_PIXELS", 1)
    grid = Grid(16, 16, 4, 4)
    rng = np.random.default_rng(0)
    taken = []
    for height in (100, 400):
        inputs: Inputs = {
            "image": rng.integers(0, 256, (height, 60, 3), np.uint8),
            "mask": np.zeros((height, 60), np.bool_),
        }
        rows = tiling.plan(np.broadcast_to(True, (height, 60)), grid)
        tiles = Resident(session := OnDevice(file))
        values, _, _ = resident_run(tiles, inputs, rows, grid, batch=4)
        taken.append(session.rooms.copy())
        resident_run(tiles, inputs, rows, grid, batch=4)
        assert session.rooms == taken[-1], "and for the next photo the same"
        expected = in_numpy(session, inputs, rows, grid)
        np.testing.assert_allclose(values, expected, atol=1e-5)
    assert taken[0] == taken[1]


def test_no_more_tiles_are_run_than_there_are(shared: Resident) -> None:
    """A hundred were asked for, of a photo of two."""
    inputs: Inputs = {"image": picture(20, 36), "mask": stripe(20, 36)}
    grid = Grid(20, 20, 4)
    rows = tiling.plan(np.broadcast_to(True, (20, 36)), grid)
    batches(shared)
    _, _, told = resident_run(shared, inputs, rows, grid, batch=100)
    assert (batches(shared), told) == ([2], [2])


class TestTooLittleMemory:
    """Of the GPU."""

    grid = Grid(16, 16, 4, 4)

    @pytest.mark.parametrize(
        ("batch", "most", "expected"), [(None, 5, [14, 7, 4]), (7, 6, [7, 4]), (12, 5, [12, 6, 3])]
    )
    def test_batches_get_smaller_and_stay_so(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, batch: int | None, most: int,
        expected: list[int],
    ) -> None:  # fmt: skip
        monkeypatch.setattr(resident, "BATCH_PIXELS", 16 * 256)
        monkeypatch.setattr(resident, "SLOT_PIXELS", 1)
        tiles = Resident(session := OnDevice(file))
        session.most = most
        inputs: Inputs = {"image": picture(90, 70), "mask": stripe(90, 70)}
        rows = tiling.plan(np.broadcast_to(True, (90, 70)), self.grid)
        whole = in_numpy(session, inputs, rows, self.grid)
        for photo in range(2):
            values, times, told = resident_run(tiles, inputs, rows, self.grid, batch=batch)
            np.testing.assert_allclose(values, whole, atol=1e-5)
            assert (times == 1).all()
            assert sum(told) == tiling.count(rows)
            sizes = batches(tiles)
            if photo == 0:
                assert sizes[: len(expected)] == expected
                assert set(sizes[len(expected) :]) == {expected[-1]}
            else:
                assert max(sizes) <= most, "what was too much is not tried again"

    def test_it_may_run_out_in_the_middle_of_a_photo(self, file: Path) -> None:
        """Another worker began to share the GPU, say."""
        tiles = Resident(session := OnDevice(file))
        inputs: Inputs = {"image": picture(90, 70), "mask": stripe(90, 70)}
        rows = tiling.plan(np.broadcast_to(True, (90, 70)), self.grid)
        whole = in_numpy(session, inputs, rows, self.grid)
        told: list[int] = []

        def fewer(number: int) -> None:
            told.append(number)
            session.most = 8 if len(told) < 3 else 2

        found = tiles.run(inputs, rows, self.grid, channels=3, batch=8, done=fewer)
        values = np.concatenate([values for _, values in found])
        np.testing.assert_allclose(values, whole, atol=1e-5)
        assert [told[0], told[-2]] == [8, 2]
        assert sum(told) == tiling.count(rows)

    def test_fewer_pixels_are_blended_at_once(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tiles = Resident(session := OnDevice(file))
        assert isinstance(tiles._blend, OnDevice)
        monkeypatch.setattr(tiles._blend, "most", 20)
        tiles._blend.batches.clear()
        inputs: Inputs = {"image": picture(90, 70), "mask": stripe(90, 70)}
        rows = tiling.plan(np.broadcast_to(True, (90, 70)), self.grid)
        values, _, _ = resident_run(tiles, inputs, rows, self.grid)
        np.testing.assert_allclose(values, in_numpy(session, inputs, rows, self.grid), atol=1e-5)
        assert max(tiles._blend.batches) > 20
        assert tiles._blend.batches[-1] <= 20

    @pytest.mark.parametrize("prior", [True, False])
    @pytest.mark.parametrize("until", [0, 22])
    def test_where_no_tile_fits_a_photo_is_restored_as_without(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, until: int, prior: bool
    ) -> None:
        """From the start, or from where the first rows are done."""
        monkeypatch.setattr(resident, "SLOT_PIXELS", 1)
        inpainter = OnnxInpainter(session := OnDevice(file))
        inpainter._card = replace(inpainter.card, prior=prior, reach=None if prior else 6)
        pixels, mask = scratched(220, 60), stripe(220, 60)
        mask[20:60, 10:50] = True
        assert inpainter.resident is not None
        put: list[int] = []
        run = inpainter.resident.run

        def counted(*arguments: Any, **options: Any) -> Iterator[tuple[resident.Places, Floats]]:
            for places, values in run(*arguments, **options):
                put.append(len(values))
                yield places, values

        monkeypatch.setattr(inpainter.resident, "run", counted)
        told: list[tuple[int, int]] = []
        session.batches.clear()
        session.until = until
        filled = restore(
            pixels, mask, inpainter, batch_size=1, grain="off",
            progress=lambda done, total: told.append((done, total)),
        )  # fmt: skip
        assert len(session.batches) > until, "memory did not run out"
        assert bool(put) == (until > 0), "something must have been filled before"
        inpainter.resident = None
        expected = restore(pixels, mask, inpainter, batch_size=1, grain="off")
        np.testing.assert_array_equal(filled, expected)
        assert (filled[mask] != pixels[mask]).any()
        assert told[-1][0] == told[-1][1]
        assert all(0 <= done <= total for done, total in told)

    @pytest.mark.parametrize("until", [0, 3])
    def test_where_no_tile_fits_damage_is_found_as_without(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: int
    ) -> None:
        monkeypatch.setattr(resident, "SLOT_PIXELS", 1)
        monkeypatch.setattr(resident, "BATCH_PIXELS", 1)
        path = detector_file(tmp_path / "d.onnx", hint=0.5, tile=64, overlap=8, margin=8, levels=2)
        detector = Detector(session := OnDevice(path))
        assert detector.resident is not None
        session.batches.clear()
        session.until = until
        pixels = scratched(300, 280)
        told: list[tuple[int, int]] = []
        found = probability(pixels, detector, lambda done, total: told.append((done, total)))
        assert len(session.batches) > until
        expected = probability(pixels, load_detector(path, device="cpu", threads=1))
        np.testing.assert_array_equal(found, expected)
        assert expected.any()
        assert told[-1][0] == told[-1][1]
        assert all(0 <= done <= total for done, total in told)


def failing_network(path: Path, infinite: bool) -> Path:
    """Returns what is no number, or infinity, where the mask is, and the picture elsewhere."""
    from onnx import TensorProto, helper

    def info(name: str, channels: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, "h", "w"])

    nodes = [
        helper.make_node("Sub", ["one" if infinite else "zero", "mask"], ["less"]),
        helper.make_node("Log" if infinite else "Sqrt", ["less"], ["nothing"]),
        helper.make_node("Add", ["image", "nothing"], ["restored"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in (("zero", 0), ("one", 1))
    ]
    graph = helper.make_graph(
        nodes, "test", [info("image", 3), info("mask", 1)], [info("restored", 3)], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"tile": "32"})
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("infinite", [False, True])
def test_what_is_no_number_is_one_line_that_names_the_file(tmp_path: Path, infinite: bool) -> None:
    inpainter = OnnxInpainter(
        session := OnDevice(failing_network(tmp_path / "none.onnx", infinite))
    )
    assert inpainter.resident is None, "it was tried"
    detector = Detector(found := OnDevice(detector_file(tmp_path / "none.onnx", hint=np.inf)))
    messages = []
    for resident_too in (False, True):
        if resident_too:
            inpainter.resident, detector.resident = Resident(session), Resident(found)
        with pytest.raises(ModelError) as error:
            restore(scratched(), stripe(), inpainter)
        messages.append(str(error.value))
        with pytest.raises(ModelError) as error:
            probability(scratched(), detector)
        assert str(error.value).startswith(f"{tmp_path / 'none.onnx'}: the model returned")
        assert "\n" not in str(error.value)
    assert messages[0] == messages[1]
    assert (
        messages[0] == f"{tmp_path / 'none.onnx'}: the model returned values that are not numbers"
    )


@pytest.fixture
def _programs_anew() -> Iterator[None]:
    """They are opened once in a process."""
    resident._program.cache_clear()
    yield
    resident._program.cache_clear()


class TestResident:
    """Where tiles stay on the device."""

    def test_not_on_a_cpu(self, file: Path) -> None:
        assert resident.resident(Session(file, "cpu", 1), CHANNELS, 3, 32) is None
        assert OnnxInpainter(Session(file, "cpu", 1)).resident is None
        assert load_detector(device="cpu", threads=1).resident is None

    @pytest.mark.parametrize(("off", "taken"), [(0.0, True), (0.01, True), (0.03, False)])
    def test_on_a_gpu_where_it_gives_what_the_session_gives(
        self, file: Path, off: float, taken: bool
    ) -> None:
        session = OnDevice(file, "cuda:1")
        session.off = off
        found = resident.resident(session, CHANNELS, 3, 32)
        assert (found is not None) == taken
        if found:
            assert found.session is session

    @pytest.mark.usefixtures("_programs_anew")
    def test_its_programs_run_where_the_network_does(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[tuple[str, str]] = []

        class Told(OnDevice):
            def __init__(self, path: Path, device: str = "cuda", threads: int | None = None):
                super().__init__(path, device, threads)
                opened.append((path.stem, device))

        monkeypatch.setattr(resident, "Session", Told)
        assert resident.resident(OnDevice(file, "cuda:1"), CHANNELS, 3, 32)
        assert sorted(opened) == [(name, "cuda:1") for name in ("blend", "cut-16", "cut-8")]

    @pytest.mark.usefixtures("_programs_anew")
    @pytest.mark.parametrize("name", ["cut-8", "cut-16", "blend"])
    def test_not_where_a_program_cannot_be_loaded(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        shutil.copytree(resident.PROGRAMS, tmp_path / "programs")
        (tmp_path / f"programs/{name}.onnx").write_bytes(b"no program")
        monkeypatch.setattr(resident, "PROGRAMS", tmp_path / "programs")
        assert resident.resident(OnDevice(file), CHANNELS, 3, 32) is None

    @pytest.mark.usefixtures("_programs_anew")
    def test_not_where_a_program_cannot_be_run(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Failing(OnDevice):
            def run_held(self, inputs: Mapping[str, Held | NDArray[Any]], outputs: Outputs) -> None:
                raise ModelError("there is no such kernel")

        monkeypatch.setattr(resident, "Session", Failing)
        assert resident.resident(OnDevice(file), CHANNELS, 3, 32) is None

    def test_not_where_memory_is_short_from_the_start(self, file: Path) -> None:
        session = OnDevice(file)
        session.most = 0
        assert resident.resident(session, CHANNELS, 3, 32) is None

    def test_networks_that_take_one_picture_or_one_size_are_run_as_ever(
        self, tmp_path: Path
    ) -> None:
        pixels, mask = scratched(40, 56), stripe(40, 56)
        for number, sides in ((1, None), (None, (32, 32)), (None, (128, 128))):
            path = network(tmp_path / "n.onnx", sides, number)
            inpainter = OnnxInpainter(OnDevice(path))
            assert (inpainter.resident is None) == (number == 1)
            restored = restore(pixels, mask, inpainter, grain="off")
            inpainter.resident = None
            expected = restore(pixels, mask, inpainter, grain="off")
            np.testing.assert_allclose(restored, expected, atol=1)
            assert (restored[~mask] == pixels[~mask]).all()

    def test_inpainters_and_detectors_have_it(self, file: Path, tmp_path: Path) -> None:
        assert OnnxInpainter(OnDevice(file)).resident is not None
        assert Detector(OnDevice(detector_file(tmp_path / "d.onnx"))).resident is not None


@pytest.fixture(scope="module", params=["photo", "autoencoder-photos"])
def shipped(request: pytest.FixtureRequest) -> OnnxInpainter:
    """A network that is given a first guess, and one that is given zeros."""
    return OnnxInpainter(OnDevice(WEIGHTS / f"{request.param}.onnx"))


@pytest.mark.parametrize("prior", [True, False])
def test_other_networks_restore_what_they_restore_without(
    file: Path, monkeypatch: pytest.MonkeyPatch, prior: bool
) -> None:
    """Those, too, to which what lies under the mask would matter, and that leave [0, 1]."""
    monkeypatch.setattr(resident, "SLOT_PIXELS", 1)
    inpainter = OnnxInpainter(OnDevice(file))
    inpainter._card = replace(inpainter.card, prior=prior, reach=6)
    pixels, mask = scratched(120, 90), stripe(120, 90)
    mask[20:60, 10:50] = True
    assert inpainter.resident is not None
    filled = restore(pixels, mask, inpainter, batch_size=2, grain="off")
    assert len(batches(inpainter.resident)) > 10
    inpainter.resident = None
    expected = restore(pixels, mask, inpainter, grain="off")
    assert np.abs(filled.astype(np.int64) - expected).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_shipped_networks_restore_what_they_restore_without(
    shipped: OnnxInpainter, monkeypatch: pytest.MonkeyPatch, dtype: type[Depth]
) -> None:
    assert shipped.resident is not None
    pixels, mask = scratched(120, 150, dtype), stripe(120, 150)
    mask[50:90, 20:60] = True
    pixels[mask] = np.iinfo(dtype).max
    before = pixels.copy()
    options: dict[str, Any] = {"tile": 64, "grain": "off"}
    with monkeypatch.context() as patch:
        patch.setattr(shipped, "resident", None)
        expected = restore(pixels, mask, shipped, **options)
    for slots, batch in ((16_777_216, None), (1, 2)):
        monkeypatch.setattr(resident, "SLOT_PIXELS", slots)
        batches(shipped.resident)
        restored = restore(pixels, mask, shipped, batch_size=batch, **options)
        ran = batches(shipped.resident)
        assert ran, "it was not asked"
        assert not batch or max(ran) == batch
        assert (pixels == before).all()
        assert (restored[~mask] == pixels[~mask]).all()
        assert (restored[mask] != pixels[mask]).mean() > 0.9
        assert np.abs(restored.astype(np.int64) - expected).max() <= 1


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_shipped_detector_finds_what_it_finds_without(
    monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    pixels = picture(270, 300, channels)
    pixels[stripe(270, 300)] = 255
    if channels == 4:
        pixels[20:60, 30:90, 3] = 0
    detector = Detector(OnDevice(DETECTOR_ON_CUDA))
    assert detector.resident is not None
    monkeypatch.setattr(detector, "card", replace(detector.card, tile=128))
    told: list[tuple[int, int]] = []
    found = probability(pixels, detector, lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    assert len(batches(detector.resident)) > 1
    monkeypatch.setattr(detector, "resident", None)
    told_without: list[tuple[int, int]] = []
    expected = probability(pixels, detector, lambda done, total: told_without.append((done, total)))
    assert told[-1] == told_without[-1]
    assert expected.max() > CERTAIN / 2
    assert np.abs(found.astype(np.int64) - expected).max() <= 1
