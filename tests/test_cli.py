"""The command as a person runs it: real processes, real files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inpaintcli import infrared, photo, work
from inpaintcli import mask as masks
from inpaintcli.arrays import Mask, Pixels
from inpaintcli.cli import main
from inpaintcli.detect import GROWTH
from inpaintcli.errors import ModelError, PhotoError
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

BAD_CALL, FAILED, NO_MODEL = 2, 1, 3


@pytest.fixture
def print_png(tmp_path: Path) -> Path:
    """A photo and its mask: print.png, mask.png."""
    save_mask(tmp_path / "mask.png", stripe())
    return save(tmp_path / "print.png", picture())


def one_line(text: str) -> str:
    """The only line of a message, which is no traceback."""
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("inpaint: ")
    return lines[0]


class TestRestore:
    """`inpaint restore`."""

    def test_the_result_lies_beside_the_photo(self, print_png: Path) -> None:
        before = print_png.read_bytes()
        done = inpaint("restore", print_png, "--mask", print_png.with_name("mask.png"))
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        assert print_png.read_bytes() == before
        restored = load(print_png.with_name("print-restored.png"))
        mask = stripe()
        assert (restored[~mask] == picture()[~mask]).all()
        assert (restored[mask] != picture()[mask]).any()
        assert "print-restored.png" in done.stdout

    def test_damage_restore_and_score_work_as_documented(self, tmp_path: Path) -> None:
        """The three commands of the help text, over folders with folders below."""
        save(tmp_path / "photos/a.png", picture(64, 96))
        save(tmp_path / "photos/below/b.jpg", picture(50, 33))
        options = ("--kind", "scratches", "--seed", "3")
        done = inpaint("damage", "photos", "-o", "t", *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        done = inpaint(
            "restore", "t/damaged", "--mask", "t/masks", "--reference", "photos",
            "-o", "t/restored", "--json", cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        # Of several workers the first to end tells first.
        rows = sorted(map(json.loads, done.stdout.splitlines()), key=lambda row: row["output"])
        assert [Path(row["output"]) for row in rows] == [
            Path("t/restored/a.png"), Path("t/restored/below/b.png"),
        ]  # fmt: skip
        for row in rows:
            assert 0 < row["damaged"] < 0.3
            assert row["scores"]["hole_psnr"] > 10
        done = inpaint("score", "t/restored", "photos", "--mask", "t/masks", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        again = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row["scores"] for row in again] == [row["scores"] for row in rows]
        table = inpaint("score", "t/restored", "photos", cwd=tmp_path).stdout
        assert "mean of 2" in table
        assert "Dice" in table

    def test_grain_that_was_asked_for_in_vain_is_told(self, tmp_path: Path) -> None:
        save(tmp_path / "flat.png", np.full((60, 80, 3), 90, np.uint8))
        save_mask(tmp_path / "mask.png", stripe(60, 80))
        words = ("restore", "flat.png", "--mask", "mask.png", "--model", "telea", "--overwrite")
        for grain, told in (("1", True), ("auto", False), ("off", False)):
            done = inpaint(*words, "--grain", grain, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert (f"flat.png: --grain {grain} changed nothing" in done.stderr) == told

    def test_scores_change_no_byte(self, print_png: Path) -> None:
        folder = print_png.parent
        mask = folder / "mask.png"
        inpaint("restore", print_png, "--mask", mask, "-o", folder / "plain.jpg")
        inpaint(
            "restore", print_png, "--mask", mask, "-o", folder / "scored.jpg",
            "--reference", print_png,
        )  # fmt: skip
        assert (folder / "plain.jpg").read_bytes() == (folder / "scored.jpg").read_bytes()

    @pytest.mark.parametrize("model", ["telea", "navier-stokes", "patchmatch", "autoencoder"])
    def test_every_method_fills(self, print_png: Path, model: str) -> None:
        out = print_png.with_name("out.png")
        done = inpaint(
            "restore", print_png, "--mask", print_png.with_name("mask.png"), "-o", out,
            "--model", model, "--threads", "1",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        mask = stripe()
        assert (load(out)[~mask] == picture()[~mask]).all()

    def test_an_own_model_file_works_by_its_path(self, print_png: Path) -> None:
        shipped = Path(__file__).parent.parent / "inpaintcli/weights/partial-conv.onnx"
        own = shutil.copy(shipped, print_png.with_name("mine.onnx"))
        mask = print_png.with_name("mask.png")
        for model, name in ((own, "own.png"), ("partial-conv", "named.png")):
            out = print_png.with_name(name)
            done = inpaint("restore", print_png, "--mask", mask, "-o", out, "--model", model)
            assert done.returncode == 0, done.stderr
        assert (
            load(print_png.with_name("own.png")) == load(print_png.with_name("named.png"))
        ).all()

    def test_mask_options(self, print_png: Path) -> None:
        folder = print_png.parent
        save_mask(folder / "inverted.png", ~stripe())
        save_mask(folder / "small.png", stripe(20, 28))

        def share(*options: object) -> float:
            done = inpaint(
                "restore", print_png, *options, "--model", "telea", "-o", folder / "x.png",
                "--overwrite", "--json",
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            return float(json.loads(done.stdout)["damaged"])

        plain = share("--mask", folder / "mask.png")
        assert plain == pytest.approx(stripe().mean())
        assert share("--mask", folder / "inverted.png", "--invert-mask") == plain
        assert share("--mask", folder / "mask.png", "--grow-mask", 2) > 2 * plain
        assert share("--mask", folder / "small.png", "--fit-mask") >= plain
        # Of other proportions it is stretched all the same, as asked, but not in silence.
        save_mask(folder / "flat.png", stripe(10, 56))
        done = inpaint(
            "restore", print_png, "--mask", folder / "flat.png", "--fit-mask", "--model", "telea",
            "-o", folder / "y.png",
        )  # fmt: skip
        assert done.returncode == 0
        assert "stretched from 56x10 to 56x40" in done.stderr

    def test_a_run_over_a_folder_passes_over_its_own_results(self, print_png: Path) -> None:
        folder = print_png.parent
        (folder / "masks").mkdir()
        (folder / "mask.png").rename(folder / "masks/print.png")
        arguments = ("restore", folder, "--mask", folder / "masks", "--model", "telea", "--json")
        assert len(inpaint(*arguments).stdout.splitlines()) == 1
        again = inpaint(*arguments)
        assert again.returncode == BAD_CALL
        assert "--overwrite" in one_line(again.stderr)
        third = inpaint(*arguments, "--overwrite")
        assert third.returncode == 0
        assert len(third.stdout.splitlines()) == 1

    def test_in_place_replaces_the_photo_and_nothing_else_does(self, print_png: Path) -> None:
        mask = print_png.with_name("mask.png")
        before = print_png.read_bytes()
        refused = inpaint("restore", print_png, "--mask", mask, "-o", print_png, "--overwrite")
        assert refused.returncode == BAD_CALL
        assert print_png.read_bytes() == before
        linked = print_png.with_name("link.png")
        linked.symlink_to(print_png)
        refused = inpaint("restore", print_png, "--mask", mask, "-o", linked, "--overwrite")
        assert refused.returncode == BAD_CALL
        assert print_png.read_bytes() == before
        done = inpaint("restore", print_png, "--mask", mask, "--in-place", "--model", "telea")
        assert done.returncode == 0, done.stderr
        assert (load(print_png)[~stripe()] == picture()[~stripe()]).all()
        assert print_png.read_bytes() != before

    def test_an_empty_mask_copies_the_bytes_and_says_so(self, print_png: Path) -> None:
        mask = save_mask(print_png.with_name("empty.png"), np.zeros((40, 56), bool))
        done = inpaint("restore", print_png, "--mask", mask)
        assert done.returncode == 0
        assert len(done.stderr.splitlines()) == 1
        assert "mask is empty" in done.stderr
        assert print_png.with_name("print-restored.png").read_bytes() == print_png.read_bytes()

    def test_dry_run_writes_nothing(self, print_png: Path) -> None:
        before = sorted(print_png.parent.iterdir())
        done = inpaint("restore", print_png, "--mask", print_png.with_name("mask.png"), "--dry-run")
        assert done.returncode == 0
        assert "planned" in done.stdout
        assert sorted(print_png.parent.iterdir()) == before

    def test_quiet_says_nothing(self, print_png: Path) -> None:
        done = inpaint("restore", print_png, "--mask", print_png.with_name("mask.png"), "--quiet")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_missing_pairs_are_named_and_the_rest_is_done(self, tmp_path: Path) -> None:
        for name in ("a", "b", "c"):
            save(tmp_path / f"in/{name}.png", picture())
        for name in ("a", "c"):
            save_mask(tmp_path / f"masks/{name}.png", stripe())
        save_mask(tmp_path / "masks/c.tif", stripe())
        done = inpaint(
            "restore", "in", "--mask", "masks", "-o", "out", "--model", "telea", cwd=tmp_path
        )
        assert done.returncode == FAILED
        messages = done.stderr.splitlines()
        assert len(messages) == 2
        assert "in/b.png: no mask for it" in messages[0]
        assert "in/c.png: more than one mask for it" in messages[1]
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]

    def test_a_broken_photo_does_not_stop_the_rest(self, tmp_path: Path) -> None:
        save(tmp_path / "in/a.png", picture())
        save(tmp_path / "in/c.png", picture())
        whole = save(tmp_path / "b.jpg", picture()).read_bytes()
        (tmp_path / "in/b.jpg").write_bytes(whole[: len(whole) // 2])
        mask = save_mask(tmp_path / "mask.png", stripe())
        done = inpaint(
            "restore", "in", "--mask", mask, "-o", "out", "--model", "telea", "--json",
            cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == FAILED
        assert "in/b.jpg" in one_line(done.stderr)
        rows = {row["photo"]: row for row in map(json.loads, done.stdout.splitlines())}
        assert rows["in/b.jpg"]["status"] == "failed"
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]

    def test_folders_below(self, tmp_path: Path) -> None:
        """Photos with masks of their own are taken, all others with --recursive only."""
        for name in ("a", "below/b", "below/c"):
            save(tmp_path / f"in/{name}.png", picture())
        for name in ("a", "below/b"):
            save_mask(tmp_path / f"masks/{name}.png", stripe())
        words = ("restore", "in", "--model", "telea", "--json")

        def taken(*more: object) -> tuple[list[str], str]:
            done = inpaint(*words, *more, cwd=tmp_path)
            rows = map(json.loads, done.stdout.splitlines())
            # Of several workers the first to end tells first.
            restored = [row["photo"] for row in rows if row["status"] == "restored"]
            return sorted(restored), done.stderr

        photos, told = taken("--mask", "masks", "-o", "one")
        assert photos == ["in/a.png", "in/below/b.png"]
        assert "1 photo in folders below left out: --recursive takes it" in told
        assert taken("--mask", "masks/a.png", "-o", "two")[0] == ["in/a.png"]
        everything = ["in/a.png", "in/below/b.png", "in/below/c.png"]
        assert taken("--mask", "masks/a.png", "-o", "three", "--recursive")[0] == everything
        (tmp_path / "in/raw.cr2").touch()
        (tmp_path / "in/moving.gif").touch()
        told = taken("--mask", "masks/a.png", "-o", "album.1950")[1]
        assert "2 pictures of formats that are not read (.cr2 .gif) left out, in/" in told
        shutil.rmtree(tmp_path / "masks/below")
        (tmp_path / "in/a.png").unlink()
        assert "--recursive" in taken("--mask", "masks", "-o", "four")[1]

    def test_results_beside_the_photos_are_what_is_scored(self, print_png: Path) -> None:
        folder = print_png.parent
        save(folder / "ref/print.png", picture())
        (folder / "in").mkdir()
        damaged = picture()
        damaged[stripe()] = 255
        save(folder / "in/print.png", damaged)
        told = inpaint(
            "restore", "in", "--mask", "mask.png", "--reference", "ref", "--json", cwd=folder
        )
        scored = inpaint("score", "in", "ref", "--mask", "mask.png", "--json", cwd=folder)
        assert json.loads(told.stdout)["scores"] == json.loads(scored.stdout)["scores"]

    def test_depth_colour_profile_and_resolution_come_through(self, tmp_path: Path) -> None:
        from dataclasses import replace

        from inpaintcli import photo
        from inpaintcli.photo import Metadata

        deep = picture(channels=4, dtype=np.uint16)
        meta = Metadata(icc_profile=b"profile" * 20, dpi=(300.0, 300.0))
        save_mask(tmp_path / "mask.png", stripe())
        for suffix in (".tif", ".png"):
            source = tmp_path / f"print{suffix}"
            photo.write(replace(Photo(deep), metadata=meta), source)
            done = inpaint("restore", source, "--mask", tmp_path / "mask.png", "--threads", "1")
            assert done.returncode == 0, done.stderr
            result = photo.read(tmp_path / f"print-restored{suffix}")
            assert result.pixels.dtype == np.uint16
            assert (result.pixels[~stripe()] == deep[~stripe()]).all()
            assert (result.pixels[..., 3] == deep[..., 3]).all()
            assert result.metadata.icc_profile == meta.icc_profile
            assert result.metadata.dpi == pytest.approx((300, 300), abs=0.1)

    def test_a_name_that_belies_the_content_is_refused(self, print_png: Path) -> None:
        """Written as JPEG, a PNG would lose pixels outside the damage."""
        mask = print_png.with_name("mask.png")
        odd = print_png.rename(print_png.with_suffix(".jpg"))
        before = odd.read_bytes()
        for option in ("--in-place", "--quiet"):
            done = inpaint("restore", odd, "--mask", mask, option)
            assert done.returncode == FAILED
            assert "print.jpg: is PNG by its content" in one_line(done.stderr)
        assert odd.read_bytes() == before
        done = inpaint("restore", odd, "--mask", mask, "-o", print_png.with_name("out.png"))
        assert done.returncode == 0

    def test_what_the_output_cannot_hold_is_known_before_the_work(self, tmp_path: Path) -> None:
        save(tmp_path / "deep.png", picture(dtype=np.uint16))
        save_mask(tmp_path / "mask.png", stripe())
        done = inpaint("restore", "deep.png", "--mask", "mask.png", "-o", "x.jpg", cwd=tmp_path)
        assert done.returncode == FAILED
        assert "16: write PNG or TIFF" in one_line(done.stderr)
        assert not (tmp_path / "x.jpg").exists()


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
    """The command, in a folder with print.png, which has a white scratch, as the detector's
    stand-in sees it; restoring is by Telea, the quickest."""
    save(tmp_path / "print.png", scratched())
    stand_in = detector_file(tmp_path / "detector.onnx")
    for name in ("DETECTOR", "DETECTOR_ON_CUDA"):
        monkeypatch.setattr(sys.modules["inpaintcli.detect"], name, stand_in)
    monkeypatch.chdir(tmp_path)

    def call(command: str, *arguments: object) -> Ran:
        words = [command, *map(str, arguments)]
        if command == "restore" and "--model" not in words:
            words += ["--model", "telea"]
        if command in ("detect", "restore"):
            # In this process: a worker would know nothing of the stand-in.
            words += ["--threads", "1", "--workers", "1"]
        code = main.run(words)
        told = capsys.readouterr()
        return Ran(code, told.out, told.err)

    return call


def light(height: int = 240, width: int = 320) -> Pixels:
    """The infrared picture of a film with one scratch, where `stripe` is."""
    pixels = np.full((height, width, 1), 200, np.uint8)
    rng = np.random.default_rng(0)
    pixels += rng.integers(0, 5, pixels.shape, np.uint8)
    pixels[stripe(height, width)] = 40
    return pixels


class TestDetect:
    """`inpaint detect`."""

    def test_the_mask_lies_beside_the_photo_and_restores_it(self, run: Run, tmp_path: Path) -> None:
        before = (tmp_path / "print.png").read_bytes()
        done = run("detect", "print.png", "--json")
        assert (done.code, done.err) == (0, "")
        (row,) = done.rows
        mask = masks.read(tmp_path / "print-mask.png")
        np.testing.assert_array_equal(mask, masks.grow(stripe(), GROWTH))
        assert row["mask"] == "print-mask.png"
        assert row["status"] == "detected"
        assert row["mask_source"] == "detected"
        assert row["regions"] == 1
        assert row["damaged"] == pytest.approx(mask.mean())
        assert row["seconds"] >= 0
        assert "overlay" not in row
        assert (tmp_path / "print.png").read_bytes() == before
        run("restore", "print.png", "--mask", "print-mask.png", "-o", "by-mask.png")
        run("restore", "print.png", "-o", "at-once.png")
        assert (tmp_path / "by-mask.png").read_bytes() == (tmp_path / "at-once.png").read_bytes()

    def test_the_table_has_share_and_regions(self, run: Run) -> None:
        done = run("detect", "print.png")
        assert done.out.split()[:5] == ["photo", "mask", "damaged", "regions", "seconds"]
        share = f"{masks.grow(stripe(), GROWTH).mean():.2%}"
        assert done.out.splitlines()[-1].split()[:4] == ["print.png", "print-mask.png", share, "1"]
        assert run("detect", "print.png", "--quiet", "--overwrite") == Ran(0, "", "")

    def test_folders_are_mirrored_and_their_masks_pair(self, run: Run, tmp_path: Path) -> None:
        save(tmp_path / "in/a.jpg", scratched(128, 160))
        save(tmp_path / "in/below/b.png", scratched(dtype=np.uint16))
        flat = run("detect", "in", "-o", "flat")
        assert flat.code == 0
        assert "1 photo in folders below left out: --recursive takes it" in flat.err
        done = run("detect", "in", "-o", "masks", "--recursive", "--overlay", "--json")
        assert [row["mask"] for row in done.rows] == ["masks/a.png", "masks/below/b.png"]
        assert [row["overlay"] for row in done.rows] == [
            "masks/a-overlay.png", "masks/below/b-overlay.png",
        ]  # fmt: skip
        shown = load(tmp_path / "masks/below/b-overlay.png")
        assert shown.shape == (40, 56, 3)
        assert shown.dtype == np.uint8
        assert (shown[masks.read(tmp_path / "masks/below/b.png")][:, 0] > 120).all()
        done = run("restore", "in", "--mask", "masks", "-o", "out", "--json")
        assert (done.code, [row["output"] for row in done.rows]) == (
            0, ["out/a.jpg", "out/below/b.png"],
        )  # fmt: skip

    def test_an_overlay_has_the_name_that_was_chosen_for_the_mask(
        self, run: Run, tmp_path: Path
    ) -> None:
        for out, overlay in (
            ("seen/ch8.png", "seen/ch8-overlay.png"),
            ("ch8-mask.tif", "ch8-overlay.png"),
            ("seen", "seen/print-overlay.png"),
        ):
            (row,) = run("detect", "print.png", "-o", out, "--overlay", "--json").rows
            assert row["overlay"] == overlay
            assert load(tmp_path / overlay).shape == (40, 56, 3)
            assert not (tmp_path / "print-overlay.png").exists()

    def test_a_second_run_takes_no_mask_for_a_photo(self, run: Run, tmp_path: Path) -> None:
        save(tmp_path / "in/a.png", scratched())
        assert run("detect", "in", "--overlay").code == 0
        names = {"a.png", "a-mask.png", "a-overlay.png"}
        assert {path.name for path in (tmp_path / "in").iterdir()} == names
        again = run("detect", "in", "--overlay")
        assert again.code == BAD_CALL
        assert "--overwrite" in one_line(again.err)
        assert len(run("detect", "in", "--overlay", "--overwrite", "--json").rows) == 1
        assert len(run("restore", "in", "--json").rows) == 1
        assert len(run("restore", "in", "--json", "--overwrite").rows) == 1

    def test_nothing_found_is_a_black_mask_and_said(self, run: Run, tmp_path: Path) -> None:
        save(tmp_path / "clean.png", picture())
        done = run("detect", "clean.png", "-o", "x.tif", "--json")
        assert (done.code, done.err.strip()) == (0, "clean.png: no damage found: the mask is black")
        assert done.rows[0]["regions"] == done.rows[0]["damaged"] == 0
        assert not load(tmp_path / "x.tif").any()

    def test_tools(self, run: Run, tmp_path: Path) -> None:
        pixels = picture(60, 80)
        pixels[20, 10:70:3] = 255  # A dotted scratch.
        pixels[50:54, 10:13] = 255  # 12 px.
        pixels[40, 40] = 255
        save(tmp_path / "print.png", pixels)
        white = (pixels == 255).all(2)

        def mask(*options: object) -> Mask:
            done = run("detect", "print.png", "-o", "m.png", "--overwrite", *options)
            assert done.code == 0, done.err
            return masks.read(tmp_path / "m.png")

        plain = ("--grow-mask", 0)
        assert mask(*plain).sum() == 12
        assert mask(*plain, "--min-area", 13).sum() == 0
        np.testing.assert_array_equal(mask(*plain, "--min-area", 0), white)
        closed = mask(*plain, "--close-gaps", 2)
        assert closed[20, 10:68].all()
        assert not closed[40].any()
        kept_out = np.zeros((60, 80), bool)
        kept_out[:, 30:] = True
        save_mask(tmp_path / "not.png", kept_out)
        left = mask("--close-gaps", 2, "--exclude", "not.png", "--grow-mask", 3)
        assert not left[:, 30:].any()
        assert left[17:24, 10:30].all()
        # An exclude mask of another size is scaled on request only.
        save_mask(tmp_path / "small.png", masks.fit(kept_out, (30, 40)))
        refused = run("detect", "print.png", "--exclude", "small.png")
        assert refused.code == FAILED
        assert "--fit-mask" in one_line(refused.err)
        assert not mask("--exclude", "small.png", "--fit-mask")[:, 30:].any()

    def test_the_threshold_counts(self, run: Run, tmp_path: Path) -> None:
        # Half as sure at full size of what was found at half size alone.
        pixels = picture(300, 400)
        pixels[100:140, 100:140] = 255
        save(tmp_path / "print.png", pixels)
        detector_file(tmp_path / "detector.onnx", hint=0.5, levels=2, threshold=0.8)

        def area(*options: object) -> float:
            done = run("detect", "print.png", "--json", "--overwrite", "--grow-mask", 0, *options)
            return float(done.rows[0]["damaged"]) * 300 * 400

        assert area() == area("--threshold", 1) == 1600
        assert area("--threshold", 0.1) > 1600

    def test_failures_are_one_line_each_and_the_rest_is_done(
        self, run: Run, tmp_path: Path
    ) -> None:
        save(tmp_path / "in/a.png", scratched())
        (tmp_path / "in/b.png").write_text("this is no picture")
        save(tmp_path / "in/c.png", np.full((40, 56, 3), 255, np.uint8))
        done = run("detect", "in", "-o", "out", "--json")
        assert done.code == FAILED
        broken, white = done.err.splitlines()
        assert "in/b.png: not an image" in broken
        assert "in/c.png: all of it is taken for damage: raise --threshold" in white
        assert [row["status"] for row in done.rows] == ["detected", "failed", "failed"]
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]

    def test_infrared_beside_the_photo(self, run: Run, tmp_path: Path) -> None:
        save(tmp_path / "in/a.png", picture(240, 320))
        save(tmp_path / "ir/a.tif", np.repeat(light(), 3, 2))
        done = run("detect", "in", "--infrared-file", "ir", "-o", "out", "--json")
        assert (done.code, done.err) == (0, "")
        assert done.rows[0]["mask_source"] == "infrared"
        found = masks.read(tmp_path / "out/a.png")
        assert found[stripe(240, 320)].mean() > 0.95
        assert found.mean() < 0.05
        save(tmp_path / "small.png", light(120, 160))
        done = run("detect", "in/a.png", "--infrared-file", "small.png", "-o", "x.png")
        assert done.code == FAILED
        assert "small.png: the infrared picture is 160x120" in one_line(done.err)
        done = run("detect", "print.png", "--infrared-file", "ir")
        assert done.code == BAD_CALL
        assert "print.png: no infrared picture for it in ir" in one_line(done.err)

    @pytest.mark.parametrize("pages", [1, 2])
    def test_infrared_in_the_photo(self, run: Run, tmp_path: Path, pages: int) -> None:
        """As a fourth channel, or as a second page; the result keeps it."""
        import tifffile

        pixels = picture(240, 320)
        save(tmp_path / "ref.png", pixels)
        pixels[stripe(240, 320)] //= 2
        with tifffile.TiffWriter(tmp_path / "print.tif") as file:
            if pages == 1:
                four = np.concatenate([pixels, light()], 2)
                file.write(four, photometric="rgb", extrasamples=["unspecified"])
            else:
                file.write(pixels, photometric="rgb")
                file.write(light()[..., 0], photometric="minisblack")
        done = run("restore", "print.tif", "--infrared", "--save-mask", "m.png", "--json",
                   "--reference", "ref.png")  # fmt: skip
        assert (done.code, done.err) == (0, "")
        (row,) = done.rows
        assert row["mask_source"] == "infrared"
        assert row["scores"]["hole_psnr"] > 20
        mask = masks.read(tmp_path / "m.png")
        assert mask[stripe(240, 320)].mean() > 0.95
        assert mask.mean() < 0.05
        done = run("score", "print-restored.tif", "ref.png", "--mask", "m.png", "--json")
        assert done.rows[0]["scores"] == row["scores"]
        again = run("restore", "print.tif", "--mask", "m.png", "-o", "again.tif")
        assert (again.code, again.err) == (0, "")
        same = (tmp_path / "again.tif").read_bytes()
        assert same == (tmp_path / "print-restored.tif").read_bytes()
        restored, kept = photo.read_with_infrared(tmp_path / "print-restored.tif")
        assert (restored.pixels[~mask] == pixels[~mask]).all()
        assert (restored.pixels[mask] != pixels[mask]).any()
        assert (kept == light()[..., 0]).all()
        done = run("detect", "print.png", "--infrared")
        assert done.code == FAILED
        assert "print.png: " in one_line(done.err)
        assert "infrared" in one_line(done.err)

    @pytest.mark.parametrize("threshold", [None, 0.2, 0.9])
    def test_a_higher_threshold_is_a_lower_sensitivity_and_silver_is_told(
        self, run: Run, tmp_path: Path, threshold: float | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def find_damage(_: Pixels, pixels: Pixels, sensitivity: float) -> infrared.Found:
            asked.append(sensitivity)
            return infrared.Found(stripe(), True)

        monkeypatch.setattr(infrared, "find_damage", find_damage)
        save(tmp_path / "ir.png", light(40, 56))
        options = [] if threshold is None else ["--threshold", threshold]
        told = "print.png: infrared carries the picture, as silver film does: it cannot show damage"
        done = run("detect", "print.png", "--infrared-file", "ir.png", *options)
        assert asked == [pytest.approx(0.5 if threshold is None else 1 - threshold)]
        assert (done.code, done.err) == (0, f"{told}; look at the mask\n")
        assert masks.read(tmp_path / "print-mask.png")[stripe()].all()
        # Nobody looks at the mask of a photo that is restored at once.
        done = run("restore", "print.png", "--infrared-file", "ir.png", *options)
        assert done.code == FAILED
        assert f"{told}; give --mask, or leave --infrared" in one_line(done.err)
        assert not (tmp_path / "print-restored.png").exists()

    def test_a_page_that_is_no_infrared_is_told(self, run: Run, tmp_path: Path) -> None:
        import tifffile

        pixels = picture(240, 320)
        with tifffile.TiffWriter(tmp_path / "print.tif") as file:
            file.write(pixels, photometric="rgb")
            page = np.full((240, 320), 200, np.uint8)
            page[:, np.arange(320) % 20 < 4] = 40
            file.write(page, photometric="minisblack")
        done = run("detect", "print.tif", "--infrared")
        assert done.code == 0
        assert (
            "% of it, before it is widened, is taken for damage: look at it, or raise --threshold"
            in done.err
        )

    @pytest.mark.parametrize(
        ("arguments", "parts"),
        [
            (["--threshold", "1.5"], ["--threshold 1.5: give a number from 0 to 1"]),
            (["--threshold", "-0.1"], ["--threshold -0.1: give"]),
            (["--threshold", "nan"], ["--threshold nan: give"]),
            (["--threshold", "much"], ["--threshold much: give a number"]),
            (["--grow-mask", "-1"], ["--grow-mask", "0"]),
            (["--min-area", "-1"], ["--min-area", "0"]),
            (["--close-gaps", "-1"], ["--close-gaps", "0"]),
            (["--exclude", "nix.png"], ["nix.png: no such mask to exclude"]),
            (["--exclude", "print.png"], ["print.png: is the photo itself"]),
            (["--infrared-file", "nix.png"], ["nix.png: no such infrared picture"]),
            (["--infrared-file", "print.png"], ["photo itself", "--infrared takes"]),
            (["--infrared-file", "white.png", "--infrared"], ["exclude each other"]),
            (["-o", "x.jpg"], ["x.jpg: JPEG would blur the mask", ".png"]),
            (["-o", "x.gif"], ["x.gif", ".png"]),
            (["-o", "print.png", "--overwrite"], ["print.png: this would write over", "-o"]),
            (["-o", "white.png"], ["white.png exists already: --overwrite"]),
            (["--fit-mask"], ["--fit-mask", "--exclude"]),
            (["--device", "tpu"], ["tpu"]),
            (["--device", "auto:1"], ["unknown device 'auto:1': choose from auto, cpu, cuda or"]),
            (["--device", "banana", "--infrared-file", "white.png"], ["unknown device 'banana'"]),
            (["--mask", "white.png"], ["--mask"]),
        ],
    )
    def test_bad_calls(
        self, run: Run, tmp_path: Path, arguments: list[str], parts: list[str]
    ) -> None:
        save_mask(tmp_path / "white.png", np.ones((40, 56), bool))
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        done = run("detect", "print.png", *arguments)
        assert (done.code, done.out) == (BAD_CALL, ""), done.err
        message = one_line(done.err)
        for part in parts:
            assert part in message
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before

    def test_what_excludes_everything_is_told(self, run: Run, tmp_path: Path) -> None:
        save_mask(tmp_path / "white.png", np.ones((40, 56), bool))
        save_mask(tmp_path / "wide.png", masks.grow(stripe(), 5))
        save_mask(
            tmp_path / "not/print.png",
            stripe(),
        )
        given = save_mask(tmp_path / "given.png", stripe())
        for words in (["detect"], ["restore"], ["restore", "--mask", given]):
            done = run(words[0], "print.png", *words[1:], "--exclude", "white.png")
            assert done.code == FAILED
            told = "white.png: is all white, so nothing of print.png may be restored"
            assert told in one_line(done.err)
        done = run("restore", "print.png", "--mask", given, "--exclude", "wide.png")
        assert done.code == FAILED
        assert "wide.png: leaves nothing of the damage of print.png" in one_line(done.err)
        assert not list(tmp_path.glob("print-*"))
        # What was found wrongly may be all that was found.
        for command, what in (("detect", "the mask is black"), ("restore", "copied through")):
            done = run(command, "print.png", "--exclude", "wide.png")
            assert done.code == 0
            assert done.err == f"print.png: all that was found is excluded: {what}\n"
        assert not masks.read(tmp_path / "print-mask.png").any()
        copied = (tmp_path / "print-restored.png").read_bytes()
        assert copied == (tmp_path / "print.png").read_bytes()
        # In a folder only the photos that have one are kept from something.
        save(tmp_path / "in/print.png", scratched())
        save(tmp_path / "in/other.png", scratched())
        done = run("detect", "in", "--exclude", "not", "-o", "out", "--json")
        ring = masks.grow(stripe(), GROWTH) & ~stripe()
        np.testing.assert_array_equal(masks.read(tmp_path / "out/print.png"), ring)
        assert masks.read(tmp_path / "out/other.png")[stripe()].all()

    def test_all_is_damaged_but_what_is_excluded(self, run: Run, tmp_path: Path) -> None:
        save_mask(tmp_path / "all.png", np.ones((40, 56), bool))
        save_mask(tmp_path / "most.png", masks.grow(stripe(), 20))
        save_mask(tmp_path / "face.png", ~stripe())
        save(tmp_path / "white.png", np.full((40, 56, 3), 255, np.uint8))
        for words in (
            ["restore", "print.png", "--mask", "all.png"],
            ["restore", "print.png", "--mask", "most.png", "--grow-mask", 90],
            ["restore", "white.png"],
        ):
            keep = ["--save-mask", "m.png", "--overwrite"]
            assert run(*words, *keep).code == FAILED
            done = run(*words, *keep, "--exclude", "face.png")
            assert done.code == 0, done.err
            np.testing.assert_array_equal(masks.read(tmp_path / "m.png"), stripe())

    def test_nothing_is_found_where_nothing_is_seen(self, run: Run, tmp_path: Path) -> None:
        pixels = np.dstack([scratched(), np.full((40, 56), 255, np.uint8)])
        seen = ~masks.grow(stripe(), 1) | stripe()
        pixels[~seen, 3] = 0
        save(tmp_path / "print.png", pixels)
        assert run("detect", "print.png", "-o", "m.png").code == 0
        found = masks.read(tmp_path / "m.png")
        np.testing.assert_array_equal(found, masks.grow(stripe(), GROWTH) & seen)
        # Whoever gives a mask knows what it is for.
        save_mask(tmp_path / "wide.png", masks.grow(stripe(), 1))
        assert run("restore", "print.png", "--mask", "wide.png", "--save-mask", "n.png").code == 0
        given = masks.read(tmp_path / "n.png")
        np.testing.assert_array_equal(given, masks.grow(stripe(), 1))

    def test_masks_beside_the_photos_pair_with_them(self, run: Run, tmp_path: Path) -> None:
        save(tmp_path / "s/a.png", scratched())
        assert run("detect", "s").code == 0
        done = run("restore", "s", "--mask", "s", "--exclude", "s", "--json")
        assert done.code == 0
        assert [row["mask"] for row in done.rows] == ["s/a-mask.png"]
        restored = load(tmp_path / "s/a-restored.png")
        far = ~masks.grow(stripe(), GROWTH)
        assert (restored[far] == scratched()[far]).all()
        done = run("detect", "s/a.png", "--infrared-file", "s", "-o", "x.png")
        assert done.code == BAD_CALL
        assert "s/a.png: no infrared picture for it in s" in one_line(done.err)

    def test_what_is_passed_over_is_told(self, run: Run, tmp_path: Path) -> None:
        for name in ("venice.jpg", "venice-mask.jpg", "venice-overlay.tif"):
            save(tmp_path / "in" / name, scratched())
        done = run("detect", "in", "--json")
        assert (len(done.rows), done.err) == (3, "")
        for number, told in ((3, "3 files skipped"), (1, "1 file skipped")):
            done = run("detect", "in", "-o", "out", "--overwrite", "--json")
            assert told in done.err
            assert len(done.rows) == 3
            for path in sorted((tmp_path / "in").glob("*-mask.png"))[: number - 1]:
                path.unlink()
        assert run("detect", "in", "-o", "out", "--overwrite", "--quiet").err == ""

    def test_photos_that_differ_in_suffix_alone(self, run: Run, tmp_path: Path) -> None:
        for name in ("a.jpg", "a.tif", "b.png"):
            save(tmp_path / "k" / name, scratched())
        done = run("detect", "k", "-o", "km", "--overlay", "--json")
        assert (done.code, done.err) == (0, "")
        assert {path.name for path in (tmp_path / "km").iterdir()} == {
            "a.jpg.png", "a.tif.png", "b.png",
            "a.jpg-overlay.png", "a.tif-overlay.png", "b-overlay.png",
        }  # fmt: skip
        done = run("restore", "k", "--mask", "km", "-o", "out", "--save-mask", "kept", "--json")
        assert [row["mask"] for row in done.rows] == [
            "kept/a.jpg.png", "kept/a.tif.png", "kept/b.png",
        ]  # fmt: skip

    def test_a_missing_or_wrong_detector_ends_the_run(self, run: Run, tmp_path: Path) -> None:
        for command in ("detect", "restore"):
            (tmp_path / "detector.onnx").write_text("this is no model")
            done = run(command, "print.png")
            assert (done.code, done.out) == (NO_MODEL, "")
            assert "detector.onnx: not a model" in one_line(done.err)
            (tmp_path / "detector.onnx").unlink()
            done = run(command, "print.png")
            assert done.code == NO_MODEL
            assert "detector.onnx: there is no such detector" in one_line(done.err)
        # Who gives a mask needs none.
        save_mask(tmp_path / "mask.png", stripe())
        assert run("restore", "print.png", "--mask", "mask.png").code == 0


class TestRestoreWithoutMask:
    """`inpaint restore` with no --mask, and what it shares with one."""

    def test_the_damage_is_found_restored_and_the_mask_kept(self, run: Run, tmp_path: Path) -> None:
        done = run("restore", "print.png", "--save-mask", "kept/m.png", "--json")
        assert (done.code, done.err) == (0, "")
        (row,) = done.rows
        mask = masks.read(tmp_path / "kept/m.png")
        np.testing.assert_array_equal(mask, masks.grow(stripe(), GROWTH))
        restored = load(tmp_path / "print-restored.png")
        assert (restored[~mask] == scratched()[~mask]).all()
        assert (restored[stripe()] < 255).all()
        assert row["mask"] == "kept/m.png"
        assert (row["mask_source"], row["regions"]) == ("detected", 1)
        assert row["damaged"] == pytest.approx(mask.mean())

    @pytest.mark.parametrize("model", ["telea", "photo"])
    def test_16_bit_stays_exact(self, run: Run, tmp_path: Path, model: str) -> None:
        pixels = scratched(dtype=np.uint16)
        save(tmp_path / "deep.tif", pixels)
        done = run("restore", "deep.tif", "--save-mask", "m.png", "--model", model)
        assert done.code == 0, done.err
        mask = masks.read(tmp_path / "m.png")
        np.testing.assert_array_equal(mask, masks.grow(stripe(), GROWTH))
        restored = load(tmp_path / "deep-restored.tif")
        assert restored.dtype == np.uint16
        assert (restored[~mask] == pixels[~mask]).all()
        assert (restored[stripe()] < 65535).all()

    def test_no_mask_without_its_photo(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        really_write = photo.write

        def write(source: Photo, path: Path, **options: Any) -> None:
            if path.name == "print-restored.png":
                raise PhotoError(f"{path}: cannot be written: no space left on device")
            really_write(source, path, **options)

        monkeypatch.setattr(photo, "write", write)
        done = run("restore", "print.png", "--save-mask", "m.png")
        assert done.code == FAILED
        assert "print-restored.png: cannot be written" in one_line(done.err)
        assert not (tmp_path / "m.png").exists()

    def test_a_model_that_fails_after_photos_are_done_ends_no_run(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def restore(*_: object, **__: object) -> Pixels:
            raise ModelError("x.onnx: the model failed")

        monkeypatch.setattr(work, "restore", restore)
        for name, pixels in (("a", picture()), ("b", scratched()), ("c", picture())):
            save(tmp_path / f"in/{name}.png", pixels)
        done = run("restore", "in", "--json")
        assert done.code == FAILED
        assert [row["status"] for row in done.rows] == ["copied", "failed", "copied"]
        done = run("restore", "in/b.png", "in/a.png", "-o", "out", "--json")
        assert (done.code, done.rows) == (NO_MODEL, [])

    def test_nothing_found_copies_the_bytes_and_says_so(self, run: Run, tmp_path: Path) -> None:
        save(tmp_path / "clean.jpg", picture())
        done = run("restore", "clean.jpg", "--save-mask", "m.png", "--json")
        told = "clean.jpg: no damage found: copied through"
        assert (done.code, done.err.strip()) == (0, told)
        assert done.rows[0]["status"] == "copied"
        assert done.rows[0]["regions"] == 0
        copied = (tmp_path / "clean-restored.jpg").read_bytes()
        assert copied == (tmp_path / "clean.jpg").read_bytes()
        assert not masks.read(tmp_path / "m.png").any()

    def test_a_given_mask_is_taken_as_it_is_unless_tools_are_asked_for(
        self, run: Run, tmp_path: Path
    ) -> None:
        spots = np.zeros((40, 56), bool)
        spots[10, 10] = spots[20:22, 20:22] = True
        save_mask(tmp_path / "mask.png", spots)

        def used(*options: object) -> Mask:
            done = run("restore", "print.png", "--mask", "mask.png", "--save-mask", "m.png",
                       "--overwrite", "--json", *options)  # fmt: skip
            assert (done.code, done.rows[0]["mask_source"]) == (0, "file"), done.err
            return masks.read(tmp_path / "m.png")

        np.testing.assert_array_equal(used(), spots)
        assert used("--min-area", 2).sum() == 4
        assert used("--min-area", 2, "--grow-mask", 1).sum() == 12
        done = run("restore", "print.png", "--mask", "mask.png", "--min-area", 9, "--overwrite")
        assert done.code == 0
        assert "nothing in the mask is as large as --min-area 9: copied through" in done.err

    def test_dry_run_shows_where_masks_come_from(self, run: Run, tmp_path: Path) -> None:
        before = sorted(tmp_path.iterdir())
        done = run("restore", "print.png", "--dry-run")
        assert done.code == 0
        assert done.out.splitlines()[-1].split()[:4] == [
            "print.png", "planned", "print-restored.png", "detected",
        ]  # fmt: skip
        (row,) = run("restore", "print.png", "--dry-run", "--save-mask", "m", "--json").rows
        assert (row["status"], row["mask_source"], row["mask"]) == (
            "planned", "detected", "m/print.png",
        )  # fmt: skip
        assert sorted(tmp_path.iterdir()) == before

    def test_folders_in_place_with_masks_kept(self, run: Run, tmp_path: Path) -> None:
        for name in ("a.png", "below/b.tif"):
            save(tmp_path / "in" / name, scratched())
        done = run("restore", "in", "--in-place", "--save-mask", "kept", "-r", "--json")
        assert done.code == 0, done.err
        assert [row["mask"] for row in done.rows] == ["kept/a.png", "kept/below/b.png"]
        assert (load(tmp_path / "in/below/b.tif")[stripe()] < 255).all()

    @pytest.mark.parametrize(
        ("arguments", "parts"),
        [
            (["--mask", "mask.png", "--threshold", "0.5"], ["--mask and --threshold"]),
            (["--mask", "mask.png", "--infrared"], ["--mask and --infrared exclude"]),
            (["--mask", "mask.png", "--infrared-file", "ir.png"], ["--mask and --infrared-file"]),
            (["--threshold", "nan"], ["--threshold nan: give a number from 0 to 1"]),
            (["--infrared", "--infrared-file", "ir.png"], ["exclude each other"]),
            (["--invert-mask"], ["--invert-mask", "--mask"]),
            (["--fit-mask"], ["--fit-mask", "--mask"]),
            (["--save-mask", "x.jpg"], ["x.jpg: JPEG would blur the mask"]),
            (["--save-mask", "x.gif"], ["x.gif", ".png"]),
            (["--save-mask", "print.png", "--overwrite"], ["print.png", "over", "--save-mask"]),
            (["--save-mask", "print.png", "--in-place"], ["print.png", "over", "--save-mask"]),
            (["--save-mask", "x.png", "-o", "x.png"], ["x.png", "--save-mask"]),
            (["--save-mask", "mask.png"], ["mask.png exists already"]),
            (
                ["--mask", "mask.png", "--save-mask", "mask.png", "--overwrite"],
                ["mask.png", "over a file that is read", "--save-mask"],
            ),
            (["--save-mask", "-"], ["--save-mask -"]),
        ],
    )
    def test_bad_calls(
        self, run: Run, tmp_path: Path, arguments: list[str], parts: list[str]
    ) -> None:
        save_mask(tmp_path / "mask.png", stripe())
        save(tmp_path / "ir.png", light(40, 56))
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        done = run("restore", "print.png", *arguments)
        assert (done.code, done.out) == (BAD_CALL, ""), done.err
        message = one_line(done.err)
        for part in parts:
            assert part in message
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before

    def test_as_a_person_runs_it_with_the_shipped_detector(self, tmp_path: Path) -> None:
        original = Path(__file__).parent.parent / "assets/originals/astronaut.png"
        pixels = load(original).copy()
        scratch = stripe(*pixels.shape[:2])
        pixels[masks.grow(scratch, 1)] = 245
        save(tmp_path / "print.png", pixels)
        done = inpaint("detect", "print.png", "--overlay", "--json", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        found = masks.read(tmp_path / "print-mask.png")
        assert found[scratch].mean() > 0.7
        assert found.mean() < 0.2
        done = inpaint("restore", "print.png", "--save-mask", "m.png", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        np.testing.assert_array_equal(masks.read(tmp_path / "m.png"), found)
        restored = load(tmp_path / "print-restored.png")
        assert (restored[~found] == pixels[~found]).all()
        assert (restored[found] != pixels[found]).any()


class TestBadCalls:
    """Each is one line that names the file, says what is wrong and what to do."""

    @pytest.mark.parametrize(
        ("arguments", "code", "parts"),
        [
            (["nix.png", "--mask", "mask.png"], BAD_CALL, ["nix.png", "no such file"]),
            (["print.png", "--mask", "nix.png"], BAD_CALL, ["nix.png", "no such mask"]),
            (["text.png", "--mask", "mask.png"], FAILED, ["text.png", "not an image"]),
            (["cut.jpg", "--mask", "mask.png"], FAILED, ["cut.jpg"]),
            (["print.png", "--mask", "text.png"], FAILED, ["text.png", "not an image"]),
            (["print.png", "--mask", "large.png"], FAILED, ["large.png", "57x41", "--fit-mask"]),
            (["print.png", "--mask", "white.png"], FAILED, ["white.png", "all white"]),
            (["print.png", "--mask", "mask.png", "--model", "nix"], BAD_CALL, ["nix", "telea"]),
            (["print.png", "--mask", "mask.png", "--model", "nix.onnx"], BAD_CALL, ["nix.onnx"]),
            (["print.png", "--mask", "mask.png", "--model", "text.onnx"], NO_MODEL, ["text.onnx"]),
            (
                ["print.png", "--mask", "mask.png", "--reference", "large.png"],
                FAILED,
                ["large.png", "57x41", "56x40"],
            ),
            (["print.png", "--mask", "mask.png", "-o", "text.onnx/x"], BAD_CALL, ["text.onnx"]),
            (["print.png", "--mask", "mask.png", "--tile", "20"], BAD_CALL, ["--tile", "8"]),
            (["print.png", "--mask", "mask.png", "--tile", "-1"], BAD_CALL, ["--tile"]),
            (["print.png", "--mask", "mask.png", "--overlap", "512"], BAD_CALL, ["--overlap"]),
            (["print.png", "--mask", "mask.png", "--grain", "much"], BAD_CALL, ["--grain", "off"]),
            (["print.png", "--mask", "mask.png", "--grain", "5"], BAD_CALL, ["--grain 5: give"]),
            (["print.png", "--mask", "mask.png", "--grain", "nan"], BAD_CALL, ["--grain nan: gi"]),
            (["print.png", "--mask", "mask.png", "--seed", "-1"], BAD_CALL, ["--seed"]),
            (["print.png", "--mask", "mask.png", "--device", "tpu"], BAD_CALL, ["tpu", "cuda"]),
            (["print.png", "--mask", "mask.png", "--device", "auto:0"], BAD_CALL, ["auto:0"]),
            (["print.png", "--mask", "mask.png", "--in-place", "-o", "x"], BAD_CALL, ["-o"]),
            (["print.png", "--mask", "mask.png", "--nix"], BAD_CALL, ["--nix"]),
            (["empty", "--mask", "mask.png"], BAD_CALL, ["empty", "no photos"]),
            (["print.png", "--mask", "mask.png", "-o", "x.gif"], BAD_CALL, ["x.gif", ".png"]),
            (["empty", "print.png", "--mask", "mask.png", "-o", "x.png"], BAD_CALL, ["empty"]),
            (["print.png", "--mask", "side.png"], FAILED, ["side.png", "on its side"]),
            (
                ["print.png", "--mask", "mask.png", "--grow-mask", "99"],
                FAILED,
                ["mask.png", "--grow-mask"],
            ),
            (["print.png", "--mask", ""], BAD_CALL, ["empty path"]),
            (["print.png", "--mask", "print.png"], BAD_CALL, ["print.png", "the photo itself"]),
            (["pipe.png", "--mask", "mask.png"], FAILED, ["pipe.png", "regular file"]),
            (["x" * 300 + ".png", "--mask", "mask.png"], BAD_CALL, ["too long"]),
            (
                ["print.png", "--mask", "mask.png", "--model", "telea", "--batch-size", "2"],
                BAD_CALL,
                ["--batch-size"],
            ),
        ],
    )
    def test_restore(
        self, print_png: Path, arguments: list[str], code: int, parts: list[str]
    ) -> None:
        folder = print_png.parent
        (folder / "empty").mkdir()
        (folder / "text.png").write_text("this is no picture")
        (folder / "text.onnx").write_text("this is no model")
        whole = save(folder / "whole.jpg", picture()).read_bytes()
        (folder / "cut.jpg").write_bytes(whole[: len(whole) // 3])
        save_mask(folder / "large.png", stripe(41, 57))
        save_mask(folder / "white.png", np.ones((40, 56), bool))
        save_mask(folder / "side.png", stripe().T)
        os.mkfifo(folder / "pipe.png")
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        done = inpaint("restore", *arguments, cwd=folder)
        assert done.returncode == code, done.stderr
        message = one_line(done.stderr)
        for part in parts:
            assert part in message
        if code != FAILED:
            assert done.stdout == ""
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    def test_a_device_that_is_not_there(self, print_png: Path) -> None:
        mask = print_png.with_name("mask.png")
        done = inpaint("restore", print_png, "--mask", mask, "--device", "cuda")
        if done.returncode == 0:
            pytest.skip("this machine has a CUDA device")
        assert done.returncode == NO_MODEL
        assert "pip install 'inpaintcli[cuda]'" in one_line(done.stderr)
        assert done.stdout == ""

    def test_damage(self, print_png: Path) -> None:
        folder = print_png.parent
        save(folder / "two/x.png", picture())
        save(folder / "two/x.jpg", picture())
        calls = [
            (["nix.png", "-o", "t"], "nix.png"),
            (["print.png", "-o", "t", "--kind", "rain"], "scratches"),
            (["print.png", "-o", "t", "--coverage", "2"], "between 0 and 1"),
            (["print.png", "-o", "t", "--count", "5", "2"], "smaller number first"),
            (["two", "-o", "t"], "two photos"),
            (["print.png", "-o", "t", "--thickness", "1", "40000"], "to 10000"),
            (["print.png", "-o", "mask.png"], "is a file"),
            (["print.png"], "--output"),
        ]
        for arguments, part in calls:
            done = inpaint("damage", *arguments, cwd=folder)
            assert done.returncode == BAD_CALL, (arguments, done.stderr)
            assert part in one_line(done.stderr)
        assert not (folder / "t").exists()
        done = inpaint("damage", "print.png", "-o", "t", "--kind", "holes", "--thickness", 900, 999,
                       cwd=folder)  # fmt: skip
        assert done.returncode == FAILED
        assert "--thickness" in one_line(done.stderr)
        assert done.stdout == ""
        assert not list(folder.rglob("t/*/*.png"))

    def test_score(self, print_png: Path) -> None:
        folder = print_png.parent
        save(folder / "small.png", picture(20, 20))
        calls = [
            (["print.png", "nix.png"], BAD_CALL, "nix.png"),
            (["print.png", "small.png"], FAILED, "small.png"),
            ([".", "print.png"], BAD_CALL, "print.png"),
        ]
        for arguments, code, part in calls:
            done = inpaint("score", *arguments, cwd=folder)
            assert done.returncode == code, done.stderr
            assert part in one_line(done.stderr)


#: What is wrong about one photo: 2 where the command line and the names of files tell, 1 where only
#: a look into a file does.
LIKE = {
    "no such photo": (BAD_CALL, "nix.png: no such file", {
        "restore": "nix.png --mask mask.png", "detect": "nix.png", "score": "nix.png other.png",
        "damage": "nix.png -o t", "bench": "nix.png",
    }),
    "no such mask": (BAD_CALL, "nix.png: no such mask", {
        "restore": "print.png --mask nix.png", "detect": "print.png --exclude nix.png",
        "score": "print.png other.png --mask nix.png",
        "bench": "print.png --mask nix.png --reference other.png",
    }),
    "no such reference": (BAD_CALL, "nix.png: no such reference", {
        "restore": "print.png --mask mask.png --reference nix.png", "score": "print.png nix.png",
        "bench": "print.png --mask mask.png --reference nix.png",
    }),
    "a folder without its mask": (BAD_CALL, "print.png: no mask for it in others: name one", {
        "restore": "print.png --mask others", "score": "print.png other.png --mask others",
        "bench": "print.png --mask others --reference other.png",
    }),
    "a folder without its reference": (BAD_CALL, "print.png: no reference for it in others", {
        "restore": "print.png --mask mask.png --reference others", "score": "print.png others",
        "bench": "print.png --mask mask.png --reference others",
    }),
    "a folder without photos": (BAD_CALL, "empty: no photos in this folder", {
        "restore": "empty", "detect": "empty", "score": "empty others", "damage": "empty -o t",
        "bench": "empty",
    }),
    "a result below a file": (BAD_CALL, "mask.png: is a file, and no folder: choose another -o", {
        "restore": "print.png --mask mask.png -o mask.png/",
        "detect": "print.png -o mask.png/x.png",
        "bench": "print.png -o mask.png/r.html",
    }),
    "a result that is there": (BAD_CALL, "exists already: --overwrite replaces it", {
        "restore": "print.png --mask mask.png -o other.png", "detect": "print.png -o other.png",
        "damage": "print.png -o there", "bench": "print.png -o there.md",
    }),
    "a mask of another size": (FAILED, "large.png: the mask is 57x41", {
        "restore": "print.png --mask large.png", "detect": "print.png --exclude large.png",
        "score": "print.png other.png --mask large.png",
        "bench": "print.png --mask large.png --reference other.png",
    }),
    "a photo that is no picture": (FAILED, "text.png: not an image", {
        "restore": "text.png --mask mask.png", "detect": "text.png", "score": "text.png other.png",
        "damage": "text.png -o t", "bench": "text.png",
    }),
    "a page that is not there": (FAILED, "print.png: has one page, there is no page 3", {
        "restore": "print.png --mask mask.png --page 3", "detect": "print.png --page 3",
    }),
}  # fmt: skip


@pytest.mark.parametrize("mistake", LIKE)
def test_like_mistakes_have_like_codes(run: Run, tmp_path: Path, mistake: str) -> None:
    save(tmp_path / "other.png", picture())
    save(tmp_path / "others/other.png", picture())
    save(tmp_path / "there/damaged/print.png", picture())
    save_mask(tmp_path / "mask.png", stripe())
    save_mask(tmp_path / "large.png", stripe(41, 57))
    (tmp_path / "text.png").write_text("this is no picture")
    (tmp_path / "there.md").touch()
    (tmp_path / "empty").mkdir()
    code, said, calls = LIKE[mistake]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    for command, words in calls.items():
        done = run(command, *words.split())
        assert (done.code, done.out) == (code, ""), (command, done.err)
        assert said in one_line(done.err), command
        if command == "bench":
            assert "--fit-mask" not in done.err, "it has none"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == before


def test_a_separator_at_the_end_names_a_folder(run: Run, tmp_path: Path) -> None:
    save_mask(tmp_path / "mask.png", stripe())
    for words, written in (
        (["restore", "print.png", "--mask", "mask.png", "-o", "new.v1/"], "new.v1/print.png"),
        (["restore", "print.png", "--save-mask", "kept.v1/", "-o", "x.png"], "kept.v1/print.png"),
        (["restore", "print.png", "mask.png", "-o", "two.png/"], "two.png/mask.png"),
        (["detect", "print.png", "-o", "found.png/"], "found.png/print.png"),
        (["detect", "print.png", "-o", "-/"], "-/print.png"),
        (["damage", "print.png", "-o", "t.v1/"], "t.v1/masks/print.png"),
    ):
        done = run(*words)
        assert done.code == 0, done.err
        assert load(tmp_path / written).shape[:2] == (40, 56)
    before = sorted(tmp_path.rglob("*"))
    for words, said in (
        (["restore", "print.png", "-o", "mask.png/"], "mask.png: is a file, and no folder"),
        (["detect", "print.png", "-o", "new.v2"], "or end the name of a folder with /"),
        (["detect", "print.png", "--report", "r.html/"], "r.html/ names a folder: name a file"),
        (["bench", "print.png", "-o", "r.html/"], "r.html/ names a folder: name a file"),
    ):
        done = run(*words)
        assert (done.code, done.out) == (BAD_CALL, "")
        assert said in one_line(done.err)
    assert sorted(tmp_path.rglob("*")) == before


def test_damage_tells_of_pictures_that_are_not_read(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "in/a.png", picture())
    for name in ("in/moving.gif", "in/below/raw.cr2", "in/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    done = run("damage", "in", "-o", "t", "--json")
    assert (done.code, len(done.rows)) == (0, 1)
    assert done.err == (
        "2 pictures of formats that are not read (.cr2 .gif) left out, in/below/raw.cr2 first: "
        "convert them\n"
    )
    assert run("damage", "in", "-o", "t", "--overwrite", "--quiet") == Ran(0, "", "")


def test_an_interrupt_leaves_whole_files_and_tells_what_was_done(tmp_path: Path) -> None:
    for number in range(40):
        save(tmp_path / f"in/{number:02d}.png", picture(200, 300))
    save_mask(tmp_path / "mask.png", stripe(200, 300))
    words = ["restore", "in", "--mask", "mask.png", "-o", "out", "--threads", "1", "--model",
             "autoencoder"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "inpaintcli", *words],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )  # fmt: skip
    while process.poll() is None and not list(tmp_path.glob("out/*.png")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "interrupted" in one_line(stderr)
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert 0 < len(written) < 40
    assert all(name in stdout for name in written)
    for name in written:
        assert load(tmp_path / "out" / name).shape == (200, 300, 3)


def test_damage_is_the_same_for_the_same_seed(print_png: Path) -> None:
    folder = print_png.parent
    for out in ("one", "two"):
        done = inpaint("damage", "print.png", "-o", out, "--seed", "7", cwd=folder)
        assert done.returncode == 0, done.stderr
    for part in ("damaged", "masks"):
        one, two = (load(folder / out / part / "print.png") for out in ("one", "two"))
        assert (one == two).all()


def test_models_lists_every_method_with_its_card() -> None:
    rows = {
        row["name"]: row for row in map(json.loads, inpaint("models", "--json").stdout.splitlines())
    }
    assert set(rows) == {
        "photo", "autoencoder", "partial-conv", "autoencoder-photos", "partial-conv-photos",
        "telea", "navier-stokes", "patchmatch", "biharmonic",
    }  # fmt: skip
    assert [name for name, row in rows.items() if row["default"]] == ["photo"]
    assert rows["photo"]["scores"]["holes_texture"] >= 0.5
    for name in ("autoencoder", "partial-conv"):
        assert rows[name]["tile"] == 32
        assert 0 < rows[name]["size"] < 10_000_000
        assert "CIFAR-10" in rows[name]["trained_on"]
        assert rows[name]["data_licence"]
        assert rows[name]["scores"]["hole_psnr"] > 20
    assert "partial-conv" in inpaint("models").stdout


def test_names_of_any_bytes(tmp_path: Path) -> None:
    """Spaces, line breaks and bytes that are not UTF-8 neither break the run nor the output."""
    folder = tmp_path / "with space"
    names = ["line\nbreak.png", b"latin-\xe9.png".decode("utf-8", "surrogateescape"), "[bold].png"]
    for name in names:
        save(folder / name, picture())
    mask = save_mask(tmp_path / "mask.png", stripe())
    done = inpaint("restore", folder, "--mask", mask, "--model", "telea")
    assert done.returncode == 0, done.stderr
    assert len(list(folder.glob("*-restored.png"))) == 3
    rows = [line for line in done.stdout.splitlines() if "restored.png" in line]
    assert len(rows) == 3


def test_json_names_give_their_bytes_back(tmp_path: Path) -> None:
    name = b"latin-\xe9.png".decode("utf-8", "surrogateescape")
    save(tmp_path / name, picture())
    mask = save_mask(tmp_path / "mask.png", stripe())
    done = inpaint(
        "restore", tmp_path / name, "--mask", mask, "--model", "telea", "--json",
        "-o", tmp_path / "out.png",
    )  # fmt: skip
    assert done.stdout.isascii()
    assert os.fsencode(Path(json.loads(done.stdout)["photo"]).name) == b"latin-\xe9.png"


def test_output_that_nobody_reads_ends_no_run(print_png: Path) -> None:
    words = f"{sys.executable} -m inpaintcli"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    for command in (
        f"{words} models | true",
        f"{words} models --json | true",
        f"{words} restore print.png --mask mask.png --model telea 2>&-",
        f"PYTHONIOENCODING=cp1252 {words} score --help >/dev/null",
    ):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=print_png.parent, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), command
    assert print_png.with_name("print-restored.png").exists()


def test_version_and_help() -> None:
    assert inpaint("--version").stdout.startswith("inpaint ")
    for command in ("restore", "detect", "damage", "score", "models"):
        text = inpaint(command, "--help")
        assert text.returncode == 0
        assert "Usage" in text.stdout


def test_the_package_imports_without_pytorch() -> None:
    code = "import sys; sys.modules['torch'] = None; import inpaintcli.cli.main"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
