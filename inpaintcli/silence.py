"""Keep off the terminal what libraries print, from C and C++ past Python, or from Python."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator

_lock = threading.RLock()


@contextlib.contextmanager
def silence(*descriptors: int) -> Iterator[None]:
    """Send file descriptors, 1 and 2 and Python's own streams where none is named, to nowhere
    meanwhile.

    They belong to the whole process, so one thread at a time can be in here. A descriptor that is
    closed stays closed: it has nobody to disturb.
    """
    with _lock, contextlib.ExitStack() as stack:
        for stream in (sys.stdout, sys.stderr):
            # What Python has yet to print is no part of what is silenced.
            if stream is not None:
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
        for descriptor in descriptors or (1, 2):
            with contextlib.suppress(OSError):
                _redirect(descriptor, stack)
        if not descriptors:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        yield


def _redirect(descriptor: int, stack: contextlib.ExitStack) -> None:
    """Point a descriptor to nowhere until the stack unwinds; raises OSError if it is closed."""
    kept = os.dup(descriptor)
    stack.callback(os.close, kept)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, descriptor)
    finally:
        os.close(null)
    stack.callback(os.dup2, kept, descriptor)
