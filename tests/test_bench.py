"""`inpaint bench`: its figures are right, methods that fail end alone, and its page is whole."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaintcli import damage, restore
from inpaintcli.arrays import Pixels
from inpaintcli.bench import Case, Result, Row, Run, Setting, Watch, bench, rows
from inpaintcli.bench_report import Bench, Gallery, cells, densest, markdown, page
from inpaintcli.cli import main
from inpaintcli.metrics import Scores
from inpaintcli.operations import macs_per_pixel
from inpaintcli.pairing import Beside, Found
from inpaintcli.plot import HEIGHT, WIDTH, Point, plot, unbeaten
from tests.browser import BROWSER, Browser
from tests.helpers import inpaint, load, picture, save, save_mask

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("skimage.metrics", reason="scikit-image is the reference")

T = TypeVar("T")
ROOT = Path(__file__).parent.parent


def network(path: Path) -> Path:
    """A model of ours with one convolution to half the size and one back, and a card."""
    node, weights = onnx.helper.make_node, onnx.numpy_helper.from_array

    def info(name: str, channels: int) -> Any:
        sizes = ["n", channels, "h", "w"]
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes)

    graph = onnx.helper.make_graph(
        [
            node("Mul", ["image", "mask"], ["hidden"]),
            node("Conv", ["hidden", "down"], ["half"], strides=[2, 2], pads=[1, 1, 1, 1]),
            node("ConvTranspose", ["half", "up"], ["back"], strides=[2, 2]),
            node("Add", ["back", "grey"], ["restored"]),
        ],
        "test", [info("image", 3), info("mask", 1)], [info("restored", 3)],
        [
            weights(np.zeros((8, 3, 3, 3), np.float32), "down"),
            weights(np.zeros((8, 3, 2, 2), np.float32), "up"),
            weights(np.full((1, 3, 1, 1), 0.5, np.float32), "grey"),
        ],
    )  # fmt: skip
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    card = {"tile": "32", "overlap": "0", "margin": "0", "multiple": "2"}
    onnx.helper.set_model_props(model, card)
    onnx.save(model, path)
    return path


#: For each pixel: 8 x 3 x 9 products at a quarter of the places, and 8 x 3 x 4 from a quarter.
MACS = (8 * 3 * 9 + 8 * 3 * 4) / 4


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two photos, a model and what is no model."""
    folder = tmp_path_factory.mktemp("bench")
    save(folder / "photos" / "a.png", picture(64, 96))
    save(folder / "photos" / "b.png", picture(80, 60, 1, np.uint16))
    network(folder / "grey.onnx")
    (folder / "bad.onnx").write_bytes(b"no model")
    return folder


@pytest.fixture(scope="module")
def ran(trial: Path) -> subprocess.CompletedProcess[str]:
    return inpaint(
        "bench", "photos", "--models", "telea,bad.onnx,grey.onnx", "--kinds", "strokes,scratches",
        "--seed", "3", "--threads", "1", "--json", "-o", "out/r.html", "-o", "r.md", "-o", "r.json",
        cwd=trial,
    )  # fmt: skip


# ---- What is measured ----------------------------------------------------------------------------


def test_a_method_that_fails_is_a_row_and_the_others_go_on(
    ran: subprocess.CompletedProcess[str], trial: Path
) -> None:
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert (trial / "r.json").read_text() == ran.stdout
    assert [(row["kind"], row["model"], row["status"]) for row in told["rows"]] == [
        (kind, model, "failed" if model == "bad.onnx" else "measured")
        for kind in ("strokes", "scratches")
        for model in ("telea", "bad.onnx", "grey.onnx")
    ]
    why = told["rows"][1]["error"]
    assert why.startswith("not a model")
    assert ran.stderr.splitlines() == [f"inpaint: bad.onnx: {why}"]
    assert why in (trial / "r.md").read_text().replace("\\", "")
    assert told["failed_photos"] == {}


