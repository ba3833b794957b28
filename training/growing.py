"""A network that goes on from a smaller one, and begins by computing what that one computed.

The blocks of `GROWING` networks begin as no change, so more of them change nothing. Wider ones keep
the smaller network's channels first; those read nothing of the new channels until training has them
do so (Chen et al. 2016, "Net2Net", where new channels are copies of old ones instead).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from training.config import Network
from training.networks import GROWING


def fits(name: str, old: Network, new: Network) -> bool:
    """True where the network called `name` of the sizes `new` can begin with the weights of `old`:
    the sizes are equal, or no level has fewer channels or blocks, and the blocks of old are dilated
    as they were."""
    before, now = (sizes.dilations or (1,) * sizes.depths[-1] for sizes in (old, new))
    if name not in GROWING or len(old.widths) != len(new.widths) or before != now[: len(before)]:
        return old == new
    pairs = zip((*old.widths, *old.depths), (*new.widths, *new.depths), strict=True)
    return all(few <= many for few, many in pairs)


@torch.no_grad()
def begin_with(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a fresh network the weights of one that fits (see `fits`)."""
    for name, fresh in network.state_dict().items():
        if name not in weights:
            continue
        old = weights[name]
        if old.ndim > 1:
            # Rows write channels, columns read them.
            fresh[: old.shape[0], old.shape[1] :] = 0
        fresh[tuple(slice(length) for length in old.shape)] = old
