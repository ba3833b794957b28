"""Nothing is fetched or sent: the commands under guards that see what Python and C code do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import picture, save, save_mask, scratched, stripe

ROOT = Path(__file__).parent.parent

#: What Python tells its audit hooks before anything of a network is used.
_GUARD = """
import os, sys

EVENTS = {
    "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
    "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo", "urllib.Request",
    "http.client.connect", "ftplib.connect", "smtplib.connect", "webbrowser.open",
}
LOG = os.environ["NETWORK_LOG"]

def guard(event, arguments):
    if event not in EVENTS:
        return
    # Processes of one machine may talk to each other.
    if str(getattr(arguments[0], "family", "")).endswith("AF_UNIX"):
        return
    with open(LOG, "a") as log:
        log.write(f"{event} {arguments!r}\\n")
    raise RuntimeError(f"the network is used: {event} {arguments!r}")

sys.addaudithook(guard)
"""
#: What goes over the network, and what does not, as a check of the guards.
_REACHES_OUT = "import socket; socket.socket(socket.AF_INET).connect_ex(('127.0.0.1', 9))"

RESTORE = ["restore", "scratched.png", "-o", "out.png", "--save-mask", "found.png"]
COMMANDS = [
    RESTORE,
    ["restore", "folder", "--mask", "mask.png", "-o", "many", "--workers", "2"],
    ["restore", "print.png", "--mask", "mask.png", "-o", "copied.png", "--model", "patchmatch"],
    ["detect", "scratched.png", "--overlay"],
    ["damage", "print.png", "-o", "trial", "--seed", "1"],
    ["score", "scratched.png", "print.png", "--mask", "mask.png"],
    ["models"],
    ["bench", "folder", "--models", "photo,telea", "--limit", "1", "-o", "bench.html"],
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos and masks, and a home with nothing in it."""
    save(tmp_path / "print.png", picture())
    save(tmp_path / "scratched.png", scratched())
    for name in ("a.png", "b.jpg"):
        save(tmp_path / "folder" / name, picture())
    save_mask(tmp_path / "mask.png", stripe())
    for name in ("home", "guard"):
        (tmp_path / name).mkdir()
    (tmp_path / "guard/sitecustomize.py").write_text(_GUARD)
    return tmp_path


def run(
    folder: Path, words: list[str], before: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python with these words in `folder`, with guards; `before`: a command that it runs by."""
    environment = {
        name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"
    }
    environment |= {
        "PYTHONPATH": f"{folder / 'guard'}{os.pathsep}{ROOT}",
        "NETWORK_LOG": str(folder / "network.log"),
        # What keeps a cache keeps it in here.
        "HOME": str(folder / "home"),
        "XDG_CACHE_HOME": str(folder / "home/.cache"),
    }
    return subprocess.run(
        [*(before or []), sys.executable, *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def used(folder: Path) -> str:
    """What the guard inside Python has seen."""
    log = folder / "network.log"
    return log.read_text() if log.exists() else ""


def test_the_guard_sees_what_python_does(folder: Path) -> None:
    assert run(folder, ["-c", _REACHES_OUT]).returncode
    assert used(folder).startswith("socket.connect")


def test_no_command_uses_the_network_or_leaves_traces_in_the_home(folder: Path) -> None:
    for words in COMMANDS:
        done = run(folder, ["-m", "inpaintcli", *words])
        assert done.returncode == 0, (words, done.stderr)
        assert used(folder) == "", words
        # ONNX Runtime's telemetry keeps what it is to send in a database there.
        assert not list((folder / "home").rglob("*")), words


def test_restoring_needs_no_network(folder: Path) -> None:
    """In a network of its own that has no way out, not even to this machine."""
    alone = ["unshare", "-rn"]
    try:
        usable = subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        usable = False
    if not usable:
        pytest.skip("there is no `unshare -rn` here, or it may not make a network")
    done = run(folder, ["-m", "inpaintcli", *RESTORE], alone)
    assert done.returncode == 0, done.stderr
    assert (folder / "out.png").exists()


@pytest.mark.parametrize("words", [RESTORE, COMMANDS[2]], ids=["networks", "patchmatch"])
def test_no_c_code_opens_a_socket_to_the_internet(folder: Path, words: list[str]) -> None:
    log = folder / "calls.log"
    traced = ["strace", "-f", "-qq", "-e", "trace=network", "-o", str(log)]
    try:
        seen = run(folder, ["-S", "-c", _REACHES_OUT], traced).returncode == 0
        seen = seen and "AF_INET" in log.read_text()
    except OSError:
        seen = False
    if not seen:
        pytest.skip("there is no strace here, or it may not trace")
    done = run(folder, ["-m", "inpaintcli", *words], traced)
    assert done.returncode == 0, done.stderr
    assert "AF_INET" not in log.read_text()
