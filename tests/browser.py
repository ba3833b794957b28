"""A headless Chromium for tests: pages are opened, clicked and looked at without other packages."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from inpaintcli import photo

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
#: The browser that is installed here, if one is; its pipes want a POSIX system.
BROWSER = next(filter(None, map(shutil.which, _NAMES)), None) if os.name == "posix" else None


class Browser:
    """A headless Chromium, spoken to in the DevTools protocol over a pair of pipes."""

    def __init__(self, profile: Path) -> None:
        import fcntl  # POSIX alone has it.

        assert BROWSER
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        # It reads from 3 and writes to 4, which may be any other file in this process.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, to_write)]
        swap = "import os, sys; r, w, *a = sys.argv[1:]; os.dup2(int(r), 3); os.dup2(int(w), 4);"
        self.process = subprocess.Popen(
            [
                sys.executable, "-c", f"{swap} os.execv(a[0], a)", *map(str, ends),
                BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
                f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank",
            ],
            pass_fds=ends, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for end in (to_read, to_write, *ends):
            os.close(end)
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        with suppress(Exception):
            self._session = None
            self.call("Browser.close")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._to)
        os.close(self._from)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; events that come meanwhile are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._from], [], [], 60)[0], "the browser is silent"
            data = os.read(self._from, 2**20)
            assert data, "the browser has ended"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def open(self, path: Path) -> None:
        """Load a page and wait for it."""
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def value(self, expression: str) -> Any:
        """What an expression of the page's script is; promises are waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, **more: Any) -> None:
        """Press a key and let it go."""
        code = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38,
                "ArrowRight": 39, "ArrowDown": 40}[key]  # fmt: skip
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key,
                windowsVirtualKeyCode=code, **(text if kind == "keyDown" else {}), **more,
            )  # fmt: skip

    def drag(self, *places: tuple[float, float]) -> None:
        """Press the mouse at the first place, move it through the others, let go at the last."""
        steps = [("mousePressed", *places[0])]
        steps += [("mouseMoved", *place) for place in places[1:]]
        steps += [("mouseReleased", *places[-1])]
        for kind, x, y in steps:
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1,
                buttons=int(kind != "mouseReleased"),
            )  # fmt: skip

    def touch(self, *places: tuple[float, float]) -> None:
        """The same with a finger."""
        kinds = ["touchStart"] + ["touchMove"] * (len(places) - 1) + ["touchEnd"]
        for kind, place in zip(kinds, [*places, None], strict=True):
            points = [{"x": place[0], "y": place[1]}] if place else []
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    def view(self, width: int, height: int, *, scheme: str = "light", touch: bool = False) -> None:
        """Set the window's size, light or dark, and what points at it."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=1, mobile=touch,
        )  # fmt: skip
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media="", features=features)

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Where an element is in the window: left, top, width, height."""
        left, top, width, height = self.value(
            f"(({{x, y, width, height}}) => [x, y, width, height])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        return left, top, width, height

    def colour(self, x: float, y: float) -> str:
        """What is to be seen in one place of the window."""
        shot = self.call("Page.captureScreenshot", format="png")["data"]
        pixels = photo.decode(base64.b64decode(shot), "shot").pixels
        red, green, blue = (int(value) for value in pixels[round(y), round(x), :3])
        return (
            "red" if red > 150 > green else "green" if green > 120 > red else f"{red, green, blue}"
        )

    def complaints(self) -> list[str]:
        """Errors and warnings of the page, and requests for anything but the page and its data."""
        self.value("1")
        found = []
        for event in self.events:
            method, details = event.get("method"), event.get("params", {})
            if method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
                found.append(json.dumps(details))
            elif method == "Network.requestWillBeSent":
                url = details["request"]["url"]
                if not url.startswith("data:") and details.get("type") != "Document":
                    found.append(url)
        return found
