"""Reading training pictures, and saying in one line what is wrong with them."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tests.training import Picture, class_folders, encoded, synthetic, tar_of
from training import data
from training.data import DataError, Pictures, load, parse_batch


def refused(path: Path) -> str:
    """The text of the DataError that loading raises: one line that names the path."""
    with pytest.raises(DataError) as caught:
        load(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def batch(pictures: list[Picture]) -> bytes:
    """A CIFAR-10 batch as its authors wrote them."""
    planes = np.stack([picture.transpose(2, 0, 1).reshape(-1) for picture in pictures])
    return pickle.dumps({b"data": planes, b"labels": [0] * len(pictures)})


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The six batches with two pictures each, published under their own checksums."""
    made = {name: batch(synthetic(2, seed=i)) for i, name in enumerate(data.BATCH_MD5)}
    monkeypatch.setattr(data, "BATCH_MD5", {name: md5(content) for name, content in made.items()})
    return made


@pytest.fixture
def files() -> dict[str, bytes]:
    """Encoded pictures in class folders: four to train on, two to test."""
    names = [f"train/{c}/{i}.png" for c in ("cat", "dog") for i in range(2)]
    names += ["test/cat/0.png", "test/dog/0.png"]
    return dict(zip(names, map(encoded, synthetic(6)), strict=True))


def test_class_folders_without_splits_belong_to_both(tmp_path: Path) -> None:
    pictures = synthetic(4)
    class_folders(tmp_path, pictures)
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    for split in get_args(data.Split):
        loaded = load(tmp_path, split)
        assert [a.tolist() for a in loaded.items] == [b.tolist() for b in pictures]
        assert loaded.origin == tmp_path.name


def test_train_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    class_folders(tmp_path, synthetic(4), "train")
    class_folders(tmp_path, synthetic(2, seed=1), "test")
    assert len(load(tmp_path)) == 4
    assert len(load(tmp_path, "test")) == 2


@pytest.mark.parametrize("prefix", ["", "./", "pictures/"])
@pytest.mark.parametrize(("suffix", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tar.xz", "w:xz")])
def test_tar_of_class_folders(
    tmp_path: Path, files: dict[str, bytes], suffix: str, mode: str, prefix: str
) -> None:
    named = {prefix + name: content for name, content in files.items()}
    path = tar_of(tmp_path / f"cifar10.{suffix}", named, mode)
    train, test = load(path), load(path, "test")
    assert (len(train), len(test)) == (4, 2)
    assert train.items[0].tolist() == synthetic(6)[0].tolist()
    assert train.origin == f"CIFAR-10 (cifar10.{suffix})"


@pytest.mark.parametrize(
    ("name", "suffix", "origin"),
    [
        ("cifar10.tar", "jpg", "CIFAR-10 as JPEG copies (cifar10.tar)"),
        ("cifar-10.tar", "png", "CIFAR-10 (cifar-10.tar)"),
        ("cifar100.tar", "jpg", "cifar100.tar"),
        ("photos.tar", "jpg", "photos.tar"),
    ],
)
def test_origin_tells_what_the_pictures_are(
    tmp_path: Path, name: str, suffix: str, origin: str
) -> None:
    path = tar_of(tmp_path / name, {f"a/x.{suffix}": encoded(synthetic(1)[0])})
    assert load(path).origin == origin


def test_a_split_that_is_not_there_is_no_other_split(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "set", synthetic(4), "train")
    assert len(load(folder)) == 4
    with pytest.raises(DataError, match="holds train pictures only"):
        load(folder, "test")


def test_missing_path(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nowhere")


def test_nothing_in_it(tmp_path: Path) -> None:
    assert "no pictures" in refused(tmp_path)
    assert "no pictures" in refused(tar_of(tmp_path / "empty.tar", {"readme.txt": b"hello"}))


def test_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "pictures.tar.xz"
    path.write_bytes(b"not an archive, whatever its name says" * 100)
    assert "not a readable tar archive" in refused(path)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.7, 0.99])
@pytest.mark.parametrize(("suffix", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tar.xz", "w:xz")])
def test_truncated_archive(
    tmp_path: Path, files: dict[str, bytes], suffix: str, mode: str, share: float
) -> None:
    path = tar_of(tmp_path / f"pictures.{suffix}", files, mode)
    whole = path.read_bytes()
    end = len(whole) if mode != "w" else len(whole.rstrip(b"\0"))
    path.write_bytes(whole[: int(share * end)])
    refused(path)


def test_tar_cut_between_two_members(tmp_path: Path, files: dict[str, bytes]) -> None:
    path = tar_of(tmp_path / "pictures.tar", files)
    first = 512 + -(-len(files["train/cat/0.png"]) // 512) * 512
    path.write_bytes(path.read_bytes()[:first])
    refused(path)


def test_unreadable_picture(tmp_path: Path, files: dict[str, bytes]) -> None:
    files["train/dog/1.png"] = files["train/dog/1.png"][:20]
    assert "train/dog/1.png" in refused(tar_of(tmp_path / "pictures.tar", files))
    class_folders(tmp_path / "folder", synthetic(2))
    (tmp_path / "folder" / "cat" / "empty.png").write_bytes(b"")
    assert "cat/empty.png" in refused(tmp_path / "folder")


def test_cifar_archive(
    tmp_path: Path, batches: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"cifar-10-batches-py/{name}": content for name, content in batches.items()}
    path = tar_of(tmp_path / "cifar-10-python.tar.gz", files, "w:gz")
    assert "checksum" in refused(path)
    monkeypatch.setattr(data, "ARCHIVE_MD5", md5(path.read_bytes()))
    train, test = load(path), load(path, "test")
    assert (len(train), len(test)) == (10, 2)
    assert train.items[0].tolist() == synthetic(2, seed=0)[0].tolist()
    assert test.items[1].tolist() == synthetic(2, seed=5)[1].tolist()
    assert train.origin == "CIFAR-10 (official binary archive)"
    path.write_bytes(path.read_bytes()[:-100])
    assert "checksum" in refused(path)


def test_cifar_folder(tmp_path: Path, batches: dict[str, bytes]) -> None:
    for name, content in batches.items():
        (tmp_path / name).write_bytes(content)
    assert len(load(tmp_path)) == 10
    (tmp_path / "data_batch_3").write_bytes(batches["data_batch_3"] + b"altered")
    assert "data_batch_3: checksum" in refused(tmp_path)
    (tmp_path / "data_batch_3").unlink()
    assert "data_batch_3" in refused(tmp_path)
    assert len(load(tmp_path, "test")) == 2


def test_parse_batch_reads_planes() -> None:
    pictures = synthetic(3)
    parsed = parse_batch(batch(pictures))
    assert [p.tolist() for p in parsed] == [p.tolist() for p in pictures]
    assert parsed[0].dtype == np.uint8
    assert parsed[0].flags.c_contiguous


def test_held_out_pictures_are_not_trained_on() -> None:
    pictures = Pictures([np.full((2, 2, 3), i, np.uint8) for i in range(101)], "test")
    train, held_out = pictures.held_out()
    assert [int(p[0, 0, 0]) for p in held_out.items] == [0, 50, 100]
    assert len(train) == 98
    with pytest.raises(DataError, match="too few"):
        Pictures(pictures.items[:1], "test").held_out()


def test_small_pictures_are_left_out() -> None:
    pictures = Pictures([*synthetic(1, 16), *synthetic(2, 32)], "test")
    assert len(pictures.at_least(32)) == 2
    with pytest.raises(DataError, match="at least 64 px"):
        pictures.at_least(64)