def test_the_figures_are_those_of_the_restored_pixels(
    ran: subprocess.CompletedProcess[str], trial: Path
) -> None:
    """By scikit-image and plain formulas; what is restored is what `inpaint damage` damages."""
    told = json.loads(ran.stdout)
    for name in ("a", "b"):
        whole = load(trial / "photos" / f"{name}.png")
        damaged, mask = damage(whole, "strokes", seed=3, name=name)
        result = restore(damaged, mask, "telea", grain="off", seed=3)
        most = np.iinfo(whole.dtype).max
        x, y = result / most, whole / most
        run = next(
            run for run in told["runs"]
            if [run[key] for key in ("photo", "kind", "model")]
            == [f"photos/{name}.png", "strokes", "telea"]
        )  # fmt: skip
        scores = run["scores"]
        assert scores["hole_psnr"] == pytest.approx(
            reference.peak_signal_noise_ratio(y[mask], x[mask], data_range=1), abs=1e-3
        )
        assert scores["ssim"] == pytest.approx(
            reference.structural_similarity(
                y, x, data_range=1, channel_axis=2, gaussian_weights=True,
                use_sample_covariance=False, full=True,
            )[1].mean(), abs=1e-4,
        )  # fmt: skip
        assert scores["dice"] == pytest.approx(2 * (x * y).sum() / (x**2 + y**2).sum(), abs=1e-5)
        assert scores["damaged"] == pytest.approx(mask.mean())
        assert run["megapixels"] == mask.size / 1e6
    row = told["rows"][0]
    both = [run for run in told["runs"] if (run["kind"], run["model"]) == ("strokes", "telea")]
    paces = [np.median(run["seconds"]) / run["megapixels"] for run in both]
    assert row["seconds_per_megapixel"] == pytest.approx(np.median(paces))
    assert {len(run["seconds"]) for run in both} <= {1, 3}
    assert row["scores"]["hole_psnr"] == pytest.approx(
        np.mean([run["scores"]["hole_psnr"] for run in both])
    )


def test_operations_are_counted_in_the_tiles_that_run(
    ran: subprocess.CompletedProcess[str], trial: Path
) -> None:
    told = json.loads(ran.stdout)
    assert macs_per_pixel(trial / "grey.onnx", 64) == MACS
    assert macs_per_pixel(trial / "bad.onnx", 64) is None
    row = next(row for row in told["rows"] if row["model"] == "grey.onnx")
    runs = [run for run in told["runs"] if (run["kind"], run["model"]) == ("strokes", "grey.onnx")]
    given = sum(run["network_pixels"] for run in runs)
    assert row["macs_per_pixel"] == pytest.approx(MACS * given / (64 * 96 + 80 * 60))
    assert all(run["network_pixels"] % (32 * 32) == 0 for run in runs)
    assert 0 < runs[0]["network_pixels"] <= 64 * 96, (
        "tiles without overlap, counted for one restore"
    )
    assert row["model_bytes"] == (trial / "grey.onnx").stat().st_size
    classical = told["rows"][0]
    assert classical["macs_per_pixel"] is None
    assert classical["model_bytes"] is None


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux alone tells")
def test_the_peak_of_memory_is_the_childs_own(tmp_path: Path) -> None:
    """More by what a large photo takes; and not what this process takes, which starts it."""
    mask = np.zeros((1000, 1600), np.bool_)
    mask[460:464, 700:780] = True
    large = np.tile(picture(100, 100), (10, 16, 1))
    cases = []
    for name, part in (("large", np.s_[:, :]), ("small", np.s_[420:500, 660:820])):
        photo = save(tmp_path / f"{name}.png", large[part])
        beside = Beside(mask=save_mask(tmp_path / f"{name}-m.png", mask[part]), reference=photo)
        cases.append(Case(Found(photo, Path(photo.name)), beside=beside))
    ballast = np.ones(250_000_000, np.uint8)
    (result,) = bench(["telea"], cases, Setting(threads=1), Watch())
    assert ballast.all()
    assert not result.error
    first, second = (run.peak for run in result.runs)
    assert first
    assert second
    assert first - second >= 2 * large.nbytes, "the photo and the restored one"
    assert 20e6 < second < first < 250e6


