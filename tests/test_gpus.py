"""How many GPUs there are is asked of the driver; here a made-up one answers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inpaintcli import gpus


def driver(monkeypatch: pytest.MonkeyPatch, root: Path, folders: int, nodes: int) -> None:
    """A driver that shows so many GPUs in /proc, and so many in /dev beside other files of its."""
    for at in range(folders):
        (root / f"proc/0000:{at:02d}:00.0").mkdir(parents=True)
    (root / "dev").mkdir()
    for name in (
        "nvidiactl",
        "nvidia-uvm",
        "nvidia-modeset",
        *(f"nvidia{at}" for at in range(nodes)),
    ):
        (root / "dev" / name).touch()
    monkeypatch.setattr(gpus, "FOLDERS", root / "proc")
    monkeypatch.setattr(gpus, "NODES", root / "dev")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def program(monkeypatch: pytest.MonkeyPatch, root: Path, script: str | None) -> None:
    """A machine whose /proc says nothing, with a shell script, or none, as nvidia-smi."""
    folder = root / "bin"
    folder.mkdir()
    if script is not None:
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", os.fspath(folder))
    monkeypatch.setattr(gpus, "FOLDERS", root / "none")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus._listed.cache_clear()


@pytest.mark.parametrize(
    ("folders", "nodes", "number"),
    [(1, 1, 1), (4, 4, 4), (8, 1, 1), (2, 0, 2)],
    ids=["one", "four", "one of eight in a container", "never used yet"],
)
def test_the_driver_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folders: int, nodes: int, number: int
) -> None:
    driver(monkeypatch, tmp_path, folders, nodes)
    assert gpus.count() == number


@pytest.mark.parametrize(
    ("chosen", "number"),
    [
        ("", 0), ("-1", 0), ("none", 0), ("NoDevFiles", 0),
        ("0", 1), ("1,0", 2), (" 1 , 0 ", 2), ("3,1,2,0", 4),
        # As in CUDA's programming guide: what follows the first that does not exist is not seen.
        ("0,2,-1,1", 2), ("4", 0), ("1,7,0", 1), ("0,", 1),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", 1), ("GPU-8932f937,GPU-0a", 2),
        ("MIG-4c9a2b1e-0d5f-5c1e-9f8a-2b1e0d5f5c1e", 1), ("MIG-a,MIG-b", 1),
        ("0,0,0,0,0,0", 0), ("1,0,1", 0),
    ],
)  # fmt: skip
def test_the_user_may_choose_among_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str, number: int
) -> None:
    driver(monkeypatch, tmp_path, 4, 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert gpus.count() == number


posix = pytest.mark.skipif(os.name != "posix", reason="a shell script stands in for nvidia-smi")


@posix
def test_nvidias_program_is_asked_where_the_driver_says_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listed = "GPU 0: NVIDIA A100 (UUID: GPU-1)\n  MIG 1g.5gb Device 0: (UUID: MIG-1)\nGPU 1: T4"
    calls = tmp_path / "calls"
    program(
        monkeypatch, tmp_path,
        f'[ "$*" = -L ] || exit 1; echo x >>"{calls}"; /bin/cat <<END\n{listed}\nEND',
    )  # fmt: skip
    assert gpus.count() == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0,2")
    assert gpus.count() == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpus.count() == 1
    assert calls.read_text() == "x\n", "it takes a second, and is asked once"


@posix
@pytest.mark.parametrize("script", [None, "exit 9", "echo No devices were found; exit 6"])
def test_where_nobody_says_nothing_is_made_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str | None
) -> None:
    program(monkeypatch, tmp_path, script)
    assert gpus.count() is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,5")
    assert gpus.count() == 3, "who names three has three"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus.count() == 0


def test_the_driver_is_known_by_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpus, "DRIVERS", (tmp_path / "a", tmp_path / "b"))
    assert not gpus.has_driver()
    (tmp_path / "b").touch()
    assert gpus.has_driver()
