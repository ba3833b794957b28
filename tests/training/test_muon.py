"""Muon: orthogonal updates for kernels, Adam's for biases, and nothing lost in a checkpoint."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import Tensor, nn

from training.muon import Muon, orthogonal


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 12, 3), nn.Tanh(), nn.Conv2d(12, 2, 3))


def gradients(network: nn.Module, step: int) -> None:
    """Give every parameter the gradient of some loss of its own for this step."""
    inputs = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(step))
    network.zero_grad()
    (network(inputs) - inputs[:, :2, 2:-2, 2:-2]).square().mean().backward()


def moved(before: nn.Module, after: nn.Module) -> dict[str, Tensor]:
    """What each parameter has changed by."""
    earlier = dict(before.named_parameters())
    return {name: (p - earlier[name]).detach() for name, p in after.named_parameters()}


@pytest.mark.parametrize("shape", [(64, 16), (16, 64), (8, 200)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
def test_orthogonal_keeps_directions_and_levels_their_strengths(
    shape: tuple[int, int], scale: float
) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) * scale
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    assert values.max() > 1.3 * values.min()
    result = orthogonal(matrix).float()
    assert result.shape == shape
    found = torch.linalg.svdvals(result)
    assert 0.6 < found.min() <= found.max() < 1.3
    # In the matrix's own directions it is diagonal; bfloat16 has 3 digits.
    within = left.T @ result @ right.T
    assert (within - within.diag().diag()).abs().max() < 0.05
    assert within.diag().min() > 0.6


def test_a_step_moves_kernels_and_biases() -> None:
    network = small()
    before = copy.deepcopy(network)
    gradients(network, 0)
    Muon(network.parameters(), 1e-2).step()
    for name, change in moved(before, network).items():
        if name.endswith("bias"):
            torch.testing.assert_close(
                change.abs(), torch.full_like(change, 1e-2), rtol=1e-3, atol=0
            )
        else:
            # As large as AdamW's where all singular values are 1.
            assert 0.1 < change.square().mean().sqrt() / 1e-2 < 0.3, name


def test_a_step_goes_downhill() -> None:
    network = small()
    before = copy.deepcopy(network)
    gradients(network, 0)
    Muon(network.parameters(), 1e-2).step()
    gradients_before = {name: p.grad for name, p in network.named_parameters()}
    for name, change in moved(before, network).items():
        gradient = gradients_before[name]
        assert gradient is not None
        assert (gradient * change).sum() < 0, name


def test_biases_are_adams() -> None:
    ours, theirs = (nn.Parameter(torch.tensor([1.0, -2.0, 0.5])) for _ in range(2))
    muon, adam = Muon([ours], 0.03), torch.optim.Adam([theirs], 0.03, (0.9, 0.99))
    for step in range(6):
        gradient = torch.tensor([0.1 * step, 1.0 - step, 1e-3])
        ours.grad, theirs.grad = gradient, gradient.clone()
        muon.step()
        adam.step()
        torch.testing.assert_close(ours, theirs)


def test_momentum_outlasts_a_gradient() -> None:
    kernel = nn.Parameter(torch.zeros(4, 4))
    optimizer = Muon([kernel], 0.1, momentum=0.9)
    kernel.grad = torch.eye(4)
    optimizer.step()
    first = kernel.detach().clone()
    kernel.grad = torch.zeros(4, 4)
    optimizer.step()
    assert ((kernel - first).diagonal() < -0.01).all()


def test_weights_decay_with_the_rate() -> None:
    parameters = [nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3))]
    optimizer = Muon(parameters, 0.1, weight_decay=0.5)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter in parameters:
        torch.testing.assert_close(parameter.detach(), torch.full_like(parameter, 0.95))


def test_what_has_no_gradient_stays() -> None:
    network = small()
    before = copy.deepcopy(network)
    gradients(network, 0)
    frozen = next(network.parameters())
    frozen.grad = None
    Muon(network.parameters(), 1e-2, weight_decay=0.1).step()
    changes = moved(before, network)
    assert not changes.pop("0.weight").any()
    assert all(change.any() for change in changes.values())


def test_a_saved_state_goes_on_as_if_never_stopped() -> None:
    whole, parts = small(), small()
    optimizers = [Muon(network.parameters(), 1e-2, weight_decay=1e-2) for network in (whole, parts)]
    for step in range(6):
        if step == 3:
            file = io.BytesIO()
            torch.save((parts.state_dict(), optimizers[1].state_dict()), file)
            file.seek(0)
            weights, state = torch.load(file, weights_only=True)
            parts = small(seed=9)
            parts.load_state_dict(weights)
            optimizers[1] = Muon(parts.parameters(), 1e-2, weight_decay=1e-2)
            optimizers[1].load_state_dict(state)
        for network, optimizer in zip((whole, parts), optimizers, strict=True):
            gradients(network, step)
            optimizer.step()
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True)
    )
    assert not torch.equal(next(whole.parameters()), next(small().parameters()))


def test_a_quadratic_is_descended() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(12, 6)
    target = nn.Linear(12, 6)
    # Directions of very different strength, where plain descent would crawl.
    inputs = torch.randn(64, 12) * torch.logspace(0, -2, 12)
    wanted = target(inputs).detach()
    optimizer = Muon(layer.parameters(), 0.02)
    losses = []
    for _ in range(120):
        loss = (layer(inputs) - wanted).square().mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.05 * losses[0]