def test_a_method_that_takes_too_long_or_is_not_installed_is_a_row(
    trial: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['skimage'] = None\n")
    (tmp_path / "patchmatch.py").write_text("patchmatch_available = False\n")
    done = subprocess.run(
        [sys.executable, "-m", "inpaintcli", "bench", "photos", "--models",
         "biharmonic,patchmatch,telea", "--timeout", "1e-7"],
        cwd=trial, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 3, "nothing was measured"
    missing, broken, slow = done.stderr.splitlines()
    told = "biharmonic: needs a package that is not installed: pip install scikit-image"
    assert missing == f"inpaint: {told}"
    assert broken.startswith("inpaint: patchmatch: the library")
    assert broken.endswith("choose another --models"), "the option that this command has"
    assert re.search(r"telea: .*a\.png: took longer than 1e-07 seconds.*--timeout", slow)
    rows, *reasons = done.stdout.split("not measured: ")
    assert all(name in rows for name in ("biharmonic", "patchmatch", "telea"))
    assert reasons[0] == f"{told}\n"
    assert [reason.split(":")[0] for reason in reasons] == ["biharmonic", "patchmatch", "telea"]


def test_pictures_that_are_not_read_are_told(tmp_path: Path) -> None:
    save(tmp_path / "in/a.png", picture())
    (tmp_path / "in/moving.gif").touch()
    done = inpaint("bench", "in", "--models", "telea", "--threads", "1", "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == (
        "1 picture of formats that are not read (.gif) left out, in/moving.gif first: convert it\n"
    )


def test_a_photo_that_cannot_be_read_is_named_and_left_out(trial: Path, tmp_path: Path) -> None:
    for name in ("a.png", "c.png"):
        save(tmp_path / "photos" / name, picture())
    (tmp_path / "photos" / "b.png").write_bytes(b"\x89PNG")
    done = inpaint("bench", "photos", "--models", "telea", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert "b.png" in done.stderr
    told = json.loads(done.stdout)
    assert list(told["failed_photos"]) == ["photos/b.png"]
    assert told["rows"][0]["photos"] == told["photos"] == 2


def test_photos_that_are_damaged_already(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        pixels = picture(48, 64)
        damaged, mask = damage(pixels, "scratches", name=name)
        save(tmp_path / "damaged" / f"{name}.png", damaged)
        save(tmp_path / "originals" / f"{name}.png", pixels)
        save_mask(tmp_path / "masks" / f"{name}.png", mask)
    done = inpaint(
        "bench", "damaged", "--mask", "masks", "--reference", "originals", "--models", "telea",
        "--limit", "2", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 photos, as given")
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="children are found in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_ends_its_child(trial: Path, number: signal.Signals) -> None:
    """Ctrl-C goes to all processes of a terminal; a kill to the one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "inpaintcli", "bench", "photos", "--models", "telea,photo"],
        cwd=trial, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    children = wait_for(lambda: spawned_by(process.pid))
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    _, told = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted" in told
    assert "Traceback" not in told
    assert wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def spawned_by(parent: int) -> list[int]:
    """The children of a process that run our code."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            command = path.with_name("cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == parent and "spawn_main" in command:
            found.append(int(path.parent.name))
    return found


def wait_for(look: Callable[[], T]) -> T:
    """What `look` finds, once it finds something."""
    for _ in range(600):
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


# ---- Wrong calls ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["photos", "--models", "telea,nosuch"], "unknown model 'nosuch'"),
        (["photos", "--models", "nosuch.onnx"], "nosuch.onnx: no such model file"),
        (["photos", "--models", ","], "--models"),
        (["photos", "--kinds", "rain"], "unknown kind of damage 'rain'"),
        (["empty"], "empty: no photos"),
        (["nowhere"], "nowhere: no such file"),
        (["photos", "--timeout", "0"], "--timeout 0: must be a number of seconds above 0"),
        (["photos", "--timeout", "nan"], "--timeout nan"),
        (["photos", "--timeout", "inf"], "--timeout inf"),
        (["photos", "--limit", "0"], "--limit 0"),
        (["photos", "-o", "r.pdf"], "r.pdf"),
        (["photos", "-o", "there.md"], "there.md: exists already"),
        (["photos", "--device", "gpu"], "unknown device 'gpu': choose from auto, cpu, cuda or"),
        (["photos", "--device", "auto:1"], "unknown device 'auto:1': choose from auto, cpu, cuda"),
        (["photos", "--mask", "masks"], "--mask without --reference"),
        (["photos", "--reference", "photos"], "--reference without --mask"),
        (["photos", "--mask", "masks", "--reference", "masks"], "b.png: no reference"),
        (["one", "--mask", "masks", "--reference", "masks", "--kinds", "text"], "--kinds"),
    ],
)
def test_wrong_calls_are_told_in_one_line(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("photos/a.png", "photos/b.png", "masks/a.png", "one/a.png"):
        save(tmp_path / name, picture())
    save_mask(tmp_path / "masks" / "b-mask.png", np.ones((40, 56), np.bool_))
    (tmp_path / "empty").mkdir()
    (tmp_path / "there.md").write_text("mine")
    monkeypatch.chdir(tmp_path)
    assert main.run(["bench", *words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert said in told.err
    assert (tmp_path / "there.md").read_text() == "mine"


# ---- Rows and tables -----------------------------------------------------------------------------


def case(name: str = "a.png", kind: Any = "holes") -> Case:
    return Case(Found(Path(name), Path(name)), kind)


def run_of(one: Case, seconds: tuple[float, ...], psnr: float = 30.0, texture: float = 1.0) -> Run:
    scores = Scores(0.9, psnr, 0.9, 0.1, psnr, 0.9, texture, 0.1)
    return Run(one, scores, 0.1, seconds, 0.5, 100_000_000, 250_000)


def test_a_row_has_medians_or_the_reason() -> None:
    one, other = case("a.png"), case("b.png")
    whole = Result(
        "m", (run_of(one, (1.0, 2.0, 9.0)), run_of(other, (3.0,))), size=5, macs_per_pixel=8.0
    )
    half = Result("n", (run_of(one, (1.0,)),), error="too slow")
    good, bad = rows([whole, half], [one, other])
    assert good.seconds == 5.0, "2 and 3 seconds for half a megapixel each"
    assert good.spread == pytest.approx((9.0 - 3.5) / 5.0), "the quartiles of 2, 4, 6 and 18"
    assert good.macs == 4.0
    assert (bad.error, bad.scores, bad.seconds) == ("too slow", None, None)


def test_a_kind_of_damage_that_was_done_before_a_failure_has_its_row() -> None:
    cases = [case(kind="text"), case(kind="holes")]
    result = Result("m", (run_of(cases[0], (1.0,)),), error="crashed")
    done, failed = rows([result], cases)
    assert (done.kind, done.error, done.spread) == ("text", "", None)
    assert (failed.kind, failed.error) == ("holes", "crashed")


def test_the_best_are_marked() -> None:
    def row(name: str, psnr: float, texture: float, seconds: float) -> Row:
        scores = Scores(0.9, psnr, 0.8, 0.1, psnr, 0.8, texture, 0.1)
        return Row("holes", name, "", 1, scores, seconds, 0.1, 70_000_000)

    lines = cells([
        row("a", 30.001, 1.3, 0.5), row("b", 29.999, 0.8, 0.4), row("c", 28.0, 0.1, 0.4),
        Row("holes", "d", "crashed"),
    ])  # fmt: skip
    best = [[cell.best for cell in line] for line in lines]
    #        Dice, PSNR, SSIM, texture, s/MP, spread, peak, model, GMAC
    assert best[0] == [False, True, False, False, False, False, False, False, False]
    assert best[1] == [False, True, False, True, True, False, False, False, False]
    assert best[2] == [False, False, False, False, True, False, False, False, False]
    assert [cell.text for cell in lines[3]] == ["-"] * 9


def test_markdown_says_names_as_they_are() -> None:
    one = case()
    results = [Result("my|odd_*.onnx", (run_of(one, (1.0,)),)), Result("x", (), error="a|b\nc")]
    lines = markdown(Bench([one], Setting(), results)).splitlines()
    rows_ = [line for line in lines if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows_} == {11}
    assert r"- x: a\|b\\nc" in lines


@given(
    shape=st.tuples(st.integers(1, 24), st.integers(1, 24)), side=st.integers(1, 12),
    seed=st.integers(0, 99), share=st.sampled_from([0.0, 0.05, 0.5]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_the_detail_lies_where_most_is_damaged(
    shape: tuple[int, int], side: int, seed: int, share: float
) -> None:
    mask = np.random.default_rng(seed).random(shape) < share
    left, top, width, height = densest(mask, side)
    assert (width, height) == (min(side, shape[1]), min(side, shape[0]))
    most = max(
        mask[y : y + height, x : x + width].sum()
        for y in range(shape[0] - height + 1)
        for x in range(shape[1] - width + 1)
    )
    assert mask[top : top + height, left : left + width].shape == (height, width)
    assert mask[top : top + height, left : left + width].sum() == most


# ---- The plot ------------------------------------------------------------------------------------


NAMES = ("photo", "partial-conv-photos", "autoencoder-photos", "telea", "navier-stokes", "a&<b")


@given(
    st.lists(
        st.builds(
            Point, st.sampled_from(NAMES), st.floats(1e-4, 1e4), st.floats(-10, 100)
        ), min_size=1, max_size=8,
    )
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_the_plot_is_whole_and_its_names_do_not_meet(points: list[Point]) -> None:
    svg = ElementTree.fromstring(plot(points, "x"))
    dots = [(float(one.get("cx", "")), float(one.get("cy", ""))) for one in svg.iter("circle")]
    assert len(dots) == len(points)
    # A letter is 8 px wide at most, in the mean, and 13 px high.
    boxes = []
    for label in (one for one in svg.iter("text") if one.get("class") == "label"):
        wide = 6.6 * len(label.text or "")
        x, y = float(label.get("x", "")), float(label.get("y", ""))
        x -= {"start": 0.0, "middle": wide / 2, "end": wide}[label.get("text-anchor", "")]
        assert x >= 0
        assert x + wide <= WIDTH
        assert 0 <= y <= HEIGHT
        boxes.append((x, x + wide, y - 10, y + 2))
    assert [label.text for label in svg.iter("text") if label.get("class")] == [
        one.name for one in points
    ]
    for at, (left, right, high, low) in enumerate(boxes):
        for other in boxes[at + 1 :]:
            assert right <= other[0] or other[1] <= left or low <= other[2] or other[3] <= high
    for axis, values in ((0, [p.seconds for p in points]), (1, [-p.quality for p in points])):
        places = [dot[axis] for dot in dots]
        for low, high in zip(np.argsort(values), np.argsort(values)[1:], strict=False):
            assert places[low] <= places[high] + 0.1


def test_what_is_beaten_in_one_and_equalled_in_the_other_is_not_on_the_line() -> None:
    points = [Point("a", 1, 30), Point("b", 2, 30), Point("c", 2, 31), Point("d", 3, 29)]
    assert [unbeaten(one, points) for one in points] == [True, False, True, False]


# ---- The page ------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Checks that tags are balanced; keeps elements and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs))
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.said.append(data)


ODD = 'R&D <img src=x onerror=alert(1)> "q".png'


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on two photos: one red, one blue, restored green and grey."""
    folder = tmp_path_factory.mktemp("page")

    def flat(red: int, green: int, blue: int) -> Pixels:
        return np.full((120, 400, 3), (red, green, blue), np.uint8)

    cases, runs = [], []
    for name, colour in ((ODD, (220, 0, 0)), ("b.png", (0, 0, 220))):
        path = save(folder / "photos" / name, flat(*colour))
        cases.append(Case(Found(path, Path(name)), "scratches"))
    gallery = Gallery(cases)
    for one in cases:
        gallery.open(one, one.open())
        for at, model in enumerate(("green", "grey")):
            gallery.add(model, one, flat(0, 180, 0) if model == "green" else flat(120, 120, 120))
            runs.append((model, run_of(one, (0.1 + at,), 30.0 + at)))
    results = [
        Result(model, tuple(run for name, run in runs if name == model))
        for model in ("green", "grey")
    ]
    results.append(Result("<gone>", (), error="not <b>there</b>\u202e"))
    path = folder / "page.html"
    path.write_text(page(Bench(cases, Setting(), results), gallery), "utf-8")
    return path


def test_the_page_is_one_whole_file(compared: Path) -> None:
    text = compared.read_text("utf-8")
    read = Reader(text)
    tags = [tag for tag, _ in read.elements]
    # The whole with its mark, and damaged, two methods and original, twice.
    assert tags.count("img") == 2 * (1 + 2 * 4) + 1
    for _, attributes in read.elements:
        assert not [key for key in attributes if key.startswith("on") or key == "style"]
        for key in ("src", "href"):
            assert (attributes.get(key) or "data:").startswith("data:")
    said = "".join(read.said)
    assert ODD in said
    assert "not <b>there</b>\\u202e" in said
    assert "default-src 'none'" in text


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome is installed here (Debian: apt install chromium)")
    one = Browser(tmp_path / "profile")
    yield one
    one.close()


def test_the_page_in_a_browser(browser: Browser, compared: Path) -> None:
    browser.view(1100, 900)
    browser.open(compared)
    large = "document.querySelector('.room img').alt.split(', ').pop()"
    assert browser.value("[...document.images].filter((one) => one.src).every((one) => one.width)")
    detail = browser.box(".tile img")
    assert detail[2:] == (256, 120), "pixel for pixel"

    browser.value("document.querySelector('.tile:nth-of-type(3) button').click()")
    assert browser.value("document.querySelector('dialog').open")
    assert browser.value(large) == "green"
    left, top, width, height = browser.box(".room img")
    assert width > 3 * 256
    assert browser.colour(left + width / 2, top + height / 2) == "green"
    browser.press("ArrowLeft")
    assert browser.value(large) == "damaged"
    browser.press("ArrowLeft")
    assert browser.value(large) == "original"
    assert browser.colour(left + width / 2, top + height / 2) == "red"
    browser.press("ArrowDown")
    assert browser.value("document.querySelector('#large-name').textContent").endswith("b.png")
    assert browser.value(large) == "original"
    browser.press("Escape")
    assert not browser.value("document.querySelector('dialog').open")

    for width in (320, 1100):
        browser.view(width, 800, scheme="dark", touch=width < 500)
        assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.complaints() == []


@pytest.mark.parametrize("width", [320, 1200])
def test_the_pictures_of_a_photo_stay_in_one_row(
    browser: Browser, compared: Path, width: int
) -> None:
    browser.view(width, 900)
    browser.open(compared)
    assert browser.value("document.documentElement.scrollWidth") <= width
    browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    rows = browser.value(
        """[...document.querySelectorAll('.tiles')].map((row) => ({
          hidden: row.scrollWidth - row.clientWidth, cut: row.scrollHeight - row.clientHeight,
          tops: [...row.children].map((one) => one.offsetTop),
          pictures: [...row.querySelectorAll('.tile')].map((one) => {
            const [figure, image, caption] =
              [one, ...one.querySelectorAll('img, figcaption')].map((part) =>
                part.getBoundingClientRect());
            return caption.left === image.left && caption.top >= image.bottom
              && caption.right <= figure.right && image.right <= figure.right;
          }),
        }))"""
    )
    assert [len(row["pictures"]) for row in rows] == [4, 4, 4, 4]
    for row in rows:
        assert row["hidden"] > 0, "all of it is there to scroll to"
        assert row["cut"] == 0
        assert len(set(row["tops"])) == 1
        assert all(row["pictures"]), "captions under their own"
    assert browser.value("document.documentElement.scrollWidth") <= width
