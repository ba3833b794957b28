"""Sessions: which device is taken, and what is said where it cannot be. A stand-in for ONNX Runtime
plays a machine with GPUs; `test_cuda` asks a real one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inpaintcli import gpus, runtime
from inpaintcli.detect import load_detector
from inpaintcli.errors import ExitCode, GpuMemoryError, ModelError, UsageError
from inpaintcli.inpainters.registry import WEIGHTS, load_model
from inpaintcli.runtime import Session, check_device

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
#: As ONNX Runtime tells it.
NO_SUCH = (
    "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider_info.cc:63 static "
    "CUDAExecutionProviderInfo FromProviderOptions(const ProviderOptions&) [ONNXRuntimeError] : 1 "
    ': FAIL : provider_options_utils.h:187 Parse Failed to parse provider option "device_id": '
    "Invalid device ID: {}, must be between 0 (inclusive) and {} (exclusive).\n"
)
FAILURE = (
    "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:129 bool onnxruntime::CudaCall("
    "ERRTYPE, const char*) [with ERRTYPE = cudaError; bool THRW = true] CUDA failure {} ; GPU=0 ; "
    "hostname=host ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider"
    ".cc ; line=280 ; expr=cudaSetDevice(info_.device_id);"
)


class Machine:
    """ONNX Runtime on a machine with so many GPUs that work. `opened`: where sessions were opened,
    with the options of their first provider."""

    def __init__(self, working: int, *, libraries: bool = True, memory: bool = True):
        self.working, self.libraries, self.memory = working, libraries, memory
        self.opened: list[tuple[str, dict[str, Any]]] = []
        self.fails: Exception | None = None
        self.computes: Exception | None = None

    def get_available_providers(self) -> list[str]:
        return [CUDA, CPU]

    def set_default_logger_severity(self, severity: int) -> None: ...

    def SessionOptions(self) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace()

    def InferenceSession(  # noqa: N802
        self, path: str | bytes, options: object, providers: list[Any], enable_fallback: bool = True
    ) -> SimpleNamespace:
        print("noise of a library")
        name, chosen = providers[0] if isinstance(providers[0], tuple) else (providers[0], {})
        assert name == CPU or not enable_fallback, "ONNX Runtime would go over to the CPU unasked"
        if name == CUDA and self.libraries:
            if not self.working:
                raise RuntimeError(FAILURE.format("100: no CUDA-capable device is detected"))
            if chosen["device_id"] >= self.working:
                raise RuntimeError(NO_SUCH.format(chosen["device_id"], self.working))
            if not self.memory:
                raise RuntimeError(FAILURE.format("2: out of memory"))
        elif name == CUDA:
            name, chosen = CPU, {}  # It logs why, and raises nothing.
        self.opened.append((name, chosen))

        def run(names: object, feeds: dict[str, Any]) -> list[Any]:
            why = self.computes if isinstance(path, bytes) else self.fails
            if why:
                raise why
            return list(feeds.values())

        return SimpleNamespace(
            get_providers=lambda: [name, CPU] if name == CUDA else [CPU],
            get_modelmeta=lambda: SimpleNamespace(custom_metadata_map={}),
            get_inputs=list, get_outputs=list, run=run, io_binding=self._no_memory,
        )  # fmt: skip

    @property
    def OrtValue(self) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(
            ortvalue_from_numpy=self._no_memory, ortvalue_from_shape_and_type=self._no_memory
        )

    def _no_memory(self, *_: object) -> None:
        if self.fails:
            raise self.fails

    @property
    def taken(self) -> str:
        """Where the last session runs, as in `cuda:1`."""
        name, chosen = self.opened[-1]
        return f"cuda:{chosen['device_id']}" if name == CUDA else "cpu"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Two GPUs that the driver knows."""
    made = Machine(2)
    monkeypatch.setattr(runtime, "load_onnxruntime", lambda: made)
    monkeypatch.setattr(gpus, "count", lambda: made.working)
    monkeypatch.setattr(gpus, "has_driver", lambda: True)
    runtime._try_cuda.cache_clear()
    yield made
    runtime._try_cuda.cache_clear()


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "auto:1"])
def test_devices_that_can_be_asked_for(device: str) -> None:
    check_device(device)


@pytest.mark.parametrize(
    "device",
    ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:a", "cuda:1,2", "cuda1", "cpu:0", "auto:"],
)
def test_other_devices_are_wrong_calls(device: str) -> None:
    with pytest.raises(UsageError, match="choose from auto, cpu, cuda or cuda:N"):
        Session(Path("a.onnx"), device)


