"""What one training run is made of, read from a TOML file in `training/configs/`."""

from __future__ import annotations

import math
import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from inpaintcli.damage import DRAWN

CONFIGS = Path(__file__).parent / "configs"
Part = TypeVar("Part")
OPTIMIZERS = ("adamw", "muon")
#: Where the layers of damage come from that a detector learns to find, or that there is none.
LAYERS = ("aged", "folds", "film", "frames", "drawn", "curves", "blots", "none")
LOSSES = ("absolute", "root")


class ConfigError(Exception):
    """A configuration names something that does not exist; the text says what."""


@dataclass(frozen=True)
class Network:
    """Channels and residual blocks per level, and channels at full size."""

    widths: tuple[int, ...] = (64, 128, 128)
    depths: tuple[int, ...] = (2, 2, 2)
    stem: int = 16
    #: Dilation of each residual block of the deepest level; all 1 where none are given.
    dilations: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Raise ConfigError for sizes of which no network can be built."""
        _check_whole(self.widths, "widths")
        _check_whole(self.depths, "depths")
        _check_whole((self.stem,), "stem")
        if len(self.widths) != len(self.depths):
            raise ConfigError(f"{len(self.widths)} widths and {len(self.depths)} depths: as many")
        if self.dilations:
            _check_whole(self.dilations, "dilations")
            if len(self.dilations) != self.depths[-1]:
                raise ConfigError(f"{len(self.dilations)} dilations: the last depth is "
                                  f"{self.depths[-1]}: as many")  # fmt: skip


@dataclass(frozen=True)
class Damage:
    """The published recipe, and the share of patches that get wider lines instead.

    Photographs have damage wider than the recipe's two pixels; a network that never saw any
    leaves its middle grey.
    """

    count: tuple[int, int] = (1, 9)
    thickness: tuple[int, int] = (1, 2)
    wide_share: float = 0.0
    wide_count: tuple[int, int] = (1, 4)
    wide_thickness: tuple[int, int] = (3, 6)
    #: Instead of the recipe: kinds of `inpaint damage`, or "film", and their shares of the patches.
    kinds: dict[str, float] = field(default_factory=dict)
    #: Shares of a sheet that are damaged, by kind, where others than `training.masks` has.
    coverage: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ConfigError for ranges that are none."""
        if not isinstance(self.kinds, dict):
            raise ConfigError(f"kinds = {self.kinds!r}: give a table of shares by kind")
        for kind, share in self.kinds.items():
            if kind not in (*DRAWN, "film") or not _from_0_on(share):
                raise ConfigError(
                    f"kinds: {kind} = {share!r}: give {', '.join(DRAWN)} or film a share from 0 on"
                )
        if self.kinds and not any(self.kinds.values()):
            raise ConfigError("kinds: give one of them a share above 0")
        if not isinstance(self.coverage, dict):
            raise ConfigError(f"coverage = {self.coverage!r}: give a table of two shares by kind")
        for kind, bounds in self.coverage.items():
            if kind not in self.kinds:
                raise ConfigError(f"coverage: {kind} is none of the kinds")
            whole = isinstance(bounds, tuple | list) and len(bounds) == 2
            if not whole or not all(map(_from_0_on, bounds)) or not 0 < bounds[0] <= bounds[1] < 1:
                raise ConfigError(f"coverage: {kind} = {bounds!r}: give two shares, such as "
                                  "[0.05, 0.2]")  # fmt: skip
        for name in ("count", "thickness", "wide_count", "wide_thickness"):
            bounds = getattr(self, name)
            _check_whole(bounds, name)
            if len(bounds) != 2 or bounds[0] > bounds[1]:
                raise ConfigError(f"{name} {list(bounds)}: give the smaller and the larger number")
        if not 0 <= self.wide_share <= 1:
            raise ConfigError(f"wide_share {self.wide_share}: give a share from 0 to 1")


