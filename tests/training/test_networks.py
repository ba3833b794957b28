"""The layer against its formula, and what both networks promise."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from tests.training import randomised
from training.config import Network
from training.networks import DETECTOR, NETWORKS, PartialConv, Source, build

Array = NDArray[np.float64]
TINY = Network(widths=(8, 8, 8), depths=(1, 2, 1), stem=4)
#: The two that are given zeros for damaged pixels.
AUTOENCODERS = ("autoencoder", "partial-conv")


def naive(
    sources: list[tuple[Array, Array]], weight: Array, bias: Array, stride: int
) -> tuple[Array, Array]:
    """Partial convolution of one picture as Liu et al. write it, window by window, in float64.

    `sources` are features (C, h, w) and known maps (h, w); returns features (O, h', w') and the
    new known map (h', w').
    """
    outputs, _, kernel, _ = weight.shape
    height, width = sources[0][1].shape
    x = np.concatenate([features for features, _ in sources])
    m = np.concatenate([np.repeat(known[None], len(f), 0) for f, known in sources])
    rows, columns = -(-height // stride), -(-width // stride)
    values, updated = np.zeros((outputs, rows, columns)), np.zeros((rows, columns))
    for row, column in product(range(rows), range(columns)):
        weighted, known, area = np.zeros(outputs), 0.0, 0.0
        for channel, dy, dx in product(range(len(x)), range(kernel), range(kernel)):
            area += 1
            y, z = row * stride + dy - kernel // 2, column * stride + dx - kernel // 2
            if 0 <= y < height and 0 <= z < width:
                known += m[channel, y, z]
                weighted += weight[:, channel, dy, dx] * x[channel, y, z] * m[channel, y, z]
        if known > 0:
            values[:, row, column] = weighted * area / known + bias
            updated[row, column] = 1
    return values, updated


def random_sources(channels: tuple[int, ...], height: int, width: int) -> list[Source]:
    """Two pictures of random features, each source with its own damage and a common large hole."""
    generator = torch.Generator().manual_seed(sum(channels) * height)
    sources = []
    for count in channels:
        known = (torch.rand(2, 1, height, width, generator=generator) < 0.5).double()
        known[:, :, 1:6, 2:7] = 0
        features = torch.randn(2, count, height, width, generator=generator, dtype=torch.float64)
        sources.append(Source(features, known))
    return sources


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 10), (7, 9)])
@pytest.mark.parametrize("channels", [(3,), (2, 5), (4, 4, 3)])
def test_partial_conv_is_its_formula(
    channels: tuple[int, ...], size: tuple[int, int], stride: int
) -> None:
    layer = PartialConv(channels, 4, 3, stride).double()
    sources = random_sources(channels, *size)
    with torch.no_grad():
        result = layer(*sources)
    weight, bias = layer.conv.weight.detach().numpy(), layer.conv.bias
    assert bias is not None
    for index in range(2):
        one = [(s.features[index].numpy(), s.known[index, 0].numpy()) for s in sources]
        values, known = naive(one, weight, bias.detach().numpy(), stride)
        assert 0 < known.mean() < 1
        np.testing.assert_allclose(result.features[index].numpy(), values, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(result.known[index, 0].numpy(), known)


def test_all_damaged_window_is_zero_in_spite_of_the_bias() -> None:
    layer = PartialConv([2], 3)
    torch.nn.init.constant_(layer.conv.bias, 7)  # type: ignore[arg-type]
    known = torch.ones(1, 1, 9, 9)
    known[:, :, 2:7, 2:7] = 0
    result = layer(Source(torch.randn(1, 2, 9, 9), known))
    inner = (..., slice(3, 6), slice(3, 6))
    assert not result.features[inner].any()
    assert not result.known[inner].any()
    assert result.known.sum() == 81 - 9


def test_padding_counts_as_damaged() -> None:
    layer = PartialConv([1], 1)
    torch.nn.init.ones_(layer.conv.weight)
    torch.nn.init.constant_(layer.conv.bias, 0.5)  # type: ignore[arg-type]
    ones = torch.ones(1, 1, 4, 4)
    # A corner sees 4 of 9 pixels: its sum of 4 is scaled by 9/4, as that of an edge by 9/6.
    torch.testing.assert_close(layer(Source(ones, ones)).features, torch.full((1, 1, 4, 4), 9.5))


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_are_those_of_finite_differences(stride: int) -> None:
    channels = (2, 1)
    layer = PartialConv(channels, 2, 3, stride).double()
    torch.manual_seed(3)
    knowns = [(torch.rand(1, 1, 5, 6) < 0.4).double() for _ in channels]
    knowns[0][..., :4, :4] = knowns[1][..., :4, :4] = 0

    def features(weight: Tensor, bias: Tensor, *inputs: Tensor) -> Tensor:
        sources = tuple(Source(x, known) for x, known in zip(inputs, knowns, strict=True))
        result: Source = functional_call(layer, {"conv.weight": weight, "conv.bias": bias}, sources)
        return result.features

    assert layer.conv.bias is not None
    inputs = [torch.randn(1, n, 5, 6, dtype=torch.float64, requires_grad=True) for n in channels]
    assert torch.autograd.gradcheck(features, (layer.conv.weight, layer.conv.bias, *inputs))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(1, 8, 8), (2, 32, 40), (1, 96, 16)])
def test_any_multiple_keeps_its_size(name: str, size: tuple[int, int, int]) -> None:
    n, height, width = size
    network = randomised(build(name, TINY))
    answer = network(torch.rand(n, 3, height, width), torch.zeros(n, 1, height, width))
    assert answer.shape == (n, 1 if name == DETECTOR else 3, height, width)


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_what_lies_under_the_damage_is_never_seen(name: str) -> None:
    network = build(name, TINY)
    mask = (torch.rand(2, 1, 32, 32) < 0.3).float()
    image = torch.rand(2, 3, 32, 32)
    other = torch.where(mask > 0, torch.rand(2, 3, 32, 32), image)
    with torch.no_grad():
        assert torch.equal(network(image, mask), network(other, mask))
        assert not torch.equal(network(image, mask), network(image * 0.9, mask))


def test_partial_convolutions_know_nothing_of_a_picture_that_is_all_damage() -> None:
    restored = build("partial-conv", TINY)(torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16))
    assert not restored.any()


def test_both_autoencoders_have_the_same_shape() -> None:
    counts = {
        name: sum(p.numel() for p in build(name, Network()).parameters()) for name in AUTOENCODERS
    }
    # They differ by the mask channel, which the plain one reads in its stem and last two layers.
    assert counts["autoencoder"] - counts["partial-conv"] == 9 * (16 + 16 + 3)
