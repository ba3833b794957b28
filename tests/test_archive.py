"""Many photos of which some are bad: the rest is done, what is bad is named, nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inpaintcli import photo
from tests import archive, corpus
from tests.archive import Archive, unprivileged
from tests.fuzz import digests
from tests.helpers import inpaint, picture, save, save_mask, stripe

ROOT = Path(__file__).parent.parent
FAILED, BAD_CALL, NO_MODEL = 1, 2, 3
TELEA = ("--model", "telea")


def test_an_archive_of_which_some_photos_are_bad(tmp_path: Path) -> None:
    """As `python -m tests.archive` does it with 1,000."""
    made = archive.make(tmp_path, 80, 18)
    ways = set(made.bad.values())
    assert ways >= set(archive.WAYS) - {"not readable"}
    found = archive.run(made)
    assert not found.wrong, "\n".join(found.wrong)
    assert (found.restored, found.named) == (62, 18)


def test_the_archive_run_sees_what_is_wrong(tmp_path: Path) -> None:
    """Where a bad photo is taken for good, or the other way round, it says so."""
    made = archive.make(tmp_path, 12, 2)
    (path, kind), *_ = made.good.items()
    del made.good[path]
    made.bad[path] = kind
    found = archive.run(made)
    assert any("not said to have failed" in line for line in found.wrong)
    assert any("files were left that are no results" in line for line in found.wrong)
    assert (found.restored, found.named) == (9, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five photos and a mask for them all: photos/a.png to photos/e.png, mask.png."""
    for name in "abcde":
        save(tmp_path / f"photos/{name}.png", picture())
    save_mask(tmp_path / "mask.png", stripe())
    return tmp_path