@dataclass(frozen=True)
class Config:
    """One run; every field can be set in the TOML file under the same name."""

    network: Network = field(default_factory=Network)
    damage: Damage = field(default_factory=Damage)
    patch: int = 32
    batch: int = 64
    epochs: int = 16
    learning_rate: float = 2e-3
    warmup_steps: int = 200
    weight_decay: float = 1e-3
    #: Weight of undamaged pixels in the loss; damaged ones weigh 1.
    known_weight: float = 0.1
    #: Weight of the squared error beside the absolute error.
    square_weight: float = 5.0
    #: absolute: absolute and squared error, pooled over the batch. root: the root of the mean
    #: squared error of each patch, of damaged pixels alone; closer to a mean of PSNRs.
    loss: str = "absolute"
    ema_decay: float = 0.999
    #: adamw or muon.
    optimizer: str = "adamw"
    #: True for a network that improves on a first guess (`training.guess`) instead of zeros.
    guess: bool = False
    #: Share of the steps whose guess is the network's own answer at half size.
    coarse_share: float = 0.0
    #: Share of the patches that lose their colours, as old photographs have none.
    grey_share: float = 0.0
    #: Share of the patches cut out of the picture at a smaller size, down to half.
    shrink_share: float = 0.0
    #: Share of the schedule, at its end, in which the learning rate falls to nothing; before, it
    #: stays at its peak, so that a run can be made longer while it runs. 0: half a cosine.
    fall_share: float = 0.0
    #: For a detector: kinds of layers of damage, and their shares of the patches.
    layers: dict[str, float] = field(default_factory=dict)
    #: How many layers of each kind are drawn.
    layer_count: int = 200

    def __post_init__(self) -> None:
        """Raise ConfigError for numbers with which no run can be made."""
        for name in ("patch", "batch", "epochs", "warmup_steps", "layer_count"):
            _check_whole((getattr(self, name),), name)
        for name in ("learning_rate", "weight_decay", "known_weight", "square_weight", "ema_decay",
                     "coarse_share", "grey_share", "shrink_share", "fall_share"):  # fmt: skip
            value = getattr(self, name)
            if not _from_0_on(value):
                raise ConfigError(f"{name} = {value!r}: give a number from 0 on")
            if name.endswith("_share") and value > 1:
                raise ConfigError(f"{name} = {value!r}: give a share from 0 to 1")
        if self.optimizer not in OPTIMIZERS:
            raise ConfigError(
                f"optimizer = {self.optimizer!r}: choose from {', '.join(OPTIMIZERS)}"
            )
        if not isinstance(self.layers, dict):
            raise ConfigError(f"layers = {self.layers!r}: give a table of shares by kind")
        for kind, part in self.layers.items():
            if kind not in LAYERS or not _from_0_on(part):
                raise ConfigError(
                    f"layers: {kind} = {part!r}: give {', '.join(LAYERS)} a share from 0 on"
                )
        if self.layers and not sum(s for kind, s in self.layers.items() if kind != "none"):
            raise ConfigError("layers: give one with damage a share above 0")
        if self.loss not in LOSSES:
            raise ConfigError(f"loss = {self.loss!r}: choose from {', '.join(LOSSES)}")
        if not isinstance(self.guess, bool):
            raise ConfigError(f"guess = {self.guess!r}: give true or false")

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, as checkpoints and cards keep them."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Config:
        """The inverse of `to_dict`; raises ConfigError for an unknown name."""
        values = dict(values)
        network = _made(Network, values.pop("network", {}))
        damage = _made(Damage, values.pop("damage", {}))
        known = {f.name for f in fields(Config)}
        for name in values.keys() - known:
            raise ConfigError(f"unknown setting {name!r}: choose from {', '.join(sorted(known))}")
        return Config(network=network, damage=damage, **values)


def load(path: Path) -> Config:
    """The configuration in a TOML file; raises ConfigError with one line that names the file."""
    try:
        return Config.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ConfigError, TypeError) as error:
        raise ConfigError(f"{path}: {error}") from None


def _check_whole(values: Any, name: str) -> None:
    """Raise ConfigError unless all values are whole numbers above 0."""
    if not isinstance(values, tuple) or not values:
        raise ConfigError(f"{name}: give a list of whole numbers")
    for value in values:
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name}: {value!r} is no whole number above 0")


def _from_0_on(value: Any) -> bool:
    """True for a finite number from 0 on; TOML knows nan and inf."""
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _made(kind: type[Part], values: Any) -> Part:
    if not isinstance(values, dict):
        raise ConfigError(f"[{kind.__name__.lower()}]: give a table of settings")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
