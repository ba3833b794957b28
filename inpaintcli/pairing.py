"""Which files belong together: photos and their masks, references and outputs."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inpaintcli import photo
from inpaintcli.errors import PhotoError, UsageError

RESTORED = "-restored"


@dataclass(frozen=True)
class Found:
    """A photo and its name relative to the folder in which it was looked for."""

    path: Path
    name: Path

    @property
    def key(self) -> str:
        """What pairs it with other files: the relative name without suffix."""
        return self.name.with_suffix("").as_posix()


def find(paths: Sequence[Path], *, recursive: bool, apart: Sequence[Path] = ()) -> list[Found]:
    """The photos at `paths`, files as given, folders by their photos in order of name.

    Folders in `apart` (masks, references, outputs) are passed over when they lie inside, and so
    are results of earlier runs. Raises UsageError for a path that does not exist and for a folder
    without photos.
    """
    found: list[Found] = []
    avoid = {path.resolve() for path in apart}
    for path in paths:
        if path.is_dir():
            inside = list(_inside(path, recursive, avoid - {path.resolve()}))
            if not inside:
                deeper = not recursive and any(_inside(path, True, avoid - {path.resolve()}))
                hint = "it has some in folders below: --recursive" if deeper else _known_suffixes()
                raise UsageError(f"{path}: no photos in this folder; {hint}")
            found += inside
        elif path.exists() or path.is_symlink():
            found.append(Found(path, Path(path.name)))
        else:
            raise UsageError(f"{path}: no such file or folder")
    return found


def _known_suffixes() -> str:
    return f"looked for {' '.join(sorted(photo.SUFFIXES))}"


def _inside(folder: Path, recursive: bool, avoid: set[Path]) -> Iterator[Found]:
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(f for f in folders if recursive and (here / f).resolve() not in avoid)
        photos = [name for name in sorted(files) if photo.is_photo_name(Path(name))]
        stems = {Path(name).stem for name in photos}
        for name in photos:
            stem = Path(name).stem
            if not (stem.endswith(RESTORED) and stem.removesuffix(RESTORED) in stems):
                yield Found(here / name, (here / name).relative_to(folder))


class Partners:
    """The masks or the references of a run: one file for all photos, or a folder of them."""

    def __init__(self, path: Path, what: str):
        """`what` is the word for messages: "mask", "reference".

        Raises UsageError where the path does not exist.
        """
        self.path, self.what = path, what
        self._by_key: dict[str, list[Path]] = defaultdict(list)
        if path.is_dir():
            for found in _inside(path, True, set()):
                self._by_key[found.key].append(found.path)
        elif not path.exists():
            raise UsageError(f"{path}: no such {what}")

    def of(self, found: Found) -> Path:
        """The partner of a photo; raises PhotoError where there is none, or more than one."""
        if not self.path.is_dir():
            return self.path
        candidates = self._by_key.get(found.key, [])
        if not candidates:
            raise PhotoError(
                f"{found.path}: no {self.what} for it in {self.path}: looked for {found.key}.*"
            )
        if len(candidates) > 1:
            names = ", ".join(path.name for path in candidates)
            raise PhotoError(
                f"{found.path}: more than one {self.what} for it in {self.path}: {names}"
            )
        return candidates[0]


def restored_path(found: Found, out: Path | None, only_one: bool) -> Path:
    """Where the restored photo goes.

    Without `out` beside the photo as NAME-restored.SUFFIX; with a file name in `out` (for one
    photo only) there; else into the folder `out` under its own relative name.
    """
    if out is None:
        return found.path.with_stem(found.path.stem + RESTORED)
    if only_one and photo.is_photo_name(out) and not out.is_dir():
        return out
    return out / found.name


def check_outputs(outputs: Sequence[Path], inputs: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse, before any work, what would lose a file; raises UsageError."""
    read = {path.resolve() for path in inputs}
    written: set[Path] = set()
    for output in outputs:
        place = output.resolve()
        if place in written:
            raise UsageError(
                f"{output}: two photos would be written there: run them one by one, or rename one"
            )
        written.add(place)
        if place in read:
            raise UsageError(
                f"{output}: this would write over a file that is read: choose another -o"
            )
        if output.is_dir():
            raise UsageError(f"{output}: is a folder, and the result would be a file of that name")
    existing = [path for path in outputs if path.exists()]
    if existing and not overwrite:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        exist = "exist" if more else "exists"
        raise UsageError(f"{existing[0]}{more} {exist} already: --overwrite replaces it")
    for folder in {output.parent for output in outputs}:
        check_folder(folder)


def check_folder(folder: Path) -> None:
    """Raise UsageError where files cannot be written into `folder`, which need not exist yet."""
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UsageError(f"{folder}: cannot be made a folder, because {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"{folder}: cannot be written to: choose another -o")
