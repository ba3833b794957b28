"""ONNX Runtime sessions: provider, threads, silence, no telemetry. Nothing else imports
onnxruntime."""

from __future__ import annotations

import base64
import contextlib
import ctypes
import functools
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inpaintcli import gpus
from inpaintcli.errors import GpuMemoryError, ModelError, UsageError
from inpaintcli.silence import silence

if TYPE_CHECKING:
    import onnxruntime

CUDA_INSTALL = "pip install 'inpaintcli[cuda]'"
#: What differs from ONNX Runtime's defaults on CUDA.
CUDA_OPTIONS = {
    # Tiles have a few shapes a photo, and others in the next. By default cuDNN looks for the best
    # way to compute every convolution whenever its shape is another than in the call before, up to
    # ONNX Runtime 1.19 by timing all of them: half a second and more, when all tiles of a photo
    # take no longer. What it names at once is about as fast.
    "cudnn_conv_algo_search": "HEURISTIC",
    # By default sessions take memory in powers of two; workers share that of a GPU. What `hold` and
    # `room` take ONNX Runtime has of another arena, to which no option reaches.
    "arena_extend_strategy": "kSameAsRequested",
}


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model: its name, its type ("tensor(float)") and its shape, in which
    free sizes are names or None."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]

    def __str__(self) -> str:
        sizes = "x".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.type.removeprefix('tensor(').removesuffix(')')} {sizes}"


@dataclass(frozen=True)
class Held:
    """An array in the memory of a session's device, or the part of one from `offset` bytes on."""

    memory: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int = 0

    @property
    def pointer(self) -> int:
        """Where it begins."""
        return int(self.memory.data_ptr()) + self.offset

    def part(self, first: int, number: int) -> Held:
        """So many rows of its first axis."""
        below = self.shape[1:]
        skipped = first * math.prod(below) * self.dtype.itemsize
        return replace(self, shape=(number, *below), offset=self.offset + skipped)

    def reshaped(self, *shape: int) -> Held:
        """The same values in another shape, of as many."""
        return replace(self, shape=shape)

    def numpy(self) -> NDArray[Any]:
        """A copy of it here; not for parts."""
        return np.asarray(self.memory.numpy()).reshape(self.shape)


def check_device(device: str) -> None:
    """Raise UsageError unless `device` is auto, cpu, cuda or cuda:N.

    auto:N, which takes GPU N where that works and the CPU where not, is for workers.
    """
    if not re.fullmatch(r"cpu|(auto|cuda)(:\d+)?", device):
        raise UsageError(f"unknown device {device!r}: choose from auto, cpu, cuda or cuda:N")


def may_use_cuda(device: str) -> bool:
    """True where a session on `device` could come to run on CUDA: ONNX Runtime was built for it,
    and there is NVIDIA's driver, or CUDA was asked for and has to say that there is none."""
    if device == "cpu" or (device.startswith("auto") and not gpus.has_driver()):
        return False
    with silence():
        return "CUDAExecutionProvider" in load_onnxruntime().get_available_providers()


@functools.cache
def has_cuda_libraries() -> bool:
    """Whether CUDA's libraries seem to be installed: cuDNN, which needs the others, can be loaded.

    A process that only asks this takes no memory of a GPU.
    """
    with silence():
        _preload(load_onnxruntime())
        try:
            if os.name == "nt":
                ctypes.CDLL("cudnn64_9.dll", winmode=0)  # Which looks along PATH too.
            else:
                ctypes.CDLL("libcudnn.so.9")
        except OSError:
            return False
    return True


def _preload(ort: Any) -> None:
    """Find the libraries that the extra `cuda` installs, where they are installed."""
    if hasattr(ort, "preload_dlls"):
        with contextlib.suppress(Exception):
            ort.preload_dlls()


def load_onnxruntime() -> Any:
    """The package, its telemetry off: the official builds would send their maker over HTTPS what
    they are used for, and keep a database of it in the user's home."""
    # It looks at this once, when it is imported first.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    # What is left where somebody else imported it before, or where Windows does the collecting.
    onnxruntime.disable_telemetry_events()
    return onnxruntime


