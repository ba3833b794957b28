"""The recipes: what they need, and where it is loaded."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from inpaintcli import work
from inpaintcli.inpainters.base import Card
from inpaintcli.mask import MaskTools
from inpaintcli.sources import Detected, Drawn, Infrared, Masking, Source
from inpaintcli.work import Detecting, Restoring


def masking(source: Source) -> Masking:
    return Masking(source, MaskTools())


@pytest.mark.parametrize(
    ("model", "source", "networks"),
    [
        ("photo", Drawn(), True),
        ("photo", Detected(), True),
        ("own.onnx", Drawn(), True),
        ("telea", Drawn(), False),
        ("patchmatch", Infrared(), False),
        ("telea", Detected(), True),
        (None, Detected(), True),
        (None, Infrared(), False),
    ],
)
def test_methods_that_are_no_networks_need_no_gpu(
    model: str | None, source: Source, networks: bool
) -> None:
    recipe = (
        Restoring(model, "auto", masking(source)) if model else Detecting("auto", masking(source))
    )
    assert recipe.has_networks == networks


def test_where_networks_run_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Restoring("autoencoder", "cpu", masking(Drawn())).load(1).devices == {"cpu"}
    assert Restoring("telea", "cpu", masking(Drawn())).load(1).devices == set()
    assert Restoring("telea", "cpu", masking(Detected())).load(1).devices == {"cpu"}
    assert Detecting("cpu", masking(Detected())).load(1).devices == {"cpu"}
    assert Detecting("cpu", masking(Infrared())).load(1).devices == set()
    on_gpu = SimpleNamespace(device="cuda", card=Card("stand-in", "", tile=64))
    monkeypatch.setattr(work, "load_model", lambda *rest, **more: on_gpu)
    assert Restoring("photo", "auto", masking(Drawn())).load(1).devices == {"cuda"}
    found = Restoring("photo", "cpu", masking(Detected())).load(1).devices
    assert found == {"cuda", "cpu"}, "the detector may have had no room"
