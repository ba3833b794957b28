"""The two autoencoders: one U-shaped body, built from plain or from partial convolutions.

Both networks take a damaged picture and its mask and return the restored picture. They share
every width, every skip connection and every block; what differs is the convolution:

* `ConvolutionalAutoencoder` reads the mask as a fourth input channel;
* `PartialConvAutoencoder` has no mask channel: each of its convolutions sees only known pixels,
  and carries forward which pixels are known by now (Liu et al. 2018, "Image Inpainting for
  Irregular Holes Using Partial Convolutions").

Shapes everywhere: pictures float (N, 3, h, w) in [0, 1], masks float (N, 1, h, w) with 1 = damaged
at the networks' doors; inside, validity maps float (N, 1, h, w) with 1 = known, as in the paper.
h and w must be multiples of `multiple_of(sizes)`, 8 for three levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.config import Network
from training.detector_network import DetectorNetwork
from training.photo_network import PhotoNetwork


def multiple_of(sizes: Network) -> int:
    """What h and w must be multiples of: every level of the U halves the picture."""
    return int(2 ** len(sizes.widths))


@dataclass(frozen=True)
class Source:
    """Features together with the map of where they are known: what flows through the networks.

    `features` is (N, C, h, w); `known` is (N, 1, h, w), 1 where the features stem from at least
    one undamaged pixel and 0 elsewhere. Plain convolutions pass `known` along without reading it.
    """

    features: Tensor
    known: Tensor


class PlainConv(nn.Module):
    """An ordinary convolution over the concatenated sources, zero-padded to keep the size."""

    def __init__(self, inputs: Sequence[int], outputs: int, kernel: int = 3, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(sum(inputs), outputs, kernel, stride, padding=kernel // 2)

    def forward(self, *sources: Source) -> Source:
        features = self.conv(torch.cat([source.features for source in sources], 1))
        known = sources[0].known
        if self.conv.stride[0] > 1:
            known = known[:, :, :: self.conv.stride[0], :: self.conv.stride[1]]
        return Source(features, known)


class PartialConv(nn.Module):
    """Partial convolution (Liu et al. 2018, eq. 1 and 2) over one or several sources.

    `x' = Wᵀ(X⊙M)·sum(1)/sum(M) + b` where sum(M) > 0 and 0 elsewhere; then `m' = 1` where
    sum(M) > 0. sum(1) is the area of the whole kernel over all input channels, at borders too, so
    padding counts as damaged. Where several sources join (a skip connection), each keeps its own
    map, and sum(M) counts each map once per channel of its source.
    """

    def __init__(self, inputs: Sequence[int], outputs: int, kernel: int = 3, stride: int = 1):
        super().__init__()
        self.inputs = tuple(inputs)
        self.conv = nn.Conv2d(sum(inputs), outputs, kernel, stride, padding=kernel // 2)

    def forward(self, *sources: Source) -> Source:
        kernel, stride = self.conv.kernel_size, self.conv.stride
        padding = (kernel[0] // 2, kernel[1] // 2)
        masked = torch.cat(
            [source.features * source.known.to(source.features.dtype) for source in sources], 1
        )
        product = F.conv2d(masked, self.conv.weight, None, stride, padding)
        # avg_pool2d counts its zero padding, so it is sum(M) / sum(1) of one channel exactly; a
        # pooling of one channel replaces a convolution over all of them.
        share = sum(
            F.avg_pool2d(source.known, kernel, stride, padding) * channels
            for source, channels in zip(sources, self.inputs, strict=True)
        ) / sum(self.inputs)
        assert isinstance(share, Tensor)
        known = (share > 0).to(share.dtype)
        # Where nothing is known the product is 0, and so is what leaves the layer.
        scale = known / share.clamp(min=1e-6)
        dtype = product.dtype
        assert self.conv.bias is not None
        bias = self.conv.bias.to(dtype).view(1, -1, 1, 1)
        features = torch.addcmul(bias, product, scale.to(dtype)) * known.to(dtype)
        return Source(features, known)


def upsampled(source: Source) -> Source:
    """The source at twice its size, each pixel repeated 2x2."""
    return Source(
        F.interpolate(source.features, scale_factor=2, mode="nearest"),
        F.interpolate(source.known, scale_factor=2, mode="nearest"),
    )


def activated(source: Source) -> Source:
    """ReLU; it maps 0 to 0, so unknown features stay 0."""
    return Source(F.relu(source.features), source.known)


class Residual(nn.Module):
    """Two convolutions around which the features are carried (He et al. 2016, pre-activation).

    A convolution of stride 1 knows at least the pixels that its input knows, so the sum is known
    where the branch is.
    """

    def __init__(self, conv: type[nn.Module], width: int):
        super().__init__()
        self.first = conv([width], width)
        self.second = conv([width], width)

    def forward(self, source: Source) -> Source:
        branch = self.second(activated(self.first(activated(source))))
        return Source(source.features + branch.features, branch.known)


class UNet(nn.Module):
    """Encoder, bottleneck and decoder with a skip connection at every level.

    The stem and the head work at full size and are thin; the body starts at half size, where
    most of the work is done `depths[i]` residual blocks at a time on `widths[i]` channels.
    """

    def __init__(
        self,
        conv: type[nn.Module],
        inputs: int,
        widths: Sequence[int],
        depths: Sequence[int],
        stem: int,
    ):
        super().__init__()
        levels = range(len(widths))
        self.stem = conv([inputs], stem)
        previous = [stem, *widths[:-1]]
        self.down = nn.ModuleList(conv([previous[i]], widths[i], 3, 2) for i in levels)
        self.encoder = nn.ModuleList(
            nn.Sequential(*(Residual(conv, widths[i]) for _ in range(depths[i]))) for i in levels
        )
        self.join = nn.ModuleList(conv([widths[i + 1], widths[i]], widths[i]) for i in levels[:-1])
        self.decoder = nn.ModuleList(
            nn.Sequential(*(Residual(conv, widths[i]) for _ in range(depths[i] - 1)))
            for i in levels[:-1]
        )
        self.last = conv([widths[0]], stem)
        self.last_join = conv([stem, stem, inputs], stem)
        self.head = conv([stem, inputs], 3)

    def forward(self, picture: Source) -> Tensor:
        source = stem = self.stem(picture)
        # Under autocast the stem is narrower than the picture; one type keeps the joins cheap.
        picture = Source(picture.features.to(stem.features.dtype), picture.known)
        skips: list[Source] = []
        for down, blocks in zip(self.down, self.encoder, strict=True):
            source = blocks(down(activated(source)))
            skips.append(source)
        source = skips.pop()
        for join, blocks in zip(reversed(self.join), reversed(self.decoder), strict=True):
            source = blocks(join(activated(upsampled(source)), activated(skips.pop())))
        source = upsampled(self.last(activated(source)))
        source = self.last_join(activated(source), activated(stem), picture)
        restored: Source = self.head(activated(source), picture)
        return restored.features


class ConvolutionalAutoencoder(nn.Module):
    """Plain U-shaped autoencoder whose fourth input channel is the mask."""

    def __init__(self, sizes: Network):
        super().__init__()
        self.body = UNet(PlainConv, 4, sizes.widths, sizes.depths, sizes.stem)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        known = 1 - mask
        restored: Tensor = self.body(Source(torch.cat([image * known, mask], 1), known))
        return restored


class PartialConvAutoencoder(nn.Module):
    """The same U-shape from partial convolutions; the mask only says where pixels are known."""

    def __init__(self, sizes: Network):
        super().__init__()
        self.body = UNet(PartialConv, 3, sizes.widths, sizes.depths, sizes.stem)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        restored: Tensor = self.body(Source(image, 1 - mask))
        return restored


#: Networks that improve on a first guess; all others are given zeros for damaged pixels.
GUESSING = {"photo"}
#: The network that finds damage; all others fill it.
DETECTOR = "detector"
#: Networks whose blocks begin as no change: a deeper one can go on from a shallower one.
GROWING = {*GUESSING, DETECTOR}
NETWORKS: dict[str, type[nn.Module]] = {
    "autoencoder": ConvolutionalAutoencoder,
    "partial-conv": PartialConvAutoencoder,
    "photo": PhotoNetwork,
    DETECTOR: DetectorNetwork,
}


def build(name: str, sizes: Network) -> nn.Module:
    """The network called `name` (a key of `NETWORKS`), freshly initialised."""
    return NETWORKS[name](sizes)
