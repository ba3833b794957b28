"""Ending a run: asked once, after what is in hand; asked twice, at once."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from inpaintcli.errors import ExitCode
from inpaintcli.files import abandon

#: Seconds within which several signals are one.
AT_ONCE = 0.5
#: What asks for an end; the last is sent where a terminal goes away.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Stop:
    """A context in which `SIGNALS` set `asked`, and a second one ends the process.

    Signals that the process was started to ignore stay ignored. Outside of the main thread, which
    alone can have handlers, it does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._first = 0.0
        self._handlers: dict[int, Any] = {}
        self._wakeup = -1
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._listener: threading.Thread | None = None

    def check(self) -> None:
        """Raise KeyboardInterrupt once an end is asked for."""
        if self.asked:
            raise KeyboardInterrupt

    def __enter__(self) -> Stop:
        if threading.current_thread() is not threading.main_thread():
            return self
        # A handler in Python waits for whatever C code runs, be it for minutes. The number of the
        # signal comes through a socket at once, and a thread of its own is there to read it.
        ours, theirs = self._sockets = socket.socketpair()
        theirs.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._handle)
        self._listener = threading.Thread(target=self._listen, args=[ours], daemon=True)
        self._listener.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not (self._sockets and self._listener):
            return
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        ours, theirs = self._sockets
        theirs.close()
        self._listener.join()
        ours.close()
        self._sockets = self._listener = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Nothing: `_listen` has the signal by now, but without a handler there would be none."""

    def _listen(self, signals: socket.socket) -> None:
        """Read the numbers of signals until the socket is closed."""
        while number := signals.recv(1):
            if number[0] not in self._handlers:
                continue
            now = time.monotonic()
            # What comes at once is one wish: `timeout` and others signal a process and its group.
            second = self.asked and now - self._first > AT_ONCE
            self._first = self._first if self.asked else now
            self.asked = True
            if second:
                abandon()
                with suppress(OSError, ValueError):
                    if sys.stderr.isatty():
                        os.write(2, b"\x1b[?25h\n")  # The bars had hidden the cursor.
                os._exit(ExitCode.INTERRUPTED)
