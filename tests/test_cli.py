"""The command as a person runs it: real processes, real files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import inpaint, load, picture, save, save_mask, stripe

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
        rows = [json.loads(line) for line in done.stdout.splitlines()]
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
            return [row["photo"] for row in rows if row["status"] == "restored"], done.stderr

        photos, told = taken("--mask", "masks", "-o", "one")
        assert photos == ["in/a.png", "in/below/b.png"]
        assert "1 photos in folders below left out: --recursive" in told
        assert taken("--mask", "masks/a.png", "-o", "two")[0] == ["in/a.png"]
        everything = ["in/a.png", "in/below/b.png", "in/below/c.png"]
        assert taken("--mask", "masks/a.png", "-o", "three", "--recursive")[0] == everything
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
        from inpaintcli.photo import Metadata, Photo

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


class TestBadCalls:
    """Each is one line that names the file, says what is wrong and what to do."""

    @pytest.mark.parametrize(
        ("arguments", "code", "parts"),
        [
            (["nix.png", "--mask", "mask.png"], BAD_CALL, ["nix.png", "no such file"]),
            (["print.png", "--mask", "nix.png"], BAD_CALL, ["nix.png", "no such mask"]),
            (["print.png"], BAD_CALL, ["--mask"]),
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
            (["print.png", "--mask", "mask.png", "--in-place", "-o", "x"], BAD_CALL, ["-o"]),
            (["print.png", "--mask", "mask.png", "--nix"], BAD_CALL, ["--nix"]),
            (["empty", "--mask", "mask.png"], BAD_CALL, ["empty", "no photos"]),
            (["print.png", "--mask", "mask.png", "-o", "x.gif"], BAD_CALL, ["x.gif", ".png"]),
            (["print.png", "--mask", "mask.png", "-o", "-"], BAD_CALL, ["-o -"]),
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
    for command in ("restore", "damage", "score", "models"):
        text = inpaint(command, "--help")
        assert text.returncode == 0
        assert "Usage" in text.stdout


def test_the_package_imports_without_pytorch() -> None:
    code = "import sys; sys.modules['torch'] = None; import inpaintcli.cli.main"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
