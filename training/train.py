"""Train one of the networks. Reads top to bottom; nothing hides in a framework.

    python -m training.train autoencoder --data cifar10.tar.xz --out runs/autoencoder
    python -m training.train partial-conv --data cifar10.tar.xz --out runs/partial-conv
    python -m training.train autoencoder --data cifar10.tar.xz --out runs/autoencoder --resume
    python -m training.train autoencoder --data cifar10.tar.xz --out runs/second \
        --start runs/autoencoder/last.pt --config training/configs/autoencoder-second.toml

Every random number of a step stems from (seed, step), so a resumed run goes on exactly as if it
had never stopped, and the same seed gives the same weights on the CPU (for the same number of
threads and version of PyTorch).
"""

from __future__ import annotations

import math
import signal
import time
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from inpaintcli.damage import draw_lines, draw_mask
from training import guess
from training.checkpoint import Checkpoint, CheckpointError
from training.command import shell_command
from training.config import CONFIGS, Config, ConfigError, Damage
from training.config import load as load_config
from training.data import DataError, Pictures
from training.data import load_all as load_pictures
from training.masks import SIDE, Sheets
from training.muon import Muon
from training.networks import GUESSING, NETWORKS, build, multiple_of

Method = StrEnum("Method", {name: name for name in NETWORKS})  # type: ignore[misc]
Array = NDArray[np.uint8]

#: Validation damage is the same in every run, whatever its seed.
VALIDATION_SEED = 20_000
VALIDATION_PICTURES = 1_000
#: Side in pixels below which a patch is too small to learn from.
SMALLEST = 32


