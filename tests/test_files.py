"""Files are whole or absent, and what was not finished is cleared away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

from inpaintcli.cli import main
from inpaintcli.files import abandon, clear_leftovers, temporary_folder, write_whole
from tests.helpers import picture, save, save_mask, stripe

ROOT = Path(__file__).parent.parent
posix = pytest.mark.skipif(os.name != "posix", reason="locks are held on POSIX systems alone")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that this process and its children take for the system's temporary one."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


#: A process that has a temporary folder with a file in it, and waits in a library.
WAITING = (
    "import hashlib; from inpaintcli import files; from inpaintcli.stopping import Stop\n"
    "with Stop(), files.temporary_folder() as folder:\n"
    "    (folder / 'photo.png').touch()\n"
    "    print('ready', flush=True)\n"
    "    hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"
)


def waiting() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        # A shell that started the tests in the background has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_leftovers_are_cleared_and_nothing_else(tmp_path: Path) -> None:
    stale = tmp_path / ".a.png-0123456789abcdef.inpaint-part"
    others = [".b.png-01.inpaint-part", "c.png-0123456789abcdef.inpaint-part", ".d.part", "e.png"]
    for name in (stale.name, *others):
        (tmp_path / name).write_bytes(b"x")
    clear_leftovers([tmp_path, tmp_path / "nix"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


@posix
def test_what_a_live_process_writes_is_no_leftover(tmp_path: Path) -> None:
    """A process stops within `write_whole`; its file is cleared only once it is gone."""
    script = (
        "import os, sys; from pathlib import Path; from inpaintcli import files\n"
        "os.fsync = lambda descriptor: (print('writing', flush=True), sys.stdin.read())\n"
        "files.write_whole(Path(sys.argv[1]), b'data')"
    )
    target = tmp_path / ("n" * 251 + ".png")
    process = subprocess.Popen(
        [sys.executable, "-c", script, target],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdin
    assert process.stdout.readline() == "writing\n"
    clear_leftovers([tmp_path])
    (partial,) = tmp_path.iterdir()
    assert partial.name.endswith(".inpaint-part")
    process.kill()
    process.communicate()
    clear_leftovers([tmp_path])
    assert not list(tmp_path.iterdir())


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    for name in ("n" * 251 + ".png", "ß" * 125 + ".png", "\n" * 30):
        write_whole(tmp_path / name, b"data")
        assert (tmp_path / name).read_bytes() == b"data"


def test_a_temporary_folder_is_removed_in_the_end(temporary: Path) -> None:
    with suppress(KeyError), temporary_folder() as folder:
        assert folder.parent == temporary
        save(folder / "below/photo.png", picture())
        raise KeyError
    assert not list(temporary.iterdir())
    with temporary_folder() as folder:
        save(folder / "below/photo.png", picture())
        abandon()
        assert not list(temporary.iterdir())


@posix
def test_a_second_interrupt_leaves_no_temporary_folder(temporary: Path) -> None:
    process = waiting()
    assert len(list(temporary.iterdir())) == 1
    process.send_signal(signal.SIGINT)
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not list(temporary.iterdir())


@posix
def test_the_next_run_removes_the_temporary_folders_of_dead_processes_alone(
    temporary: Path, tmp_path: Path
) -> None:
    save(tmp_path / "photo.png", picture())
    save_mask(tmp_path / "mask.png", stripe())
    others = ["inpaint-notes", "inpaint-01234567", "01234567.inpaint-part", "inpaint-.inpaint-part"]
    for name in others:
        (temporary / name).mkdir()
    (temporary / "inpaint-01234567.inpaint-part").write_bytes(b"a file")
    (temporary / "inpaint-76543210.inpaint-part").symlink_to(tmp_path, target_is_directory=True)
    before = set(temporary.iterdir())
    dead, alive = waiting(), waiting()
    try:
        assert len(list(temporary.iterdir())) == len(before) + 2
        dead.kill()
        dead.communicate()
        print_, mask = map(str, (tmp_path / "photo.png", tmp_path / "mask.png"))
        assert main.run(["restore", print_, "--mask", mask, "--model", "telea"]) == 0
        (living,) = set(temporary.iterdir()) - before
        assert [path.name for path in living.iterdir()] == ["photo.png"]
    finally:
        alive.kill()
        alive.communicate()
    clear_leftovers()
    assert set(temporary.iterdir()) == before
    assert (tmp_path / "photo.png").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="root alone gives files away")
def test_another_users_temporary_folder_stays(temporary: Path) -> None:
    folder = temporary / "inpaint-01234567.inpaint-part"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    clear_leftovers()
    assert folder.exists()
