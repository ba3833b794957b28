"""Damaged files of every format against the decoders and against the command.

    python -m tests.fuzz --files 10000

Each file is read, and what could be read is written again, in a child process that says which file
it is at: a crash or a hang is that file's, and another child goes on after it. Then so many go
through `inpaint restore` in batches. Exits 0 if nothing is wrong, else 1.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from inpaintcli import photo
from inpaintcli.errors import PhotoError
from tests import corpus

ROOT = Path(__file__).parent.parent
#: Seconds of work for one file, until it counts as a hang; and seconds by the clock, many more,
#: because the machine may be busy.
_WORK, PATIENCE = 30, 300
#: Files of one batch of the command.
BATCH = 250
#: Bytes that a child may take hold of: a damaged size must not take the machine's memory.
_MEMORY = 8 * 2**30
#: What a damaged size has made larger than this is read, but not written again.
_LARGE = 2_000_000
#: Formats in which what was read and written again is the same.
_EXACT = (".png", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pnm", ".webp")


@dataclass
class Result:
    """What became of the files: how many were read and how many refused, and all that is wrong,
    one line each."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{number} {what}" for what, number in sorted(self.counts.items()))
        return "\n".join([*self.wrong, f"{counts}, {len(self.wrong)} wrong"])


def damaged_file(whole: dict[str, Path], number: int) -> tuple[str, bytes]:
    """The name and the bytes of a damaged file: its kind by turns, its damage by its number."""
    kind = list(whole)[number % len(whole)]
    return f"{number:06d}-{kind}", corpus.damaged(whole[kind].read_bytes(), number)


# ---- Decoders ------------------------------------------------------------------------------------


def decode_all(whole: Path, first: int, last: int) -> Result:
    """Read and write again the damaged files of these numbers, in child processes."""
    result = Result()
    names = list(corpus.KINDS | corpus.FURTHER_KINDS)
    at = first
    while at < last:
        reached = at - 1
        for number, word, text in _child(whole, at, last):
            reached = number
            if word == "wrong":
                kind = names[number % len(names)]
                result.wrong.append(f"file {number} ({kind}): {text}")
            result.counts["damaged files decoded" if word == "read" else f"files {word}"] += 1
        at = reached + 1
    return result


def _child(whole: Path, first: int, last: int) -> Iterator[tuple[int, str, str]]:
    """Number, what became of it, and what there is to say of it, until the child ends or is ended
    by a file: then that is the last."""
    words = [sys.executable, "-m", "tests.fuzz", "--child", str(first), str(last), str(whole)]
    with tempfile.TemporaryFile() as noise:
        process = subprocess.Popen(
            words, cwd=ROOT, stdout=subprocess.PIPE, stderr=noise, text=True, env=environment()
        )
        assert process.stdout
        lines: queue.Queue[str] = queue.Queue()
        stream = process.stdout

        def read() -> None:
            for line in stream:
                lines.put(line)
            lines.put("")

        threading.Thread(target=read, daemon=True).start()
        at, begun = first - 1, False
        try:
            while line := lines.get(timeout=PATIENCE):
                number, word, text = json.loads(line)
                at, begun = number, word == "begun"
                if not begun:
                    yield number, word, text
        except queue.Empty:
            yield max(at, first), "wrong", f"hangs: no end in {PATIENCE} s"
            return
        finally:
            process.kill()
            process.wait()
            stream.close()
        if begun or at < last - 1:
            noise.seek(0)
            told = noise.read().decode(errors="replace").strip().splitlines() or ["-"]
            if at < first:
                raise RuntimeError(f"the child does not begin: {told[-1]}")
            yield at + (not begun), "wrong", f"{_ending(process.returncode)}: {told[-1]}"


def _ending(code: int) -> str:
    if code == -getattr(signal, "SIGPROF", 0):
        return f"hangs: no end after {_WORK} s of work"
    return f"crashes with {code}"


def environment() -> dict[str, str]:
    """What our processes run in."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def _be_child(first: int, last: int, folder: Path) -> None:
    """Read the files of these numbers, and say before and after each where it is."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What C code prints on either stream is noise, and our lines have a stream of their own.
    ours = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(number: int, word: str, text: str = "") -> None:
        ours.write(json.dumps([number, word, text]) + "\n")
        ours.flush()

    whole = {name: folder / name for name in corpus.KINDS | corpus.FURTHER_KINDS}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(first, last):
            name, data = damaged_file(whole, number)
            path = Path(scratch, name)
            path.write_bytes(data)
            tell(number, "begun")
            if hasattr(signal, "setitimer"):
                # Its signal ends the process, whatever C code is at work.
                signal.setitimer(signal.ITIMER_PROF, _WORK)
            before = os.fstat(2).st_size
            try:
                word, text = _tried(path)
            except Exception:
                word, text = "wrong", traceback.format_exc().strip().replace("\n", " | ")
            if os.fstat(2).st_size > before:
                word, text = "wrong", f"prints: {_tail(before)!r}; {text}"
            path.unlink()
            tell(number, word, text)


def _tail(start: int) -> str:
    return os.pread(2, 300, start).decode(errors="replace")


