"""How many NVIDIA GPUs CUDA has for this process. The driver's files say so, and where they do not
CUDA is asked, in a process of its own: one that has begun it keeps memory of a GPU, and the process
that starts the workers needs none."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
from pathlib import Path

SYSTEM = Path(os.environ.get("SYSTEMROOT", "C:/Windows"), "System32")
#: One of these is where NVIDIA's driver is: on Linux, where its node may come with the first use,
#: in WSL, on a Jetson, on Windows.
DRIVERS = (
    Path("/dev/nvidiactl"), Path("/proc/driver/nvidia/version"), Path("/dev/dxg"),
    Path("/dev/nvhost-ctrl"), SYSTEM / "nvcuda.dll",
)  # fmt: skip
#: On Linux the driver has a folder for each GPU of the machine, and a process can use those that
#: have a node: a container sees all the folders and is given some of the nodes.
FOLDERS, NODES = Path("/proc/driver/nvidia/gpus"), Path("/dev")
#: CUDA itself, as the driver brings it; on Windows a name is looked for among the photos first.
LIBRARY = os.fspath(SYSTEM / "nvcuda.dll") if os.name == "nt" else "libcuda.so.1"
#: Prints how many GPUs CUDA has; 100 says that there are none, or that all are hidden.
_ASK = """
import ctypes, sys
cuda, number = ctypes.CDLL(sys.argv[1]), ctypes.c_int()
failed = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(number))
print(number.value if failed in (0, 100) else "unknown")
"""


def has_driver() -> bool:
    """Whether NVIDIA's driver seems to be installed; in WSL it may be another maker's."""
    return any(path.exists() for path in DRIVERS)


def count() -> int | None:
    """How many GPUs CUDA numbers from 0 on for this process; None where nobody says.

    The variable CUDA_VISIBLE_DEVICES chooses among them, as CUDA's programming guide has it: by
    numbers, those before the first that does not exist, or identifiers, which are taken on trust;
    none at all where one is named twice. Which parts of split GPUs it has depends on the driver, so
    there CUDA is asked.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = None if _split() or "MIG-" in (chosen or "") else _installed()
    if there is None:
        return _asked()
    if chosen is None:
        return there
    names = [name.strip() for name in chosen.split(",")]
    if len(set(names)) < len(names):
        return 0
    visible = 0
    for name in names:
        if not (name.startswith("GPU-") or (name.isdecimal() and int(name) < there)):
            break
        visible += 1
    return min(visible, there)


def _installed() -> int | None:
    """How many GPUs there are, whichever are chosen; None where no file says."""
    with contextlib.suppress(OSError):
        folders = len(list(FOLDERS.iterdir()))
        nodes = len(list(NODES.glob("nvidia[0-9]*")))
        # Where no process has used a GPU yet, there may be no nodes.
        return min(folders, nodes or folders)
    return None


def _split() -> bool:
    """Whether a GPU seems to be split into parts (MIG).

    Each part has nodes of its own, numbered from 3 on: 1 and 2 are there to split GPUs and to watch
    them. A node may outlast its part: then CUDA is asked without need.
    """
    prefix = "nvidia-cap"
    numbers = (path.name.removeprefix(prefix) for path in NODES.glob(f"nvidia-caps/{prefix}*"))
    return any(number.isdecimal() and int(number) > 2 for number in numbers)


@functools.cache
def _asked() -> int | None:
    """How many GPUs CUDA has, by its own count; it may take a second."""
    try:
        said = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _ASK, LIBRARY], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", timeout=20, check=True,
        )  # fmt: skip
        return int(said.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
