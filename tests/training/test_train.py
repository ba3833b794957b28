"""Training: the seed fixes the weights, and a resumed run is the run that never stopped."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from tests.training import (
    Words,
    encoded,
    one_line_error,
    run,
    same,
    same_run,
    synthetic,
    tar_of,
)
from tests.training.test_networks import AUTOENCODERS
from training import inpainting, train
from training.checkpoint import Checkpoint, CheckpointError
from training.config import CONFIGS, Config, ConfigError, Damage, load
from training.data import Pictures
from training.data import load as load_pictures

TOML = """
patch = 16
batch = 8
epochs = 2
warmup_steps = 2

[network]
widths = [8, 8, 8]
depths = [1, 1, 1]
stem = 4

[damage]
wide_share = 0.5
"""
#: 40 pictures, of which one is held out, in batches of 8, twice.
STEPS = 10


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {f"{i:02d}.png": encoded(p) for i, p in enumerate(synthetic(40, 20))}
    return tar_of(tmp_path_factory.mktemp("data") / "pictures.tar", files)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(TOML)
    return path


@pytest.fixture
def words(data: Path, config: Path) -> Callable[..., Words]:
    """The words of a command that trains in a folder."""

    def make(out: Path, *more: object, method: str = "autoencoder") -> Words:
        return (method, "--data", data, "--config", config, "--out", out, "--device", "cpu",
                "--threads", 1, "--validate-every", 5, *more)  # fmt: skip

    return make


@pytest.mark.parametrize("method", AUTOENCODERS)
def test_same_seed_same_weights(tmp_path: Path, words: Callable[..., Words], method: str) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        result = run(train.main, *words(tmp_path / name, "--seed", seed, method=method))
        assert result.exit_code == 0, result.output
    assert same_run(tmp_path / "a/last.pt", tmp_path / "b/last.pt")
    assert not same_run(tmp_path / "a/last.pt", tmp_path / "c/last.pt")


def test_last_and_best_are_kept(tmp_path: Path, words: Callable[..., Words]) -> None:
    assert run(train.main, *words(tmp_path)).exit_code == 0
    last, best = Checkpoint.load(tmp_path / "last.pt"), Checkpoint.load(tmp_path / "best.pt")
    assert last.step == STEPS
    assert [row["step"] for row in last.history] == [5, 10]
    assert (
        last.best
        == best.best
        == pytest.approx(max(row["hole_psnr"] for row in last.history), abs=1e-3)
    )
    assert best.step == max(last.history, key=lambda row: row["hole_psnr"])["step"]
    assert {p.name for p in tmp_path.iterdir()} == {"last.pt", "best.pt"}
    assert not same(last.weights, last.averaged)


def test_resumed_after_every_single_step(
    tmp_path: Path, words: Callable[..., Words], data: Path, config: Path
) -> None:
    assert run(train.main, *words(tmp_path / "whole")).exit_code == 0
    (tmp_path / "parts").mkdir()
    pictures, held_out = load_pictures(data).at_least(16).held_out()
    state = Checkpoint("autoencoder", load(config), 0, pictures.origin, "a command")
    task = train.task_of(state, pictures, held_out, torch.device("cpu"))
    for step in range(STEPS):
        train.fit(state, task, pictures, torch.device("cpu"), tmp_path / "parts",
                  Console(quiet=True), 5, minutes=1e-9)  # fmt: skip
        state = Checkpoint.load(tmp_path / "parts" / "last.pt")
        assert state.step == step + 1
    assert same_run(tmp_path / "whole/last.pt", tmp_path / "parts/last.pt")


def test_resumed_after_an_interrupt_in_the_midst_of_a_step(
    tmp_path: Path, words: Callable[..., Words], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(train.main, *words(tmp_path / "whole")).exit_code == 0
    step = torch.optim.AdamW.step
    calls = []

    def interrupted(*arguments: Any) -> Any:
        result = step(*arguments)
        calls.append(result)
        if len(calls) == 7:
            signal.raise_signal(signal.SIGINT)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", interrupted)
        result = run(train.main, *words(tmp_path / "parts"))
    assert "--resume" in result.stderr
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert Checkpoint.load(tmp_path / "parts/last.pt").step == 7
    assert run(train.main, *words(tmp_path / "parts", "--resume")).exit_code == 0
    assert same_run(tmp_path / "whole/last.pt", tmp_path / "parts/last.pt")


def test_wrong_calls(tmp_path: Path, words: Callable[..., Words]) -> None:
    empty = tmp_path / "empty"
    assert "no such checkpoint" in one_line_error(run(train.main, *words(empty, "--resume")))
    nowhere = ("autoencoder", "--data", tmp_path / "nowhere", "--out", empty)
    assert "nowhere: no such file" in one_line_error(run(train.main, *nowhere))
    assert "nowhere.toml" in one_line_error(
        run(train.main, *words(empty, "--config", tmp_path / "nowhere.toml"))
    )
    one_line_error(run(train.main, *words(empty, "--device", "abacus")))
    if not torch.cuda.is_available():
        one_line_error(run(train.main, *words(empty, "--device", "cuda")))
    assert not empty.exists()

    for text, reason in (
        ("speed = 3", "unknown setting 'speed'"),
        ("patch = 20", "multiple of 8"),
        ("patch = 64", "no picture is at least 64 px"),
        ("[network]\nwidth = 3", "width"),
        ("patch = ", "broken.toml"),
    ):
        (tmp_path / "broken.toml").write_text(text)
        line = one_line_error(run(train.main, *words(empty, "--config", tmp_path / "broken.toml")))
        assert reason in line


def test_another_run_is_neither_resumed_nor_written_over(
    tmp_path: Path, words: Callable[..., Words]
) -> None:
    assert run(train.main, *words(tmp_path)).exit_code == 0
    written = (tmp_path / "last.pt").read_bytes()
    for more in ((), ("--resume", "--seed", 1), ("--resume", "--epochs", 3)):
        assert "last.pt" in one_line_error(run(train.main, *words(tmp_path, *more)))
    line = one_line_error(run(train.main, *words(tmp_path, "--resume", method="partial-conv")))
    assert "another run (autoencoder" in line
    assert (tmp_path / "last.pt").read_bytes() == written


def test_broken_checkpoints_are_told(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    for content in (b"", b"not a checkpoint", b"PK\x03\x04 cut off"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"last\.pt: not a readable checkpoint") as caught:
            Checkpoint.load(path)
        assert "\n" not in str(caught.value)
    torch.save({"format": 0}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of this version"):
        Checkpoint.load(path)


@pytest.mark.parametrize("method", AUTOENCODERS)
def test_shipped_configurations(method: str) -> None:
    config = load(CONFIGS / f"{method}.toml")
    assert (config.optimizer, config.guess) == ("adamw", False)
    assert (config.patch, config.damage.count, config.damage.thickness) == (32, (1, 9), (1, 2))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_configurations_outlast_a_checkpoint(path: Path) -> None:
    config = load(path)
    assert Config.from_dict(config.to_dict()) == config


def test_configuration_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "picture.toml"
    path.write_bytes(encoded(synthetic(1)[0]))
    with pytest.raises(ConfigError, match=r"picture\.toml"):
        load(path)


def test_batches_are_damaged_pictures() -> None:
    config = Config(patch=16, damage=Damage(wide_share=0.5))
    items = synthetic(6, 20)
    images, masks = inpainting.batch(items, config, np.random.default_rng(0), torch.device("cpu"))
    assert images.shape == (6, 3, 16, 16)
    assert masks.shape == (6, 1, 16, 16)
    assert set(np.unique(masks.numpy())) == {0, 1}
    assert (masks.sum((1, 2, 3)) > 0).all()
    for item, image in zip(items, images, strict=True):
        crop = (image * 255).round().byte().permute(1, 2, 0).numpy()
        places = [(top, left) for top in range(5) for left in range(5)]
        windows = [item[t : t + 16, s : s + 16] for t, s in places]
        assert any((crop == w).all() or (crop == w[:, ::-1]).all() for w in windows)


def test_hole_psnr_is_pooled_over_damaged_pixels() -> None:
    class Grey(torch.nn.Module):
        def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return torch.full_like(image, 128 / 255)

    config = replace(Config(), patch=16)
    batches = inpainting.validation_batches(Pictures(synthetic(3, 20), "test"), config)
    assert list(batches) == ["lines"]
    ((crops, masks),) = batches["lines"]
    errors = (crops.astype(float)[masks > 0] - 128) / 255
    expected = -10 * np.log10(np.mean(errors**2))
    found = inpainting.hole_psnr(Grey(), batches["lines"], torch.device("cpu"))
    assert found == pytest.approx(expected, abs=1e-4)


def test_learning_rate_rises_and_falls() -> None:
    config = Config(warmup_steps=10, learning_rate=1.0)
    rates = [train.scheduled_rate(step, 100, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] > 0.9
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)


def test_a_run_can_begin_with_the_weights_of_another(
    tmp_path: Path, words: Callable[..., Words]
) -> None:
    assert run(train.main, *words(tmp_path / "first")).exit_code == 0
    first = Checkpoint.load(tmp_path / "first/last.pt")
    slow = tmp_path / "slow.toml"
    slow.write_text("learning_rate = 1e-9\n" + TOML)
    more = ("--start", tmp_path / "first/last.pt", "--config", slow)
    assert run(train.main, *words(tmp_path / "second", *more)).exit_code == 0
    second = Checkpoint.load(tmp_path / "second/last.pt")
    for name, value in first.averaged.items():
        torch.testing.assert_close(second.averaged[name], value, atol=1e-6, rtol=0)
    assert second.command.startswith(f"{first.command} && python -m training.train")
    other = ("--start", tmp_path / "first/last.pt")
    error = one_line_error(
        run(train.main, *words(tmp_path / "third", *other, method="partial-conv"))
    )
    assert "holds another network" in error


def test_a_network_is_not_trained_on_what_it_will_not_be_given(
    tmp_path: Path, words: Callable[..., Words]
) -> None:
    result = run(train.main, *words(tmp_path, method="photo"))
    assert result.exit_code == 2
    assert "guess" in one_line_error(result)
    assert not (tmp_path / "last.pt").exists()


@pytest.mark.parametrize("method", AUTOENCODERS)
def test_only_the_detector_is_given_layers(
    tmp_path: Path, words: Callable[..., Words], method: str
) -> None:
    layered = tmp_path / "layered.toml"
    layered.write_text(f"{TOML}\n[layers]\ndrawn = 1.0\n")
    result = run(train.main, *words(tmp_path, "--config", layered, method=method))
    assert "layers: detector needs some" in one_line_error(result)
    result = run(train.main, *words(tmp_path, method="detector"))
    assert "layers: detector needs some" in one_line_error(result)
    assert not (tmp_path / "last.pt").exists()
