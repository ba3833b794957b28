"""How many NVIDIA GPUs CUDA has for this process. The driver is asked, and CUDA is not begun: a
process that has begun it keeps memory of a GPU, and the one that starts the workers needs none."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
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


def has_driver() -> bool:
    """Whether NVIDIA's driver seems to be installed; in WSL it may be another maker's."""
    return any(path.exists() for path in DRIVERS)


def count() -> int | None:
    """How many GPUs CUDA numbers from 0 on for this process; None where nobody says.

    The variable CUDA_VISIBLE_DEVICES chooses among them, as CUDA's programming guide has it: by
    numbers, those before the first that does not exist, or identifiers, which are taken on trust;
    none at all where one is named twice.
    """
    there = _installed()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return there
    names = [name.strip() for name in chosen.split(",")]
    if len(set(names)) < len(names):
        return 0
    visible = 0
    for name in names:
        if name.startswith("MIG-"):
            return 1  # Of parts of GPUs a process sees one, and nothing beside it.
        if not (name.startswith("GPU-") or _is_below(name, there)):
            break
        visible += 1
    return visible if there is None else min(visible, there)


def _is_below(name: str, there: int | None) -> bool:
    return name.isdecimal() and (there is None or int(name) < there)


def _installed() -> int | None:
    """How many GPUs there are, whichever are chosen; None where nobody says."""
    with contextlib.suppress(OSError):
        folders = len(list(FOLDERS.iterdir()))
        nodes = len(list(NODES.glob("nvidia[0-9]*")))
        # Where no process has used a GPU yet, there may be no nodes.
        return min(folders, nodes or folders)
    return _listed()


@functools.cache
def _listed() -> int | None:
    """How many GPUs NVIDIA's own program lists; it takes a second."""
    # By its full path on Windows, where a name is looked for among the photos first.
    program = SYSTEM / "nvidia-smi.exe" if os.name == "nt" else shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        said = subprocess.run(
            [program, "-L"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return sum(line.startswith("GPU ") for line in said.stdout.splitlines())