def restore(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Restore the photos of the folder into out/, as anybody but root would."""
    command = [sys.executable, "-m", "inpaintcli", "restore", "photos", "--mask", "mask.png",
               "-o", "out", "--quiet", *TELEA, *map(str, words)]  # fmt: skip
    return subprocess.run(
        unprivileged(command) or command, cwd=folder, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip


def one_line(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """The command has said one line, which is no traceback and has these parts."""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("inpaint: ")
    for part in parts:
        assert part in lines[0]


def check_rest(folder: Path, done: subprocess.CompletedProcess[str], *bad: str) -> None:
    """All but the bad ones are done."""
    assert done.returncode == FAILED, done.stderr
    rest = sorted({f"{name}.png" for name in "abcde"} - set(bad))
    written = sorted(path.name for path in (folder / "out").iterdir() if path.is_file())
    written = [name for name in written if name not in bad]
    assert written == rest


def test_a_folder_under_the_name_of_a_result(folder: Path) -> None:
    (folder / "out/c.png").mkdir(parents=True)
    before = digests(folder)
    done = restore(folder)
    one_line(done, "out/c.png", "folder")
    check_rest(folder, done, "c.png")
    assert not list((folder / "out/c.png").iterdir())
    assert before.items() <= digests(folder).items()


@pytest.mark.parametrize("there", [True, False])
def test_a_link_that_leads_out_of_the_results(folder: Path, there: bool) -> None:
    (folder / "out").mkdir()
    precious = folder / "precious.png"
    if there:
        save(precious, picture(9, 9))
    (folder / "out/c.png").symlink_to(precious)
    before = digests(folder)
    done = restore(folder, *(["--overwrite"] if there else []))
    one_line(done, "out/c.png")
    check_rest(folder, done, "c.png")
    assert precious.exists() == there
    assert (folder / "out/c.png").is_symlink()
    assert before.items() <= digests(folder).items()


def test_a_folder_of_results_that_is_a_link_of_its_own_is_fine(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "out").symlink_to(folder / "elsewhere")
    done = restore(folder)
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "elsewhere").iterdir())) == 5


def test_links_that_go_in_circles(folder: Path) -> None:
    (folder / "photos/round").symlink_to(folder / "photos")
    (folder / "photos/one.png").symlink_to("two.png")
    (folder / "photos/two.png").symlink_to("one.png")
    before = digests(folder)
    done = restore(folder, "--recursive")
    assert done.returncode == FAILED
    lines = done.stderr.splitlines()
    assert all(line.startswith("inpaint: ") and "goes in a circle" in line for line in lines)
    assert {word for line in lines for word in ("one.png", "two.png") if word in line}
    assert sorted(path.name for path in (folder / "out").rglob("*")) == [
        f"{name}.png" for name in "abcde"
    ]
    assert before.items() <= digests(folder).items()


def test_a_circle_of_links_under_the_name_of_a_result(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out/c.png").symlink_to("c.png")
    done = restore(folder)
    one_line(done, "out/c.png")
    check_rest(folder, done, "c.png")


def test_results_that_may_not_be_written(folder: Path) -> None:
    if unprivileged([]) is None:
        pytest.skip("root may write everywhere, and cannot give that up here")
    out = folder / "out"
    out.mkdir(0o555)
    before = digests(folder)
    done = restore(folder)
    one_line(done, "out", "written")
    assert done.returncode in (FAILED, BAD_CALL)
    assert not list(out.iterdir())
    assert digests(folder) == before


def test_photos_that_may_not_be_read(folder: Path) -> None:
    if unprivileged([]) is None:
        pytest.skip("root may read everything, and cannot give that up here")
    (folder / "photos/c.png").chmod(0)
    done = restore(folder)
    one_line(done, "photos/c.png", "no permission")
    assert done.returncode == FAILED
    check_rest(folder, done, "c.png")


#: Mounts a small disk at $1 where nobody else sees it, runs the rest, and copies what is there.
_ON_A_SMALL_DISK = """
mount -t tmpfs -o size=300k none "$1" || exit 99
disk=$1; copy=$2; shift 2
"$@"
code=$?
cp -a "$disk/." "$copy" && exit $code
"""


def test_a_full_disk(folder: Path) -> None:
    (folder / "disk").mkdir()
    (folder / "copy").mkdir()
    for name in "bcd":
        values = np.random.default_rng(ord(name)).integers(0, 256, (200, 200, 3))
        save(folder / f"photos/{name}.png", values.astype(np.uint8))
    before = digests(folder / "photos")
    alone = ["unshare", "-m"] if os.name == "posix" and os.geteuid() == 0 else ["unshare", "-rm"]
    command = [sys.executable, "-m", "inpaintcli", "restore", "photos", "--mask", "mask.png",
               "--fit-mask", "-o", "disk", "--quiet", *TELEA]  # fmt: skip
    try:
        done = subprocess.run(
            [*alone, "sh", "-c", _ON_A_SMALL_DISK, "sh", "disk", "copy", *command],
            cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
            text=True, timeout=300, check=False,
        )  # fmt: skip
    except OSError:
        pytest.skip("there is no `unshare` here to mount a small disk in")
    if "unshare:" in done.stderr or done.returncode == 99:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    assert done.returncode == FAILED, done.stderr
    lines = done.stderr.splitlines()
    # Two of 120 kB find room, and so do the small ones, of which one comes after the last large.
    assert len(lines) == 1
    assert lines[0].startswith("inpaint: ")
    assert "no space left on device" in lines[0]
    written = {path.name for path in (folder / "copy").iterdir()}
    assert {"a.png", "e.png"} < written
    assert len(written) == 4
    for name in written:
        shape = photo.read(folder / "photos" / name).pixels.shape
        assert photo.read(folder / "copy" / name).pixels.shape == shape
    assert digests(folder / "photos") == before


@pytest.mark.parametrize("fault", ["random", "cut", "empty", "nan", "shape"])
def test_models_that_cannot_be_used(folder: Path, fault: str) -> None:
    model = folder / "model.onnx"
    shipped = ROOT / "inpaintcli/weights/partial-conv-photos.onnx"
    if fault == "random":
        model.write_bytes(np.random.default_rng(0).bytes(5000))
    elif fault == "cut":
        model.write_bytes(shipped.read_bytes()[:1_000_000])
    elif fault == "empty":
        model.touch()
    else:
        faulty_model(model, fault)
    before = digests(folder)
    done = inpaint(
        "restore", "photos", "--mask", "mask.png", "-o", "out", "--model", model, "--device", "cpu",
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == NO_MODEL, done.stderr
    one_line(done, "model.onnx")
    if fault in ("nan", "shape"):
        assert {"nan": "not numbers", "shape": "does not keep the size"}[fault] in done.stderr
    assert not [path for path in (folder / "out").rglob("*") if path.is_file()]
    assert digests(folder) == before


def faulty_model(path: Path, fault: str) -> None:
    """A model of our signature that returns what is not numbers, or another size."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    def info(name: str, channels: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, "h", "w"])

    constants = [
        helper.make_tensor("none", TensorProto.FLOAT, [], [float("nan")]),
        helper.make_tensor("ends", TensorProto.INT64, [8], [0, 0, 0, 0, 0, 0, 0, 1]),
    ]
    nodes = {
        "nan": [helper.make_node("Mul", ["image", "none"], ["restored"])],
        "shape": [helper.make_node("Pad", ["image", "ends"], ["restored"])],
    }[fault]
    graph = helper.make_graph(
        nodes, "test", [info("image", 3), info("mask", 1)],
        [helper.make_tensor_value_info("restored", TensorProto.FLOAT, ["n", 3, "h", "v"])],
        constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path)


def test_bombs_cost_neither_time_nor_memory(folder: Path) -> None:
    for name, data in corpus.bombs().items():
        (folder / "photos" / name).write_bytes(data)
    limited = ["sh", "-c", 'ulimit -v 3000000; exec "$@"', "sh", sys.executable]
    words = ["-m", "inpaintcli", "restore", "photos", "--mask", "mask.png", "-o", "out", "--quiet"]
    done = subprocess.run(
        [*limited, *words, "--workers", "1", *TELEA],
        cwd=folder, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == FAILED, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == len(corpus.bombs())
    assert all("too many: at most" in line for line in lines)
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        f"{name}.png" for name in "abcde"
    ]


def test_photos_under_the_suffix_of_another_format(folder: Path) -> None:
    """They are read for what they are; a result is never one thing under the name of another."""
    shutil.copy(folder / "photos/a.png", folder / "photos/f.jpg")
    before = digests(folder / "photos")
    done = restore(folder)
    assert digests(folder / "photos") == before
    written = folder / "out/f.jpg"
    if done.returncode == 0:
        assert written.read_bytes().startswith(b"\xff\xd8\xff")
    else:
        one_line(done, "f.jpg")
        assert done.returncode == FAILED
        assert not written.exists()
    assert (folder / "out/e.png").exists()


def test_the_same_seed_makes_the_same_archive(tmp_path: Path) -> None:
    one, other = (archive.make(tmp_path / name, 20, 4) for name in ("one", "other"))

    def relative(made: Archive) -> dict[Path, str]:
        return {path.relative_to(made.folder): sum_ for path, sum_ in digests(made.folder).items()}

    assert relative(one) == relative(other)