@pytest.mark.parametrize(
    ("device", "taken"),
    [
        ("cpu", "cpu"), ("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:0", "cuda:0"),
        ("cuda:1", "cuda:1"), ("auto:1", "cuda:1"), ("auto:2", "cpu"),
    ],
)  # fmt: skip
def test_the_device_that_is_asked_for_is_taken(machine: Machine, device: str, taken: str) -> None:
    session = Session(Path("a.onnx"), device)
    assert machine.taken == taken
    name, _, number = taken.partition(":")
    assert (session.device, session.number) == (name, int(number or 0))


@pytest.mark.parametrize(
    ("device", "working", "said"),
    [
        ("cuda:2", 2, "there is no such GPU here: choose cuda:0 to cuda:1"),
        ("cuda:1", 1, "there is no such GPU here: choose cuda:0"),
        ("cuda:99999999999999999999", 2, "there is no such GPU here: choose cuda:0 to cuda:1"),
        ("cuda:1", 0, "it can use here (no CUDA-capable device is detected); pip"),
        ("cuda", 0, "it can use here (no CUDA-capable device is detected); pip"),
    ],
)
def test_a_gpu_that_is_not_there_is_one_line(
    machine: Machine, capfd: pytest.CaptureFixture[str], device: str, working: int, said: str
) -> None:
    machine.working = working
    with pytest.raises(ModelError) as error:
        Session(Path("a.onnx"), device)
    assert error.value.exit_code == 3
    text = str(error.value)
    assert text.startswith(f"--device {device}: ")
    assert said in text
    assert "\n" not in text
    assert "onnxruntime_src" not in text
    assert capfd.readouterr() == ("", "")


def test_why_a_gpu_cannot_be_used_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(gpus, "count", lambda: None)
        with pytest.raises(ModelError, match=r"it can use here \(Invalid device ID: 2\); pip"):
            Session(Path("a.onnx"), "cuda:2")
    machine.memory = False
    with pytest.raises(ModelError, match=r"it can use here \(out of memory\); pip install"):
        Session(Path("a.onnx"), "cuda")
    assert Session(Path("a.onnx"), "auto").device == "cpu"


def test_without_cudas_libraries_auto_takes_the_cpu_and_cuda_nothing(machine: Machine) -> None:
    machine.libraries = False
    with pytest.raises(ModelError, match="it can use here; pip install 'inpaintcli"):
        Session(Path("a.onnx"), "cuda:1")
    for device in ("auto", "auto:1"):
        assert Session(Path("a.onnx"), device).device == "cpu"


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (
            "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Non-zero status code returned while "
            "running Conv node. Status Message: cuDNN is unavailable or disabled for this session",
            r"can use here \(cuDNN is unavailable\); pip install 'inpaintcli",
        ),
        (
            FAILURE.format("209: no kernel image is available for execution on the device"),
            r"can use here \(no kernel image is available for execution on the device\); pip",
        ),
    ],
)
def test_a_gpu_on_which_nothing_can_be_computed_is_not_taken(
    machine: Machine, failure: str, told: str
) -> None:
    """Its sessions open, and would fail with the first photo."""
    machine.computes = RuntimeError(failure)
    for device in ("auto", "auto:1"):
        assert Session(Path("a.onnx"), device).device == "cpu"
    with pytest.raises(ModelError, match=told):
        Session(Path("a.onnx"), "cuda")
    machine.computes = None
    assert Session(Path("a.onnx"), "cuda").device == "cuda"


def test_the_model_that_is_tried_computes_what_it_says() -> None:
    session = runtime.load_onnxruntime().InferenceSession(runtime._SMALL, providers=[CPU])
    x = np.random.default_rng(0).random((1, 1, 4, 4), np.float32)
    around = np.pad(x[0, 0], 1)
    sums = sum(around[i : i + 4, j : j + 4] for i in range(3) for j in range(3))
    np.testing.assert_allclose(session.run(None, {"x": x})[0][0, 0], sums + x[0, 0], rtol=1e-5)


def test_without_a_driver_auto_does_not_try(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "has_driver", lambda: False)
    assert Session(Path("a.onnx"), "auto").device == "cpu"
    assert machine.opened == [(CPU, {})]


def test_memory_that_runs_out_later_is_told_in_our_words(machine: Machine) -> None:
    session = Session(Path("a.onnx"), "cuda:1")
    machine.fails = RuntimeError(
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running "
        "Conv node. Name:'c' Status Message: \n/onnxruntime_src/onnxruntime/core/framework/"
        "bfc_arena.cc:376 void* AllocateRawInternal(size_t) Failed to allocate memory for "
        "requested buffer of size 1073741824"
    )
    told = (
        "a.onnx: the model failed on cuda: not enough memory on the GPU: fewer --workers, a "
        "smaller --tile or --device cpu help"
    )
    with pytest.raises(GpuMemoryError) as error:
        session.run({})
    assert str(error.value) == told
    assert error.value.exit_code == ExitCode.MODEL
    for call in (
        lambda: session.hold(np.zeros(3)), lambda: session.room((3,), np.float32),
        lambda: session.run_held({}, {}),
    ):  # fmt: skip
        with pytest.raises(GpuMemoryError) as error:
            call()
        assert str(error.value) == told
    machine.fails = RuntimeError("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got bad things\nmore")
    with pytest.raises(
        ModelError, match=r"a\.onnx: the model failed on cuda: Got bad things$"
    ) as other:
        session.run({})
    assert not isinstance(other.value, GpuMemoryError), "no smaller batch would help"


