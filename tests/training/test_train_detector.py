"""Training the detector with the command: it learns, resumes exactly, and refuses what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from tests.training import (
    Words,
    encoded,
    film_tar,
    one_line_error,
    run,
    same_run,
    synthetic,
    tar_of,
)
from training import detecting, layers, train
from training.checkpoint import Checkpoint
from training.config import CONFIGS, LAYERS, Config, Network, load
from training.data import Pictures
from training.layers import Layer, Layers
from training.networks import build, multiple_of

TOML = """
patch = 16
batch = 16
epochs = 2
warmup_steps = 2
learning_rate = 5e-3
optimizer = "muon"
shrink_share = 0.5
fall_share = 0.4
layer_count = 3

[network]
widths = [8, 8]
depths = [1, 2]
dilations = [1, 2]

[layers]
aged = 0.3
film = 0.2
frames = 0.1
drawn = 0.2
none = 0.2
"""
#: 52 pictures, two of them held out, in batches of 16, twice.
STEPS = 8
FRAMES = {"frame-1": [[(5, 5), (60, 9), (50, 80)], [(90, 20), (120, 90)]]}


@pytest.fixture(autouse=True)
def small_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are drawn anew for every run."""
    monkeypatch.setattr(layers, "SIDE", 64)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tar of pictures and one of film artefacts."""
    folder = tmp_path_factory.mktemp("data")
    files = {f"{i:02d}.png": encoded(picture) for i, picture in enumerate(synthetic(52, 24))}
    return tar_of(folder / "a.tar", files), film_tar(folder / "film.tar", frames=FRAMES)


@pytest.fixture
def words(places: tuple[Path, Path], tmp_path: Path) -> Callable[..., Words]:
    """The words of a command that trains in a folder below tmp_path."""
    config = tmp_path / "tiny.toml"
    config.write_text(TOML)

    def make(out: str, *more: object) -> Words:
        return ("detector", "--data", places[0], "--film", places[1], "--config", config,
                "--out", tmp_path / out, "--device", "cpu", "--threads", 1,
                "--validate-every", 4, *more)  # fmt: skip

    return make


def trained(words: Words) -> None:
    result = run(train.main, *words)
    assert result.exit_code == 0, result.output


def test_a_run_of_the_detector(words: Callable[..., Words], tmp_path: Path) -> None:
    trained(words("out"))
    last, best = (Checkpoint.load(tmp_path / "out" / name) for name in ("last.pt", "best.pt"))
    assert (last.name, last.step, last.origin, last.pictures) == ("detector", STEPS, "a.tar", 50)
    assert last.config == Config.from_dict(last.config.to_dict())
    assert [row["step"] for row in last.history] == [4, 8]
    for row in last.history:
        assert row.keys() == {"step", "epoch", "loss", "seconds", "f1", "threshold", "auc"}
        assert 0 <= row["f1"] <= 1
        assert 0 <= row["auc"] <= 1
    highest = max(row["f1"] for row in last.history)
    assert best.history[-1]["f1"] == highest
    assert last.best == best.best == pytest.approx(highest, abs=1e-3)
    assert highest > 0
    torch.manual_seed(0)
    fresh = build("detector", last.config.network).state_dict()
    still = [name for name, value in last.weights.items() if torch.equal(value, fresh[name])]
    assert not still


def test_a_resumed_run_is_the_run_that_never_stopped(
    words: Callable[..., Words], tmp_path: Path
) -> None:
    trained(words("whole"))
    for steps in (1, 3, STEPS):
        more = ("--resume",) if steps > 1 else ()
        trained(words("parts", "--steps", steps, *more))
        assert Checkpoint.load(tmp_path / "parts/last.pt").step == steps
    assert same_run(tmp_path / "whole/last.pt", tmp_path / "parts/last.pt")
    trained(words("other", "--seed", 1))
    assert not same_run(tmp_path / "whole/last.pt", tmp_path / "other/last.pt")


def test_a_run_begins_with_the_weights_of_a_detector(
    words: Callable[..., Words], tmp_path: Path
) -> None:
    trained(words("first", "--steps", 2))
    start = ("--start", tmp_path / "first/last.pt")
    trained(words("second", *start, "--steps", 1))
    # A block more begins as no change; with other dilations it would be another network.
    deep = TOML.replace("[1, 2]\ndil", "[1, 3]\ndil")
    (tmp_path / "deep.toml").write_text(deep.replace("dilations = [1, 2]", "dilations = [1, 2, 1]"))
    trained(words("third", *start, "--config", tmp_path / "deep.toml", "--steps", 1))
    (tmp_path / "other.toml").write_text(deep.replace("dilations = [1, 2]", ""))
    other = ("--config", tmp_path / "other.toml")
    line = one_line_error(run(train.main, *words("fourth", *start, *other)))
    assert "holds another network (detector)" in line
    assert not (tmp_path / "fourth").exists()


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("aged = 0.3", "cracks = 0.3", "layers: cracks = 0.3: give aged"),
        ("aged = 0.3", "aged = -1", "layers: aged = -1"),
        ("aged = 0.3", "aged = nan", "layers: aged = nan"),
        ("aged = 0.3", 'aged = "often"', "layers: aged = 'often'"),
        (TOML[TOML.index("[layers]") :], "[layers]\nnone = 1", "layers: give one with damage"),
        (TOML[TOML.index("[layers]") :], "", "layers: detector needs some"),
        (TOML, "layers = 3\n" + TOML[: TOML.index("[layers]")], "layers = 3: give a table"),
        ("patch = 16", "patch = 16\nguess = true", "detector needs the opposite"),
        # The quarter of the patch has to fit the network too.
        ("patch = 16", "patch = 24", "patch 24: give a multiple of 16"),
        ("patch = 16", "patch = 528", "at most 512"),
    ],
)
def test_wrong_configurations(
    words: Callable[..., Words], tmp_path: Path, old: str, new: str, reason: str
) -> None:
    assert old in TOML
    (tmp_path / "tiny.toml").write_text(TOML.replace(old, new))
    assert reason in one_line_error(run(train.main, *words("out")))
    assert not (tmp_path / "out").exists()


def test_wrong_calls(
    words: Callable[..., Words], tmp_path: Path, places: tuple[Path, Path]
) -> None:
    without = ("detector", "--data", places[0], "--config", tmp_path / "tiny.toml",
               "--out", tmp_path / "out")  # fmt: skip
    assert "give the tar with --film" in one_line_error(run(train.main, *without))
    line = one_line_error(run(train.main, *words("out", "--film", tmp_path / "nowhere.tar")))
    assert "nowhere.tar" in line
    broken = tar_of(tmp_path / "broken.tar", {"polygons.json": b"{", "a.txt": b""})
    (tmp_path / "tiny.toml").write_text(TOML.replace("film = 0.2", "film = 0"))
    line = one_line_error(run(train.main, *words("out", "--film", broken)))
    assert "broken.tar: polygons.json holds no outlines" in line
    assert not (tmp_path / "out").exists()


def test_shipped_configuration() -> None:
    config = load(CONFIGS / "detector.toml")
    assert config.layers.keys() <= set(LAYERS)
    assert sum(config.layers.values()) == pytest.approx(1)
    assert not config.guess
    # It is trained at a quarter of the patch as well.
    assert config.patch % (4 * multiple_of(config.network)) == 0


class WhiteLines(Layers):
    """One white line of 2 px across each patch."""

    def __init__(self) -> None:
        pass

    def crop(
        self, side: int, rng: np.random.Generator, edges: tuple[int, int] = (0, 0)
    ) -> Layer | None:
        """That line, anywhere, along or across."""
        opacity = np.zeros((side, side, 1), np.uint8)
        place = int(rng.integers(2, side - 4))
        opacity[place : place + 2] = 255
        if rng.random() < 0.5:
            opacity = opacity.swapaxes(0, 1).copy()
        return Layer(np.repeat(opacity, 3, 2), opacity)


def test_it_learns_to_find_white_lines_on_dark_pictures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(detecting, "look_old", lambda picture, _: picture)
    monkeypatch.setattr(detecting, "scanned", lambda picture, _: picture)
    config = Config(
        network=Network((8, 8), (1, 1)), patch=32, batch=8, epochs=60, warmup_steps=5,
        learning_rate=1e-2, optimizer="muon", fall_share=0.5, layers={"drawn": 1.0},
    )  # fmt: skip
    dark = Pictures([picture // 3 for picture in synthetic(8, 40)], "dark")
    held_out = Pictures([picture // 3 for picture in synthetic(4, 32, seed=1)], "dark")
    task = detecting.Detecting(dark, held_out, config, torch.device("cpu"), WhiteLines())
    rng = np.random.default_rng(0)
    task.validation = [
        detecting.damaged(item, WhiteLines().crop(32, rng)) for item in held_out.items
    ]
    torch.manual_seed(0)
    before = task.scores(build("detector", config.network))
    state = Checkpoint("detector", config, 0, dark.origin, "a command")
    train.fit(state, task, dark, torch.device("cpu"), tmp_path, Console(quiet=True), 20)
    first, *_, last = state.history
    assert last["step"] == 60
    assert last["loss"] < 0.7 * first["loss"]
    assert before["f1"] < 0.3
    assert last["f1"] > 0.9
    assert last["auc"] > 0.98
