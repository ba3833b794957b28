"""`inpaint damage`: undamaged photos in, damaged photos and their masks out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.text import Text

from inpaintcli import mask as masks
from inpaintcli import photo, report
from inpaintcli.cli import options
from inpaintcli.cli.progress import Bars
from inpaintcli.cli.running import not_read, passed_over
from inpaintcli.damage import Kind, check_recipe, old_looking
from inpaintcli.damage import damage as damage_pixels
from inpaintcli.errors import ExitCode, PhotoError, reason
from inpaintcli.pairing import Found, check_outputs, find

Look = Literal["as-is", "old"]


@dataclass(frozen=True)
class Row:
    """What became of one photo."""

    photo: Path
    damaged_photo: Path
    mask: Path
    #: The undamaged photo as it was made to look, where it was.
    undamaged: Path | None = None
    damaged: float | None = None
    error: str = ""

    @property
    def written(self) -> list[Path]:
        """All that is written."""
        return [path for path in (self.undamaged, self.mask, self.damaged_photo) if path]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        if self.error:
            return {"photo": str(self.photo), "status": "failed", "error": self.error}
        return {
            "photo": str(self.photo),
            "status": "damaged",
            "output": str(self.damaged_photo),
            "mask": str(self.mask),
            **({"undamaged": str(self.undamaged)} if self.undamaged else {}),
            "damaged": self.damaged,
        }


def damage(
    photos: options.Photos,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="Folder that gets damaged/ and masks/.",
            metavar="DIR",
            parser=options.path,
        ),
    ],
    kind: Annotated[Kind, typer.Option(help="What to draw.")] = "lines",
    look: Annotated[
        Look,
        typer.Option(
            help="old: first make the photo look old, and write that to OUT/undamaged too."
        ),
    ] = "as-is",
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed and name give the same damage.")
    ] = 0,
    count: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="A B", help="Draw A to B shapes."),
    ] = None,
    thickness: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="A B", help="Make them A to B pixels wide."),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(metavar="X", help="Draw until a share of X is damaged, such as 0.05."),
    ] = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Damage photos, to try the methods on pictures whose undamaged state is known.

    Writes OUT/damaged/NAME.png and OUT/masks/NAME.png; folders below a DIR are mirrored. With
    `--look old` the photo first turns grey, sepia or faded, grainy, or gets a white border, and
    OUT/undamaged/NAME.png is what a restored photo is to be compared with.

    Example: `inpaint damage photos -o trial --kind scratches`, then
    `inpaint restore trial/damaged --mask trial/masks --reference photos -o trial/restored`
    """
    check_recipe(count, thickness, coverage, kind)
    passed: list[Path] = []
    unread: list[Found] = []
    found = find(photos, apart=[out], passed=passed, unread=unread)
    rows = [
        Row(
            one.path, _place(out / "damaged", one), _place(out / "masks", one),
            _place(out / "undamaged", one) if look == "old" else None,
        )
        for one in found
    ]  # fmt: skip
    outputs = [path for row in rows for path in row.written]
    check_outputs(outputs, [one.path for one in found], overwrite=overwrite)

    done: list[Row] = []
    with Bars(len(found), quiet=quiet) as bars:
        for note in () if quiet else (*passed_over(passed), *not_read(unread)):
            bars.say(note)
        for one, row in zip(found, rows, strict=True):
            bars.photo(one.path)
            try:
                source = photo.read(one.path)
                if row.undamaged:
                    old = old_looking(source.pixels, seed=seed, name=one.key)
                    source = replace(source, pixels=old)
                pixels, mask = damage_pixels(
                    source.pixels, kind, seed=seed, name=one.key,
                    count=count, thickness=thickness, coverage=coverage,
                )  # fmt: skip
                if not mask.any():
                    raise PhotoError(f"{one.path}: nothing fits on it: try another --thickness")
                for path in row.written:
                    photo.make_folder(path.parent)
                if row.undamaged:
                    photo.write(source, row.undamaged)
                masks.write(mask, row.mask)
                photo.write(replace(source, pixels=pixels), row.damaged_photo)
                done.append(replace(row, damaged=float(mask.mean())))
            except Exception as error:
                why = reason(one.path, error)
                bars.say(f"inpaint: {why}")
                done.append(replace(row, error=why))
            bars.photo_done(one.path)
            if json:
                report.print_json(done[-1].to_dict())
    lone = len(done) == 1 and done[0].error
    if not json and not quiet and not lone:
        table = report.plain_table(["photo", "damaged photo", "mask"], ["damaged"])
        for row in done:
            paths = ("failed", "") if row.error else (row.damaged_photo, row.mask)
            table.add_row(
                *(Text(report.shown(path)) for path in (row.photo, *paths)),
                report.percent(row.damaged),
            )
        report.print_table(table)
    return ExitCode.PHOTO_FAILED if any(row.error for row in done) else ExitCode.DONE


def _place(folder: Path, one: Found) -> Path:
    return folder / one.name.with_suffix(".png")