def test_photo_runs_in_float_on_a_gpu_and_in_8_bit_elsewhere(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[tuple[str, str]] = []

    class Told(Session):
        def __init__(self, path: Path, device: str = "auto", threads: int | None = None):
            super().__init__(path, device, threads)
            files.append((path.name, self.device))

    monkeypatch.setattr("inpaintcli.inpainters.registry.Session", Told)
    monkeypatch.setattr("inpaintcli.inpainters.registry.OnnxInpainter", lambda session: session)
    for device, expected in (
        ("auto", ("photo.onnx", "cuda")), ("cuda:1", ("photo.onnx", "cuda")),
        ("auto:1", ("photo.onnx", "cuda")), ("auto:7", ("photo-int8.onnx", "cpu")),
        ("cpu", ("photo-int8.onnx", "cpu")),
    ):  # fmt: skip
        load_model("photo", device=device)
        assert files[-1] == expected, device


def test_the_detector_runs_in_float_on_a_gpu_and_in_8_bit_elsewhere(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["inpaintcli.detect"]
    files: list[tuple[str, str]] = []

    class Told(Session):
        def __init__(self, path: Path, device: str = "auto", threads: int | None = None):
            super().__init__(path, device, threads)
            files.append((path.name, self.device))

    monkeypatch.setattr(module, "Session", Told)
    monkeypatch.setattr(module, "Detector", lambda session: session)
    for device, expected in (
        ("auto", ("detector.onnx", "cuda")), ("cuda:1", ("detector.onnx", "cuda")),
        ("auto:7", ("detector-int8.onnx", "cpu")), ("cpu", ("detector-int8.onnx", "cpu")),
    ):  # fmt: skip
        load_detector(device=device)
        assert files[-1] == expected, device


def test_results_are_not_copied() -> None:
    """They lie over ONNX Runtime's memory."""
    session = Session(WEIGHTS / "photo.onnx", "cpu", 1)
    image = np.full((2, 3, 32, 32), 0.5, np.float32)
    (restored,) = session.run({"image": image, "mask": np.zeros((2, 1, 32, 32), np.float32)})
    assert restored.shape == image.shape
    assert not restored.flags.owndata


def test_what_is_held_is_computed_in_place() -> None:
    """Parts of arrays go in and come out, and what lies beside them stays."""
    session = Session(WEIGHTS / "photo.onnx", "cpu", 1)
    rng = np.random.default_rng(0)
    images = rng.random((5, 3, 32, 40), np.float32)
    masks = (rng.random((2, 1, 32, 40)) < 0.2).astype(np.float32)
    (expected,) = session.run({"image": images[1:3], "mask": masks})

    held = session.hold(images)
    assert held.shape == images.shape
    np.testing.assert_array_equal(held.numpy(), images)
    room = session.room((2, 2, *images.shape[1:]), np.float32)
    first = session.hold(np.zeros(room.shape, np.float32))
    for out in (room, first):
        flat = out.reshaped(4, *images.shape[1:])
        # Half of the columns only: no array of its own.
        spread = np.repeat(masks, 2, axis=3)[..., ::2]
        session.run_held(
            {"image": held.part(1, 2), "mask": spread}, {"restored": flat.part(1, 3).part(1, 2)}
        )
        np.testing.assert_allclose(flat.numpy()[2:], expected, atol=1e-6)
    assert not first.numpy()[0].any()
    np.testing.assert_array_equal(held.numpy(), images)


def test_what_cannot_be_computed_in_place_is_one_line() -> None:
    session = Session(WEIGHTS / "photo.onnx", "cpu", 1)
    image, mask = np.zeros((1, 3, 32, 32), np.float32), np.zeros((1, 1, 32, 32), np.float32)
    room = session.room((1, 3, 32, 32), np.float32)
    for inputs, outputs in (
        ({"image": image, "other": mask}, {"restored": room}),
        ({"image": image}, {"restored": room}),
        ({"image": image, "mask": mask[..., :8]}, {"restored": room}),
        ({"image": image, "mask": mask}, {"restored": session.room((1, 3, 32, 8), np.float32)}),
        ({"image": image, "mask": mask}, {"other": room}),
    ):
        with pytest.raises(ModelError) as error:
            session.run_held(inputs, outputs)
        assert str(error.value).startswith(f"{session.path}: the model failed on cpu: ")
        assert "\n" not in str(error.value)
