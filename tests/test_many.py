"""What `restore` and `detect` take, where it goes and how it is told, over many photos."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from inpaintcli import mask as masks
from inpaintcli import photo, restore, work
from inpaintcli.arrays import Pixels
from inpaintcli.cli import main
from inpaintcli.photo import Photo
from tests.helpers import (
    detector_file,
    inpaint,
    load,
    picture,
    save,
    save_mask,
    scratched,
    stripe,
)

BAD_CALL, FAILED = 2, 1


@dataclass
class Ran:
    """What a call of the command in this process came to."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What --json printed."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, in one process and in an empty folder but for mask.png; quick methods."""
    save_mask(tmp_path / "mask.png", stripe())
    stand_in = detector_file(tmp_path / "detector.onnx")
    for name in ("DETECTOR", "DETECTOR_ON_CUDA"):
        monkeypatch.setattr(sys.modules["inpaintcli.detect"], name, stand_in)
    monkeypatch.chdir(tmp_path)

    def call(command: str, *arguments: object) -> Ran:
        words = [command, *map(str, arguments)]
        if command == "restore":
            words += ["--model", "telea"]
        if command in ("detect", "restore"):
            words += ["--threads", "1", *(() if "--workers" in words else ("--workers", "1"))]
        code = main.run(words)
        told = capsys.readouterr()
        return Ran(code, told.out, told.err)

    return call


def one_line(text: str) -> str:
    """The only line of a message."""
    (line,) = text.strip().splitlines()
    assert line.startswith("inpaint: ")
    return line


def outputs(ran: Ran) -> list[str]:
    assert ran.code == 0, ran.err
    return [row["output"] for row in ran.rows]


class TestInputs:
    """Folders, patterns and lists."""

    def test_patterns(self, run: Run, tmp_path: Path) -> None:
        for name in ("a.png", "b.tif", "c.png", "below/d.png", "below/deep/e.png", ".f.png"):
            save(tmp_path / "in" / name, picture())
        (tmp_path / "in/notes.txt").touch()
        save(tmp_path / "in/a-restored.png", picture())
        words = ("--mask", "mask.png", "--json")
        assert outputs(run("restore", "in/*.png", *words, "-o", "one")) == [
            "one/a.png", "one/c.png",
        ]  # fmt: skip
        flat = ["two/a.png", "two/b.tif", "two/c.png"]
        assert outputs(run("restore", "in/[a-c].*", *words, "-o", "two")) == flat
        mirrored = ["a.png", "below/d.png", "below/deep/e.png", "c.png"]
        assert outputs(run("restore", "in/**/*.png", *words, "-o", "three", "--recursive")) == [
            f"three/{name}" for name in mirrored
        ]
        ran = run("restore", "in/*.jpg", *words)
        assert (ran.code, "matches no photos" in one_line(ran.err)) == (BAD_CALL, True)

    def test_a_file_of_exactly_that_name_goes_first(self, run: Run, tmp_path: Path) -> None:
        for name in ("[ab].png", "a.png"):
            save(tmp_path / name, picture())
        words = ("--mask", "mask.png", "--json", "--overwrite")
        assert outputs(run("restore", "[ab].png", *words)) == ["[ab]-restored.png"]
        (tmp_path / "[ab].png").unlink()
        (tmp_path / "[ab]-restored.png").unlink()
        assert outputs(run("restore", "[ab].png", *words)) == ["a-restored.png"]

    def test_lists_of_names_of_any_bytes(self, run: Run, tmp_path: Path) -> None:
        names = [b"plain name.png", b"latin-\xe9.png", b"line\nbreak.png"]
        for name in names:
            save(tmp_path / os.fsdecode(name), picture())
        save(tmp_path / "in/more.png", picture())
        (tmp_path / "nul").write_bytes(b"\0".join([*names, b"in", b""]))
        (tmp_path / "lines").write_bytes(b"\r\n".join([*names[:2], b""]))
        words = ("--mask", "mask.png", "--json")
        paths = outputs(run("restore", "--from-file", "nul", *words, "-o", "one"))
        assert [os.fsencode(path) for path in paths] == [
            *(b"one/" + name for name in names), b"one/more.png",
        ]  # fmt: skip
        paths = outputs(run("restore", "in", "--from-file", "lines", *words, "-o", "two"))
        assert [os.fsencode(path) for path in paths] == [
            b"two/more.png", *(b"two/" + name for name in names[:2]),
        ]  # fmt: skip
        (tmp_path / "none").write_bytes(b"\n\n")
        for file, why in (("none", "names no photo"), ("nix", "no such file")):
            ran = run("restore", "--from-file", file, *words)
            assert (ran.code, why in one_line(ran.err)) == (BAD_CALL, True)
        assert "no photos named" in one_line(run("detect").err)

    def test_links_that_loop(self, run: Run, tmp_path: Path) -> None:
        save(tmp_path / "in/a.png", picture())
        (tmp_path / "in/round").symlink_to(tmp_path / "in", target_is_directory=True)
        (tmp_path / "in/self.png").symlink_to("self.png")
        for photos in ("in", "in/**"):
            ran = run(
                "restore", photos, "--mask", "mask.png", "--json", "--recursive", "--overwrite",
                "-o", "out",
            )  # fmt: skip
            assert ran.code == FAILED
            assert {row["photo"]: row["status"] for row in ran.rows} == {
                "in/a.png": "restored", "in/self.png": "failed",
            }  # fmt: skip
            assert "in/self.png" in one_line(ran.err)

    def test_two_photos_never_share_a_result(self, run: Run, tmp_path: Path) -> None:
        for name in ("in/a.png", "in/a.tif", "other/a.png"):
            save(tmp_path / name, picture())
        (tmp_path / "list").write_text("other/a.png\n")
        for words in (
            ["in", "--format", "tif"],
            ["in", "--from-file", "list"],
            ["in/*.png", "other/*"],
        ):
            ran = run("restore", *words, "--mask", "mask.png", "-o", "out")
            assert ran.code == BAD_CALL
            assert "two photos would be written there" in one_line(ran.err)
        assert not (tmp_path / "out").exists()

    def test_too_many_pixels(self, run: Run, tmp_path: Path) -> None:
        save(tmp_path / "print.png", picture())
        assert run("restore", "print.png", "--mask", "mask.png", "--max-pixels", "2240").code == 0
        ran = run("detect", "print.png", "--max-pixels", "2.2K")
        assert ran.code == FAILED
        assert "print.png: " in one_line(ran.err)
        save_mask(tmp_path / "large.png", stripe(80, 112))
        words = ("restore", "print.png", "--mask", "large.png", "--fit-mask", "-o", "x.png")
        ran = run(*words, "--max-pixels", 3000)
        assert ran.code == FAILED
        assert "large.png: " in one_line(ran.err)
        assert run(*words, "--max-pixels", "1M").code == 0


class TestOutputs:
    """Formats, links, times, and results that are there."""

    def test_formats(self, run: Run, tmp_path: Path) -> None:
        save(tmp_path / "in/a.png", picture())
        save(tmp_path / "in/below/b.tif", picture())
        words = ("restore", "in", "--mask", "mask.png", "--json", "--recursive", "--format", "jpg")
        low = outputs(run(*words, "-o", "low", "--quality", 20))
        high = outputs(run(*words, "-o", "high", "--quality", 95))
        assert low == ["low/a.jpg", "low/below/b.jpg"]
        for one, other in zip(low, high, strict=True):
            assert Path(one).read_bytes()[:3] == b"\xff\xd8\xff"
            assert Path(one).stat().st_size < Path(other).stat().st_size
        assert outputs(run(*words)) == ["in/a-restored.jpg", "in/below/b-restored.jpg"]
        ran = run("restore", "in/a.png", "--mask", "mask.png", "--quality", 50, "-o", "x.png")
        assert (ran.code, "lossless" in one_line(ran.err)) == (FAILED, True)

    def test_links_that_lead_out_of_the_output_folder(self, run: Run, tmp_path: Path) -> None:
        for name in ("in/a.png", "in/below/b.png", "safe/a.png"):
            save(tmp_path / name, picture())
        before = (tmp_path / "safe/a.png").read_bytes()
        words = ("--mask", "mask.png", "--recursive", "--overwrite", "-o", "out")
        (tmp_path / "out").mkdir()
        for name, target, other in (
            ("a.png", "safe/a.png", "below/b.png"), ("below", "safe", "a.png")
        ):  # fmt: skip
            link = tmp_path / "out" / name
            link.symlink_to(tmp_path / target)
            ran = run("restore", "in", *words)
            # It costs its photo alone, and is a wrong call where there is no other.
            assert ran.code == FAILED
            assert "a link leads out of out" in one_line(ran.err)
            assert (tmp_path / "out" / other).is_file()
            link.unlink()
            shutil.rmtree(tmp_path / "out")
            (tmp_path / "out").mkdir()
        (tmp_path / "out/a.png").symlink_to(tmp_path / "safe/a.png")
        ran = run("restore", "in/a.png", "--mask", "mask.png", "--overwrite", "-o", "out")
        assert (ran.code, "leads out of out" in one_line(ran.err)) == (BAD_CALL, True)
        (tmp_path / "out/a.png").unlink()
        (tmp_path / "masks").mkdir()
        (tmp_path / "masks/a.png").symlink_to(tmp_path / "safe/a.png")
        for call in (
            ["restore", "in", *words, "--save-mask", "masks"],
            ["detect", "in", "-o", "masks", "--overwrite", "--recursive"],
        ):
            ran = run(*call)
            assert (ran.code, "leads out of masks" in ran.err.splitlines()[0]) == (FAILED, True)
        assert not (tmp_path / "out/a.png").exists()
        shutil.rmtree(tmp_path / "out")
        (tmp_path / "out").mkdir()
        assert (tmp_path / "safe/a.png").read_bytes() == before
        # Within the folder a link is nobody's loss, and the folder itself may be one.
        (tmp_path / "linked").symlink_to(tmp_path / "out", target_is_directory=True)
        assert run("restore", "in", *words[:-1], "linked").code == 0
        assert (tmp_path / "out/below/b.png").exists()

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_cannot_be_written_to(self, run: Run, tmp_path: Path) -> None:
        save(tmp_path / "in/a.png", picture())
        (tmp_path / "out").mkdir(mode=0o500)
        ran = run("restore", "in", "--mask", "mask.png", "-o", "out")
        assert (ran.code, "cannot be written to" in one_line(ran.err)) == (BAD_CALL, True)

    def test_results_get_the_times_of_their_photo(self, run: Run, tmp_path: Path) -> None:
        save(tmp_path / "print.png", scratched())
        then = (1_000_000_000_000_000_000, 1_100_000_000_123_456_700)
        os.utime(tmp_path / "print.png", ns=then)
        words = ("restore", "print.png", "--preserve-times", "--save-mask", "m.png")
        assert run(*words).code == 0
        assert run("detect", "print.png", "--overlay").code == 0
        old = tmp_path / "print-restored.png"
        for path in (old, tmp_path / "m.png"):
            assert path.stat().st_mtime_ns == pytest.approx(then[1], abs=1000)
        assert (tmp_path / "print-mask.png").stat().st_mtime > 1.2e9
        os.utime(tmp_path / "print.png", ns=then)
        assert run("restore", "print.png", "--preserve-times", "--in-place").code == 0
        assert (tmp_path / "print.png").stat().st_mtime_ns == pytest.approx(then[1], abs=1000)

    def test_what_is_there_is_skipped(self, run: Run, tmp_path: Path) -> None:
        for name in "abc":
            save(tmp_path / f"in/{name}.png", scratched())
        words = ("restore", "in", "-o", "out", "--save-mask", "masks", "--skip-existing")
        first = run(*words)
        assert (first.code, first.out.splitlines()[-1]) == (0, "3 done")
        # As an interrupted run leaves it: one without its mask, one not begun.
        (tmp_path / "masks/b.png").unlink()
        for folder in ("out", "masks"):
            (tmp_path / folder / "c.png").unlink()
        second = run(*words, "--json")
        statuses = {row["photo"]: row["status"] for row in second.rows}
        assert statuses == {
            "in/a.png": "skipped", "in/b.png": "detected", "in/c.png": "restored",
        }  # fmt: skip
        assert (tmp_path / "masks/b.png").exists()
        third = run(*words)
        assert third.out.splitlines()[-1] == "3 skipped"
        assert third.out.count("skipped out/") == 3
        # What is there is never written over, be it a mask that somebody has painted on.
        (tmp_path / "out/a.png").unlink()
        (tmp_path / "masks/a.png").write_bytes(b"painted on")
        assert run(*words).code == 0
        assert (tmp_path / "out/a.png").exists()
        assert (tmp_path / "masks/a.png").read_bytes() == b"painted on"
        for other in ("--overwrite", "--in-place"):
            ran = run("restore", "in", "--skip-existing", other)
            assert (ran.code, "exclude" in one_line(ran.err)) == (BAD_CALL, True)

    def test_masks_that_are_there_are_skipped(self, run: Run, tmp_path: Path) -> None:
        for name in "ab":
            save(tmp_path / f"in/{name}.png", scratched())
        assert run("detect", "in/a.png", "-o", "masks/a.png", "--overlay").code == 0
        words = ("detect", "in", "-o", "masks", "--overlay", "--skip-existing", "--json")
        assert [row["status"] for row in run(*words).rows] == ["skipped", "detected"]
        (tmp_path / "masks/a-overlay.png").unlink()
        (tmp_path / "masks/a.png").write_bytes(b"painted on")
        statuses = {row["photo"]: row["status"] for row in run(*words).rows}
        assert statuses == {"in/a.png": "detected", "in/b.png": "skipped"}
        assert (tmp_path / "masks/a-overlay.png").exists()
        assert (tmp_path / "masks/a.png").read_bytes() == b"painted on"


def test_a_wrong_call_leaves_an_older_report(tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / f"in/{name}.png", scratched())
        save_mask(tmp_path / f"masks/{name}.png", stripe())
    (tmp_path / "masks/a.png").unlink()  # Which fails before any work, and is told.
    (tmp_path / "r.jsonl").write_text("older")
    for workers in (1, 2):
        done = inpaint(
            "restore", "in", "--mask", "masks", "-o", "out", "--tile", 9, "--overwrite",
            "--report", "r.jsonl", "--workers", workers, cwd=tmp_path,
        )  # fmt: skip
        assert (done.returncode, "--tile 9" in done.stderr) == (BAD_CALL, True)
        assert (tmp_path / "r.jsonl").read_text() == "older"


def test_a_killed_run_leaves_a_report_of_what_is_done(tmp_path: Path) -> None:
    for number in range(14):
        save(tmp_path / f"in/{number:02d}.png", scratched(160, 240))
    (tmp_path / "in/00.png").write_text("this is no picture")
    save_mask(tmp_path / "mask.png", stripe(160, 240))
    report = tmp_path / "new/r.jsonl"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "inpaintcli", "restore", "in", "--mask", "mask.png", "-o", "out",
            "--model", "autoencoder", "--workers", "1", "--quiet", "--report", report,
        ],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and not (report.exists() and len(report.read_bytes()) > 400):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    assert 1 < len(rows) < 14
    assert [row["photo"] for row in rows] == [f"in/{at:02d}.png" for at in range(len(rows))]
    assert [row["status"] for row in rows] == ["failed"] + ["restored"] * (len(rows) - 1)
    assert all((tmp_path / row["output"]).exists() for row in rows[1:])


class TestPipes:
    """`-` and `-o -`, through real pipes."""

    def call(
        self, folder: Path, *arguments: object, data: bytes = b"", stdout: int = subprocess.PIPE
    ) -> subprocess.CompletedProcess[bytes]:
        """The command with bytes for its standard input."""
        words = [sys.executable, "-m", "inpaintcli", *map(str, arguments)]
        return subprocess.run(
            words, cwd=folder, input=data, stdout=stdout, stderr=subprocess.PIPE, check=False,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        )  # fmt: skip

    def test_through(self, tmp_path: Path) -> None:
        source = save(tmp_path / "print.tif", picture(dtype=np.uint16))
        save_mask(tmp_path / "mask.png", stripe())
        how = ("--mask", "mask.png", "--model", "telea")
        plain = self.call(tmp_path, "restore", "print.tif", *how, "-o", "plain.tif")
        assert plain.returncode == 0
        ran = self.call(
            tmp_path, "restore", "-", *how, "-o", "-", "--json", data=source.read_bytes()
        )
        assert ran.returncode == 0
        assert ran.stdout == (tmp_path / "plain.tif").read_bytes()
        told = json.loads(ran.stderr.splitlines()[-1])
        assert (told["photo"], told["output"]) == ("-", "-")
        as_png = self.call(tmp_path, "restore", "print.tif", *how, "-o", "-", "--format", "png")
        assert as_png.stdout.startswith(b"\x89PNG")
        assert b"print.tif" in as_png.stderr

    def test_failures_send_nothing(self, tmp_path: Path) -> None:
        source = save(tmp_path / "print.png", picture())
        save_mask(tmp_path / "large.png", stripe(80, 112))
        how = ("--mask", "large.png", "--model", "telea", "-o", "-")
        for data, why in (
            (source.read_bytes(), b"the photo 56x40"),
            (b"this is no picture", b"-: not an image"),
            (b"", b"-: nothing came"),
        ):
            ran = self.call(tmp_path, "restore", "-", *how, data=data)
            assert (ran.returncode, ran.stdout) == (FAILED, b"")
            assert why in ran.stderr
            assert len(ran.stderr.splitlines()) == 1
            assert b"/inpaint-" not in ran.stderr

    def test_a_terminal_gets_no_photo(self, tmp_path: Path) -> None:
        pty = pytest.importorskip("pty")
        save(tmp_path / "print.png", picture())
        ours, theirs = pty.openpty()
        ran = self.call(tmp_path, "restore", "print.png", "-o", "-", stdout=theirs)
        os.close(theirs)
        os.close(ours)
        assert ran.returncode == BAD_CALL
        assert b"standard output is a terminal" in ran.stderr

    def test_a_list_from_a_pipe(self, tmp_path: Path) -> None:
        save(tmp_path / "a b.png", picture())
        save_mask(tmp_path / "mask.png", stripe())
        ran = self.call(
            tmp_path, "restore", "--from-file", "-", "--mask", "mask.png", "--model", "telea",
            data=b"a b.png\n",
        )  # fmt: skip
        assert ran.returncode == 0
        assert (tmp_path / "a b-restored.png").exists()

    @pytest.mark.parametrize(
        "words",
        [
            ["restore", "-"],
            ["restore", "-", "-o", "folder"],
            ["restore", "-", "--in-place"],
            ["restore", "-", "print.png", "-o", "x.png"],
            ["restore", "print.png", "mask.png", "-o", "-"],
            ["restore", "folder", "-o", "-"],
            ["restore", "*.png", "-o", "-"],
            ["restore", "-", "-o", "x.png", "--save-mask", "folder"],
            ["restore", "print.png", "-o", "-", "--in-place"],
            ["restore", "-", "--from-file", "-", "-o", "x.png"],
            ["detect", "print.png", "-o", "-", "--overlay"],
        ],
    )
    def test_bad_calls(
        self, run: Run, tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = save(tmp_path / "print.png", scratched())
        (tmp_path / "folder").mkdir()
        before = set(tmp_path.rglob("*"))
        with source.open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            ran = run(*words)
        assert ran.code == BAD_CALL
        one_line(ran.err)
        assert set(tmp_path.rglob("*")) == before


class TestPages:
    """TIFFs with several pages."""

    @pytest.fixture
    def pages(self, tmp_path: Path) -> list[Photo]:
        """The pages of print.tif, of which the second is undamaged."""
        pages = [Photo(scratched()), Photo(picture(64, 48)), Photo(scratched(60, 80))]
        photo.write(pages, tmp_path / "print.tif")
        return pages

    def changed(self, path: Path, pages: list[Photo]) -> list[bool]:
        assert photo.pages(path) == len(pages)
        return [
            bool((photo.read(path, page=at).pixels != page.pixels).any())
            for at, page in enumerate(pages)
        ]

    def test_every_page_is_found_and_restored(
        self, run: Run, tmp_path: Path, pages: list[Photo]
    ) -> None:
        ran = run("detect", "print.tif", "--json", "--overlay")
        assert ran.code == 0, ran.err
        (row,) = ran.rows
        assert (row["mask"], row["overlay"]) == ("print-mask.tif", "print-overlay.tif")
        assert row["regions"] == 2
        assert "page 2: no damage found" in row["note"]
        assert photo.pages(tmp_path / "print-overlay.tif") == 3
        for mask in ("print-mask.tif", "."):
            ran = run("restore", "print.tif", "--mask", mask, "-o", "by-mask.tif", "--overwrite")
            assert ran.code == 0, ran.err
            assert self.changed(tmp_path / "by-mask.tif", pages) == [True, False, True]
        assert run("restore", "print.tif", "-o", "found.tif").code == 0
        assert (tmp_path / "found.tif").read_bytes() == (tmp_path / "by-mask.tif").read_bytes()
        # The masks are results, and a second run leaves them.
        assert [row["photo"] for row in run("detect", ".", "--json", "--overwrite").rows].count(
            "print-mask.tif"
        ) == 0
        ran = run("detect", "print.tif", "--overlay", "--skip-existing", "--json")
        assert [row["status"] for row in ran.rows] == ["skipped"]
        again = run("detect", "print.tif")
        assert (again.code, "print-mask.tif exists" in one_line(again.err)) == (BAD_CALL, True)
        # Its masks are a TIFF: not one that would take the place of the photo.
        ran = run("restore", "print.tif", "-o", "one", "--save-mask", "one")
        assert (ran.code, "a photo and a mask" in one_line(ran.err)) == (BAD_CALL, True)
        assert not (tmp_path / "one").exists()

    def test_one_page(self, run: Run, tmp_path: Path, pages: list[Photo]) -> None:
        assert run("restore", "print.tif", "--page", 3, "-o", "x.tif").code == 0
        assert self.changed(tmp_path / "x.tif", pages) == [False, False, True]
        assert run("restore", "print.tif", "--page", 1, "-o", "x.png").code == 0
        assert load(tmp_path / "x.png").shape == (40, 56, 3)
        assert run("detect", "print.tif", "--page", 3, "-o", "m.png").code == 0
        assert masks.read(tmp_path / "m.png").shape == (60, 80)
        ran = run("restore", "print.tif", "-o", "y.png")
        assert (ran.code, "3 pages" in one_line(ran.err)) == (FAILED, True)
        assert not (tmp_path / "y.png").exists()
        ran = run("restore", "print.tif", "--page", 4)
        assert (ran.code, "no page 4: give --page 1 to 3" in one_line(ran.err)) == (FAILED, True)
        save(tmp_path / "print.png", scratched())
        ran = run("restore", "print.png", "--page", 9)
        assert one_line(ran.err).endswith("has one page, there is no page 9: leave --page")

    def test_files_are_read_and_parsed_once_for_all_pages(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rng = np.random.default_rng(0)
        noise = [rng.integers(0, 256, (120, 160, 3), np.uint8) for _ in range(6)]
        photo.write([Photo(pixels) for pixels in noise], tmp_path / "print.tif")
        photo.write([Photo(pixels) for pixels in noise], tmp_path / "undamaged.tif")
        masks.write([stripe(120, 160)] * 6, tmp_path / "masks.tif")
        read: Counter[str] = Counter()
        parsed: list[object] = []

        class Counted(io.FileIO):
            def readinto(self, buffer: Any, /) -> int:
                count = super().readinto(buffer)
                read[Path(os.fspath(self.name)).name] += count or 0
                return count or 0

            def readall(self) -> bytes:
                data = super().readall()
                read[Path(os.fspath(self.name)).name] += len(data)
                return data

        def counted(path: Path, mode: str = "r", **options: Any) -> Any:
            return (
                io.BufferedReader(Counted(path)) if mode == "rb" else plain(path, mode, **options)
            )

        class Parsed(tifffile.TiffFile):  # type: ignore[misc]
            def __init__(self, *arguments: Any, **options: Any) -> None:
                parsed.append(self)
                super().__init__(*arguments, **options)

        plain = Path.open
        monkeypatch.setattr(Path, "open", counted)
        monkeypatch.setattr(tifffile, "TiffFile", Parsed)
        ran = run(
            "restore", "print.tif", "--mask", "masks.tif", "--reference", "undamaged.tif",
            "--save-mask", "kept.tif", "-o", "out.tif",
        )  # fmt: skip
        assert ran.code == 0, ran.err
        buffer = io.DEFAULT_BUFFER_SIZE
        # To know its pages beforehand takes the directories alone, each through a buffer.
        for name, times, more in (
            ("print.tif", 1, 20), ("masks.tif", 1, 0), ("undamaged.tif", 2, 0), ("out.tif", 1, 0),
        ):  # fmt: skip
            size = (tmp_path / name).stat().st_size
            assert read[name] <= times * size + more * buffer, name
            assert read[name] >= size, name
        assert len(parsed) == 6

    def test_pages_that_are_done_are_not_kept(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        photo.write([Photo(scratched())] * 5, tmp_path / "print.tif")
        alive: list[weakref.ref[Any]] = []
        most = 0

        def noted(pixels: Pixels, *arguments: Any, **options: Any) -> Pixels:
            nonlocal most
            most = max(most, sum(one() is not None for one in alive))
            restored = restore(pixels, *arguments, **options)
            alive.append(weakref.ref(restored))
            return restored

        monkeypatch.setattr(work, "restore", noted)
        assert run("restore", "print.tif", "--mask", "mask.png", "-o", "x.tif").code == 0
        assert self.changed(tmp_path / "x.tif", [Photo(scratched())] * 5) == [True] * 5
        assert (len(alive), most) == (5, 1)

    def test_masks_of_other_numbers_of_pages(self, run: Run, tmp_path: Path) -> None:
        photo.write([Photo(picture())] * 3, tmp_path / "print.tif")
        assert run("restore", "print.tif", "--mask", "mask.png", "-o", "x.tif").code == 0
        assert self.changed(tmp_path / "x.tif", [Photo(picture())] * 3) == [True] * 3
        masks.write([stripe(), stripe()], tmp_path / "two.tif")
        ran = run("restore", "print.tif", "--mask", "two.tif", "-o", "y.tif")
        assert ran.code == FAILED
        assert "two.tif: the mask has 2 pages, the photo 3" in one_line(ran.err)


class TestTelling:
    """Tables, reports and words."""

    def test_the_end_of_a_run(self, run: Run, tmp_path: Path) -> None:
        for name in "abd":
            save(tmp_path / f"in/{name}.png", scratched())
        (tmp_path / "in/c.png").write_text("this is no picture")
        save(tmp_path / "out/a.png", picture())
        ran = run("restore", "in", "-o", "out", "--skip-existing")
        rows = [line for line in ran.out.splitlines() if line.strip().startswith("in/")]
        assert [row.split()[0] for row in rows] == [f"in/{name}.png" for name in "abcd"]
        assert "failed: not an image" in rows[2]
        assert ran.out.splitlines()[-1] == "2 done, 1 skipped, 1 failed"

    def test_a_lone_failure_has_no_table(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "c.png").write_text("this is no picture")
        for command in ("restore", "detect"):
            ran = run(command, "c.png")
            assert (ran.code, ran.out) == (FAILED, "")
            one_line(ran.err)

    def test_reports(self, run: Run, tmp_path: Path) -> None:
        for name in "ab":
            save(tmp_path / f"in/{name}.png", scratched())
        (tmp_path / "in/c.png").write_text("this is no picture")
        ran = run(
            "restore", "in", "-o", "out", "--json", "--report", "new/r.jsonl", "--report", "r.html"
        )
        assert ran.code == FAILED
        assert (tmp_path / "new/r.jsonl").read_text() == ran.out
        sheet = (tmp_path / "r.html").read_text()
        assert sheet.count("data:image/jpeg") == 4
        assert "in/c.png" in sheet
        assert run("detect", "in", "-o", "masks", "--report", "d.html").code == FAILED
        assert (tmp_path / "d.html").read_text().count("data:image/jpeg") == 4

    @pytest.mark.parametrize(
        ("report", "why"),
        [
            ("r.txt", ".jsonl"),
            ("in/a.png", ".jsonl"),
            ("there.html", "exists already"),
            ("in/a.png/r.html", "is a file"),
            ("folder.html", "is a folder"),
            ("pipe.jsonl", "is no regular file"),
        ],
    )
    def test_reports_that_cannot_be(self, run: Run, tmp_path: Path, report: str, why: str) -> None:
        save(tmp_path / "in/a.png", scratched())
        (tmp_path / "there.html").touch()
        (tmp_path / "folder.html").mkdir()
        os.mkfifo(tmp_path / "pipe.jsonl")
        ran = run("restore", "in", "-o", "out", "--report", report)
        assert (ran.code, why in one_line(ran.err)) == (BAD_CALL, True)
        assert not (tmp_path / "out").exists()

    def test_a_dry_run_says_where_masks_would_go(self, run: Run, tmp_path: Path) -> None:
        save(tmp_path / "in/a.png", scratched())
        save(tmp_path / "in/b.png", scratched())
        ran = run("restore", "in", "--save-mask", "masks", "--dry-run", "--report", "r.jsonl")
        assert ran.out.count("masks/") == 2
        assert ran.out.splitlines()[-1] == "2 planned"
        assert not (tmp_path / "masks").exists()
        assert not (tmp_path / "r.jsonl").exists()

    def test_masks_beside_the_photos_are_pointed_at(self, run: Run, tmp_path: Path) -> None:
        for name in "ab":
            save(tmp_path / f"in/{name}.png", scratched())
        assert run("detect", "in").code == 0
        ran = run("restore", "in", "-o", "out")
        assert ran.err == "2 masks lie beside the photos unused: --mask in uses them\n"
        assert run("restore", "in", "-o", "out", "--mask", "in", "--overwrite").code == 0

    def test_a_photo_is_no_reference_for_itself(self, run: Run, tmp_path: Path) -> None:
        save(tmp_path / "in/a.png", picture())
        for path in ("in/a.png", "in"):
            ran = run("score", path, path)
            assert ran.code == BAD_CALL
            assert "the reference is the same file" in one_line(ran.err)

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["--threshold", "abc"], "--threshold abc: give a number"),
            (["--tile", "4"], "--tile 4: must be at least 8"),
            (["--seed", "1.5"], "--seed 1.5: give a whole number"),
            (["--grow-mask", "2000"], "--grow-mask 2000: must be at most 1000"),
            (["--workers", "0"], "--workers 0: must be at least 1"),
            (["--quality", "101"], "--quality 101: must be at most 100"),
            (["--page", "0"], "--page 0: must be at least 1"),
            (["--max-pixels", "many"], "'many' is no number of pixels"),
            (["--max-pixels", "-1M"], "'-1M' is no number of pixels"),
            (["--max-pixels", "inf"], "'inf' is no number of pixels"),
            (["--format", "gif"], "'gif' is no known format"),
        ],
    )
    def test_wrong_numbers(self, run: Run, words: list[str], told: str) -> None:
        ran = run("restore", "in", *words)
        assert ran.code == BAD_CALL
        assert told in one_line(ran.err)
