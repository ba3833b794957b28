"""Training pictures, read from where they lie: CIFAR-10, class folders, or a tar of them.

Nothing is unpacked to disk and nothing is copied into the project. Pictures are uint8 RGB arrays
(height, width, 3).
"""

from __future__ import annotations

import hashlib
import math
import pickle
import posixpath
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Split = Literal["train", "test"]

#: Published MD5 of cifar-10-python.tar.gz, and of each batch inside (the CIFAR-10 page and
#: torchvision list them).
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
BATCH_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
#: Pixels that a picture is once in an epoch for.
AREA = 250_000
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff"}


class DataError(Exception):
    """The training data is missing, broken, or not what it should be; the text says which."""


@dataclass(frozen=True)
class Pictures:
    """A set of pictures and, for cards and tables, where they came from."""

    items: list[Picture]
    origin: str

    def __len__(self) -> int:
        return len(self.items)

    def at_least(self, side: int) -> Pictures:
        """Only the pictures from which a patch of `side` px can be cropped."""
        items = [item for item in self.items if min(item.shape[:2]) >= side]
        if not items:
            raise DataError(f"{self.origin}: no picture is at least {side} px high and wide")
        return Pictures(items, self.origin)

    def repeated(self) -> Pictures:
        """Large pictures several times, as they have more to crop from than small ones."""
        items = [i for i in self.items for _ in range(max(1, i.shape[0] * i.shape[1] // AREA))]
        return Pictures(items, self.origin)

    def held_out(self, every: int = 50) -> tuple[Pictures, Pictures]:
        """(what to train on, what to validate on): every 50th picture is held out."""
        held = self.items[::every]
        rest = [item for index, item in enumerate(self.items) if index % every]
        if not rest:
            raise DataError(f"{self.origin}: too few pictures to hold any out for validation")
        return Pictures(rest, self.origin), Pictures(held, self.origin)


def load_all(paths: Sequence[Path]) -> Pictures:
    """The training pictures of several places, one after the other; see `load`."""
    parts = [load(path) for path in paths]
    items = [item for part in parts for item in part.items]
    return Pictures(items, ", ".join(part.origin for part in parts))


def load(path: Path, split: Split = "train") -> Pictures:
    """All pictures of a split.

    `path` is `cifar-10-python.tar.gz`, the folder that it unpacks to, a folder of pictures, or a
    tar of such a folder. Folders named `train` and `test` at the top, or below the one folder that
    holds all, are the splits; where there are none, every picture belongs to both. Pictures come
    sorted by name.

    Raises DataError with one line that names the path.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_dir():
        if (path / "data_batch_1").exists() or (path / "test_batch").exists():
            return _cifar({name: _read(path / name) for name in _batches(split)}, str(path))
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        named = {p.relative_to(path).as_posix(): p for p in files}
        chosen = _of_split(list(named), split, path)
        return _decoded(((name, _read(named[name])) for name in chosen), path)
    if path.name == "cifar-10-python.tar.gz":
        _verify(_read(path), ARCHIVE_MD5, path)
        wanted = {f"cifar-10-batches-py/{name}" for name in _batches(split)}
        batches = {PurePosixPath(n).name: data for n, data in members(path) if n in wanted}
        return _cifar(batches, path.name)
    pictures = {
        name: data for name, data in members(path) if PurePosixPath(name).suffix.lower() in SUFFIXES
    }
    chosen = _of_split(sorted(pictures), split, path)
    return _decoded(((name, pictures[name]) for name in chosen), path)


def spread(pictures: Pictures, limit: int) -> Pictures:
    """At most `limit` pictures, spread evenly over the set, so over its classes too."""
    step = max(1, math.ceil(len(pictures) / limit))
    return Pictures(pictures.items[::step], pictures.origin)


def _batches(split: Split) -> list[str]:
    return [name for name in BATCH_MD5 if name.startswith("test") == (split == "test")]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _verify(data: bytes, md5: str, path: Path | str) -> None:
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            f"{path}: checksum {found} is not the published {md5}: broken or altered, get it again"
        )


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file in a tar; raises DataError where it is broken or cut off."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file:
                    yield member.name.removeprefix("./"), file.read()
            # Where a file is cut off between two members, tarfile stops without a word.
            assert archive.fileobj
            archive.fileobj.seek(archive.offset)
            if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("unexpected end of data")
    except Exception as error:  # lzma and zlib raise their own types for a broken stream
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
        raise DataError(f"{path}: not a readable tar archive ({reason})") from None


def _of_split(names: list[str], split: Split, path: Path) -> list[str]:
    shared = posixpath.commonpath(names or [""])
    tops = [name.removeprefix(shared).lstrip("/").split("/")[0] for name in names]
    if {"train", "test"} <= set(tops):
        return [name for name, top in zip(names, tops, strict=True) if top == split]
    only = {"train", "test"} & set(PurePosixPath(shared).parts)
    if only and split not in only:
        raise DataError(f"{path}: holds {only.pop()} pictures only, none to {split} on")
    return names


def _cifar(batches: dict[str, bytes], origin: str) -> Pictures:
    items: list[Picture] = []
    for name in sorted(batches):
        _verify(batches[name], BATCH_MD5[name], f"{origin}: {name}")
        items += parse_batch(batches[name])
    if not items:
        raise DataError(f"{origin}: holds no CIFAR-10 batches")
    return Pictures(items, "CIFAR-10 (official binary archive)")


def parse_batch(data: bytes) -> list[Picture]:
    """The pictures of one pickled CIFAR-10 batch: 3072 bytes each, planes of red, green, blue.

    Unpickling runs code: only bytes whose checksum is known may come here.
    """
    planes = np.asarray(pickle.loads(data, encoding="bytes")[b"data"], np.uint8)
    return list(np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)))


def _decoded(files: Iterator[tuple[str, bytes]], path: Path) -> Pictures:
    items = []
    jpeg = False
    for name, data in files:
        jpeg = jpeg or PurePosixPath(name).suffix.lower() in (".jpg", ".jpeg")
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        if decoded is None:
            raise DataError(f"{path}: {name} is not a readable picture")
        items.append(np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8))
    if not items:
        raise DataError(f"{path}: holds no pictures")
    if not re.match(r"cifar-?10(?!0)", path.name, re.IGNORECASE):
        return Pictures(items, path.name)
    copies = " as JPEG copies" if jpeg else ""
    return Pictures(items, f"CIFAR-10{copies} ({path.name})")
