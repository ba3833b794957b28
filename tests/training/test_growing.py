"""A larger network begins by computing exactly what the smaller one did, and can leave it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.training.test_networks import AUTOENCODERS
from training.config import Network
from training.growing import begin_with, fits
from training.networks import GROWING, build

SMALL = Network(widths=(8, 12, 16), depths=(1, 2, 2), dilations=(1, 2))
LARGER = {
    "wider": replace(SMALL, widths=(16, 12, 24)),
    "deeper": replace(SMALL, depths=(2, 2, 3), dilations=(1, 2, 4)),
    "both": Network(widths=(12, 16, 20), depths=(3, 3, 4), dilations=(1, 2, 8, 1)),
}


@pytest.mark.parametrize("name", sorted(GROWING))
@pytest.mark.parametrize("sizes", LARGER.values(), ids=LARGER)
def test_a_larger_network_goes_on_where_the_smaller_one_was(name: str, sizes: Network) -> None:
    torch.manual_seed(0)
    small, large = build(name, SMALL), build(name, sizes)
    # As if trained: no block and no head is still as it began.
    for parameter in small.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    assert fits(name, SMALL, sizes)
    begin_with(large, small.state_dict())
    given = torch.rand(2, 3, 32, 24), torch.rand(2, 1, 32, 24)
    torch.testing.assert_close(large(*given), small(*given), rtol=1e-4, atol=1e-5)
    # And it learns with all it has: after a step every parameter has moved.
    optimizer = torch.optim.SGD(large.parameters(), 0.1)
    before = {key: value.clone() for key, value in large.state_dict().items()}
    for _ in range(3):
        optimizer.zero_grad()
        large(*given).square().mean().backward()
        optimizer.step()
    for key, value in large.state_dict().items():
        assert not torch.equal(value, before[key]), key


@pytest.mark.parametrize(
    "sizes",
    [
        replace(SMALL, widths=(8, 12, 12)),
        replace(SMALL, depths=(1, 1, 2)),
        replace(SMALL, dilations=(2, 1)),
        replace(SMALL, widths=(8, 12), depths=(1, 2)),
    ],
    ids=["narrower", "shallower", "dilated otherwise", "fewer levels"],
)
def test_what_is_no_larger_network_does_not_fit(sizes: Network) -> None:
    assert not fits("detector", SMALL, sizes)


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_networks_whose_blocks_are_not_nothing_at_first_do_not_grow(name: str) -> None:
    assert fits(name, SMALL, SMALL)
    assert not fits(name, SMALL, LARGER["wider"])
    assert not fits(name, SMALL, LARGER["deeper"])
