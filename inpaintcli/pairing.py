"""Which files belong together: photos and their masks, references and outputs."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inpaintcli import photo
from inpaintcli.errors import PhotoError, UsageError
from inpaintcli.inputs import expanded, is_pattern

RESTORED = "-restored"
MASK = "-mask"
OVERLAY = "-overlay"


@dataclass(frozen=True)
class Found:
    """A photo and its name relative to the folder in which it was looked for."""

    path: Path
    name: Path

    @property
    def key(self) -> str:
        """What pairs it with other files: the relative name without suffix.

        Composed, because file systems spell the same accents differently.
        """
        return _composed(self.name.with_suffix(""))


def real(path: Path) -> Path:
    """The path without links, also where a part of it is not there, or a link of a loop."""
    return Path(os.path.realpath(path))


def _composed(name: Path) -> str:
    return unicodedata.normalize("NFC", name.as_posix())


def find(
    paths: Sequence[Path],
    *,
    apart: Sequence[Path] = (),
    pairs: Pairs | None = None,
    passed: list[Path] | None = None,
    unread: list[Found] | None = None,
) -> list[Found]:
    """The photos at `paths`, files as given, folders with all below them in order of name, and
    what patterns match.

    Links to folders are not followed inside a folder, links to files are. What a pattern matches
    is taken as what lies in a folder, the one above its first wildcard; a folder that it matches,
    as if it were given.

    Files and folders in `apart` (masks, references, outputs) are passed over when they lie inside
    a folder, and so are results of earlier runs (restored photos, masks, overlays) whose photo is
    there; but what is called like a mask or an overlay is a photo where `pairs` have a mask or an
    infrared picture of its own for it, in another folder. `passed`: the results that are passed
    over are appended to it; `unread`: the pictures in formats that are not read. A file that is
    named twice counts once. Raises UsageError for a path
    that does not exist, a folder without photos and a pattern that matches none.
    """
    found: dict[Path, Found] = {}
    avoid = {real(path) for path in apart}

    def sorted_out(place: Path, candidates: Iterable[Found]) -> list[Found]:
        """Those of a folder, or of a pattern, that are no results."""
        inside: list[Found] = []
        results: list[Found] = []
        for one in candidates:
            # In a folder of masks that is searched itself, partners tell nothing.
            own = pairs is not None and place not in avoid and pairs.has_own(one)
            marks = (RESTORED,) if own else (RESTORED, MASK, OVERLAY)
            (results if _is_result(one.path, *marks) else inside).append(one)
        if passed is not None:
            passed.extend(one.path for one in results)
        return inside

    def in_folder(path: Path) -> list[Found]:
        place = real(path)
        return sorted_out(place, _inside(path, avoid - {place}, unread))

    known = " ".join(sorted(photo.SUFFIXES))
    for path in paths:
        if path.is_dir():
            inside = in_folder(path)
            if not inside:
                raise UsageError(
                    f"{path}: no photos in this folder; looked for {known}: check the name"
                )
        elif os.path.lexists(path):
            inside = [Found(path, Path(path.name))]
        elif is_pattern(path):
            base, matches = expanded(path)
            if unread is not None:
                unread.extend(
                    Found(one, one.relative_to(base))
                    for one in matches
                    if photo.is_unread_picture(one) and one.is_file() and real(one) not in avoid
                )
            files = [
                Found(one, one.relative_to(base))
                for one in matches
                if not one.is_dir() and photo.is_photo_name(one) and real(one) not in avoid
            ]
            inside = sorted_out(real(base), files)
            if "**" not in path.parts:  # Whose folders it would take twice, with other names.
                inside += [
                    one for folder in matches if folder.is_dir() for one in in_folder(folder)
                ]
            if not inside:
                raise UsageError(f"{path}: matches no photos; looked for {known}: check it")
        else:
            raise UsageError(f"{path}: no such file or folder: check the name")
        for one in inside:
            found.setdefault(real(one.path), one)
    return list(found.values())


def find_results(path: Path) -> list[Found]:
    """The restored photos at `path`: of a photo and its result beside it, the result alone.

    Raises UsageError as `find`.
    """
    if not path.is_dir():
        return find([path])
    inside = [one for one in _inside(path, set()) if not _is_result(one.path, MASK, OVERLAY)]
    originals = {_without(RESTORED, one.path) for one in inside if _is_result(one.path, RESTORED)}
    results = [one for one in inside if one.path.with_suffix("") not in originals]
    return results or find([path])


def _without(mark: str, path: Path) -> Path:
    return path.with_name(path.stem.removesuffix(mark))


def _is_result(path: Path, *marks: str) -> bool:
    """True for NAME-restored.SUFFIX, NAME-mask.png or NAME-overlay.png beside their NAME, and for
    the last two as .tif beside a TIFF, as which those of several pages are written.

    That is a photo of any suffix that we read; NAME may have the suffix too, as `mask_path` says.
    """
    for mark in marks:
        suffix = path.suffix.lower()
        if not path.stem.endswith(mark) or (mark != RESTORED and suffix not in (".png", ".tif")):
            continue
        name = _without(mark, path)
        whole = [name] if photo.is_photo_name(name) else []
        suffixes = (path.suffix, *sorted(photo.SUFFIXES))
        photos = [*whole, *(name.with_name(name.name + one) for one in suffixes)]
        if mark != RESTORED and suffix == ".tif":
            photos = [one for one in photos if photo.format_of(one) == "TIFF"]
        if any(one.exists() for one in photos):
            return True
    return False


def _inside(folder: Path, avoid: set[Path], unread: list[Found] | None = None) -> Iterator[Found]:
    """The photos in a folder and below; hidden files are none (macOS leaves `._x.jpg` about).

    unread: see `find`.
    """

    def unreadable(error: OSError) -> None:
        raise UsageError(f"{error.filename}: no permission to read this folder: make it readable")

    for parent, folders, files in os.walk(folder, onerror=unreadable):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if real(here / name) not in avoid)
        for name in sorted(files):
            path = here / name
            if name.startswith(".") or real(path) in avoid:
                continue
            if not photo.is_photo_name(path):
                if unread is not None and photo.is_unread_picture(path):
                    unread.append(Found(path, path.relative_to(folder)))
                continue
            yield Found(path, path.relative_to(folder))


class Partners:
    """The masks or the references of a run: one file for all photos, or a folder of them."""

    def __init__(self, path: Path, what: str, mark: str = ""):
        """`what` is the word for messages: "mask", "reference". With a `mark` they may be called
        NAME-mask of a photo NAME too.

        Raises UsageError where the path does not exist.
        """
        self.path, self.what, self.mark = path, what, mark
        self._by_key: dict[str, list[Path]] = defaultdict(list)
        if path.is_dir():
            for found in _inside(path, set()):
                self._by_key[found.key].append(found.path)
        elif not path.exists():
            raise UsageError(f"{path}: no such {what}: check the name")

    def has(self, found: Found) -> bool:
        """True if a folder holds a partner for this very photo."""
        return bool(self._candidates(found))

    def _candidates(self, found: Found) -> list[Path]:
        """What there is under the first of its names under which there is any; never itself."""
        place = real(found.path)
        for key in self._keys(found):
            paths = [path for path in self._by_key.get(key, ()) if real(path) != place]
            if paths:
                return paths
        return []

    def _keys(self, found: Found) -> Iterator[str]:
        """The names of its partners without suffix, the surest first."""
        marks = ["", self.mark] if self.mark else [""]
        if real((self.path / found.name).parent) == real(found.path.parent):
            marks.reverse()  # Among the photos, what has no mark may be one.
        # A result pairs with what its photo pairs with.
        original = found.name.with_stem(found.name.stem.removesuffix(RESTORED) or found.name.stem)
        for name in dict.fromkeys((found.name, original)):
            for key in (_composed(name), _composed(name.with_suffix(""))):
                yield from (key + mark for mark in marks)

    def of(self, found: Found) -> Path:
        """The partner of a photo; raises PhotoError where there is none, or more than one."""
        if not self.path.is_dir():
            return self.path
        candidates = self._candidates(found)
        if not candidates:
            names = f"{found.key}.*" + (f" or {found.key}{self.mark}.*" if self.mark else "")
            itself = any(key in self._by_key for key in self._keys(found))
            but = " but the photo itself" if itself else ""
            raise PhotoError(
                f"{found.path}: no {self.what} for it in {self.path}{but}: name one {names}"
            )
        if len(candidates) > 1:
            names = ", ".join(path.name for path in candidates)
            raise PhotoError(
                f"{found.path}: more than one {self.what} for it in {self.path}: keep one, {names}"
            )
        return candidates[0]

    def if_any(self, found: Found) -> Path | None:
        """As `of`, but None where a folder holds no partner for it."""
        return self.of(found) if not self.path.is_dir() or self.has(found) else None


@dataclass(frozen=True)
class Beside:
    """What is read beside a photo. Of a run: one file for all photos, or a folder of them."""

    #: What is damaged.
    mask: Path | None = None
    #: The photo in infrared light.
    infrared: Path | None = None
    #: What is never touched.
    exclude: Path | None = None
    #: The undamaged photo.
    reference: Path | None = None

    @property
    def paths(self) -> list[Path]:
        """Those that there are."""
        return [path for path in (self.mask, self.infrared, self.exclude, self.reference) if path]


class Pairs:
    """What is read beside each photo of a run."""

    def __init__(self, beside: Beside):
        """Raises UsageError where a path does not exist."""
        self._mask = _partners(beside.mask, "mask", MASK)
        self._infrared = _partners(beside.infrared, "infrared picture")
        self._exclude = _partners(beside.exclude, "mask to exclude")
        self._reference = _partners(beside.reference, "reference")

    def of(self, found: Found) -> Beside:
        """The files of a photo; raises PhotoError where one is missing, or there is more than one.

        A folder of masks to exclude need not have one for every photo.
        """
        return Beside(
            mask=self._mask.of(found) if self._mask else None,
            infrared=self._infrared.of(found) if self._infrared else None,
            exclude=self._exclude.if_any(found) if self._exclude else None,
            reference=self._reference.of(found) if self._reference else None,
        )

    def has_own(self, found: Found) -> bool:
        """True if a folder holds the mask or the infrared picture of this very photo."""
        return any(one.has(found) for one in (self._mask, self._infrared) if one)


def _partners(path: Path | None, what: str, mark: str = "") -> Partners | None:
    return Partners(path, what, mark) if path else None


def names_file(
    out: Path, photos: Sequence[Path], option: str = "-o", *, is_folder: bool = False
) -> bool:
    """True if `-o out` (or another option) names the file of a single photo, False if a folder.

    is_folder: it was typed as one, with a separator at its end. Raises UsageError where it can be
    neither.
    """
    one_file = len(photos) == 1 and not photos[0].is_dir() and not is_pattern(photos[0])
    if is_folder or out.is_dir():
        return False
    if str(out) == "-":
        raise UsageError(f"{option} -: only one photo, restored or its mask, can go to a pipe")
    if out.exists() and not one_file:
        raise UsageError(
            f"{out}: is a file, and several results need a folder: choose another {option}"
        )
    if photo.is_photo_name(out):
        if not one_file:
            raise UsageError(f"{out}: names a file, and there are several results: name a folder")
        return True
    # Several results go to a folder, whose name may have a dot.
    if (one_file or photo.is_unread_picture(out)) and out.suffix and not out.exists():
        known = " ".join(sorted(photo.SUFFIXES))
        raise UsageError(
            f"{out}: no known format: use one of {known}, or end the name of a folder with {os.sep}"
        )
    return False


def restored_path(
    found: Found, out: Path | None, out_is_file: bool, suffix: str | None = None
) -> Path:
    """Where the restored photo goes.

    Without `out` beside the photo as NAME-restored.SUFFIX; else to the file `out`, or into the
    folder `out` under its own relative name. suffix: instead of the photo's own, with its dot.
    """
    if out and out_is_file:
        return out
    path = out / found.name if out else found.path.with_stem(found.path.stem + RESTORED)
    return path.with_suffix(suffix) if suffix else path


def mask_path(found: Found, out: Path | None, out_is_file: bool, *, whole: bool = False) -> Path:
    """Where the mask that was found goes, always lossless.

    Without `out` beside the photo as NAME-mask.png; else to the file `out`, or into the folder
    `out` as NAME.png, where `--mask` finds it for its photo. whole: NAME has the photo's suffix,
    see `alike`.
    """
    name = found.path.name if whole else found.path.stem
    if out is None:
        return found.path.with_name(f"{name}{MASK}.png")
    return out if out_is_file else out / found.name.with_name(f"{name}.png")


def overlay_path(
    found: Found, mask: Path, mask_is_named: bool = False, *, whole: bool = False
) -> Path:
    """Where the photo with the mask over it goes: beside the mask as NAME-overlay.png.

    mask_is_named: NAME is that which the user chose for the mask, without its -mask, and not that
    of the photo. whole: as for `mask_path`.
    """
    name = found.path.name if whole else found.path.stem
    if mask_is_named:
        name = mask.stem.removesuffix(MASK)
    return mask.with_name(f"{name}{OVERLAY}.png")


def alike(photos: Sequence[Found], out: Path | None) -> set[Found]:
    """The photos whose masks would have the place of another's, as a.jpg and a.tif in one folder:
    theirs are named by the whole name. `out`: the folder for the masks, see `mask_path`."""
    sharing: dict[Path, list[Found]] = defaultdict(list)
    for one in photos:
        sharing[real(mask_path(one, out, False))].append(one)
    return {one for ones in sharing.values() if len(ones) > 1 for one in ones}


def check_outputs(
    outputs: Sequence[Path], inputs: Sequence[Path], *, overwrite: bool, option: str = "-o"
) -> None:
    """Refuse, before any work, what would lose a file; raises UsageError.

    `option` is the one by which the outputs are named.
    """
    read = {real(path) for path in inputs}
    written: set[Path] = set()
    for output in outputs:
        place = real(output)
        if place in written:
            raise UsageError(
                f"{output}: two photos would be written there: run them one by one, or rename one"
            )
        written.add(place)
        if place in read:
            raise UsageError(
                f"{output}: this would write over a file that is read: choose another {option}"
            )
        if output.is_dir():
            raise UsageError(
                f"{output}: is a folder, and the result a file: choose another {option}"
            )
        if not photo.is_photo_name(output):
            known = " ".join(sorted(photo.SUFFIXES))
            raise UsageError(
                f"{output}: no known format: name the result with {option}, as one of {known}"
            )
    if not overwrite:
        check_absent(outputs)
    for folder in {output.parent for output in outputs}:
        check_folder(folder, option)


def check_absent(outputs: Sequence[Path]) -> None:
    """Raise UsageError where an output is there already."""
    existing = [path for path in outputs if path.exists()]
    if existing:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        exist = "exist" if more else "exists"
        raise UsageError(f"{existing[0]}{more} {exist} already: --overwrite replaces it")


def check_place(output: Path, folder: Path, option: str = "-o") -> None:
    """Raise UsageError where an output in the folder that was named for it is a folder itself, or a
    link leads it out of there."""
    if output.is_dir():
        raise UsageError(f"{output}: is a folder, and the result a file: choose another {option}")
    if not real(output).is_relative_to(real(folder)):
        raise UsageError(
            f"{output}: a link leads out of {folder}, to {real(output)}: remove it, or choose "
            f"another {option}"
        )


def check_folder(folder: Path, option: str = "-o") -> None:
    """Raise UsageError where files cannot be written into `folder`, which need not exist yet."""
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        what = "is" if nearest == folder else f"{nearest} is"
        raise UsageError(f"{folder}: {what} a file, and no folder: choose another {option}")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"{folder}: cannot be written to: choose another {option}")
