"""Files are whole or absent, and what was not finished is cleared away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inpaintcli.files import clear_leftovers, write_whole

ROOT = Path(__file__).parent.parent


def test_leftovers_are_cleared_and_nothing_else(tmp_path: Path) -> None:
    stale = tmp_path / ".a.png-0123456789abcdef.inpaint-part"
    others = [".b.png-01.inpaint-part", "c.png-0123456789abcdef.inpaint-part", ".d.part", "e.png"]
    for name in (stale.name, *others):
        (tmp_path / name).write_bytes(b"x")
    clear_leftovers([tmp_path, tmp_path / "nix"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


@pytest.mark.skipif(os.name != "posix", reason="locks are held on POSIX systems alone")
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
