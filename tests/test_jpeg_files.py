"""A JPEG that is restored into a JPEG, by the real command: what is undamaged stays undamaged."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from inpaintcli.arrays import Mask, Pixels
from tests.helpers import inpaint, load, save_mask, scratched, stripe

pytest.importorskip("jpeglib")

HEIGHT, WIDTH = 120, 168


def saved(path: Path, pixels: Pixels, orientation: int = 1, **options: object) -> Path:
    """A JPEG by Pillow, with EXIF; `pixels` as the file holds them."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Artist] = "Grandma"
    image = Image.fromarray(pixels)
    image.save(path, "JPEG", **{"quality": 85, "exif": exif, **options})
    return path


def far(mask: Mask, pixels: int = 17) -> Mask:
    """Farther from the mask than a block of subsampled colour and what it touches reaches."""
    y, x = np.nonzero(mask)
    away = np.ones_like(mask)
    for row, column in zip(y.tolist(), x.tolist(), strict=True):
        away[
            max(0, row - pixels) : row + pixels + 1, max(0, column - pixels) : column + pixels + 1
        ] = False
    return away


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("orientation", [1, 6])
def test_undamaged_blocks_come_back_bit_for_bit(
    tmp_path: Path, orientation: int, progressive: bool
) -> None:
    upright = scratched(HEIGHT, WIDTH)
    # Orientation 6: the file holds the photo turned to the left.
    held = np.ascontiguousarray(np.rot90(upright)) if orientation == 6 else upright
    saved(tmp_path / "a.jpg", held, orientation, progressive=progressive)
    save_mask(tmp_path / "m.png", stripe(HEIGHT, WIDTH))
    done = inpaint(
        "restore", "a.jpg", "--mask", "m.png", "-o", "b.jpg", "--model", "telea", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "encoded anew" not in done.stderr
    before, after = load(tmp_path / "a.jpg"), load(tmp_path / "b.jpg")
    assert before.shape == after.shape == (HEIGHT, WIDTH, 3)
    away = far(stripe(HEIGHT, WIDTH))
    assert away.mean() > 0.3
    np.testing.assert_array_equal(after[away], before[away])
    damage = stripe(HEIGHT, WIDTH)
    assert before[damage].mean() > 220 > after[damage].mean() + 30
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.getexif()[ExifTags.Base.Artist] == "Grandma"
        assert image.getexif()[ExifTags.Base.Orientation] == orientation
        assert bool(image.info.get("progressive")) == progressive


def test_a_quality_or_another_format_is_encoded_anew(tmp_path: Path) -> None:
    saved(tmp_path / "a.jpg", scratched(HEIGHT, WIDTH))
    save_mask(tmp_path / "m.png", stripe(HEIGHT, WIDTH))
    call = ("restore", "a.jpg", "--mask", "m.png", "--model", "telea")
    assert inpaint(*call, "-o", "low.jpg", "--quality", 20, cwd=tmp_path).returncode == 0
    assert inpaint(*call, "-o", "b.png", cwd=tmp_path).returncode == 0
    assert (tmp_path / "low.jpg").stat().st_size < 0.6 * (tmp_path / "a.jpg").stat().st_size
    away = ~stripe(HEIGHT, WIDTH)
    before = load(tmp_path / "a.jpg")
    np.testing.assert_array_equal(load(tmp_path / "b.png")[away], before[away])


def test_what_cannot_keep_its_blocks_says_so_and_by_how_much(tmp_path: Path) -> None:
    saved(tmp_path / "a.jpg", scratched(HEIGHT, WIDTH), progressive=True)
    # Progressive, with an end but without its last scans: decoders make do.
    data = (tmp_path / "a.jpg").read_bytes()
    scans = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    (tmp_path / "a.jpg").write_bytes(data[: scans[-1]] + b"\xff\xd9")
    save_mask(tmp_path / "m.png", stripe(HEIGHT, WIDTH))
    done = inpaint(
        "restore", "a.jpg", "--mask", "m.png", "-o", "b.jpg", "--model", "telea", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    note = json.loads(done.stdout)["note"]
    assert "encoded anew as a whole (" in note
    bound = int(note.split("by up to ")[1].split(" of 255")[0])
    away = ~stripe(HEIGHT, WIDTH)
    with Image.open(io.BytesIO((tmp_path / "a.jpg").read_bytes())) as image:
        before = np.asarray(image).astype(int)
    change = np.abs(load(tmp_path / "b.jpg").astype(int) - before)[away].max()
    assert change == bound