class Session:
    """One model file, loaded on one device."""

    def __init__(self, path: Path, device: str = "auto", threads: int | None = None):
        """Load `path` on `device` (auto, cpu, cuda, cuda:N) with `threads` CPU threads.

        `auto` takes CUDA where NVIDIA's driver is found and a session really runs on it, else the
        CPU; `cuda` never takes the CPU. Raises ModelError where the file is no model that ONNX
        Runtime can load, or the device cannot be used.
        """
        check_device(device)
        self.path, self.threads = path, threads
        self._session = _open(path, device, threads)
        #: Which GPU, where it runs on one.
        self.number = int(device.partition(":")[2] or 0) if self.device == "cuda" else 0
        self.metadata: dict[str, str] = dict(
            self._session.get_modelmeta().custom_metadata_map or {}
        )
        self.inputs = [Tensor(i.name, i.type, tuple(i.shape)) for i in self._session.get_inputs()]
        self.outputs = [Tensor(o.name, o.type, tuple(o.shape)) for o in self._session.get_outputs()]

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or "cuda"."""
        return "cuda" if "CUDA" in self._session.get_providers()[0] else "cpu"

    def run(self, feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """All outputs for the named inputs; raises ModelError with ONNX Runtime's reason."""
        # To and from a GPU this copies once each, and what it returns lies over ONNX Runtime's own
        # memory.
        with self._told():
            outputs = self._session.run(None, feeds)
        return [np.asarray(output) for output in outputs]

    def hold(self, array: NDArray[Any]) -> Held:
        """A copy of an array in the memory of the device, or, on the CPU, itself; raises
        ModelError."""
        array = np.ascontiguousarray(array)
        with self._told():
            memory = load_onnxruntime().OrtValue.ortvalue_from_numpy(array, *self._place)
        return Held(memory, array.shape, array.dtype)

    def room(self, shape: tuple[int, ...], dtype: type[np.generic]) -> Held:
        """Memory of the device for an array; what it holds is left open. Raises ModelError."""
        with self._told():
            memory = load_onnxruntime().OrtValue.ortvalue_from_shape_and_type(
                shape, dtype, *self._place
            )
        return Held(memory, shape, np.dtype(dtype))

    def run_held(
        self, inputs: Mapping[str, Held | NDArray[Any]], outputs: Mapping[str, Held]
    ) -> None:
        """Compute the named outputs into memory of the device; raises ModelError.

        Arrays among the inputs are copied there, and nothing is copied back.
        """
        with self._told():
            binding = self._session.io_binding()
            for name, value in inputs.items():
                if isinstance(value, Held):
                    binding.bind_input(
                        name, *self._place, value.dtype.type, value.shape, value.pointer
                    )
                else:
                    binding.bind_cpu_input(name, np.ascontiguousarray(value))
            for name, value in outputs.items():
                binding.bind_output(
                    name, *self._place, value.dtype.type, value.shape, value.pointer
                )
            binding.synchronize_inputs()
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()

    @property
    def _place(self) -> tuple[str, int]:
        """Where its memory is, in ONNX Runtime's words."""
        return self.device, self.number

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turns what ONNX Runtime raises into ModelError with its reason."""
        try:
            yield
        except Exception as error:  # Its exceptions share no public base class.
            said = f"{self.path}: the model failed on {self.device}: "
            if self.device == "cuda" and re.search(_NO_MEMORY, str(error), re.IGNORECASE):
                why = "not enough memory on the GPU: fewer --workers, a smaller --tile or"
                raise GpuMemoryError(f"{said}{why} --device cpu help") from None
            raise ModelError(said + _first_line(error)) from None


#: How ONNX Runtime, CUDA, cuDNN and cuBLAS say that there is no memory left.
_NO_MEMORY = "out of memory|failed to allocate memory|alloc(ation)?_failed"


#: A model of one convolution and one sum: x float (1, 1, 4, 4) to y, the sums of 3x3 pixels plus x.
_SMALL = base64.b64decode(
    "CAgSADqmAQoiCgF4CgF3EgFjIgRDb252KhEKBHBhZHNAAUABQAFAAaABBwoOCgFjCgF4EgF5IgNBZGQSAWcqMwgBCAEI"
    "AwgDEAFCAXdKJAAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAP1obCgF4EhYKFAgBEhAKAggBCgIIAQoC"
    "CAQKAggEYhsKAXkSFgoUCAESEAoCCAEKAggBCgIIBAoCCARCBAoAEA0="
)


@functools.cache
def _try_cuda(number: int) -> bool:
    """Compute something on the GPU of that number: True where ONNX Runtime has CUDA's libraries.

    A session opens where cuDNN is missing, or where the GPU is one for which nothing was built, and
    fails when it is run first; the exception comes here, before any photo is begun.
    """
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(
        _SMALL, options, providers=[_cuda(number), "CPUExecutionProvider"], enable_fallback=False
    )
    # Where the libraries are missing it takes the CPU and raises nothing.
    if session.get_providers()[0] != "CUDAExecutionProvider":
        return False
    session.run(None, {"x": np.ones((1, 1, 4, 4), np.float32)})
    return True


def _cuda(number: int) -> tuple[str, dict[str, Any]]:
    """The provider on the GPU of that number."""
    return "CUDAExecutionProvider", {"device_id": number, **CUDA_OPTIONS}


def _open(path: Path, device: str, threads: int | None) -> onnxruntime.InferenceSession:
    why = ""
    # It prints from C++.
    with silence():
        ort = load_onnxruntime()
        # 4 = fatal only: what matters comes as an exception and is told in one line.
        ort.set_default_logger_severity(4)
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = threads or usable_cores()
        if may_use_cuda(device):
            _preload(ort)
            number = int(device.partition(":")[2] or 0)
            try:
                if _try_cuda(number):
                    session = ort.InferenceSession(
                        os.fspath(path), options, providers=[_cuda(number), "CPUExecutionProvider"],
                        # Else it would go over to the CPU by itself, also later, and print that.
                        enable_fallback=False,
                    )  # fmt: skip
                    if session.get_providers()[0] == "CUDAExecutionProvider":
                        return session
            except Exception as error:
                why = _failure(error)
        try:
            session = ort.InferenceSession(
                os.fspath(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelError(
                f"{path}: not a model that ONNX Runtime can load: {_first_line(error)}"
            ) from None
    if device.startswith("cuda"):
        raise _refusal(device, why)
    return session


def _refusal(device: str, why: str) -> ModelError:
    """The error for a CUDA device that cannot be used; why: what CUDA said, if it did."""
    number, known = device.partition(":")[2], gpus.count()
    if number and known and int(number) >= known:
        last = f" to cuda:{known - 1}" if known > 1 else ""
        return ModelError(f"--device {device}: there is no such GPU here: choose cuda:0{last}")
    said = f" ({why})" if why else ""
    return ModelError(
        f"--device {device}: ONNX Runtime finds no CUDA device that it can use here{said}; "
        f"{CUDA_INSTALL} adds what it needs beside NVIDIA's driver, --device cpu works without"
    )


def _failure(error: Exception) -> str:
    """What CUDA said in an error of ONNX Runtime's, or nothing: the rest is where in its source."""
    # "/onnxruntime_src/...cc:129 ... CUDA failure 2: out of memory ; GPU=0 ; hostname=... ; ..."
    found = re.search(
        r" failure \d+: ([^;\n]*[^;\s])|(Invalid device ID: \d+)|(cuDNN is unavailable)", str(error)
    )
    return next(filter(None, found.groups())) if found else ""


def usable_cores() -> int:
    """The number of cores that this process may use: its affinity, where the system knows one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines() or [type(error).__name__]
    # "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from x.onnx failed:Protobuf ..."
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text[0])
