"""Which files belong together, and what is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from inpaintcli.errors import PhotoError, UsageError
from inpaintcli.pairing import (
    MASK,
    Found,
    Partners,
    check_outputs,
    find,
    find_results,
    names_file,
    restored_path,
)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(found: list[Found]) -> list[str]:
    return [one.name.as_posix() for one in found]


def test_folders_are_searched_in_order_without_hidden_files(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a.png", "notes.txt", "._a.png", "sub/c.tif", "sub/deep/d.webp")
    everything = ["a.png", "b.JPG", "sub/c.tif", "sub/deep/d.webp"]
    assert names(find([tmp_path])) == everything
    assert names(find([tmp_path / "a.png", tmp_path])) == everything


def test_own_results_and_folders_apart_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "a-restored.jpg", "alone-restored.jpg", "masks/a.png", "out/a.jpg")
    touch(tmp_path, "mask.png")
    apart = [tmp_path / "masks", tmp_path / "out", tmp_path / "mask.png"]
    assert names(find([tmp_path], apart=apart)) == ["a.jpg", "alone-restored.jpg"]
    assert names(find([tmp_path / "masks"], apart=apart)) == ["a.png"]


def test_of_a_photo_and_its_result_the_result_is_scored(tmp_path: Path) -> None:
    touch(tmp_path / "in", "a.jpg", "a-restored.jpg", "b.png", "sub/c-restored.png")
    touch(tmp_path / "ref", "a.png", "b.png", "sub/c.png")
    found = find_results(tmp_path / "in")
    assert names(found) == ["a-restored.jpg", "b.png", "sub/c-restored.png"]
    references = Partners(tmp_path / "ref", "reference")
    assert [references.of(one).name for one in found] == ["a.png", "b.png", "c.png"]


def test_folders_that_loop_end(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "sub/b.png")
    (tmp_path / "sub/loop").symlink_to(tmp_path, target_is_directory=True)
    assert names(find([tmp_path])) == ["a.png", "sub/b.png"]


def test_missing_and_empty_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "sub/a.png", "empty/notes.txt")
    with pytest.raises(UsageError, match="no such file or folder"):
        find([tmp_path / "nix"])
    with pytest.raises(UsageError, match=r"looked for .*: check the name"):
        find([tmp_path / "empty"])


def test_pictures_that_are_not_read_are_told(tmp_path: Path) -> None:
    touch(tmp_path / "in", "a.png", "b.GIF", "sub/c.cr2", "notes.txt", "Thumbs.db", ".d.gif")
    touch(tmp_path / "out", "e.gif")
    unread: list[Found] = []
    assert names(find([tmp_path / "in"], unread=unread)) == ["a.png"]
    assert [one.name.as_posix() for one in unread] == ["b.GIF", "sub/c.cr2"]
    unread.clear()
    touch(tmp_path, "f.png", "g.psd")
    assert names(find([tmp_path / "*.*"], unread=unread)) == ["f.png"]
    assert [one.path.name for one in unread] == ["g.psd"]


def test_partners_pair_by_relative_name_without_suffix(tmp_path: Path) -> None:
    touch(tmp_path / "masks", "a.png", "sub/a.tif", "two.png", "two.jpg")
    masks = Partners(tmp_path / "masks", "mask")
    assert masks.of(Found(Path("x/a.jpg"), Path("a.jpg"))) == tmp_path / "masks/a.png"
    assert masks.of(Found(Path("x/sub/a.jpg"), Path("sub/a.jpg"))) == tmp_path / "masks/sub/a.tif"
    with pytest.raises(PhotoError, match=r"x/b\.jpg: no mask for it"):
        masks.of(Found(Path("x/b.jpg"), Path("b.jpg")))
    with pytest.raises(PhotoError, match="more than one mask"):
        masks.of(Found(Path("x/two.jpg"), Path("two.jpg")))
    one = Partners(tmp_path / "masks/a.png", "mask")
    assert one.of(Found(Path("any.jpg"), Path("any.jpg"))) == tmp_path / "masks/a.png"


def test_a_photo_is_no_partner_of_its_own(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a-mask.png", "a-restored.png", "b.png", "c.tif", "c.jpg")
    touch(tmp_path, "c.jpg-mask.png", "c-mask.png")
    a, b, tif, jpg, restored = (
        Found(tmp_path / name, Path(name))
        for name in ("a.png", "b.png", "c.tif", "c.jpg", "a-restored.png")
    )
    masks = Partners(tmp_path, "mask", MASK)
    for one, name in ((a, "a-mask"), (restored, "a-mask"), (tif, "c-mask"), (jpg, "c.jpg-mask")):
        assert masks.of(one) == tmp_path / f"{name}.png"
    with pytest.raises(PhotoError, match=r"b\.png: no mask for it .* b\.\* or b-mask\.\*"):
        masks.of(b)
    for what in ("mask to exclude", "infrared picture"):
        partners = Partners(tmp_path, what)
        assert partners.if_any(a) is None
        with pytest.raises(PhotoError, match=f"no {what} for it in .* but the photo itself"):
            partners.of(b)
    assert Partners(tmp_path, "reference").of(restored) == a.path
    # In a folder of masks the plain name is the surer one.
    touch(tmp_path / "masks", "a.png", "a-mask.png")
    assert Partners(tmp_path / "masks", "mask", MASK).of(a) == tmp_path / "masks/a.png"


def test_where_results_go(tmp_path: Path) -> None:
    photo = Found(tmp_path / "in/sub/a.b.jpg", Path("sub/a.b.jpg"))
    assert restored_path(photo, None, False) == tmp_path / "in/sub/a.b-restored.jpg"
    assert restored_path(photo, tmp_path / "out", False) == tmp_path / "out/sub/a.b.jpg"
    assert restored_path(photo, tmp_path / "x.png", True) == tmp_path / "x.png"


def test_output_names_a_file_or_a_folder_by_what_is_given_alone(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "in/a.jpg", "file.png", "file")
    (tmp_path / "folder.png").mkdir()
    one, folder = [tmp_path / "a.jpg"], [tmp_path / "in"]
    assert names_file(tmp_path / "x.png", one)
    assert names_file(tmp_path / "file.png", one)
    assert not names_file(tmp_path / "folder.png", one)
    assert not names_file(tmp_path / "out", one)
    assert not names_file(tmp_path / "out", folder)
    # A folder's name may have a dot; a single photo's result can hardly be meant for one.
    assert not names_file(tmp_path / "album.1950", folder)
    assert not names_file(tmp_path / "album.1950", one * 2)
    # Where one is typed as a folder it is one, whatever its name.
    for name in ("new.v1", "new.png", "x.gif"):
        for photos in (one, one * 2, folder):
            assert not names_file(tmp_path / name, photos, is_folder=True)
    for out, photos in (
        (tmp_path / "x.gif", one),
        (tmp_path / "x.gif", folder),
        (Path("-"), one),
        (tmp_path / "x.png", folder),
        (tmp_path / "file.png", folder),
        (tmp_path / "x.png", one * 2),
    ):
        with pytest.raises(UsageError):
            names_file(out, photos)


def test_what_would_lose_a_file_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "in.png", "there.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "in.png")
    new, read = tmp_path / "new/x.png", [tmp_path / "in.png"]
    check_outputs([new], read, overwrite=False)
    assert not new.parent.exists()
    check_outputs([tmp_path / "there.png"], read, overwrite=True)
    cases = [
        ([new, tmp_path / "new/../new/x.png"], "two photos"),
        ([tmp_path / "in.png"], "write over"),
        ([tmp_path / "link.png"], "write over"),
        ([tmp_path / "there.png"], "--overwrite"),
        ([tmp_path / "folder.png"], "is a folder"),
        ([tmp_path / "in.png/x.png"], "is a file"),
    ]
    for outputs, message in cases:
        with pytest.raises(UsageError, match=message):
            check_outputs(outputs, read, overwrite=message == "write over")
