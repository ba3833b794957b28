"""Training on photographs: kinds of damage, film, first guesses, and runs of another length."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training import (
    Words,
    encoded,
    film_tar,
    one_line_error,
    randomised,
    run,
    same_run,
    synthetic,
    tar_of,
)
from training import guess, inpainting, masks, train
from training.checkpoint import Checkpoint
from training.config import CONFIGS, Config, Damage, Network, load
from training.data import DataError, Pictures, load_all
from training.muon import Muon
from training.networks import build, multiple_of

TOML = """
patch = 16
batch = 8
epochs = 2
warmup_steps = 2
known_weight = 0.0
optimizer = "muon"
guess = true
coarse_share = 0.5
grey_share = 0.2
shrink_share = 0.5
fall_share = 0.4

[network]
widths = [8, 8, 8]
depths = [1, 1, 2]
dilations = [1, 2]

[damage.kinds]
lines = 0.1
scratches = 0.2
strokes = 0.2
text = 0.2
holes = 0.2
film = 0.1
"""
#: 40 pictures of two places, one of them held out, in batches of 8, twice; the rate falls from 6.
STEPS = 10
KINDS = {"scratches", "strokes", "text", "holes"}


@pytest.fixture(autouse=True)
def small_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sheets are drawn anew for every run: as small as the patches allow, which are tiny too."""
    monkeypatch.setattr(masks, "SIDE", 64)
    monkeypatch.setattr(inpainting, "SMALLEST", 8)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two tars of pictures and one of film artefacts."""
    folder = tmp_path_factory.mktemp("data")
    pictures = [encoded(picture) for picture in synthetic(40, 24)]
    return [
        tar_of(folder / "a.tar", {f"{i:02d}.png": data for i, data in enumerate(pictures[:25])}),
        tar_of(folder / "b.tar", {f"{i:02d}.png": data for i, data in enumerate(pictures[25:])}),
        film_tar(folder / "film.tar"),
    ]


@pytest.fixture
def words(places: list[Path], tmp_path: Path) -> Callable[..., Words]:
    """The words of a command that trains in a folder below tmp_path."""
    config = tmp_path / "tiny.toml"
    config.write_text(TOML)

    def make(out: str, *more: object) -> Words:
        return ("photo", "--data", places[0], "--data", places[1], "--film", places[2],
                "--config", config, "--out", tmp_path / out, "--device", "cpu", "--threads", 1,
                "--validate-every", 5, *more)  # fmt: skip

    return make


def trained(words: Words) -> None:
    result = run(train.main, *words)
    assert result.exit_code == 0, result.output


def stopped_after(steps: int, words: Words) -> None:
    """Train, and interrupt the run in the midst of a step."""
    step = Muon.step
    calls = []

    def interrupted(*arguments: Any) -> None:
        step(*arguments)
        calls.append(arguments)
        if len(calls) == steps:
            signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Muon, "step", interrupted)
        trained(words)


def test_a_run_on_photographs(words: Callable[..., Words], tmp_path: Path) -> None:
    trained(words("out"))
    last = Checkpoint.load(tmp_path / "out/last.pt")
    assert last.step == STEPS
    assert last.origin == "a.tar, b.tar"
    assert last.pictures == 39
    assert last.config == Config.from_dict(last.config.to_dict())
    assert [row["step"] for row in last.history] == [5, 10]
    for row in last.history:
        assert row.keys() >= KINDS
        assert row["hole_psnr"] == pytest.approx(np.mean([row[kind] for kind in KINDS]), abs=2e-3)
    torch.manual_seed(0)
    fresh = build("photo", last.config.network).state_dict()
    still = [name for name, value in last.weights.items() if torch.equal(value, fresh[name])]
    assert not still


def test_resumed_run_is_the_run_that_never_stopped(
    words: Callable[..., Words], tmp_path: Path
) -> None:
    trained(words("whole"))
    stopped_after(4, words("parts"))
    assert Checkpoint.load(tmp_path / "parts/last.pt").step == 4
    trained(words("parts", "--resume"))
    assert same_run(tmp_path / "whole/last.pt", tmp_path / "parts/last.pt")
    trained(words("other", "--seed", 1))
    assert not same_run(tmp_path / "whole/last.pt", tmp_path / "other/last.pt")


@pytest.mark.parametrize(("steps", "before", "after"), [(6, 2, 4), (3, 2, 3), (6, 4, 2)])
def test_length_may_change_before_the_rate_falls(
    words: Callable[..., Words], tmp_path: Path, steps: int, before: int, after: int
) -> None:
    trained(words("whole", "--epochs", after))
    stopped_after(steps, words("parts", "--epochs", before))
    trained(words("parts", "--epochs", after, "--resume"))
    assert Checkpoint.load(tmp_path / "parts/last.pt").step == 5 * after
    assert same_run(tmp_path / "whole/last.pt", tmp_path / "parts/last.pt")


@pytest.mark.parametrize(("steps", "before", "after"), [(7, 2, 4), (10, 2, 4), (7, 4, 2)])
def test_length_may_not_change_once_the_rate_has_fallen(
    words: Callable[..., Words], tmp_path: Path, steps: int, before: int, after: int
) -> None:
    stopped_after(steps, words("out", "--epochs", before))
    written = (tmp_path / "out/last.pt").read_bytes()
    line = one_line_error(run(train.main, *words("out", "--epochs", after, "--resume")))
    assert "another run" in line
    assert f"{before} epochs" in line
    assert (tmp_path / "out/last.pt").read_bytes() == written


def test_nothing_but_the_length_may_change(words: Callable[..., Words], tmp_path: Path) -> None:
    stopped_after(3, words("out"))
    (tmp_path / "tiny.toml").write_text(TOML.replace("batch = 8", "batch = 4"))
    assert "another run" in one_line_error(
        run(train.main, *words("out", "--epochs", 4, "--resume"))
    )


def test_a_longer_run_still_tells_what_it_began_with(
    words: Callable[..., Words], tmp_path: Path
) -> None:
    stopped_after(3, words("out"))
    path = tmp_path / "out/last.pt"
    state = Checkpoint.load(path)
    state.command = "first && second && python -m training.train photo --start second.pt"
    state.save(path)
    trained(words("out", "--epochs", 3, "--resume"))
    command = Checkpoint.load(path).command
    assert command.startswith("first && second && python -m training.train")
    assert command.count(" && ") == 2


def covered(line: str, reason: str) -> tuple[str, str, str]:
    """A wrong configuration with a line in [damage.coverage]."""
    return "[damage.kinds]", f"[damage.coverage]\n{line}\n[damage.kinds]", reason


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"muon"', '"sgd"', "optimizer = 'sgd': choose from adamw, muon"),
        ('"muon"', "3", "optimizer = 3"),
        ("guess = true", 'guess = "yes"', "guess = 'yes': give true or false"),
        ("coarse_share = 0.5", "coarse_share = 1.5", "coarse_share = 1.5: give a share"),
        ("grey_share = 0.2", "grey_share = -0.1", "grey_share = -0.1"),
        ("shrink_share = 0.5", "shrink_share = nan", "shrink_share = nan"),
        ("fall_share = 0.4", "fall_share = 2", "fall_share = 2: give a share"),
        ("lines = 0.1", "cracks = 0.1", "kinds: cracks"),
        ("lines = 0.1", "lines = -1", "kinds: lines = -1"),
        ("lines = 0.1", "lines = inf", "kinds: lines = inf"),
        ("lines = 0.1", 'lines = "often"', "kinds: lines = 'often'"),
        (TOML[TOML.index("[damage.kinds]") :], "[damage]\nkinds = 3", "kinds"),
        (TOML[TOML.index("[damage.kinds]") :], "[damage.kinds]\nlines = 0", "share above 0"),
        ("guess = true", 'guess = true\nloss = "squared"', "loss = 'squared': choose from"),
        ("[damage.kinds]", "[damage]\ncoverage = 3\n[damage.kinds]", "coverage = 3: give a table"),
        covered("dots = [0.1, 0.2]", "coverage: dots is none of the kinds"),
        covered("lines = 0.1", "coverage: lines = 0.1: give two shares"),
        covered("lines = [0.1]", "coverage: lines = [0.1]"),
        covered("lines = [0.1, 0.2, 0.3]", "coverage: lines = [0.1, 0.2, 0.3]"),
        covered("lines = [0.2, 0.1]", "coverage: lines = [0.2, 0.1]"),
        covered("lines = [0, 0.1]", "coverage: lines = [0, 0.1]"),
        covered("lines = [0.1, 1]", "coverage: lines = [0.1, 1]"),
        covered('lines = ["few", "many"]', "coverage: lines = ['few', 'many']"),
        covered("lines = [0.1, nan]", "coverage: lines = [0.1, nan]"),
        ("dilations = [1, 2]", "dilations = [1, 2, 4]", "3 dilations"),
        ("patch = 16", "patch = 24", "multiple of 16"),
    ],
)
def test_wrong_configurations(
    words: Callable[..., Words], tmp_path: Path, old: str, new: str, reason: str
) -> None:
    assert old in TOML
    (tmp_path / "tiny.toml").write_text(TOML.replace(old, new))
    assert reason in one_line_error(run(train.main, *words("out")))
    assert not (tmp_path / "out").exists()


def test_wrong_calls(words: Callable[..., Words], tmp_path: Path, places: list[Path]) -> None:
    config = ("--config", tmp_path / "tiny.toml")
    given = words("out")
    without = ("photo", "--data", places[0], *config, "--out", tmp_path / "out")
    assert "--film" in one_line_error(run(train.main, *without))
    broken = tmp_path / "broken.tar"
    broken.write_bytes(places[2].read_bytes()[:3000])
    assert "broken.tar" in one_line_error(run(train.main, *given, "--film", broken))
    assert "nowhere.tar" in one_line_error(
        run(train.main, *given, "--data", tmp_path / "nowhere.tar")
    )
    large = Path(tmp_path / "large.toml")
    large.write_text(TOML.replace("patch = 16", "patch = 528"))
    assert "at most 512" in one_line_error(run(train.main, *given, "--config", large))
    assert not (tmp_path / "out").exists()


def test_data_of_several_places_is_one_after_the_other(places: list[Path]) -> None:
    both = load_all(places[:2])
    assert [item.tolist() for item in both.items] == [item.tolist() for item in synthetic(40, 24)]
    with pytest.raises(DataError, match="nowhere"):
        load_all([places[0], Path("nowhere")])


def test_large_pictures_come_several_times() -> None:
    sides = (100, 500, 1000, 710)
    pictures = Pictures([np.zeros((side, side, 3), np.uint8) for side in sides], "test")
    found = [len(item) for item in pictures.repeated().items]
    assert found == [100, 500, 1000, 1000, 1000, 1000, 710, 710]


def test_shipped_configuration() -> None:
    config = load(CONFIGS / "photo.toml")
    assert config.guess
    assert config.optimizer == "muon"
    assert config.damage.kinds.keys() == {*KINDS, "lines", "film"}
    assert len(config.network.dilations) == config.network.depths[-1]
    # The patch and its half have to fit the network.
    assert config.patch % (2 * multiple_of(config.network)) == 0


def windows(item: inpainting.Array, sides: range) -> list[inpainting.Array]:
    """Every square window of these sides, at 16 px."""
    found = []
    for side in sides:
        for top in range(item.shape[0] - side + 1):
            for left in range(item.shape[1] - side + 1):
                window = item[top : top + side, left : left + side]
                found.append(cv2.resize(window, (16, 16), interpolation=cv2.INTER_AREA))
    return [np.asarray(window, np.uint8) for window in found]


def made(config: Config, items: list[inpainting.Array]) -> inpainting.Array:
    """The pictures of a batch as uint8 (N, 16, 16, 3)."""
    images, _ = inpainting.batch(items, config, np.random.default_rng(0), torch.device("cpu"))
    return np.asarray((images * 255).round().byte().permute(0, 2, 3, 1).numpy())


def test_some_patches_are_cut_at_a_smaller_size() -> None:
    items = synthetic(6, 20)
    crops = made(Config(patch=16, shrink_share=1.0), items)
    as_cut = 0
    for item, crop in zip(items, crops, strict=True):
        found = windows(item, range(16, 21))
        assert any((crop == w).all() or (crop == w[:, ::-1]).all() for w in found)
        found = windows(item, range(16, 17))
        as_cut += any((crop == w).all() or (crop == w[:, ::-1]).all() for w in found)
    assert as_cut < 6


def test_shrunk_patches_are_half_the_size_at_most() -> None:
    # Stripes of 4 px keep a width of 2 px at least.
    stripes = np.zeros((200, 200, 3), np.uint8)
    stripes[:, np.arange(200) % 8 < 4] = 255
    crops = made(Config(patch=16, shrink_share=1.0), [stripes] * 60)
    assert crops.std((1, 2, 3)).min() > 60


def test_some_patches_lose_their_colours() -> None:
    items = synthetic(100, 16)
    crops = made(Config(patch=16, grey_share=0.5), items)
    grey = (crops == crops[..., :1]).all((1, 2, 3))
    assert 0.3 < grey.mean() < 0.7
    for item, crop in zip(items, crops, strict=True):
        if (crop == crop[..., :1]).all():
            luminance = item @ np.array([0.299, 0.587, 0.114])
            difference = min(
                np.abs(luminance - crop[..., 0]).max(),
                np.abs(luminance[:, ::-1] - crop[..., 0]).max(),
            )
            assert difference < 1


def test_damage_of_a_batch_is_cut_from_the_sheets() -> None:
    config = Config(patch=16, damage=Damage(kinds={"text": 1.0}))
    sheets = masks.Sheets(config.damage, 0, count=2)
    comb = np.zeros((64, 64), np.uint8)
    comb[:, ::4] = 1
    sheets.sheets["text"] = [comb]
    items = synthetic(5, 16)
    _, found = inpainting.batch(
        items, config, np.random.default_rng(0), torch.device("cpu"), sheets
    )
    assert found.shape == (5, 1, 16, 16)
    assert found.mean((1, 2, 3)).tolist() == [0.25] * 5


class Answer(torch.nn.Module):
    """A network that adds a constant to what it is given, and remembers that."""

    def __init__(self, added: float):
        super().__init__()
        self.added = added
        self.given: list[tuple[Tensor, Tensor]] = []

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        self.given.append((image, mask))
        return image + self.added


def first_guess(network: Answer, config: Config) -> tuple[Tensor, Tensor, Tensor]:
    """(what the network is given, the pictures, the masks), of two pictures with wide damage."""
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    holes = torch.zeros(2, 1, 32, 32)
    holes[:, :, 5:17, 8:28] = 1
    return (
        inpainting.first_guess(network, images, holes, config, np.random.default_rng(0)),
        images,
        holes,
    )


def test_networks_without_a_guess_are_given_zeros() -> None:
    given, images, holes = first_guess(network := Answer(0.1), Config(coarse_share=1.0))
    assert torch.equal(given, images * (1 - holes))
    assert not network.given


def test_the_guess_is_push_pull() -> None:
    given, images, holes = first_guess(network := Answer(0.1), Config(guess=True))
    assert torch.equal(given, guess.push_pull(images, holes))
    assert not network.given


def test_the_guess_may_be_the_networks_own_at_half_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inpainting, "SMALLEST", 16)
    config = Config(guess=True, coarse_share=1.0)
    same, images, holes = first_guess(Answer(0.0), config)
    # A network that changes nothing there leaves the guess as it is.
    torch.testing.assert_close(same, guess.push_pull(images, holes))
    given, *_ = first_guess(network := Answer(0.25), config)
    ((seen, seen_holes),) = network.given
    assert seen.shape == (2, 3, 16, 16)
    assert seen_holes.sum() == 2 * 5 * 10
    inner = (..., slice(9, 15), slice(11, 25))
    torch.testing.assert_close(given[inner], same[inner] + 0.25)
    known = (holes == 0).expand_as(images)
    assert torch.equal(given[known], images[known])


def test_and_so_may_the_guess_be_that_it_was_given_there() -> None:
    config = Config(guess=True, coarse_share=1.0)
    same, *_ = first_guess(Answer(0.0), config)
    given, images, holes = first_guess(network := Answer(0.25), config)
    assert [image.shape[2] for image, _ in network.given] == [8, 16]
    # What no known pixel of a coarser level reaches has been added to twice.
    inner = (..., slice(11, 13), slice(11, 25))
    torch.testing.assert_close(given[inner], same[inner] + 0.5)
    known = (holes == 0).expand_as(images)
    assert torch.equal(given[known], images[known])


def test_steps_with_the_networks_own_guess_are_a_share() -> None:
    network, config = Answer(0.0), Config(guess=True, coarse_share=0.3)
    image, hole = torch.rand(1, 3, 16, 16), torch.zeros(1, 1, 16, 16)
    hole[..., 3, 3] = 1
    for seed in range(300):
        inpainting.first_guess(network, image, hole, config, np.random.default_rng(seed))
    assert 0.2 < len(network.given) / 300 < 0.4


def test_validation_is_with_the_guess() -> None:
    config = Config(network=Network(), patch=16, guess=True, damage=Damage(kinds={"lines": 1.0}))
    pictures = Pictures(synthetic(3, 40), "test")
    found = inpainting.validation_batches(pictures, config)
    assert found.keys() == KINDS
    for batches in found.values():
        ((crops, holes),) = batches
        assert crops.shape == (3, 32, 32, 3)
        images, mask = inpainting.to_tensors(crops, holes, torch.device("cpu"))
        given = (guess.push_pull(images, mask) * 255).round() / 255
        errors = (given - images).square().mean(1)[mask[:, 0] > 0]
        expected = -10 * np.log10(float(errors.mean()))
        psnr = inpainting.hole_psnr(Answer(0.0), batches, torch.device("cpu"), True)
        assert psnr == pytest.approx(expected, abs=1e-3)
        assert inpainting.hole_psnr(Answer(0.0), batches, torch.device("cpu")) < psnr
    again = inpainting.validation_batches(pictures, replace(config, learning_rate=1.0))
    assert all(
        (a[0][1] == b[0][1]).all() for a, b in zip(found.values(), again.values(), strict=True)
    )


def test_learning_rate_stays_and_then_falls_straight() -> None:
    config = Config(warmup_steps=10, learning_rate=2.0, fall_share=0.3)
    rates = [train.scheduled_rate(step, 100, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9:71] == pytest.approx([2.0] * 62)
    assert np.diff(rates[70:]) == pytest.approx(-2 / 30)
    assert rates[-1] == pytest.approx(2 / 30)
    longer = [train.scheduled_rate(step, 200, config) for step in range(70)]
    assert rates[:70] == longer


def test_a_run_stops_at_the_step_asked_for_and_goes_on_from_there(
    words: Callable[..., Words], tmp_path: Path
) -> None:
    trained(words("whole"))
    trained(words("parts", "--steps", 3))
    assert Checkpoint.load(tmp_path / "parts/last.pt").step == 3
    trained(words("parts", "--resume"))
    one, two = (Checkpoint.load(tmp_path / out / "last.pt") for out in ("whole", "parts"))
    assert one.step == two.step == STEPS
    assert all(torch.equal(one.weights[name], two.weights[name]) for name in one.weights)


#: What the shallower network of a `--start` is, and what may follow it.
SHALLOW = Network(widths=(8, 8, 8), depths=(1, 1, 2), dilations=(1, 2))
DEEPER = Network(widths=(8, 8, 8), depths=(2, 3, 4), dilations=(1, 2, 4, 1))


def start_from(folder: Path, sizes: Network, name: str = "photo") -> Path:
    """A checkpoint of a network whose every block does something."""
    config = Config(network=sizes, guess=name == "photo", damage=Damage(kinds={"lines": 1.0}))
    state = Checkpoint(name, config, 0, "elsewhere", "python -m training.train first")
    state.averaged = randomised(build(name, sizes)).state_dict()
    state.step, state.history = 3, [{"step": 3.0, "hole_psnr": 20.0}]
    state.save(folder / "start.pt")
    return folder / "start.pt"


def with_sizes(folder: Path, sizes: Network) -> Path:
    """The tiny configuration with another network."""
    path = folder / "sizes.toml"
    head, tail = TOML[: TOML.index("[network]")], TOML[TOML.index("[damage.kinds]") :]
    dilations = f"dilations = {list(sizes.dilations)}" if sizes.dilations else ""
    path.write_text(
        f"{head}[network]\nwidths = {list(sizes.widths)}\ndepths = {list(sizes.depths)}\n"
        f"{dilations}\n{tail}"
    )
    return path


@pytest.mark.parametrize(
    ("shallow", "deeper"),
    [
        (SHALLOW, DEEPER),
        (SHALLOW, SHALLOW),
        (replace(SHALLOW, dilations=()), replace(DEEPER, dilations=(1, 1, 4, 1))),
    ],
)
def test_a_deeper_network_begins_as_the_shallower_one(
    words: Callable[..., Words],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shallow: Network,
    deeper: Network,
) -> None:
    start = start_from(tmp_path, shallow)
    more = ("--start", start, "--config", with_sizes(tmp_path, deeper))
    with monkeypatch.context() as patch:
        # A step that changes nothing leaves what the run began with.
        patch.setattr(Muon, "step", lambda *_: None)
        trained(words("out", *more, "--steps", 1))
    first, state = Checkpoint.load(start), Checkpoint.load(tmp_path / "out/last.pt")
    assert state.trained_on == "elsewhere, then a.tar, b.tar"
    assert state.command.startswith("python -m training.train first && python -m training.train")
    assert [row["run"] for row in state.log] == [1, 2]
    image, mask = torch.rand(2, 3, 32, 24), (torch.rand(2, 1, 32, 24) < 0.3).float()
    before, after, averaged = (
        build("photo", shallow),
        build("photo", deeper),
        build("photo", deeper),
    )
    before.load_state_dict(first.averaged)
    after.load_state_dict(state.weights)
    averaged.load_state_dict(state.averaged)
    with torch.no_grad():
        expected = before(image, mask)
        assert (expected - image).abs().max() > 0.1
        assert torch.equal(after(image, mask), expected)
        assert torch.equal(averaged(image, mask), expected)


def test_the_added_blocks_learn(words: Callable[..., Words], tmp_path: Path) -> None:
    more = ("--start", start_from(tmp_path, SHALLOW), "--config", with_sizes(tmp_path, DEEPER))
    trained(words("out", *more, "--steps", 3))
    weights = Checkpoint.load(tmp_path / "out/last.pt").weights
    for block in ("encoder.0.1", "encoder.1.2", "middle.3", "decoder.0.1"):
        assert weights[f"{block}.second.weight"].abs().max() > 0


@pytest.mark.parametrize(
    ("shallow", "name"),
    [
        (replace(SHALLOW, widths=(8, 8, 12)), "photo"),
        (replace(SHALLOW, widths=(8, 8), depths=(1, 2)), "photo"),
        (Network(widths=(8, 8, 8), depths=(3, 3, 4), dilations=(1, 2, 4, 1)), "photo"),
        (Network(widths=(8, 8, 8), depths=(2, 3, 5), dilations=(1, 2, 4, 1, 1)), "photo"),
        (replace(SHALLOW, dilations=(2, 1)), "photo"),
        # Without any dilations all are 1.
        (replace(SHALLOW, dilations=()), "photo"),
        (DEEPER, "detector"),
        (Network(widths=(8, 8, 8), depths=(2, 3, 4), stem=4), "autoencoder"),
    ],
)
def test_a_run_does_not_begin_with_weights_that_do_not_fit(
    words: Callable[..., Words], tmp_path: Path, shallow: Network, name: str
) -> None:
    start = start_from(tmp_path, shallow, name)
    more = ("--start", start, "--config", with_sizes(tmp_path, DEEPER))
    line = one_line_error(run(train.main, *words("out", *more)))
    assert f"start.pt: holds another network ({name})" in line
    assert not (tmp_path / "out").exists()


def test_the_root_loss_is_the_root_of_each_patchs_own_error() -> None:
    rng = np.random.default_rng(0)
    restored, images = rng.random((3, 3, 5, 6)), rng.random((3, 3, 5, 6))
    holes = (rng.random((3, 1, 5, 6)) < np.array([0.1, 0.6, 0]).reshape(3, 1, 1, 1)).astype(float)
    assert holes.sum((1, 2, 3))[2] == 0 < holes.sum((1, 2, 3))[0] < holes.sum((1, 2, 3))[1]
    roots = []
    for one, other, hole in zip(restored, images, holes, strict=True):
        total, pixels = 0.0, 0
        for y in range(5):
            for x in range(6):
                if hole[0, y, x]:
                    total += sum((one[c, y, x] - other[c, y, x]) ** 2 for c in range(3)) / 3
                    pixels += 1
        roots.append((total / max(pixels, 1) + 1e-5) ** 0.5)
    config = Config(loss="root", known_weight=0.5)
    found = inpainting.restoration_loss(
        torch.from_numpy(restored), torch.from_numpy(images), torch.from_numpy(holes), config
    )
    assert float(found) == pytest.approx(sum(roots) / 3, rel=1e-9)


def test_a_run_with_the_root_loss_and_another_coverage(
    words: Callable[..., Words], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.toml").write_text(
        TOML.replace("guess = true", 'guess = true\nloss = "root"')
        + "\n[damage.coverage]\nlines = [0.3, 0.4]\n"
    )
    given = []
    loss = inpainting.restoration_loss

    def seen(restored: Tensor, images: Tensor, holes: Tensor, config: Config) -> Tensor:
        given.append((config.loss, list(config.damage.coverage["lines"])))
        return loss(restored, images, holes, config)

    monkeypatch.setattr(inpainting, "restoration_loss", seen)
    trained(words("out", "--steps", 2))
    assert given == [("root", [0.3, 0.4])] * 2
    config = Checkpoint.load(tmp_path / "out/last.pt").config
    assert config == Config.from_dict(config.to_dict())
    trained(words("out", "--resume", "--steps", 3))
