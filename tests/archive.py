"""A run over an archive of which every tenth photo is bad, each in one of many ways.

    python -m tests.archive

makes 1,000 photos of all formats that need no further package, with masks, runs the real command
over them, and says how many were restored and how many failed and were named. It exits with 0 if
these are just the good ones and just the bad ones, every good result is whole and right and nothing
else has changed; else with 1, and says what is wrong.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from inpaintcli import photo
from inpaintcli.errors import PhotoError
from tests import corpus
from tests.fuzz import digests

ROOT = Path(__file__).parent.parent
#: Between their sides, in pixels, all photos are.
_SIDES = (24, 120)
#: Names that scripts stumble over; file systems that take no such bytes have the others.
_NAMES = ("holiday", "two words", " blanks ", "line\nbreak", "naïve été 写真", "-dash", "%s")
_BYTES = os.fsdecode(b"latin-\xe9\xff")


@dataclass
class Archive:
    """Photos and masks below a folder; bad: what is wrong with the bad ones. doomed: photos that
    are there when the run begins and are removed before it comes to them."""

    folder: Path
    good: dict[Path, str] = field(default_factory=dict)
    bad: dict[Path, str] = field(default_factory=dict)
    doomed: list[Path] = field(default_factory=list)

    @property
    def photos(self) -> Path:
        """The folder of the photos."""
        return self.folder / "photos"

    @property
    def masks(self) -> Path:
        """The folder of their masks, of the same names."""
        return self.folder / "masks"

    @property
    def out(self) -> Path:
        """The folder of the results."""
        return self.folder / "restored"


def _as_it_was(path: Path, data: bytes, turn: int) -> None:
    path.write_bytes(data)


def _empty(path: Path, data: bytes, turn: int) -> None:
    path.touch()


def _cut(path: Path, data: bytes, turn: int) -> None:
    path.write_bytes(data[: len(data) * (1 + turn % 9) // 10])


def _random(path: Path, data: bytes, turn: int) -> None:
    path.write_bytes(random.Random(turn).randbytes(len(data)))


def _bomb(path: Path, data: bytes, turn: int) -> None:
    bombs = corpus.bombs()
    path.write_bytes(list(bombs.values())[turn % len(bombs)])


def _misnamed(path: Path, data: bytes, turn: int) -> None:
    path.write_bytes(b"A letter, and no photo at all.\n" * 20 if turn % 2 else b"GIF89a" + data)


def _unreadable(path: Path, data: bytes, turn: int) -> None:
    path.write_bytes(data)
    path.chmod(0)


def _loop(path: Path, data: bytes, turn: int) -> None:
    if turn % 2:
        path.symlink_to(path.name)
    else:
        path.symlink_to(path.with_stem(f"{path.stem}-is-not-here"))


#: How photos are bad: what makes one in place of a good one of these bytes, for the n-th time.
WAYS: dict[str, Callable[[Path, bytes, int], None]] = {
    "empty": _empty,
    "cut short": _cut,
    "random bytes": _random,
    "a bomb": _bomb,
    "no such format": _misnamed,
    "not readable": _unreadable,
    "a link to itself or to nothing": _loop,
    "gone in mid-run": _as_it_was,
    "a mask of another size": _as_it_was,
}


def make(folder: Path, number: int, bad: int, seed: int = 0) -> Archive:
    """Make an archive of so many photos, so many of them bad, with some folders in folders."""
    archive = Archive(folder)
    chance = random.Random(seed)
    kinds = [(name, kind) for name, kind in corpus.KINDS.items() if not kind.refused]
    ways = [way for way in WAYS if way != "not readable" or unprivileged(["true"]) is not None]
    wrong = {number * k // bad: ways[k % len(ways)] for k in range(bad)}
    for index in range(number):
        name, kind = kinds[index % len(kinds)]
        width, height = chance.randint(*_SIDES), chance.randint(*_SIDES)
        way = wrong.get(index)
        # What is to go in mid-run comes last.
        path = archive.photos / _name(index, "zz" if way == "gone in mid-run" else "", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = kind.make(width, height)
        size = (height, width) if kind.turned else (width, height)
        if way == "a mask of another size":
            size = (size[0] + 1, size[1])
        _mask(archive.masks / path.relative_to(archive.photos), size, chance)
        if way is None:
            path.write_bytes(data)
            archive.good[path] = name
            continue
        WAYS[way](path, data, len(archive.bad) // len(ways))
        archive.bad[path] = way
        if way == "gone in mid-run":
            archive.doomed.append(path)
    return archive


def _name(index: int, before: str, kind: str) -> Path:
    name = f"{_NAMES[index % len(_NAMES)]} {index}"
    if index % 9 == 4 and _takes_bytes():
        name = f"{_BYTES} {index}"
    folder = before or ("", "1962", "1962/Rügen (prints)")[index % 3]
    return Path(folder, name + Path(kind).suffix)


@functools.cache
def _takes_bytes() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        try:
            Path(folder, _BYTES).touch()
        except OSError:
            return False
        return True


def _mask(path: Path, size: tuple[int, int], chance: random.Random) -> None:
    image = Image.new("L", size)
    ends = [(chance.randrange(size[0]), chance.randrange(size[1])) for _ in range(2)]
    ImageDraw.Draw(image).line(ends, 255, 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path.with_suffix(".png"))


# ---- Privileges ----------------------------------------------------------------------------------


@functools.cache
def _locked_out() -> tuple[str, ...] | None:
    """What to put before a command so that it may read and write only what modes allow, as for
    anybody but root; None where there is no way."""
    if os.name != "posix":
        return None
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        before = (sys.executable, "-c", _DROP)
    with tempfile.TemporaryDirectory() as folder:
        shut = Path(folder, "shut")
        shut.touch(0)
        tried = subprocess.run([*before, "cat", shut], capture_output=True, check=False)
    return before if tried.returncode and b"ermission" in tried.stderr else None


#: Root is above all modes by two capabilities, CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: it gives
#: them up (PR_CAPBSET_DROP) for the command that it becomes.
_DROP = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if any(libc.prctl(24, capability, 0, 0, 0) for capability in (1, 2)):
    sys.exit("cannot give up root's privileges")
os.execvp(sys.argv[1], sys.argv[1:])
"""


