"""One photo through pipes: `-` is standard input, and `-o -` standard output.

In between both are files in a folder that is removed in the end, so a photo that fails leaves
nothing on standard output.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from inpaintcli import photo
from inpaintcli.cli.options import Output
from inpaintcli.errors import InpaintError, PhotoError, UsageError
from inpaintcli.files import temporary_folder
from inpaintcli.inputs import is_pattern, read_list
from inpaintcli.jobs import Outcome

PIPE = Path("-")


@dataclass(frozen=True)
class Pipes:
    """What a run takes and where it goes, with files in place of pipes.

    out_is_folder: see `Output`.
    """

    photos: list[Path]
    out: Path | None
    out_is_folder: bool = False
    #: The files that stand for standard input and standard output.
    came: Path | None = None
    goes: Path | None = None

    @property
    def told_to(self) -> IO[str]:
        """Where tables and JSON go: standard error where standard output has a photo."""
        return sys.stderr if self.goes else sys.stdout

    def named(self, text: str) -> str:
        """A message in which pipes are called as they were given."""
        for file in (self.came, self.goes):
            if file:
                text = text.replace(str(file), str(PIPE))
        return text

    def outcome(self, outcome: Outcome) -> Outcome:
        """An outcome in which pipes are called as they were given."""
        if not (self.came or self.goes):
            return outcome

        def path(one: Path | None) -> Path | None:
            return PIPE if one and one in (self.came, self.goes) else one

        return replace(
            outcome,
            photo=path(outcome.photo) or outcome.photo,
            output=path(outcome.output),
            mask=path(outcome.mask),
            note=self.named(outcome.note),
            error=self.named(outcome.error),
        )

    def send(self) -> None:
        """Write what has been made for standard output; raises PhotoError where nobody reads."""
        if not (self.goes and self.goes.exists()):
            return
        try:
            sys.stdout.buffer.write(self.goes.read_bytes())
            sys.stdout.buffer.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            why = (error.strerror or str(error)).lower()
            raise PhotoError(f"standard output: cannot be written: {why}") from None


@contextlib.contextmanager
def piped(
    photos: Sequence[Path] | None,
    from_file: Path | None,
    output: Output | None,
    suffix: str | None,
    max_pixels: int,
) -> Iterator[Pipes]:
    """The photos of a call, those of its list among them, with files in place of pipes.

    suffix: that of what goes to standard output; None for the photo's own. max_pixels: a photo of
    more is refused. Raises UsageError where there is no photo, and where a pipe cannot be what it
    should be.
    """
    given = list(photos or ())
    if from_file == PIPE and PIPE in given:
        raise UsageError("-: standard input has the list or the photo: give one of them as a file")
    if from_file:
        given += read_list(from_file)
    if not given:
        raise UsageError("no photos named: name photos or folders, or a list with --from-file")
    out, is_folder = (output.path, output.is_folder) if output else (None, False)
    to_pipe = out == PIPE and not is_folder
    if PIPE not in given and not to_pipe:
        yield Pipes(given, out, is_folder)
        return
    if len(given) > 1 or given[0].is_dir() or is_pattern(given[0]):
        option = "-" if PIPE in given else "-o -"
        raise UsageError(f"{option}: a pipe takes one photo, and no others beside it")
    if out is None:
        raise UsageError("-: a photo from standard input has no name: give -o FILE, or -o -")
    if to_pipe and sys.stdout.isatty():
        raise UsageError("-o -: standard output is a terminal: send it to a file or a program")
    with temporary_folder() as folder:
        pipes = Pipes(given, out, is_folder)
        if given[0] == PIPE:
            came = _received(folder, max_pixels)
            pipes = replace(pipes, photos=[came], came=came)
            if not to_pipe and (is_folder or out.is_dir() or not photo.is_photo_name(out)):
                raise UsageError(f"{out}: a photo from standard input has no name: give -o FILE")
        if to_pipe:
            goes = folder / f"result{suffix or pipes.photos[0].suffix}"
            pipes = replace(pipes, out=goes, goes=goes)
        try:
            yield pipes
        except InpaintError as error:
            raise type(error)(pipes.named(str(error))) from None


def _received(folder: Path, max_pixels: int) -> Path:
    """Standard input as a file with the suffix of its format."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("-: standard input is a terminal: send a photo to it")
    data = sys.stdin.buffer.read()
    if not data:
        raise PhotoError("-: nothing came from standard input: send a photo to it")
    format = photo.decode(data, str(PIPE), max_pixels=max_pixels, page=0).format
    fitting = [suffix for suffix in photo.SUFFIXES if photo.format_of(f"photo{suffix}") == format]
    # PNM is grey or colour; of all others the shorter suffix is the usual one.
    suffix = ".pnm" if ".pnm" in fitting else min(fitting, key=len)
    path = folder / f"photo{suffix}"
    path.write_bytes(data)
    return path
