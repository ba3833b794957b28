"""The recipes: what they need, and where it is loaded."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from inpaintcli import batch, work
from inpaintcli.errors import GpuMemoryError
from inpaintcli.filling import Progress
from inpaintcli.inpainters.base import Card
from inpaintcli.jobs import Job, Outcome, Work, Written
from inpaintcli.mask import MaskTools
from inpaintcli.pairing import Beside
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


def test_a_photo_that_is_too_large_for_the_gpu_is_no_end_of_the_run(tmp_path: Path) -> None:
    """Not even the first."""

    def do(job: Job, progress: Progress | None) -> Outcome:
        if job.photo.stem == "large":
            raise GpuMemoryError("the model failed on cuda: not enough memory")
        return Outcome(job.photo, "restored")

    jobs = [Job(tmp_path / f"{name}.png", Beside(), Written()) for name in ("large", "small")]
    failed, done = batch.run(jobs, Work(do), lambda job: None)
    assert failed.error == f"{jobs[0].photo}: the model failed on cuda: not enough memory"
    assert done.status == "restored"
