"""Muon: momentum whose update of each weight matrix is made orthogonal.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks". A convolution's
kernel counts as a matrix of output channels against everything else. All that is no matrix (biases)
goes to AdamW. In the first 510 steps of the photo network it was 0.1 to 0.2 dB of validation hole
PSNR ahead of AdamW at the same step, for a fifth more time a step.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

#: Coefficients of the quintic iteration, as published.
A, B, C = 3.4445, -4.7750, 2.0315


class Muon(torch.optim.Optimizer):
    """Muon for kernels, AdamW for biases, as one optimizer with one learning rate.

    A kernel's update has unit singular values, scaled by 0.2·sqrt(larger side), which is about as
    large as an update of AdamW (Liu et al. 2025, "Muon is scalable for LLM training"); so a rate
    that suits AdamW suits both.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of every parameter that has a gradient; `closure` is not called."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1 - rate * group["weight_decay"])
                state = self.state[parameter]
                if parameter.ndim < 2:
                    parameter.add_(_adam(parameter.grad, state), alpha=-rate)
                    continue
                average = state.setdefault("momentum", torch.zeros_like(parameter))
                average.lerp_(parameter.grad, 1 - momentum)
                update = parameter.grad.lerp(average, momentum).flatten(1)
                scale = 0.2 * max(update.shape) ** 0.5
                parameter.add_(
                    orthogonal(update).view(parameter.shape).to(parameter.dtype),
                    alpha=-rate * scale,
                )


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrix whose singular values are all about 1 (Newton-Schulz, bfloat16)."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.bfloat16()
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = A * x + (B * gram + C * gram @ gram) @ x
    result: Tensor = x.T if tall else x
    return result


def _adam(gradient: Tensor, state: dict[str, Any]) -> Tensor:
    mean = state.setdefault("mean", torch.zeros_like(gradient))
    square = state.setdefault("square", torch.zeros_like(gradient))
    count = state["count"] = state.get("count", 0) + 1
    mean.lerp_(gradient, 0.1)
    square.lerp_(gradient.square(), 0.01)
    result: Tensor = (mean / (1 - 0.9**count)) / ((square / (1 - 0.99**count)).sqrt() + 1e-8)
    return result
