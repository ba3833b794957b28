"""The network of `--model photo`: it begins as its guess, and sees as far as it says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.training import randomised
from training.config import CONFIGS, ConfigError, Network, load
from training.networks import multiple_of
from training.photo_network import PhotoNetwork

TINY = Network(widths=(8, 8, 8), depths=(1, 1, 2), dilations=(1, 2))


def given(height: int = 32, width: int = 40) -> tuple[Tensor, Tensor]:
    """Two pictures and masks."""
    torch.manual_seed(1)
    return torch.rand(2, 3, height, width), (torch.rand(2, 1, height, width) < 0.3).float()


def test_it_begins_as_the_guess() -> None:
    image, mask = given()
    with torch.no_grad():
        assert torch.equal(PhotoNetwork(TINY)(image, mask), image)
        assert not torch.equal(randomised(PhotoNetwork(TINY))(image, mask), image)


def test_it_reads_the_guess_and_the_mask() -> None:
    network = randomised(PhotoNetwork(TINY))
    image, mask = given()
    other = torch.where(mask > 0, 1 - image, image)
    with torch.no_grad():
        added = network(image, mask) - image
        for changed in (network(other, mask) - other, network(image, 1 - mask) - image):
            assert (changed - added).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("part", ["down.0.", "down.1.", "up.0.", "up.1."])
def test_fine_features_go_past_the_coarse_ones(part: str) -> None:
    network = randomised(PhotoNetwork(TINY))
    image, mask = given()
    whole = network(image, mask) - image
    for name, parameter in network.named_parameters():
        if name.startswith(part):
            nn.init.zeros_(parameter)
    fine = network(image, mask) - image
    # Cut off from the coarser levels it is another network, but still one of this picture.
    assert (fine - whole).abs().max() > 1e-3
    other = network(image.flip(3), mask) - image.flip(3)
    assert (fine - other).abs().max() > 1e-3


def test_every_parameter_learns() -> None:
    network = PhotoNetwork(TINY)
    image, mask = given()
    optimizer = torch.optim.SGD(network.parameters(), 1.0)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    # What begins as nothing hides what lies before it for some steps, and no longer.
    for _ in range(5):
        optimizer.zero_grad()
        (network(image, mask) - image.flip(3)).square().mean().backward()
        optimizer.step()
    stuck = [name for name, p in network.named_parameters() if torch.equal(p, before[name])]
    assert not stuck


def test_pictures_of_a_batch_do_not_meet() -> None:
    network = randomised(PhotoNetwork(TINY))
    image, mask = given()
    with torch.no_grad():
        together = network(image, mask)
        alone = torch.cat([network(image[i : i + 1], mask[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("widths", "multiple"), [((8, 8), 4), ((8, 8, 8), 8), ((8,) * 4, 16)])
def test_any_multiple_keeps_its_size(widths: tuple[int, ...], multiple: int) -> None:
    sizes = Network(widths=widths, depths=(1,) * len(widths))
    assert multiple_of(sizes) == multiple
    network = PhotoNetwork(sizes)
    image, mask = given(multiple, 3 * multiple)
    assert network(image, mask).shape == image.shape
    with pytest.raises(RuntimeError):
        network(*given(multiple, multiple + multiple // 2))


def reach(sizes: Network) -> int:
    """How many pixels above a pixel the network looks: weights that cancel nothing tell."""
    network = PhotoNetwork(sizes)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.01)
    image = torch.full((1, 3, 1024, 16), 0.6, requires_grad=True)
    network.double()(image.double(), torch.zeros(1, 1, 1024, 16).double())[
        0, 0, 512
    ].sum().backward()
    assert image.grad is not None
    rows = image.grad.abs().sum((0, 1, 3)).nonzero()
    return 512 - int(rows.min())


def test_dilations_make_it_look_farther() -> None:
    narrow = reach(replace(TINY, dilations=()))
    assert narrow == reach(replace(TINY, dilations=(1, 1)))
    # Each pixel of dilation is one at an eighth of the size.
    assert reach(replace(TINY, dilations=(1, 4))) == narrow + 3 * 8


def test_the_shipped_network_looks_100_px_far() -> None:
    sizes = load(CONFIGS / "photo.toml").network
    assert reach(replace(sizes, widths=(4,) * len(sizes.widths))) >= 100


@pytest.mark.parametrize("dilations", [(1,), (1, 2, 4), (1, 0), (1, 0.5)])
def test_wrong_dilations(dilations: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="dilations"):
        replace(TINY, dilations=dilations)