def main(
    method: Annotated[Method, typer.Argument(help="Which network.")],
    data: Annotated[
        list[Path],
        typer.Option(
            help="cifar-10-python.tar.gz, a folder of pictures, or a tar of one; may be repeated."
        ),
    ],
    film: Annotated[
        Path | None, typer.Option(help="Tar of film artefacts, for damage of kind film.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for last.pt and best.pt. [default: runs/METHOD]")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file. [default: training/configs/METHOD.toml]")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Begin with the averaged weights of another checkpoint.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length of the schedule.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Fixes the weights on the CPU.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Stop after this time; --resume goes on.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Stop at this step; --resume goes on.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=100, help="Use only N pictures.")] = None,
    validate_every: Annotated[int, typer.Option(min=1, help="Steps between validations.")] = 500,
    resume: Annotated[bool, typer.Option(help="Go on from OUT/last.pt.")] = False,
) -> None:
    """Train METHOD on the pictures in DATA; keep the last and the best checkpoint in OUT."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    out = out or Path("runs") / method.value
    try:
        settings = load_config(config or CONFIGS / f"{method.value}.toml")
        settings = replace(settings, epochs=epochs or settings.epochs)
        if settings.patch % multiple_of(settings.network):
            raise ConfigError(
                f"patch {settings.patch}: give a multiple of {multiple_of(settings.network)}"
            )
        # The network's own answer at half size is asked for at half the patch.
        whole = 2 * multiple_of(settings.network)
        if settings.guess != (method.value in GUESSING):
            raise ConfigError(
                f"guess = {str(settings.guess).lower()}: {method.value} needs the opposite"
            )
        if settings.guess and settings.coarse_share and settings.patch % whole:
            raise ConfigError(
                f"patch {settings.patch}: with coarse_share give a multiple of {whole}"
            )
        if settings.damage.kinds and settings.patch > SIDE:
            raise ConfigError(f"patch {settings.patch}: with kinds of damage give at most {SIDE}")
        pictures = load_pictures(data).at_least(settings.patch)
        if limit:
            pictures = spread(pictures, limit)
        train, held_out = pictures.held_out()
        train = train.repeated()
        sheets = Sheets(settings.damage, seed, film) if settings.damage.kinds else None
        state = Checkpoint(
            method.value, settings, seed, train.origin, shell_command("training.train")
        )
        if start:
            earlier = Checkpoint.load(start)
            if (earlier.name, earlier.config.network) != (state.name, settings.network):
                raise CheckpointError(f"{start}: holds another network ({earlier.name})")
            state.averaged = earlier.averaged
            state.begun = earlier.trained_on
            state.past = [{"run": 1, **row} for row in earlier.log]
            state.command = f"{earlier.command} && {state.command}"
        if resume:
            state = Checkpoint.load(out / "last.pt")
            same_data = (state.origin, state.pictures or len(train)) == (train.origin, len(train))
            if not same_data:
                raise CheckpointError(
                    f"{out / 'last.pt'}: was trained on {state.pictures} pictures "
                    f"from {state.origin}: give the same --data and --limit"
                )
            if state.config != settings and may_change_length(state, settings, len(train)):
                state.config = settings
                # What led to a --start stays; only this run's own words are others now.
                before, also, _ = state.command.rpartition(" && ")
                own = shell_command("training.train").replace(" --resume", "")
                state.command = before + also + own
            if (state.name, state.config, state.seed) != (method.value, settings, seed):
                raise CheckpointError(
                    f"{out / 'last.pt'}: holds another run ({state.name}, seed {state.seed}, "
                    f"{state.config.epochs} epochs): give its own options or another --out"
                )
        elif (out / "last.pt").exists():
            raise CheckpointError(f"{out / 'last.pt'} exists: --resume goes on from it")
        where = torch.device(
            ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        )
        torch.empty(0, device=where)
        out.mkdir(parents=True, exist_ok=True)
    # RuntimeError and AssertionError: how PyTorch refuses a device.
    except (ConfigError, DataError, CheckpointError, OSError, RuntimeError, AssertionError) as why:
        console.print(f"Error: {why}", style="red", markup=False)
        raise typer.Exit(2) from None
    if threads:
        torch.set_num_threads(threads)
    try:
        fit(state, train, spread(held_out, VALIDATION_PICTURES), where, out, console,
            validate_every, minutes, sheets, steps)  # fmt: skip
    except FloatingPointError as error:
        console.print(f"Error: {error}: lower learning_rate in the config", style="red")
        raise typer.Exit(1) from None


def fit(
    state: Checkpoint,
    train: Pictures,
    held_out: Pictures,
    device: torch.device,
    out: Path,
    console: Console,
    validate_every: int = 500,
    minutes: float | None = None,
    sheets: Sheets | None = None,
    steps: int | None = None,
) -> None:
    """Run `state` to the end of its schedule, to step `steps`, or until `minutes` have passed."""
    config = state.config
    torch.manual_seed(state.seed)
    network = build(state.name, config.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer: torch.optim.Optimizer
    if config.optimizer == "muon":
        optimizer = Muon(
            network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
    else:
        optimizer = torch.optim.AdamW(
            network.parameters(), config.learning_rate, (0.9, 0.99),
            weight_decay=config.weight_decay,
        )  # fmt: skip
    if state.step:
        network.load_state_dict(state.weights)
        optimizer.load_state_dict(state.optimizer)
    elif state.averaged:
        network.load_state_dict(state.averaged)
    averaged = {
        name: state.averaged.get(name, value).detach().clone().to(device)
        for name, value in network.state_dict().items()
    }
    per_epoch = math.ceil(len(train) / config.batch)
    total = per_epoch * config.epochs
    validation = validation_batches(held_out, config)
    count = sum(parameter.numel() for parameter in network.parameters())
    console.print(
        f"{state.name}: {count / 1e6:.2f} M parameters, {len(train)} pictures from {train.origin}, "
        f"{total} steps of {config.batch}, on {device}, from step {state.step}",
        markup=False,
    )

    def validate(loss: float, scheduled: bool = True) -> None:
        scores = {
            kind: hole_psnr(build_like(network, averaged, state), batches, device, config.guess)
            for kind, batches in validation.items()
        }
        psnr = sum(scores.values()) / len(scores)
        kinds = {kind: round(score, 3) for kind, score in scores.items() if len(scores) > 1}
        epoch = state.step / per_epoch
        state.history.append(
            {"step": state.step, "epoch": round(epoch, 3), "loss": round(loss, 5),
             "hole_psnr": round(psnr, 3), **kinds, "seconds": round(state.seconds)}
        )  # fmt: skip
        console.print(
            f"step {state.step:6d}  epoch {epoch:6.2f}  loss {loss:.4f}  "
            f"hole PSNR {psnr:.3f} dB  {' '.join(map(str, kinds.values()))}  "
            f"{state.seconds / 60:.1f} min"
        )
        state.weights = network.state_dict()
        state.averaged = averaged
        state.optimizer = optimizer.state_dict()
        # A stop validates too, but must not change what the run would call its best.
        better = scheduled and psnr > state.best
        state.best = psnr if better else state.best
        state.running = loss
        state.save(out / "last.pt")
        if better or not (out / "best.pt").exists():
            state.save(out / "best.pt")

    stopping = False

    def stop(*_: object) -> None:
        # A step that is cut short could not be resumed exactly: finish it. Ctrl-C again kills.
        nonlocal stopping
        stopping = True
        signal.signal(signal.SIGINT, interrupt)

    running = state.running
    state.pictures = len(train)
    started = time.monotonic() - state.seconds
    stop_at = math.inf if minutes is None else state.seconds + minutes * 60
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn(), TextColumn("{task.fields[loss]}"))  # fmt: skip
    order_epoch, order = -1, np.empty(0, np.int64)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(state.name, total=total, completed=state.step, loss="")
        interrupt = signal.signal(signal.SIGINT, stop)
        try:
            last = min(total, steps or total)
            while state.step < last and state.seconds < stop_at and not stopping:
                epoch, position = divmod(state.step, per_epoch)
                if epoch != order_epoch:
                    order_epoch = epoch
                    order = np.random.default_rng([state.seed, epoch]).permutation(len(train))
                chosen = order[position * config.batch : (position + 1) * config.batch]
                rng = np.random.default_rng([state.seed, epoch, position])
                images, masks = batch([train.items[i] for i in chosen], config, rng, device, sheets)
                given = first_guess(network, images, masks, config, rng)

                for group in optimizer.param_groups:
                    group["lr"] = scheduled_rate(state.step, total, config)
                network.train()
                with torch.autocast(device.type, torch.bfloat16):
                    restored = network(given, masks)
                loss = restoration_loss(restored.float(), images, masks, config)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()

                state.step += 1
                decay = min(config.ema_decay, (1 + state.step) / (10 + state.step))
                with torch.no_grad():
                    current = list(network.state_dict().values())
                    torch._foreach_lerp_(list(averaged.values()), current, 1 - decay)
                state.seconds = time.monotonic() - started
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise FloatingPointError(f"the loss is {value} at step {state.step}")
                running = value if not running else 0.98 * running + 0.02 * value
                progress.update(task, completed=state.step, loss=f"loss {running:.4f}")
                if state.step % validate_every == 0 or state.step == total:
                    validate(running)
        finally:
            signal.signal(signal.SIGINT, interrupt)
        if stopping:
            console.print("interrupted: --resume goes on from here")
        if not state.history or state.history[-1]["step"] != state.step:
            validate(running, scheduled=False)
        console.print(f"last.pt and best.pt are in {out}", markup=False)


def may_change_length(state: Checkpoint, settings: Config, pictures: int) -> bool:
    """True where only the run's length is another, and its learning rate has not begun to fall:
    such a run is, to the last bit, the longer or shorter one."""
    if replace(state.config, epochs=settings.epochs) != settings or not settings.fall_share:
        return False
    per_epoch = math.ceil(pictures / settings.batch)
    shorter = per_epoch * min(settings.epochs, state.config.epochs)
    return state.step <= shorter * (1 - settings.fall_share)


def batch(
    items: list[Array],
    config: Config,
    rng: np.random.Generator,
    device: torch.device,
    sheets: Sheets | None = None,
) -> tuple[Tensor, Tensor]:
    """Random crops, half of them mirrored, each with damage of its own.

    Returns float pictures (N, 3, patch, patch) in [0, 1] and masks (N, 1, patch, patch).
    """
    side = config.patch
    images = np.empty((len(items), side, side, 3), np.uint8)
    for index, item in enumerate(items):
        cut = side
        if config.shrink_share and rng.random() < config.shrink_share:
            cut = int(rng.integers(side, min(2 * side, *item.shape[:2]) + 1))
        top = int(rng.integers(item.shape[0] - cut + 1))
        left = int(rng.integers(item.shape[1] - cut + 1))
        crop = item[top : top + cut, left : left + cut]
        if cut > side:
            crop = np.asarray(cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA))
        if config.grey_share and rng.random() < config.grey_share:
            crop = np.repeat(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
        images[index] = crop[:, ::-1] if rng.random() < 0.5 else crop
    if sheets:
        masks = np.stack([sheets.crop(side, rng) for _ in items])
    else:
        masks = np.stack([patch_mask(side, config.damage, rng) for _ in items])
    return to_tensors(images, masks, device)


@torch.no_grad()
def first_guess(
    network: nn.Module, images: Tensor, masks: Tensor, config: Config, rng: np.random.Generator
) -> Tensor:
    """What the network is given: zeros for damaged pixels, or a first guess.

    At a share of the steps the guess is the network's own answer at half size, enlarged, as it will
    be at run time where damage is wide; and so may the guess be that it was given there.
    """
    if not config.guess:
        return images * (1 - masks)
    half = images.shape[2] // 2
    fits = half >= SMALLEST and half % multiple_of(config.network) == 0
    if not fits or rng.random() >= config.coarse_share:
        return guess.push_pull(images, masks)
    small, small_masks = guess.halved(images, masks)
    filled = first_guess(network, small, small_masks, config, rng)
    with torch.autocast(images.device.type, torch.bfloat16):
        restored = network(filled, small_masks)
    below = torch.where(small_masks > 0, restored.float(), small)
    return torch.where(masks > 0, guess.doubled(below, *images.shape[2:]), images)


def patch_mask(side: int, damage: Damage, rng: np.random.Generator) -> Array:
    """Damage of one training patch, uint8 (side, side), 1 = damaged."""
    canvas = np.zeros((side, side), np.uint8)
    if rng.random() < damage.wide_share:
        draw_lines(canvas, rng, damage.wide_count, damage.wide_thickness)
    else:
        draw_lines(canvas, rng, damage.count, damage.thickness)
    return canvas


def to_tensors(images: Array, masks: Array, device: torch.device) -> tuple[Tensor, Tensor]:
    """uint8 (N, h, w, 3) and (N, h, w) to float (N, 3, h, w) in [0, 1] and (N, 1, h, w)."""
    pictures = torch.from_numpy(images).to(device).float().div_(255).permute(0, 3, 1, 2)
    return (
        pictures.contiguous(memory_format=torch.channels_last),
        torch.from_numpy(masks).to(device).float()[:, None],
    )


def scheduled_rate(step: int, total: int, config: Config) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the peak, or a late, straight fall."""
    warm = min(1.0, (step + 1) / config.warmup_steps)
    if config.fall_share:
        return config.learning_rate * min(warm, (total - step) / (total * config.fall_share))
    fall = 0.505 + 0.495 * math.cos(math.pi * step / total)
    return config.learning_rate * warm * fall


def restoration_loss(restored: Tensor, images: Tensor, masks: Tensor, config: Config) -> Tensor:
    """Absolute plus weighted squared error, over damaged pixels and a little over known ones."""
    difference = restored - images
    error = (difference.abs() + config.square_weight * difference.square()).mean(1, keepdim=True)
    damaged = (error * masks).sum() / masks.sum().clamp(min=1)
    known = (error * (1 - masks)).sum() / (1 - masks).sum().clamp(min=1)
    return damaged + config.known_weight * known


def validation_batches(held_out: Pictures, config: Config) -> dict[str, list[tuple[Array, Array]]]:
    """Centre crops of the held-out pictures by kind of damage, drawn once.

    For the published recipe of lines crops are as large as the training's; for other kinds twice
    as large at most, so that a hole has surroundings.
    """
    rng = np.random.default_rng(VALIDATION_SEED)
    if not config.damage.kinds:
        published = replace(config.damage, wide_share=0.0)
        crops = [centre(item, config.patch) for item in held_out.items]
        masks = [patch_mask(config.patch, published, rng) for _ in crops]
        return {"lines": in_batches(crops, masks, 250)}
    side = min(2 * config.patch, min(min(item.shape[:2]) for item in held_out.items))
    side -= side % multiple_of(config.network)
    crops = [centre(item, side) for item in held_out.items]
    found = {}
    for kind in ("scratches", "strokes", "text", "holes"):
        masks = [draw_mask((side, side), rng, kind).astype(np.uint8) for _ in crops]
        found[kind] = in_batches(crops, masks, 9)
    return found


def centre(picture: Array, side: int) -> Array:
    """The middle of a picture, (side, side, 3)."""
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return picture[top : top + side, left : left + side]


def in_batches(crops: list[Array], masks: list[Array], size: int) -> list[tuple[Array, Array]]:
    """Crops and masks, `size` at a time."""
    return [
        (np.stack(crops[i : i + size]), np.stack(masks[i : i + size]))
        for i in range(0, len(crops), size)
    ]


@torch.no_grad()
def hole_psnr(
    network: nn.Module,
    batches: list[tuple[Array, Array]],
    device: torch.device,
    guessed: bool = False,
) -> float:
    """Peak signal-to-noise ratio in dB, pooled over every damaged pixel, rounded to 8 bit."""
    network.eval()
    squares = pixels = 0.0
    for crops, holes in batches:
        images, masks = to_tensors(crops, holes, device)
        given = guess.push_pull(images, masks) if guessed else images * (1 - masks)
        restored = network(given, masks).clamp(0, 1).mul(255).round().div(255)
        squares += float(((restored - images).square() * masks).sum())
        pixels += float(masks.sum()) * 3
    return -10 * math.log10(max(squares / max(pixels, 1), 1e-10))


def build_like(network: nn.Module, weights: dict[str, Tensor], state: Checkpoint) -> nn.Module:
    """A copy of the network with other weights."""
    device = next(network.parameters()).device
    other = build(state.name, state.config.network).to(device)
    other.load_state_dict(weights)
    return other


def spread(pictures: Pictures, limit: int) -> Pictures:
    """At most `limit` pictures, spread evenly over the set, so over its classes too."""
    step = max(1, math.ceil(len(pictures) / limit))
    return Pictures(pictures.items[::step], pictures.origin)


if __name__ == "__main__":
    typer.run(main)