def unprivileged(words: list[str]) -> list[str] | None:
    """The command, held to the modes of files even if root runs it; None where there is no way."""
    before = _locked_out()
    return None if before is None else [*before, *words]


# ---- The run -------------------------------------------------------------------------------------


@dataclass
class Finding:
    """How many photos were restored and how many failed and were named; wrong: all that is not as
    it should be, one line each."""

    restored: int = 0
    named: int = 0
    ways: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def run(archive: Archive, *options: str, model: str = "telea") -> Finding:
    """Run the command over an archive and look at all that it left."""
    before = digests(archive.folder)
    links = {path: path.readlink() for path in archive.bad if path.is_symlink()}
    words = [sys.executable, "-m", "inpaintcli", "restore", str(archive.photos), "--recursive"]
    words += ["--mask", str(archive.masks), "-o", str(archive.out), "--model", model]
    words += ["--json", "--quiet"]
    process = subprocess.Popen(
        [*(unprivileged(words) or words), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="surrogateescape",
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8:surrogateescape"},
    )  # fmt: skip
    remover = threading.Thread(target=_remove, args=[archive, process], daemon=True)
    remover.start()
    stdout, stderr = process.communicate(timeout=3600)
    remover.join()
    return _looked_at(archive, process.returncode, stdout, stderr, before, links)


def _remove(archive: Archive, process: subprocess.Popen[str]) -> None:
    """Remove what is doomed once the first result is there."""
    while process.poll() is None:
        if archive.out.is_dir() and any(path.is_file() for path in archive.out.rglob("*")):
            for path in archive.doomed:
                path.unlink()
            return
        time.sleep(0.002)


def _looked_at(
    archive: Archive,
    code: int,
    stdout: str,
    stderr: str,
    before: dict[Path, str],
    links: dict[Path, Path],
) -> Finding:
    finding = Finding()
    wrong = finding.wrong.append
    if code != 1:
        wrong(f"the exit code is {code}, not 1")
    outcomes = {one["photo"]: one for one in map(json.loads, stdout.splitlines())}
    lines = [line for line in stderr.splitlines() if line.startswith("inpaint: ")]
    if len(lines) != len(stderr.splitlines()):
        odd = [line for line in stderr.splitlines() if not line.startswith("inpaint: ")]
        wrong(f"{len(odd)} lines are no reasons, the first: {odd[0]!r}")
    reasons = Counter(lines)
    for path, way in archive.bad.items():
        outcome = outcomes.get(str(path))
        if outcome is None or outcome["status"] != "failed":
            wrong(f"{path!s}: {way}, but not said to have failed: {outcome}")
            continue
        told = one_line(f"inpaint: {outcome['error']}")
        if "unexpectedly" in told:
            wrong(f"{path!s}: {way}: {told!r}")
        elif one_line(path.stem) not in told:
            wrong(f"{path!s}: {way}, and not named in {told!r}")
        elif reasons[told] != 1:
            wrong(f"{path!s}: {way}: its reason is not one line of stderr: {told!r}")
        else:
            finding.named += 1
            finding.ways[way] += 1
        if os.path.lexists(_result(archive, path)):
            wrong(f"{path!s}: {way}, and yet there is a result")
    if len(lines) != len(archive.bad):
        wrong(f"{len(lines)} reasons for {len(archive.bad)} bad photos")
    for path, kind in archive.good.items():
        if problem := _problem(archive, path, kind, outcomes.get(str(path))):
            wrong(f"{path!s}: {problem}")
        else:
            finding.restored += 1

    there = digests(archive.folder)
    results = {_result(archive, path) for path in archive.good}
    doomed = set(archive.doomed)
    changed = [path for path in before if path not in doomed and there.get(path) != before[path]]
    added = [path for path in there if path not in before and path not in results]
    if changed:
        wrong(f"{len(changed)} inputs have changed: {changed[:3]}")
    if added:
        wrong(f"{len(added)} files were left that are no results: {added[:3]}")
    if any(not path.is_symlink() or path.readlink() != to for path, to in links.items()):
        wrong("links have changed")
    return finding


def one_line(text: str) -> str:
    """How messages show a text with names of any bytes."""
    return os.fsencode(text).decode("utf-8", "replace").replace("\n", "\\n")


def _result(archive: Archive, path: Path) -> Path:
    return archive.out / path.relative_to(archive.photos)


def _problem(archive: Archive, path: Path, kind: str, outcome: dict[str, str] | None) -> str | None:
    """What is wrong with the result of a good photo."""
    if outcome is None or outcome["status"] != "restored":
        return f"a good {kind}, but: {outcome}"
    with Image.open((archive.masks / path.relative_to(archive.photos)).with_suffix(".png")) as file:
        mask = np.asarray(file) > 0
    try:
        pages = photo.pages(path)
        for page in range(pages):
            one = photo.read(path, page=page)
            other = photo.read(_result(archive, path), page=page)
            if one.pixels.shape[:2] != other.pixels.shape[:2]:
                return f"{one.pixels.shape} became {other.pixels.shape}"
            same = np.broadcast_arrays(one.pixels, other.pixels)
            if corpus.KINDS[kind].exact and not np.array_equal(same[0][~mask], same[1][~mask]):
                return "undamaged pixels have changed"
    except PhotoError as error:
        return f"its result cannot be read: {error}"
    return None


def main() -> int:
    """The command of this module; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.archive", description=__doc__)
    parser.add_argument("--photos", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--bad", type=int, help="how many of them are bad (a tenth)")
    parser.add_argument("--model", default="telea", help="the method (telea)")
    parser.add_argument("--workers", type=int, help="as of the command")
    options = parser.parse_args()
    bad = options.photos // 10 if options.bad is None else options.bad
    workers = () if options.workers is None else ("--workers", str(options.workers))
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        archive = make(Path(folder), options.photos, bad)
        made = time.monotonic()
        finding = run(archive, *workers, model=options.model)
    for line in finding.wrong[:40]:
        print(line)
    for way, count in sorted(finding.ways.items()):
        print(f"{count:5} {way}")
    print(f"{made - started:.0f} s to make them, {time.monotonic() - made:.0f} s to restore them")
    print(f"{finding.restored} restored, {finding.named} failed and named")
    right = (finding.restored, finding.named) == (options.photos - bad, bad) and not finding.wrong
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
