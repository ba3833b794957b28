"""How many GPUs there are is asked of the driver; here a made-up one answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from inpaintcli import gpus


@pytest.fixture(autouse=True)
def nothing_asked() -> Iterator[None]:
    """What one test's CUDA has said is no other's."""
    gpus._asked.cache_clear()
    yield
    gpus._asked.cache_clear()


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


def library(monkeypatch: pytest.MonkeyPatch, root: Path, body: str) -> None:
    """CUDA as a library whose `cuInit` has such a body, and which has five GPUs."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("a C compiler makes the library that stands in for CUDA")
    (root / "cuda.c").write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n"
        f"int cuInit(unsigned flags) {{ {body} }}\n"
        "int cuDeviceGetCount(int *number) { *number = 5; return 0; }\n"
    )
    made = root / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, root / "cuda.c"], check=True)
    monkeypatch.setattr(gpus, "LIBRARY", os.fspath(made))


def no_driver(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """A machine on which no file says anything of GPUs."""
    monkeypatch.setattr(gpus, "FOLDERS", root / "none")
    monkeypatch.setattr(gpus, "NODES", root / "none")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


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
        ("0,0,0,0,0,0", 0), ("1,0,1", 0),
    ],
)  # fmt: skip
def test_the_user_may_choose_among_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str, number: int
) -> None:
    driver(monkeypatch, tmp_path, 4, 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert gpus.count() == number


def test_cuda_is_asked_where_no_file_says_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_driver(monkeypatch, tmp_path)
    calls = tmp_path / "calls"
    library(monkeypatch, tmp_path, f'fputs("x", fopen("{calls}", "a")); return 0;')
    assert [gpus.count(), gpus.count()] == [5, 5]
    assert calls.read_text() == "x", "it takes a second, and is asked once"


@pytest.mark.parametrize(
    ("body", "number"),
    [("return 100;", 0), ("return 999;", None), ("abort();", None)],
    ids=["no device", "a failure", "a crash"],
)
def test_where_cuda_fails_nothing_is_made_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, number: int | None
) -> None:
    no_driver(monkeypatch, tmp_path)
    library(monkeypatch, tmp_path, body)
    assert gpus.count() == number


def test_where_there_is_no_cuda_nobody_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_driver(monkeypatch, tmp_path)
    monkeypatch.setattr(gpus, "LIBRARY", os.fspath(tmp_path / "libcuda.so.1"))
    assert gpus.count() is None


def test_what_cuda_has_of_split_gpus_it_says_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before driver 570 one part in all, since then more, and the GPUs that are whole."""
    driver(monkeypatch, tmp_path, 2, 2)
    library(monkeypatch, tmp_path, "return 0;")
    caps = tmp_path / "dev/nvidia-caps"
    caps.mkdir()
    for number in (1, 2):  # They are there as soon as a GPU could be split.
        (caps / f"nvidia-cap{number}").touch()
    assert gpus.count() == 2
    (caps / "nvidia-cap12").touch()
    assert gpus.count() == 5


def test_what_cuda_has_of_parts_by_name_it_says_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver(monkeypatch, tmp_path, 2, 2)
    library(monkeypatch, tmp_path, "return 0;")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-4c9a2b1e-0d5f-5c1e-9f8a-2b1e0d5f5c1e")
    assert gpus.count() == 5


def test_the_driver_is_known_by_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpus, "DRIVERS", (tmp_path / "a", tmp_path / "b"))
    assert not gpus.has_driver()
    (tmp_path / "b").touch()
    assert gpus.has_driver()