def _tried(path: Path) -> tuple[str, str]:
    """Read a file as the command does, and write it again: "read", "refused" or "wrong"."""
    try:
        pages = [photo.read(path, page=page) for page in range(photo.pages(path))]
    except PhotoError as error:
        return _judged(path, error) or ("refused", "")
    if sum(page.pixels.size for page in pages) > _LARGE:
        return "read", ""
    try:
        data = photo.encode(pages, path.suffix, str(path))
    except PhotoError as error:
        return _judged(path, error) or ("read", "")
    copy = path.with_stem("copy")
    copy.write_bytes(data)
    if photo.pages(copy) != len(pages):
        return "wrong", f"{len(pages)} pages were read, {photo.pages(copy)} of what was written"
    for page, one in enumerate(pages):
        again = photo.read(copy, page=page)
        if again.pixels.shape[:2] != one.pixels.shape[:2]:
            return "wrong", f"{one.pixels.shape} was read, {again.pixels.shape} of what was written"
        if path.suffix in _EXACT and one.format != "WEBP" and not _alike(one, again):
            return "wrong", "what was written is not what was read"
    return "read", ""


def _alike(one: photo.Photo, other: photo.Photo) -> bool:
    if one.pixels.shape == other.pixels.shape:
        return np.array_equal(one.pixels, other.pixels)
    # Some formats have no grey, or no transparency where nothing is transparent.
    colours, others = np.broadcast_arrays(one.colour, other.colour)
    return np.array_equal(colours, others)


def _judged(path: Path, error: PhotoError) -> tuple[str, str] | None:
    """What is wrong with the line that the user gets; None if nothing."""
    text = str(error)
    if "\n" in text or not text.startswith(f"{path}: ") or "unexpectedly" in text:
        return "wrong", f"refused with {text!r}"
    return None


# ---- The command ---------------------------------------------------------------------------------


def restore_all(whole: dict[str, Path], first: int, last: int, folder: Path) -> Result:
    """Put the damaged files of these numbers through `inpaint restore`, in batches."""
    result = Result()
    for start in range(first, last, BATCH):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            _restore(whole, range(start, min(start + BATCH, last)), Path(place), result)
    return result


def _restore(whole: dict[str, Path], numbers: range, folder: Path, result: Result) -> None:
    from PIL import Image

    photos, out = folder / "photos", folder / "out"
    photos.mkdir()
    for number in numbers:
        name, data = damaged_file(whole, number)
        (photos / name).write_bytes(data)
    mask = Image.new("L", (corpus.WIDTH, corpus.HEIGHT))
    mask.paste(255, (8, 5, 12, 15))
    mask.save(folder / "mask.png")
    before = digests(photos)

    words = ["restore", photos, "--mask", folder / "mask.png", "--fit-mask", "-o", out]
    words += ["--model", "telea", "--threads", "1", "--json", "--quiet"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "inpaintcli", *map(str, words)],
            capture_output=True, text=True, errors="replace", env=environment(),
            timeout=PATIENCE + 2 * len(numbers), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        result.wrong.append(f"files {numbers}: the command hangs")
        return

    def wrong(what: str) -> None:
        result.wrong.append(f"files {numbers.start} to {numbers.stop - 1}, the command: {what}")

    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    failed = [one for one in outcomes if one["status"] == "failed"]
    lines = done.stderr.splitlines()
    if done.returncode != (1 if failed else 0):
        wrong(f"ends with {done.returncode}, {len(failed)} failed: {lines[-1:]}")
    if len(outcomes) != len(numbers):
        wrong(f"tells of {len(outcomes)} photos of {len(numbers)}")
    if sorted(lines) != sorted(f"inpaint: {one['error']}" for one in failed):
        wrong(f"says something else than one line a failure: {_odd(lines, failed)!r}")
    for one in failed:
        if "unexpectedly" in one["error"] or "Traceback" in one["error"]:
            wrong(one["error"])
    if digests(photos) != before:
        wrong("photos have changed")
    expected = {Path(one["output"]) for one in outcomes if one["status"] != "failed"}
    written = {path for path in out.rglob("*") if path.is_file()}
    if written != expected:
        wrong(f"files too many or too few: {sorted(written ^ expected)[:5]}")
    for path in sorted(written & expected):
        try:
            photo.read(path, page=0)
        except PhotoError as error:
            wrong(f"wrote what cannot be read: {error}")
    result.counts["restored by the command"] += len(expected)
    result.counts["refused by the command"] += len(failed)


def _odd(lines: list[str], failed: list[dict[str, str]]) -> list[str]:
    expected = {f"inpaint: {one['error']}" for one in failed}
    return [line for line in lines if line not in expected][:3] or ["too few or too many lines"]


def digests(folder: Path) -> dict[Path, str]:
    """The names and sums of all files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# ---- All of it -----------------------------------------------------------------------------------


def fuzz(files: int, batched: int, *, first: int = 0) -> Result:
    """Decode so many damaged files, and put so many of them through the command."""
    with tempfile.TemporaryDirectory() as folder:
        whole_folder = Path(folder, "whole")
        whole_folder.mkdir()
        whole = corpus.whole_files(whole_folder)
        result = decode_all(whole_folder, first, first + files)
        restored = restore_all(whole, first, first + batched, Path(folder))
    return Result(result.counts + restored.counts, result.wrong + restored.wrong)


def main() -> int:
    """The command of this module; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000, help="how many (10000)")
    parser.add_argument("--first", type=int, default=0, help="the first file's number (0)")
    parser.add_argument(
        "--batched", type=int, help="how many go through the command (a tenth of them)"
    )
    parser.add_argument("--keep", type=int, metavar="N", help="only write file N here, to look at")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        first, last, folder = options.child
        _be_child(int(first), int(last), Path(folder))
        return 0
    if options.keep is not None:
        with tempfile.TemporaryDirectory() as folder:
            name, data = damaged_file(corpus.whole_files(Path(folder)), options.keep)
        Path(name).write_bytes(data)
        print(name)
        return 0
    started = time.monotonic()
    batched = options.files // 10 if options.batched is None else options.batched
    result = fuzz(options.files, batched, first=options.first)
    print(result)
    print(f"{time.monotonic() - started:.0f} s")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
